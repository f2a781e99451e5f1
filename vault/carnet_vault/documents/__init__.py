"""Documents: which versions a principal may list and open (spec `api.md`, "Routes of the vault")."""
