"""What the key service asks for to rotate record locks: nobody else may (spec `api.md`, "Rotation of record locks")."""
