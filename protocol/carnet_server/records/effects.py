"""What one server does when a record changes, beyond the rules that both share.

The vault moves capsules, checks references and removes documents; the key service keeps sealed keys. Each passes its
own `Effects` to `accept_record`, which calls them in the transaction of the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from carnet_protocol.api import RecordUpdate
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.statements import Closing, Compartment, Filing, Grant, Revocation, Signed, Statement, Tombstone
from carnet_server.deployment import Moment
from carnet_server.events.event import LoggedEvent
from carnet_server.principals import Principal


@dataclass(frozen=True, slots=True)
class Change:
    """A request that changes `record`: who asks, for what, in which transaction."""

    moment: Moment
    principal: Principal
    record: RecordId
    update: RecordUpdate

    @property
    def is_by_patient(self) -> bool:
        """Whether the patient asks; otherwise it is about the principal's own tombstones or sealed keys."""
        return self.principal.identity == self.record.patient()


class Effects(Protocol):
    """A server's part. Whatever it raises undoes the whole request.

    `begin` comes first and `finish` last, also where every statement had been accepted before. In between comes one
    call for each statement that is new: the shared rules hold, its signature is good, and the shared tables have it,
    `event` included. A statement that was accepted before is not passed again.
    """

    def begin(self, change: Change) -> None:
        """Refuse or keep what the request carries beside statements."""

    def is_mirrored(self, body: Statement) -> bool:
        """Whether the other server decides about such statements, and this one follows."""

    def find_rivals(self, change: Change, body: Compartment) -> Sequence[StatementHash]:
        """The epochs that give way to `body`."""

    def on_compartment(self, change: Change, signed: Signed[Compartment], event: LoggedEvent) -> None:
        """A new compartment or epoch."""

    def on_closing(self, change: Change, signed: Signed[Closing], event: LoggedEvent) -> None:
        """An epoch is closed."""

    def on_filing(self, change: Change, signed: Signed[Filing], event: LoggedEvent) -> None:
        """A document moves to another compartment."""

    def on_tombstone(self, change: Change, signed: Signed[Tombstone], event: LoggedEvent) -> None:
        """A document is removed: by the patient, or by someone of whom the server must say that they may."""

    def on_grant(self, change: Change, signed: Signed[Grant], event: LoggedEvent) -> None:
        """A new grant."""

    def on_revocation(self, change: Change, signed: Signed[Revocation], event: LoggedEvent) -> None:
        """A grant has ended."""

    def finish(self, change: Change) -> None:
        """Everything in the request is accepted: check what holds for the whole."""
