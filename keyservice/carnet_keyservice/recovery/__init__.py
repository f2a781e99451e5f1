"""Recovery: the account key, sealed under what only the owner's kit holds (spec `keys.md`, "Recovery")."""
