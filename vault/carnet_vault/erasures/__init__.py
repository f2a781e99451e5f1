"""What the vault removes with a record that its patient erased (`carnet_server.erasures`): rows first, then objects."""
