"""Sealed compartment keys: one per reader, that no server can open (spec `keys.md`, "Sealed boxes")."""
