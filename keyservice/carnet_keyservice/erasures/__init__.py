"""What the key service destroys with a record that its patient erased (`carnet_server.erasures`)."""
