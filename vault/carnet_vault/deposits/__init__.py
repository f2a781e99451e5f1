"""Deposits: new versions, by the patient or under a deposit grant (spec `api.md`, "Routes of the vault")."""
