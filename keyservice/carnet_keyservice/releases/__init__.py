"""Releases: outer locks come off, for whom the patient let in, once it is written down (spec `api.md`, "Release")."""
