"""New epochs of compartments, sealed to those who go on reading (DESIGN section 8: revocation, completed).

The order is the one of every bulk job: the new key is sealed to the patient, read back and opened; then sealed to the
remaining readers; then the statement is published at the key service, which decides, and at the vault.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from carnet.access import RecordAccess
from carnet.boxes import seal_compartment_key
from carnet.grant_book import GrantBook, statements_path
from carnet.outbox import Step
from carnet.readers import Readers
from carnet.records import NewEpoch, check_own_copy, make_epoch
from carnet.session import Session
from carnet.transport import ServerName
from carnet_protocol.api import Accepted, RecordUpdate, SealedKey, SealedKeysView
from carnet_protocol.ids import CompartmentId
from carnet_protocol.limits import MAX_SEALED_KEYS_PER_REQUEST

_EPOCHS_AT_ONCE: Final = 100
"""A record may have more compartments than fit in one request."""


def renew_epochs(
    session: Session,
    access: RecordAccess,
    book: GrantBook,
    compartments: Collection[CompartmentId],
    readers: Readers,
) -> None:
    """A new epoch for each of `compartments`, published at both servers; a hundred at a time.

    1. Each new key is sealed to the patient and given to the key service, under a statement nobody has seen yet.
    2. It is read back and opened.
    3. It is sealed to every remaining reader whose keys can be relied on now.
    4. The key service takes the statements with those keys, then the vault.

    Raises `ConflictError` if another device was first, a `DataError` or another
    `TransportError`; run again, new keys are made.
    """
    names = list(compartments)
    for start in range(0, len(names), _EPOCHS_AT_ONCE):
        _renew(session, access, book, names[start : start + _EPOCHS_AT_ONCE], readers)


def _renew(
    session: Session, access: RecordAccess, book: GrantBook, compartments: Sequence[CompartmentId], readers: Readers
) -> None:
    """The steps of `renew_epochs`."""
    epochs = [make_epoch(session, access, compartment, book=book) for compartment in compartments]
    path = statements_path(access.record)
    # 1
    own_copies = tuple(epoch.own_copy for epoch in epochs)
    session.keyservice.post(path, RecordUpdate(statements=(), sealed_keys=own_copies, capsules=()), Accepted)
    # 2
    for epoch in epochs:
        view = session.keyservice.get(
            f"/v1/records/{access.record}/sealed-keys",
            SealedKeysView,
            query={"statement": str(epoch.statement.hash)},
        )
        check_own_copy(session, view.sealed_keys, epoch)
    # 3
    sealed_keys = _seal_to_readers(session, book, epochs, readers)
    # 4
    statements = tuple(epoch.statement.text for epoch in epochs)
    first, *others = _batches(sealed_keys) or [()]
    steps = [
        Step(ServerName.KEYSERVICE, path, RecordUpdate(statements=statements, sealed_keys=first, capsules=())),
        *(
            Step(ServerName.KEYSERVICE, path, RecordUpdate(statements=(), sealed_keys=batch, capsules=()))
            for batch in others
        ),
        Step(ServerName.VAULT, path, RecordUpdate(statements=statements, sealed_keys=(), capsules=())),
    ]
    session.outbox.send(steps)


def _seal_to_readers(
    session: Session, book: GrantBook, epochs: Iterable[NewEpoch], readers: Readers
) -> list[SealedKey]:
    sealed_keys: list[SealedKey] = []
    for epoch in epochs:
        for grant in book.readers(epoch.statement.body.compartment, now=session.clock()):
            reader = readers.find(grant)
            if reader is not None:
                sealed_keys.append(
                    seal_compartment_key(
                        epoch.compartment_key, compartment=epoch.statement, grant=grant.hash, reader=reader.current
                    )
                )
    return sealed_keys


def _batches(sealed_keys: Sequence[SealedKey]) -> list[tuple[SealedKey, ...]]:
    size = MAX_SEALED_KEYS_PER_REQUEST
    return [tuple(sealed_keys[start : start + size]) for start in range(0, len(sealed_keys), size)]
