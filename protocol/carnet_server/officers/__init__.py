"""Security officers: enrolled keys, and administrative acts that are signed and logged (spec `api.md`)."""
