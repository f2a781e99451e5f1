"""Capsules: where each stands, and how one is put in the place of another (spec `api.md`, "Routes of the vault")."""
