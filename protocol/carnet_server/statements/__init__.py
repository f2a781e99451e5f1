"""Accepted statements: each once, by hash, with the event that accepted it (spec `statements.md`)."""

from carnet_server.statements.parse import AnyStatement, parse_statements
from carnet_server.statements.queries import find_acceptance, find_acceptances, store_statement

__all__ = ["AnyStatement", "find_acceptance", "find_acceptances", "parse_statements", "store_statement"]
