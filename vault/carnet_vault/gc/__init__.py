"""`carnet-vault gc`: removes what nobody needs any more. Rows go first, then objects; it can be cut at any point."""
