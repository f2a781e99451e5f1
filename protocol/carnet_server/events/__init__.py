"""Events: the append-only log of everything that a server decides (spec `log.md`)."""

from carnet_server.events.event import LoggedEvent, NewEvent, VersionKey
from carnet_server.events.queries import append_event, find_event, find_newest_time

__all__ = ["LoggedEvent", "NewEvent", "VersionKey", "append_event", "find_event", "find_newest_time"]
