"""`carnet demo`: the whole story on this machine, with two real servers, and a search for what they should not hold."""
