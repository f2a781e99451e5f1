"""What the key service does when a record changes, beyond the rules that both servers share.

It keeps sealed keys with the statements they belong to. Filings, closings and grants need nothing more here: releases
read the shared tables.
"""

from collections.abc import Sequence

from typing_extensions import override

from carnet_keyservice.sealed_keys import accept, decide
from carnet_keyservice.sealed_keys.queries import count_sealed, count_staged, delete_under, forget_staged
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Closing, Compartment, Filing, Grant, Revocation, Signed, Statement, Tombstone
from carnet_server.errors import BadRequestError, RefusedError
from carnet_server.events import LoggedEvent
from carnet_server.records.decide import require_tombstone_room
from carnet_server.records.effects import Change, Effects
from carnet_server.records.queries import count_tombstones


class KeyServiceEffects(Effects):
    """The key service's part of a change."""

    @override
    def begin(self, change: Change) -> None:
        """Refuse capsules, which are the vault's; keep the patient's own copies before what needs them."""
        if change.update.capsules:
            raise BadRequestError("capsules_are_the_vaults")
        for key in change.update.sealed_keys:
            decide.require_form(key)
        if change.update.sealed_keys:
            connection = change.moment.connection
            forget_staged(connection, change.record, until=change.moment.now - decide.STAGED_SECONDS)
            known = count_sealed(connection, change.record)
            decide.require_room(known, len(change.update.sealed_keys))
        if change.is_by_patient:
            accept.keep_own_copies(change)

    @override
    def is_mirrored(self, body: Statement) -> bool:
        """Nothing: the key service decides."""
        return False

    @override
    def find_rivals(self, change: Change, body: Compartment) -> Sequence[StatementHash]:
        """None: an epoch that the key service took stands, whoever made it."""
        return ()

    @override
    def on_compartment(self, change: Change, signed: Signed[Compartment], event: LoggedEvent) -> None:
        """An epoch whose key the patient can open."""
        accept.require_published(change, signed.hash)

    @override
    def on_closing(self, change: Change, signed: Signed[Closing], event: LoggedEvent) -> None:
        """Nothing: releases and sealed keys look at the epoch itself."""

    @override
    def on_filing(self, change: Change, signed: Signed[Filing], event: LoggedEvent) -> None:
        """Nothing: releases look at the newest filing."""

    @override
    def on_tombstone(self, change: Change, signed: Signed[Tombstone], event: LoggedEvent) -> None:
        """Whose documents are whose, the key service does not know: it takes tombstones of whoever may deposit.

        One made by a stranger to the document stops nothing, since a release compares its maker with the author. But
        ids are invented easily, and each tombstone is an event in the patient's log: so an author's are counted.
        """
        by = signed.body.by
        if by != change.record.patient():
            require_tombstone_room(count_tombstones(change.moment.connection, change.record, by))

    @override
    def on_grant(self, change: Change, signed: Signed[Grant], event: LoggedEvent) -> None:
        """Nothing: its sealed keys are kept at the end."""

    @override
    def on_revocation(self, change: Change, signed: Signed[Revocation], event: LoggedEvent) -> None:
        """The copies under it go: nobody opens them any more, and the record has room for others."""
        delete_under(change.moment.connection, signed.body.grant)

    @override
    def finish(self, change: Change) -> None:
        """Keep the copies for grantees, whose grants may have come in the same request."""
        if change.is_by_patient:
            accept.keep_copies(change)
            if change.update.sealed_keys:
                decide.require_staging_room(count_staged(change.moment.connection, change.record))
        elif change.update.sealed_keys:
            raise RefusedError("sealed_keys_are_the_patients")
