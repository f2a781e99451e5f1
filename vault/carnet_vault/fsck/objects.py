"""Objects: every row has its object in the store, and, looked at deeply, every object is what its leaf list says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Engine, Row, Select, and_, func, literal, select, tuple_

from carnet_protocol.errors import ProtocolError
from carnet_protocol.layout import leaf_digest, leaf_ranges
from carnet_protocol.suites import SIZES, Suite
from carnet_server.database import reader
from carnet_server.fsck import Finding
from carnet_storage import ObjectName, ObjectNotFound, StorageError, Store
from carnet_vault.erasures.queries import count_erased
from carnet_vault.objects.compare import Pair, compare_objects, is_object_name
from carnet_vault.tables import documents, objects, uploads, versions

_ROWS_AT_ONCE: Final = 200
_NAMES_AT_ONCE: Final = 1_000
_OTHER_DIGEST: Final = "content_of_another_digest"
_UNREADABLE: Final = "content_unreadable"
_KEY: Final = (versions.c.record, versions.c.document, versions.c.version)
_ALIVE: Final = and_(
    documents.c.record == versions.c.record,
    documents.c.document == versions.c.document,
    documents.c.tombstoned_at.is_(None),
)


@dataclass(slots=True)
class Litter:
    """What nobody needs, and `carnet-vault gc` removes: no fault."""

    orphan_objects: int = 0
    uploads: int = 0
    retired_objects: int = 0
    erased_objects: int = 0


@dataclass(slots=True)
class Seen:
    """What was looked at, and what lies about."""

    objects: int = 0
    litter: Litter = field(default_factory=Litter)


def check_objects(engine: Engine, store: Store, seen: Seen, *, on_object: Callable[[], None]) -> Iterator[Finding]:
    """Every row of `objects`, and every object.

    1. Each row has its object, in the size of the row, unless it is retired.
    2. An object without a row, and without an upload that may still bring one, is litter.
    3. The name in each row is one.

    Raises `StoreUnavailable` when the store itself cannot be reached.
    """
    last = "the first"
    try:
        for pair in compare_objects(engine, store):
            on_object()
            seen.objects += 1
            last = str(pair.name)
            # 1
            if pair.row_size is not None and pair.stored_size != pair.row_size and _is_wrong(engine, store, pair):
                check = "row_without_object" if pair.stored_size is None else "stored_object_of_another_size"
                yield Finding(check, f"object {pair.name}")
            # 2
            if pair.row_size is None and not (pair.has_upload or pair.is_erased):
                seen.litter.orphan_objects += 1
    except StorageError:
        store.check()
        yield Finding("store_unreadable", f"objects from {last} on")
    with reader(engine) as connection:
        # 3
        for name in connection.execute(select(objects.c.name)).yield_per(_NAMES_AT_ONCE).scalars():
            if not is_object_name(name):
                yield Finding("object_name_malformed", f"object {name!r}")
        seen.litter.uploads = connection.execute(select(func.count()).select_from(uploads)).scalar_one()
        retired = select(func.count()).where(objects.c.retired_at.is_not(None))
        seen.litter.erased_objects = count_erased(connection)
        seen.litter.retired_objects = connection.execute(retired).scalar_one()


def check_contents(engine: Engine, store: Store, *, on_bytes: Callable[[int], None]) -> Iterator[Finding]:
    """Hash every object of a version against the version's leaf list.

    No snapshot is kept while objects are read: that may take hours, and PostgreSQL ends a session that waits. Raises
    `StoreUnavailable` when the store itself cannot be reached.
    """
    after: Row[Any] | None = None
    while rows := _page(engine, after):
        for row in rows:
            fault = _find_fault(row, store, on_bytes)
            if fault is not None:
                yield Finding(fault, f"version {row.version} of document {row.document}")
        after = rows[-1]


def content_bytes(engine: Engine) -> int:
    """How many bytes `check_contents` will read."""
    with reader(engine) as connection:
        query = select(func.coalesce(func.sum(objects.c.size), 0)).where(objects.c.retired_at.is_(None))
        return int(connection.execute(query).scalar_one())


def _page(engine: Engine, after: Row[Any] | None) -> Sequence[Row[Any]]:
    """The next versions of documents without a tombstone, with what their objects have to be."""
    query: Select[Any] = (
        select(*_KEY, versions.c.digest_suite, versions.c.object, versions.c.leaf_digests)
        .join(documents, _ALIVE)
        .order_by(*_KEY)
        .limit(_ROWS_AT_ONCE)
    )
    if after is not None:
        place = zip((after.record, after.document, after.version), _KEY, strict=True)
        query = query.where(tuple_(*_KEY) > tuple_(*(literal(value, column.type) for value, column in place)))
    with reader(engine) as connection:
        return connection.execute(query).all()


def _find_fault(row: Row[Any], store: Store, on_bytes: Callable[[int], None]) -> str | None:
    """What is wrong with the object of a version, if anything is."""
    expected: bytes = row.leaf_digests or b""
    if row.object is None:
        return _OTHER_DIGEST
    try:
        suite = Suite(row.digest_suite)
        with store.open_object(ObjectName(row.object)) as opened:
            size = SIZES[suite].content_digest
            for leaf, (start, end) in enumerate(leaf_ranges(opened.size_bytes)):
                found = leaf_digest(suite, b"".join(opened.chunks(start=start, length=end - start)))
                on_bytes(end - start)
                if found != expected[leaf * size : (leaf + 1) * size]:
                    return _OTHER_DIGEST
    except (ObjectNotFound, ProtocolError):
        return _OTHER_DIGEST
    except StorageError:
        store.check()
        return _UNREADABLE
    except ValueError:
        return _UNREADABLE  # a suite that this program does not know
    return None


def _is_wrong(engine: Engine, store: Store, pair: Pair) -> bool:
    """Whether row and store still disagree: the row may have been newer than the page, or be gone with its object.

    A retired object is on its way out, and may be gone from a store that was copied after its database.
    """
    try:
        if store.stat(pair.name).size_bytes == pair.row_size:
            return False
    except ObjectNotFound:
        pass
    with reader(engine) as connection:
        still_there = select(objects.c.size).where(objects.c.name == pair.name.text, objects.c.retired_at.is_(None))
        return connection.execute(still_there).first() is not None
