"""Erasures: a record that its patient erased is to this server as one that it never knew (spec `statements.md`)."""

from carnet_server.erasures.queries import ask_erasure, read_erasure, require_standing

__all__ = ["ask_erasure", "read_erasure", "require_standing"]
