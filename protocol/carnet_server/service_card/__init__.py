"""The service card, as every server hands it out (spec `statements.md`, "Deployment")."""
