"""The practitioner directory: attestations, revocation lists, successions (spec `statements.md`, "Directory")."""
