"""The vault's part in accepting statements about a record (`carnet_server.records`).

It gathers what the statements of one request touch, swaps the capsules at the end, and checks what must then hold. The
writer runs one work after another in one thread, and each begins with `begin`: so one value serves all requests.
"""

from collections.abc import Sequence

from typing_extensions import override

from carnet_protocol.ids import DocumentId, StatementHash
from carnet_protocol.statements import Closing, Compartment, Filing, Grant, Revocation, Signed, Statement, Tombstone
from carnet_server.compartments import find_rivals
from carnet_server.errors import BadRequestError, ConflictError, RefusedError
from carnet_server.events.event import LoggedEvent
from carnet_server.records.effects import Change, Effects
from carnet_vault.capsules.accept import swap_capsules
from carnet_vault.capsules.queries import (
    delete_personal_capsules,
    find_elsewhere,
    find_listed,
    find_split,
    is_referred_to,
)
from carnet_vault.deposits.decide import Head
from carnet_vault.deposits.queries import load_heads
from carnet_vault.records.queries import file_document, list_versions, remove_document


class VaultEffects(Effects):
    """Moves and removes documents, swaps capsules, drops those of ended grants, keeps epochs open that others need."""

    def __init__(self) -> None:
        self._filed: set[DocumentId] = set()
        self._closed: list[StatementHash] = []

    @override
    def begin(self, change: Change) -> None:
        """Sealed keys are for the key service; capsules are the patient's to swap."""
        self._filed.clear()
        self._closed.clear()
        if change.update.sealed_keys:
            raise BadRequestError("sealed_keys_at_the_vault")
        if change.update.capsules and not change.is_by_patient:
            raise RefusedError("capsules_of_another")

    @override
    def is_mirrored(self, body: Statement) -> bool:
        """Epochs: the key service decides which there are. A device of the patient shows the vault what it lacks."""
        return isinstance(body, Compartment)

    @override
    def find_rivals(self, change: Change, body: Compartment) -> Sequence[StatementHash]:
        """Epochs of devices that were shut out, which the key service never had or it would not have another."""
        return find_rivals(change.moment.connection, body.record, body.compartment, epoch=body.epoch)

    @override
    def on_compartment(self, change: Change, signed: Signed[Compartment], event: LoggedEvent) -> None:
        """Nothing: whoever deposits next has to know it."""

    @override
    def on_closing(self, change: Change, signed: Signed[Closing], event: LoggedEvent) -> None:
        """To be looked at once the capsules are swapped."""
        self._closed.append(signed.body.compartment_statement)

    @override
    def on_filing(self, change: Change, signed: Signed[Filing], event: LoggedEvent) -> None:
        """The document moves; its capsules have to come along in the same request."""
        body = signed.body
        _require_document(change, body.document)
        file_document(change.moment.connection, change.record, body.document, body.compartment)
        self._filed.add(body.document)

    @override
    def on_tombstone(self, change: Change, signed: Signed[Tombstone], event: LoggedEvent) -> None:
        """The document goes, by the word of the patient or of its author, who know its newest version."""
        body = signed.body
        head = load_heads(change.moment.connection, change.record, [body.document]).get(body.document)
        if head is None or body.by not in {head.author, change.record.patient()}:
            raise RefusedError("not_the_author")
        if body.manifest != head.manifest:
            raise ConflictError("head_moved")
        if not head.is_tombstoned:
            remove_document(change.moment.connection, change.record, body.document, now=change.moment.now)

    @override
    def on_grant(self, change: Change, signed: Signed[Grant], event: LoggedEvent) -> None:
        """Nothing: personal capsules come with the request, or later."""

    @override
    def on_revocation(self, change: Change, signed: Signed[Revocation], event: LoggedEvent) -> None:
        """Its personal capsules go with it. Every fetch asks whether the grant has ended, too."""
        delete_personal_capsules(change.moment.connection, signed.body.grant)

    @override
    def finish(self, change: Change) -> None:
        """Swap the capsules, then check the whole.

        1. Both capsules of every version are in one compartment.
        2. Every version of a document that was filed is where it was filed.
        3. No capsule is left under an epoch that was closed.

        Raises `ConflictError`, or what the swaps raise.
        """
        connection, record = change.moment.connection, change.record
        touched = self._filed | swap_capsules(change.moment, record, change.update.capsules)
        # 1
        if find_split(connection, record, touched):
            raise ConflictError("capsules_of_one_version_apart")
        # 2
        if find_elsewhere(connection, record, self._filed):
            raise ConflictError("capsules_left_behind")
        list_versions(connection, record, touched, find_listed(connection, record, touched))
        # 3
        if any(is_referred_to(connection, record, epoch) for epoch in self._closed):
            raise ConflictError("epoch_in_use")


def _require_document(change: Change, document: DocumentId) -> Head:
    head = load_heads(change.moment.connection, change.record, [document]).get(document)
    if head is None or head.is_tombstoned:
        raise RefusedError("document_unknown")
    return head
