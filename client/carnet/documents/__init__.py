"""Documents: deposit, list, read, correct, remove, move, export and verify them (spec `document.md`)."""
