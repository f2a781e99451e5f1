"""Reseals: versions that the patient encrypted anew (spec `document.md`, "Reseal")."""
