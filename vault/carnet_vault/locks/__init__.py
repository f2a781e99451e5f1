"""Lock statements of the key service, as far as capsules brought them here (spec `statements.md`, "lock")."""
