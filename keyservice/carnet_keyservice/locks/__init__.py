"""Record locks: the outer half of each document's lock, by record and version (spec `keys.md`, "The two locks")."""
