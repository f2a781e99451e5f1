"""Grants that fall with the device that signed them (spec `statements.md`, "removal")."""

from collections.abc import Callable, Collection

from sqlalchemy import Connection

from carnet_protocol.ids import StatementHash
from carnet_server.deployment import Moment
from carnet_server.events.event import NewEvent
from carnet_server.grants.queries import end_grant, find_grants_by

OnVoided = Callable[[Connection, StatementHash], None]
"""A server's own part when a grant is voided, in the same transaction."""


def void_grants_of(
    moment: Moment,
    fallen: Collection[StatementHash],
    *,
    since: int,
    removal: StatementHash,
    on_voided: OnVoided | None = None,
) -> None:
    """End each grant that a device of `fallen` signed and that came at or after `since`; log it, tell `on_voided`."""
    for grant, record, device in find_grants_by(moment.connection, fallen, since=since):
        event = moment.log(
            NewEvent("grant.voided", record=record, by=record.patient(), device=device, grant=grant, statement=removal)
        )
        end_grant(moment.connection, grant, event=event.index)
        if on_voided is not None:
            on_voided(moment.connection, grant)
