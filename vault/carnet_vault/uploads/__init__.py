"""Uploads: ciphertext on its way to the store, before any version names it (spec `api.md`, "Routes of the vault")."""
