"""Records: the statements that change one, and what a principal may see of it (spec `api.md`)."""
