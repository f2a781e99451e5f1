"""What the vault does when a record changes: documents move, capsules are swapped, epochs end, documents go."""
