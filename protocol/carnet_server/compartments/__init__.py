"""Compartments of a record and their epochs (spec `statements.md`, "Records")."""

from carnet_server.compartments.queries import CompartmentRow, find_compartment, find_newest, find_rivals

__all__ = ["CompartmentRow", "find_compartment", "find_newest", "find_rivals"]
