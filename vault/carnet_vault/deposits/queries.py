"""What decides about deposits, and their rows. Never commits."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, func, insert, or_, select, update

from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_server.grants.queries import GrantRow
from carnet_server.tables import statements
from carnet_vault.capsules.queries import insert_capsules, load_newest
from carnet_vault.deposits.candidate import Candidate
from carnet_vault.deposits.decide import DepositFacts, Head, Placement
from carnet_vault.locks.queries import find_highest_lock
from carnet_vault.prepared_lists import PreparedList
from carnet_vault.tables import documents, objects, versions
from carnet_vault.uploads.queries import delete_uploads, load_uploads

_INSERT_OBJECT: Final = insert(objects)
_INSERT_DOCUMENT: Final = insert(documents)
_INSERT_VERSION: Final = insert(versions)
_MOVE_HEAD: Final = (
    update(documents)
    .where(documents.c.record == bindparam("of"), documents.c.document == bindparam("which"))
    .values(head=bindparam("to"), head_manifest=bindparam("named"), listed=bindparam("shown"))
)
_HEADS: Final = PreparedList(
    select(
        documents.c.document,
        documents.c.author,
        documents.c.head,
        documents.c.head_manifest,
        documents.c.compartment,
        documents.c.listed,
        documents.c.tombstoned_at,
    ).where(documents.c.record == bindparam("of")),
    documents.c.document,
)
_METADATA_BYTES: Final = PreparedList(
    select(versions.c.document, func.sum(func.length(versions.c.metadata)))
    .where(versions.c.record == bindparam("of"))
    .group_by(versions.c.document),
    versions.c.document,
)
_ACCEPTED: Final = PreparedList(select(statements.c.hash, statements.c.event), statements.c.hash)


def load_facts(
    connection: Connection,
    record: RecordId,
    candidates: Sequence[Candidate],
    grants: Mapping[StatementHash, GrantRow],
) -> DepositFacts:
    """What decides about `candidates`: as many queries for fifty as for one."""
    heads = load_heads(connection, record, [item.manifest.body.document for item in candidates])
    return DepositFacts(
        grants=grants,
        heads=heads,
        metadata_bytes=_load_metadata_bytes(connection, record, list(heads)) if heads else {},
        uploads=load_uploads(connection, record, [item.upload for item in candidates]),
        newest=load_newest(connection, record, {item.compartment for item in candidates}),
        accepted=load_accepted(
            connection, [signed.hash for item in candidates for signed in (item.manifest, item.lock)]
        ),
        highest_lock=find_highest_lock(connection, record),
    )


def load_heads(connection: Connection, record: RecordId, wanted: Sequence[DocumentId]) -> dict[DocumentId, Head]:
    """Those of the documents `wanted` that are there, with a tombstone or without."""
    return {
        DocumentId(document): Head(
            author=IdentityHash(author),
            version=head,
            manifest=StatementHash(manifest),
            compartment=CompartmentId(compartment),
            listed=listed,
            is_tombstoned=tombstoned_at is not None,
        )
        for document, author, head, manifest, compartment, listed, tombstoned_at in _HEADS.rows(
            connection, wanted, of=record.raw
        )
    }


def load_accepted(connection: Connection, wanted: Sequence[StatementHash]) -> dict[StatementHash, int]:
    """The event of each statement in `wanted` that was accepted before."""
    return {StatementHash(name): event for name, event in _ACCEPTED.rows(connection, wanted)}


def _load_metadata_bytes(
    connection: Connection, record: RecordId, wanted: Sequence[DocumentId]
) -> dict[DocumentId, int]:
    rows = _METADATA_BYTES.rows(connection, wanted, of=record.raw)
    return {DocumentId(document): int(size or 0) for document, size in rows}


def insert_versions(connection: Connection, record: RecordId, placements: Sequence[Placement]) -> None:
    """Keep versions whose objects are in the store and whose statements are accepted; in order."""
    if not placements:
        return
    connection.execute(_INSERT_OBJECT, [_object(record, placement) for placement in placements])
    firsts = [_document(record, placement) for placement in placements if placement.is_first]
    if firsts:
        connection.execute(_INSERT_DOCUMENT, firsts)
    moves = [_move(record, placement) for placement in placements if not placement.is_first]
    if moves:
        connection.execute(_MOVE_HEAD, moves)
    connection.execute(_INSERT_VERSION, [_version(record, placement) for placement in placements])
    insert_capsules(
        connection,
        record,
        [
            capsule
            for placement in placements
            for capsule in (placement.candidate.content_capsule, placement.candidate.metadata_capsule)
        ],
    )
    delete_uploads(connection, [placement.upload.upload for placement in placements])


def _object(record: RecordId, placement: Placement) -> dict[str, Any]:
    stored = placement.upload.stored
    return {"name": stored.name.text, "record": record, "size": stored.size_bytes, "retired_at": None}


def _document(record: RecordId, placement: Placement) -> dict[str, Any]:
    head = placement.head
    return {
        "record": record,
        "document": placement.candidate.manifest.body.document,
        "author": head.author,
        "head": head.version,
        "head_manifest": head.manifest,
        "compartment": head.compartment,
        "listed": head.listed,
        "tombstoned_at": None,
    }


def _move(record: RecordId, placement: Placement) -> dict[str, Any]:
    head = placement.head
    return {
        "of": record,
        "which": placement.candidate.manifest.body.document,
        "to": head.version,
        "named": head.manifest,
        "shown": head.listed,
    }


def _version(record: RecordId, placement: Placement) -> dict[str, Any]:
    candidate, manifest = placement.candidate, placement.candidate.manifest
    return {
        "record": record,
        "document": manifest.body.document,
        "version": manifest.body.version,
        "manifest": manifest.hash,
        "grant": manifest.body.grant,
        "suite": int(manifest.body.suite),
        "digest_suite": int(manifest.body.suite),
        "reseal": None,
        "reseals": 0,
        "object": placement.upload.stored.name.text,
        "metadata": candidate.metadata,
        "leaf_digests": candidate.leaf_digests,
    }


def load_own(
    connection: Connection, record: RecordId, author: IdentityHash, *, after: tuple[DocumentId, int] | None, limit: int
) -> Sequence[Row[Any, Any, Any]]:
    """Manifests by `author`, whatever became of their documents, by document and version; at most `limit`."""
    query = (
        select(versions.c.document, versions.c.version, statements.c.jws)
        .join(documents, and_(documents.c.record == versions.c.record, documents.c.document == versions.c.document))
        .join(statements, statements.c.hash == versions.c.manifest)
        .where(documents.c.record == record, documents.c.author == author)
        .order_by(versions.c.document, versions.c.version)
        .limit(limit)
    )
    if after is not None:
        document, version = after
        query = query.where(
            documents.c.document >= document,  # where the index begins to read
            or_(versions.c.document > document, versions.c.version > version),
        )
    return connection.execute(query).all()
