"""What this client saw and will not be talked out of (spec `statements.md`; promises P08 and P09).

Of each person: the newest identity statement, the removals, and the statement whose keys were accepted for sealing. Of
each record: the newest epoch of each compartment, the highest lock version, all grants and revocations, and of each
document its author and its newest version, reseal and filing. A server that later says less is refused with
`RollbackError`; keys that changed stop with `ChangedKeysError` until a person agrees.

Pins only ever grow, so two commands that saw different things are merged without a question.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from carnet.errors import RollbackError, VerificationError
from carnet.home import Home
from carnet.state import LocalState
from carnet_protocol.authority import Person
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Compartment, Lock, Signed
from carnet_protocol.wire import WireModel

_NAME: Final = "pins"


class _PinnedPerson(WireModel):
    serial: int
    statement: StatementHash
    removals: Annotated[tuple[StatementHash, ...], Field(strict=False)]
    accepted: StatementHash | None


class _PinnedEpoch(WireModel):
    epoch: int
    statement: StatementHash


class _PinnedDocument(WireModel):
    author: IdentityHash
    version: int
    manifest: StatementHash
    reseals: int
    filings: int
    filing: StatementHash | None
    is_removed: bool

    def newer(self, other: "_PinnedDocument") -> "_PinnedDocument":
        """The newest of what two commands saw."""
        newest = max(self, other, key=lambda seen: (seen.version, seen.reseals))
        filed = max(self, other, key=lambda seen: seen.filings)
        return newest.model_copy(
            update={
                "filings": filed.filings,
                "filing": filed.filing,
                "is_removed": self.is_removed or other.is_removed,
            }
        )


class _PinnedRecord(WireModel):
    compartments: dict[str, _PinnedEpoch]
    lock_version: int
    grants: Annotated[tuple[StatementHash, ...], Field(strict=False)]
    revocations: Annotated[tuple[StatementHash, ...], Field(strict=False)]
    documents: dict[str, _PinnedDocument]


class _PinsFile(WireModel):
    format: Literal["carnet.pins.v1"]
    people: dict[str, _PinnedPerson]
    records: dict[str, _PinnedRecord]


_NO_RECORD: Final = _PinnedRecord(compartments={}, lock_version=0, grants=(), revocations=(), documents={})


@dataclass(frozen=True, slots=True)
class SeenDocument:
    """The newest version of a document as a server shows it, verified.

    `filings` are the document's, oldest first; None for who sees none.
    """

    document: DocumentId
    author: IdentityHash
    version: int
    manifest: StatementHash
    previous: StatementHash | None
    reseals: int
    filings: tuple[StatementHash, ...] | None

    def is_older_than(self, pinned: _PinnedDocument) -> bool:
        """Whether it cannot have come after what was seen."""
        if pinned.is_removed or self.version < pinned.version:
            return True
        if self.version == pinned.version and (self.manifest != pinned.manifest or self.reseals < pinned.reseals):
            return True
        if self.version == pinned.version + 1 and self.previous != pinned.manifest:
            return True
        return self.filings is not None and pinned.filing != _last(self.filings[: pinned.filings])

    def pinned(self, before: _PinnedDocument | None) -> _PinnedDocument:
        """What to remember of it."""
        filings, filing = (0, None) if before is None else (before.filings, before.filing)
        if self.filings is not None:
            filings, filing = len(self.filings), _last(self.filings)
        return _PinnedDocument(
            author=self.author,
            version=self.version,
            manifest=self.manifest,
            reseals=self.reseals,
            filings=filings,
            filing=filing,
            is_removed=False,
        )


def _last(filings: Sequence[StatementHash]) -> StatementHash | None:
    return filings[-1] if filings else None


class Pins:
    """The pins of one home, held in memory; `store` puts what is new on disk."""

    __slots__ = ("_changed", "_home", "_people", "_records", "_state")

    def __init__(self, home: Home, state: LocalState) -> None:
        """Load the pins of `home`. Raises `VerificationError` if they were changed."""
        self._home = home
        self._state = state
        self._changed = False
        self._people: dict[str, _PinnedPerson] = {}
        self._records: dict[str, _PinnedRecord] = {}
        self._merge(_load(state))
        self._changed = False

    def store(self) -> None:
        """Put what this client saw on disk, together with what other commands saw meanwhile."""
        if not self._changed:
            return
        with self._home.lock():
            self._merge(_load(self._state))
            file = _PinsFile(format="carnet.pins.v1", people=self._people, records=self._records)
            self._state.store(_NAME, file.model_dump(mode="json"))
        self._changed = False

    def check_person(self, person: Person) -> None:
        """Check that `person`, verified, is not less than was seen before, and pin it. Raises `RollbackError`."""
        pinned = self._people.get(str(person.identity))
        removals = tuple(sorted(removal.hash for removal in person.removals))
        if pinned is not None:
            names = {signed.hash for signed in person.chain}
            if pinned.statement not in names or not set(pinned.removals) <= set(removals):
                raise RollbackError(
                    "a server shows an older state of somebody's keys or devices than this client saw before: "
                    "nothing was used; ask the operator"
                )
        self._put_person(
            person.identity,
            _PinnedPerson(
                serial=person.current.body.serial,
                statement=person.current.hash,
                removals=removals,
                accepted=None if pinned is None else pinned.accepted,
            ),
        )

    def accepted_keys(self, identity: IdentityHash) -> StatementHash | None:
        """The identity statement whose keys were accepted for sealing to `identity`; None if never."""
        pinned = self._people.get(str(identity))
        return None if pinned is None else pinned.accepted

    def accept_keys(self, person: Person) -> None:
        """From now on seal to the keys of `person`'s newest statement. `check_person` came before."""
        pinned = self._people[str(person.identity)]
        self._put_person(person.identity, pinned.model_copy(update={"accepted": person.current.hash}))

    def check_compartments(
        self, record: RecordId, chains: Mapping[CompartmentId, tuple[Signed[Compartment], ...]], *, complete: bool
    ) -> None:
        """Check that verified `chains` are not shorter than was seen before, and pin them. Raises `RollbackError`.

        `complete` says that these should be all compartments of the record.
        """
        pinned = self._records.get(str(record), _NO_RECORD)
        compartments = dict(pinned.compartments)
        if complete and not set(compartments) <= {str(name) for name in chains}:
            raise _older_record()
        for name, chain in chains.items():
            before = compartments.get(str(name))
            if before is not None and before.statement not in {signed.hash for signed in chain}:
                raise _older_record()
            compartments[str(name)] = _PinnedEpoch(epoch=chain[-1].body.epoch, statement=chain[-1].hash)
        self._put_record(record, pinned.model_copy(update={"compartments": compartments}))

    def check_lock(self, lock: Signed[Lock]) -> None:
        """Check that `lock`, verified, is of no lower version than was seen, and pin it. Raises `RollbackError`."""
        pinned = self._records.get(str(lock.body.record), _NO_RECORD)
        if lock.body.version < pinned.lock_version:
            raise _older_record()
        self._put_record(lock.body.record, pinned.model_copy(update={"lock_version": lock.body.version}))

    def check_grants(
        self, record: RecordId, *, grants: Collection[StatementHash], revocations: Collection[StatementHash]
    ) -> None:
        """Check that no grant or revocation that was seen before is missing, and pin all. Raises `RollbackError`."""
        pinned = self._records.get(str(record), _NO_RECORD)
        if not set(pinned.grants) <= set(grants) or not set(pinned.revocations) <= set(revocations):
            raise _older_record()
        update = {"grants": tuple(sorted(grants)), "revocations": tuple(sorted(revocations))}
        self._put_record(record, pinned.model_copy(update=update))

    def check_documents(self, record: RecordId, seen: Iterable[SeenDocument]) -> set[DocumentId]:
        """Pin the documents of `seen`, all verified; return those that are older than what was seen before."""
        pinned = self._records.get(str(record), _NO_RECORD)
        documents = dict(pinned.documents)
        older: set[DocumentId] = set()
        for shown in seen:
            before = documents.get(str(shown.document))
            if before is not None and shown.is_older_than(before):
                older.add(shown.document)
            else:
                documents[str(shown.document)] = shown.pinned(before)
        self._put_record(record, pinned.model_copy(update={"documents": documents}))
        return older

    def author_of(self, record: RecordId, document: DocumentId) -> IdentityHash | None:
        """The author of `document`, if it was ever seen."""
        pinned = self._records.get(str(record), _NO_RECORD).documents.get(str(document))
        return None if pinned is None else pinned.author

    def check_all_documents(
        self, record: RecordId, *, shown: Collection[DocumentId], removed: Collection[DocumentId]
    ) -> list[str]:
        """Pin that `removed` have a proven tombstone; return what was seen before and is in neither of the two."""
        pinned = self._records.get(str(record), _NO_RECORD)
        there = {str(document) for document in (*shown, *removed)}
        documents = dict(pinned.documents)
        for name in {str(document) for document in removed} & documents.keys():
            documents[name] = documents[name].model_copy(update={"is_removed": True})
        self._put_record(record, pinned.model_copy(update={"documents": documents}))
        return sorted(name for name in documents if name not in there)

    def kept_documents(self, record: RecordId) -> dict[DocumentId, int]:
        """The documents of `record` that were seen and that nobody removed, with the newest version of each."""
        documents = self._records.get(str(record), _NO_RECORD).documents
        return {DocumentId.parse(name): seen.version for name, seen in documents.items() if not seen.is_removed}

    def _put_person(self, identity: IdentityHash, pinned: _PinnedPerson) -> None:
        if self._people.get(str(identity)) != pinned:
            self._people[str(identity)] = pinned
            self._changed = True

    def _put_record(self, record: RecordId, pinned: _PinnedRecord) -> None:
        if self._records.get(str(record)) != pinned:
            self._records[str(record)] = pinned
            self._changed = True

    def _merge(self, file: _PinsFile) -> None:
        for name, person in file.people.items():
            mine = self._people.get(name, person)
            newest = max(mine, person, key=lambda pinned: pinned.serial)
            removals = tuple(sorted({*mine.removals, *person.removals}))
            self._people[name] = newest.model_copy(
                update={"removals": removals, "accepted": mine.accepted or person.accepted}
            )
        for name, record in file.records.items():
            self._records[name] = _merge_records(self._records.get(name, record), record)


def _merge_records(mine: _PinnedRecord, other: _PinnedRecord) -> _PinnedRecord:
    compartments = dict(mine.compartments)
    for name, theirs in other.compartments.items():
        compartments[name] = max(compartments.get(name, theirs), theirs, key=lambda pinned: pinned.epoch)
    documents = dict(mine.documents)
    for document, seen in other.documents.items():
        documents[document] = documents.get(document, seen).newer(seen)
    return _PinnedRecord(
        documents=documents,
        compartments=compartments,
        lock_version=max(mine.lock_version, other.lock_version),
        grants=tuple(sorted({*mine.grants, *other.grants})),
        revocations=tuple(sorted({*mine.revocations, *other.revocations})),
    )


def _load(state: LocalState) -> _PinsFile:
    value = state.load(_NAME)
    if value is None:
        return _PinsFile(format="carnet.pins.v1", people={}, records={})
    try:
        return _PinsFile.model_validate(value)
    except ValidationError as error:
        raise VerificationError("the pins of this home are of a newer Carnet: update Carnet") from error


def _older_record() -> RollbackError:
    return RollbackError(
        "a server shows an older state of this record than this client saw before: nothing was used; ask the operator"
    )
