"""What a release is decided by, in two questions whatever the number of items. Never commits."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, literal, select, type_coerce, union_all

from carnet_keyservice.tables import lock_statements, record_locks
from carnet_protocol.api import ReleaseItem
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_server.database import BYTES, INTEGER
from carnet_server.prepared import Prepared, Question
from carnet_server.tables import compartments, filings, tombstones

_NOTHING: Final = b""
_OPEN: Final = 1


@dataclass(slots=True)
class ItemFacts:
    """What the database says about what the items of one request name, in one record.

    `epochs` says of each whether it is not closed, `locks` the versions that are not retired. `filings` gives serial
    and compartment of a document's newest filing, `tombstones` who removed which document.
    """

    epochs: dict[StatementHash, tuple[CompartmentId, bool]] = field(default_factory=dict)
    locks: dict[StatementHash, int] = field(default_factory=dict)
    filings: dict[DocumentId, tuple[int, CompartmentId]] = field(default_factory=dict)
    tombstones: set[tuple[DocumentId, IdentityHash]] = field(default_factory=set)


def ask_item_facts(record: RecordId, items: Sequence[ReleaseItem]) -> Question:
    """The question about what `items` name, if it is of `record`."""
    capsules = [item.capsule for item in items]
    names = {
        "epoch": _pad(
            {each.compartment.compartment_statement.raw for each in capsules if each.compartment is not None}
        ),
        "document": _pad({each.document.raw for each in capsules}),
        "lock": _pad({each.lock_statement.raw for each in capsules}),
    }
    query = _query(len(names["epoch"]), len(names["document"]), len(names["lock"]))
    values = {f"{kind}_{place}": name for kind, some in names.items() for place, name in enumerate(some)}
    return query.asking(of=record.raw, **values)


def read_item_facts(rows: Sequence[tuple[Any, ...]]) -> ItemFacts:
    """What the answer to `ask_item_facts` says."""
    facts = ItemFacts()
    for kind, name, value, number in rows:
        _add(facts, kind, name, value, number)
    return facts


def _pad(names: Collection[bytes]) -> list[bytes]:
    """`names`, repeated up to a power of two, so that few queries of different length are ever compiled."""
    listed = list(names) or [_NOTHING]
    return listed + [listed[0]] * ((1 << (len(listed) - 1).bit_length()) - len(listed))


def _add(facts: ItemFacts, kind: str, name: bytes, value: bytes, number: int) -> None:
    match kind:
        case "epoch":
            facts.epochs[StatementHash(name)] = (CompartmentId(value), number == _OPEN)
        case "lock":
            facts.locks[StatementHash(name)] = number
        case "filing":
            document = DocumentId(name)
            serial, _ = facts.filings.get(document, (0, None))
            if number > serial:
                facts.filings[document] = (number, CompartmentId(value))
        case "tombstone":
            facts.tombstones.add((DocumentId(name), IdentityHash(value)))
        case _:
            raise AssertionError("internal: a fact of an unknown kind")


@lru_cache(maxsize=128)
def _query(epochs: int, documents: int, locks: int) -> Prepared:
    """The query for so many different names of each kind."""
    return Prepared(
        union_all(
            _facts("epoch", compartments.c.hash, compartments.c.compartment, _is_open()).where(
                _is_in(compartments.c.hash, "epoch", epochs),
                compartments.c.record == bindparam("of"),
            ),
            _facts("lock", lock_statements.c.hash, literal(_NOTHING, BYTES), lock_statements.c.version)
            .join(
                record_locks,
                and_(
                    record_locks.c.record == lock_statements.c.record,
                    record_locks.c.version == lock_statements.c.version,
                ),
            )
            .where(
                _is_in(lock_statements.c.hash, "lock", locks),
                lock_statements.c.record == bindparam("of"),
                record_locks.c.retired.is_(None),
            ),
            _facts("filing", filings.c.document, filings.c.compartment, filings.c.serial).where(
                filings.c.record == bindparam("of"), _is_in(filings.c.document, "document", documents)
            ),
            _facts("tombstone", tombstones.c.document, tombstones.c.by, literal(0, INTEGER)).where(
                tombstones.c.record == bindparam("of"), _is_in(tombstones.c.document, "document", documents)
            ),
        )
    )


def _is_open() -> ColumnElement[int]:
    return case((compartments.c.closed.is_(None), _OPEN), else_=0)


def _facts(
    kind: str, name: ColumnElement[Any], value: ColumnElement[Any], number: ColumnElement[int]
) -> Select[str, bytes, bytes, int]:
    return select(
        literal(kind).label("kind"),
        type_coerce(name, BYTES).label("name"),
        type_coerce(value, BYTES).label("value"),
        type_coerce(number, INTEGER).label("number"),
    )


def _is_in(column: ColumnElement[Any], kind: str, count: int) -> ColumnElement[bool]:
    return type_coerce(column, BYTES).in_([bindparam(f"{kind}_{place}", type_=BYTES) for place in range(count)])
