"""Capsules by the lock that they are under. Never commits.

Rotation reads and writes whole records, so every statement here is prepared, and goes by the index over record, lock
statement and place: what is under the newest lock already costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    false,
    func,
    literal,
    select,
    true,
    tuple_,
    union_all,
    update,
)

from carnet_protocol.api import OldCapsule, OuterLockSwap
from carnet_protocol.api.capsules import Capsule, CapsuleEntry, CompartmentRecipient, PersonalRecipient
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, Sha256Digest, StatementHash
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from carnet_server.database import INTEGER
from carnet_server.prepared import Prepared, Value, run_together
from carnet_vault.capsules.decide import Place
from carnet_vault.tables import capsules, documents, locks, personal_capsules, versions

_PLACE: Final = ("document", "version", "role")
_PERSONAL_PLACE: Final = ("document", "version", "grant", "role")
_SHARED: Final = (capsules.c.compartment, capsules.c.compartment_statement)
_PERSONAL: Final = (
    personal_capsules.c.grantee,
    personal_capsules.c.grantee_statement,
    personal_capsules.c.grant,
)


@dataclass(frozen=True, slots=True)
class UsedLock:
    """So many capsules of a record are under this lock statement; `is_personal`: those of single-document grants."""

    statement: StatementHash
    version: int
    is_personal: bool
    count: int


def _counts(table: Table, is_personal: ColumnElement[bool]) -> Select[Any]:
    return (
        select(table.c.lock_statement, locks.c.version, is_personal.label("is_personal"), func.count().label("count"))
        .join(locks, locks.c.hash == table.c.lock_statement)
        .where(table.c.record == bindparam("of"))
        .group_by(table.c.lock_statement, locks.c.version)
    )


def _page(table: Table, recipient: Sequence[ColumnElement[Any]], place: Sequence[str], *, is_first: bool) -> Prepared:
    """At most `most` capsules of the record `of` under the lock statement `under`, from the first or behind a place."""
    columns = [table.c[name] for name in place]
    behind = true() if is_first else tuple_(*columns) > tuple_(*(bindparam(f"at_{name}") for name in place))
    query = (
        select(
            table.c.document,
            table.c.version,
            table.c.role,
            table.c.inner_suite,
            table.c.outer_suite,
            table.c.sealed,
            versions.c.suite,
            documents.c.author,
            *recipient,
        )
        .join(
            versions,
            and_(
                versions.c.record == table.c.record,
                versions.c.document == table.c.document,
                versions.c.version == table.c.version,
            ),
        )
        .join(documents, and_(documents.c.record == table.c.record, documents.c.document == table.c.document))
        .where(table.c.record == bindparam("of"), table.c.lock_statement == bindparam("under"), behind)
        .order_by(*columns)
        .limit(bindparam("most", type_=INTEGER))
    )
    return Prepared(query)


def _swap(table: Table, place: Sequence[str]) -> Prepared:
    """Another outer lock where the one with the digest `replaces` stands, and nothing else; a row if it stood there."""
    return Prepared(
        update(table)
        .where(
            table.c.record == bindparam("of"),
            *(table.c[name] == bindparam(f"at_{name}") for name in place),
            table.c.digest == bindparam("replaces"),
            table.c.inner_suite == bindparam("inner"),
        )
        .values({name: bindparam(f"new_{name}") for name in ("lock_statement", "outer_suite", "digest", "sealed")})
        .returning(table.c.version)
    )


def _swap_all(table: Table, place: Sequence[str]) -> Prepared:
    """As `_swap`, on PostgreSQL, of lists: each row is the number, from 1, of a swap that was made."""
    given = {f"at_{name}": table.c[name] for name in place} | {
        "replaces": table.c.digest,
        "inner": table.c.inner_suite,
        **{f"new_{name}": table.c[name] for name in ("outer_suite", "digest", "sealed")},
    }
    lists = func.unnest(*(bindparam(name, type_=ARRAY(of.type)) for name, of in given.items()))
    swaps = lists.table_valued(*given, with_ordinality="turn", joins_implicitly=True).render_derived(name="swaps")
    return Prepared(
        update(table)
        .where(
            table.c.record == bindparam("of"),
            *(table.c[name] == swaps.c[f"at_{name}"] for name in place),
            table.c.digest == swaps.c.replaces,
            table.c.inner_suite == swaps.c.inner,
        )
        .values(
            lock_statement=bindparam("new_lock_statement"),
            **{name: swaps.c[f"new_{name}"] for name in ("outer_suite", "digest", "sealed")},
        )
        .returning(swaps.c.turn)
    )


def _standing(table: Table, place: Sequence[str]) -> Prepared:
    return Prepared(
        select(table.c.digest).where(
            table.c.record == bindparam("of"), *(table.c[name] == bindparam(f"at_{name}") for name in place)
        )
    )


_COUNTS: Final = Prepared(union_all(_counts(capsules, false()), _counts(personal_capsules, true())))
_FIRST: Final = {
    False: _page(capsules, _SHARED, _PLACE, is_first=True),
    True: _page(personal_capsules, _PERSONAL, _PERSONAL_PLACE, is_first=True),
}
_NEXT: Final = {
    False: _page(capsules, _SHARED, _PLACE, is_first=False),
    True: _page(personal_capsules, _PERSONAL, _PERSONAL_PLACE, is_first=False),
}
_SWAP: Final = {False: _swap(capsules, _PLACE), True: _swap(personal_capsules, _PERSONAL_PLACE)}
_SWAP_ALL: Final = {False: _swap_all(capsules, _PLACE), True: _swap_all(personal_capsules, _PERSONAL_PLACE)}
_STANDING: Final = {False: _standing(capsules, _PLACE), True: _standing(personal_capsules, _PERSONAL_PLACE)}
_HIGHEST: Final = Prepared(
    select(func.coalesce(func.max(locks.c.version), literal(0, INTEGER))).where(locks.c.record == bindparam("of"))
)


def count_used_locks(connection: Connection, records: Sequence[RecordId]) -> list[tuple[int, list[UsedLock]]]:
    """For each of `records` the highest lock version that was seen, and what its capsules are under."""
    questions = [
        question for record in records for question in (_HIGHEST.asking(of=record.raw), _COUNTS.asking(of=record.raw))
    ]
    answers = run_together(connection, *questions)
    return [
        (
            int(highest),
            [UsedLock(StatementHash(name), version, bool(personal), count) for name, version, personal, count in rows],
        )
        for ((highest,),), rows in zip(answers[::2], answers[1::2], strict=True)
    ]


def load_under(
    connection: Connection, record: RecordId, lock: UsedLock, *, after: Place | None, limit: int
) -> list[OldCapsule]:
    """At most `limit` capsules of `record` under `lock`, by place, from behind `after`."""
    values: dict[str, Value] = {"of": record.raw, "under": lock.statement.raw, "most": limit}
    if after is None:
        rows = _FIRST[lock.is_personal].rows(connection, **values)
    else:
        rows = _NEXT[lock.is_personal].rows(connection, **values, **_at(after))
    return [_view(record, lock, row) for row in rows]


def swap_outer_locks(
    connection: Connection, record: RecordId, lock: StatementHash, swaps: Sequence[OuterLockSwap]
) -> list[bool]:
    """Make each of `swaps` whose place holds what it replaces; say which those were."""
    named = {"of": record.raw, "new_lock_statement": lock.raw}
    if connection.dialect.name != "postgresql":
        questions = [_SWAP[swap.grant is not None].asking(**named, **_values(swap)) for swap in swaps]
        return [bool(rows) for rows in run_together(connection, *questions)]
    made: set[int] = set()
    for is_personal, statement in _SWAP_ALL.items():
        turns = [turn for turn, swap in enumerate(swaps) if (swap.grant is not None) is is_personal]
        if turns:
            values = [_values(swaps[turn]) for turn in turns]
            lists = {name: [each[name] for each in values] for name in values[0]}
            made |= {turns[int(number) - 1] for (number,) in statement.rows(connection, **named, **lists)}
    return [turn in made for turn in range(len(swaps))]


def find_standing(
    connection: Connection, record: RecordId, swaps: Sequence[OuterLockSwap]
) -> list[Sha256Digest | None]:
    """The digest of what stands in the place of each of `swaps`, None where nothing does."""
    questions = [_STANDING[swap.grant is not None].asking(of=record.raw, **_at(_place(swap))) for swap in swaps]
    return [Sha256Digest(rows[0][0]) if rows else None for rows in run_together(connection, *questions)]


def _values(swap: OuterLockSwap) -> dict[str, Value]:
    return _at(_place(swap)) | {
        "replaces": swap.replaces.raw,
        "inner": int(swap.inner_suite),
        "new_outer_suite": int(swap.outer_suite),
        "new_digest": Sha256Digest.of(swap.sealed).raw,
        "new_sealed": swap.sealed,
    }


def _place(swap: OuterLockSwap) -> Place:
    return Place(swap.document, swap.version, swap.role, swap.grant)


def _at(place: Place) -> dict[str, Value]:
    at: dict[str, Value] = {
        "at_document": place.document.raw,
        "at_version": place.version,
        "at_role": place.role.value,
    }
    return at if place.grant is None else at | {"at_grant": place.grant.raw}


def _view(record: RecordId, lock: UsedLock, row: tuple[Any, ...]) -> OldCapsule:
    document, version, role, inner_suite, outer_suite, sealed, suite, author, *recipient = row
    compartment = personal = None
    if lock.is_personal:
        grantee, grantee_statement, grant = recipient
        personal = PersonalRecipient.model_construct(
            grant=StatementHash(grant),
            grantee=IdentityHash(grantee),
            grantee_statement=StatementHash(grantee_statement),
        )
    else:
        name, statement = recipient
        compartment = CompartmentRecipient.model_construct(
            compartment=CompartmentId(name), compartment_statement=StatementHash(statement)
        )
    capsule = Capsule.model_construct(
        document=DocumentId(document),
        version=version,
        role=KeyRole(role),
        compartment=compartment,
        personal=personal,
        lock_statement=lock.statement,
        inner_suite=Suite(inner_suite),
        outer_suite=Suite(outer_suite),
        sealed=bytes(sealed),
    )
    entry = CapsuleEntry.model_construct(capsule=capsule, suite=Suite(suite), author=IdentityHash(author))
    return OldCapsule.model_construct(record=record, entry=entry)
