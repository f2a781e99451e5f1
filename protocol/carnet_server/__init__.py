"""What both servers share: the chassis that carries requests, and the nouns that both decide about.

A server's `app.py` wires them; importing a module here starts nothing.
"""
