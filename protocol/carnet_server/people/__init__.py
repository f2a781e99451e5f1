"""People: identity chains and devices, who is who and who was shut out (spec `statements.md`, "People")."""
