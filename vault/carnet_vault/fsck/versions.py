"""Versions: each is what its manifest, or its newest reseal, says."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, exists, select

from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import Sha256Digest, StatementHash
from carnet_protocol.layout import content_digest
from carnet_protocol.statements import Manifest, Reseal, Signed
from carnet_server.fsck import Finding
from carnet_server.tables import statements
from carnet_vault.tables import documents, objects, versions

_ROWS_AT_ONCE: Final = 200
_manifests: Final = statements.alias("manifests")
_reseals: Final = statements.alias("reseals")


def check_versions(connection: Connection) -> Iterator[Finding]:
    """Every version, every manifest, every reseal.

    1. Each accepted manifest has its version; each version the place, grant and suite of its manifest.
    2. Reseals of a version count from 1, chain, and the newest counts.
    3. A version of a document without a tombstone has its object, which has not been retired, in the right size; its
       metadata, with the right digest; and its leaf list, with the right digest of the right suite.
    """
    # 1
    missing = select(statements.c.hash).where(
        statements.c.kind == Manifest.KIND, ~exists().where(versions.c.manifest == statements.c.hash)
    )
    for name in connection.execute(missing).scalars():
        yield Finding("version_missing", f"manifest {name}")
    # 2
    chains = _load_chains(connection)
    rows = connection.execute(
        select(
            versions,
            _manifests.c.jws.label("manifest_jws"),
            _reseals.c.jws.label("reseal_jws"),
            documents.c.tombstoned_at,
            objects.c.size.label("object_size"),
            objects.c.retired_at,
        )
        .join(_manifests, _manifests.c.hash == versions.c.manifest)
        .outerjoin(_reseals, _reseals.c.hash == versions.c.reseal)
        .outerjoin(documents, (documents.c.record == versions.c.record) & (documents.c.document == versions.c.document))
        .outerjoin(objects, objects.c.name == versions.c.object)
    )
    for row in rows.yield_per(_ROWS_AT_ONCE):
        yield from _check_version(row, chains.pop(row.manifest, []))
    for name in chains:
        yield Finding("reseal_of_nothing", f"manifest {name}")


def _load_chains(connection: Connection) -> dict[StatementHash, list[Signed[Reseal]]]:
    """The reseals of each manifest, by serial."""
    chains: dict[StatementHash, list[Signed[Reseal]]] = {}
    for jws in connection.execute(select(statements.c.jws).where(statements.c.kind == Reseal.KIND)).scalars():
        try:
            signed = Signed.parse(jws, Reseal)
        except ProtocolError:
            continue  # reported with the statements
        chains.setdefault(signed.body.manifest, []).append(signed)
    for chain in chains.values():
        chain.sort(key=lambda signed: signed.body.serial)
    return chains


def _check_version(row: Row[Any], chain: list[Signed[Reseal]]) -> Iterator[Finding]:
    where = f"version {row.version} of document {row.document}"
    try:
        manifest = Signed.parse(row.manifest_jws, Manifest).body
    except ProtocolError:
        return
    # 1
    placed = (row.record, row.document, row.version, row.grant, row.suite)
    if placed != (manifest.record, manifest.document, manifest.version, manifest.grant, manifest.suite):
        yield Finding("version_of_another_manifest", where)
    # 2
    if not _is_chain(chain) or (row.reseals, row.reseal) != (len(chain), chain[-1].hash if chain else None):
        yield Finding("reseals_do_not_chain", where)
    # 3
    if row.tombstoned_at is not None:
        return
    newest = chain[-1].body if chain else manifest
    if row.object_size is None:
        yield Finding("version_without_object", where)
    elif row.object_size != newest.ciphertext_size:
        yield Finding("object_of_another_size", where)
    if row.retired_at is not None:
        yield Finding("object_retired_in_use", where)
    if row.metadata is None or Sha256Digest.of(row.metadata) != newest.metadata_digest:
        yield Finding("metadata_of_another_digest", where)
    if row.digest_suite != newest.suite or not _is_leaf_list(row.leaf_digests, newest):
        yield Finding("leaf_list_of_another_digest", where)


def _is_chain(chain: list[Signed[Reseal]]) -> bool:
    expected = [None, *(signed.hash for signed in chain[:-1])]
    return [(signed.body.serial, signed.body.previous) for signed in chain] == list(
        enumerate(expected[: len(chain)], start=1)
    )


def _is_leaf_list(leaf_digests: bytes | None, newest: Manifest | Reseal) -> bool:
    if leaf_digests is None:
        return False
    try:
        found = content_digest(newest.suite, ciphertext_size=newest.ciphertext_size, leaf_digests=leaf_digests)
    except ProtocolError:
        return False
    return found == newest.digest
