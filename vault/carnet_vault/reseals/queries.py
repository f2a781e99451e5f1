"""What decides about reseals, and their rows. Never commits."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from carnet_protocol.ids import RecordId, Sha256Digest, StatementHash
from carnet_protocol.suites import Suite
from carnet_server.deployment import Moment
from carnet_vault.capsules.decide import AcceptedSwap
from carnet_vault.capsules.queries import (
    insert_capsules,
    load_newest,
    load_standing,
    replace_capsules,
)
from carnet_vault.capsules.readers import load_readers
from carnet_vault.deposits.queries import load_accepted
from carnet_vault.locks.queries import find_highest_lock
from carnet_vault.reseals.candidate import ResealCandidate
from carnet_vault.reseals.decide import Replacement, ResealFacts, VersionRow
from carnet_vault.tables import documents, objects, personal_capsules, versions
from carnet_vault.uploads.queries import delete_uploads, load_uploads

_INSERT_OBJECT: Final = insert(objects)
_RETIRE: Final = update(objects).where(objects.c.name == bindparam("old")).values(retired_at=bindparam("at"))
_REPLACE: Final = (
    update(versions)
    .where(versions.c.record == bindparam("within"), versions.c.manifest == bindparam("of"))
    .values(
        reseal=bindparam("by"),
        reseals=bindparam("serial"),
        digest_suite=bindparam("new_digest_suite"),
        object=bindparam("new_object"),
        metadata=bindparam("new_metadata"),
        leaf_digests=bindparam("new_leaf_digests"),
    )
)
_DROP_PERSONAL: Final = delete(personal_capsules).where(
    personal_capsules.c.record == bindparam("of"),
    personal_capsules.c.document == bindparam("which"),
    personal_capsules.c.version == bindparam("number"),
)


def load_facts(moment: Moment, record: RecordId, candidates: Sequence[ResealCandidate]) -> ResealFacts:
    """What decides about `candidates`: as many queries for fifty as for one."""
    connection = moment.connection
    found = _load_versions(connection, record, [item.reseal.body.manifest for item in candidates])
    standing = load_standing(connection, record, {row.document for row in found.values()})
    return ResealFacts(
        versions=found,
        standing=standing,
        grants=load_readers(moment, record, {place.grant for place in standing if place.grant is not None}),
        uploads=load_uploads(connection, record, [item.upload for item in candidates]),
        newest=load_newest(connection, record, {item.compartment for item in candidates}),
        accepted=load_accepted(connection, [item.reseal.hash for item in candidates]),
        highest_lock=find_highest_lock(connection, record),
    )


def replace_version(connection: Connection, record: RecordId, replacement: Replacement, *, now: int) -> None:
    """Write a version's new object, metadata, leaf list and capsules over the old ones.

    The old object is retired and goes after its grace. Personal capsules of the version hold keys of the old
    ciphertext: all of them go at once, and those that the patient made for the new one take their places.
    """
    candidate, stored = replacement.candidate, replacement.upload.stored
    connection.execute(
        _INSERT_OBJECT, {"name": stored.name.text, "record": record, "size": stored.size_bytes, "retired_at": None}
    )
    connection.execute(
        _REPLACE,
        {
            "within": record,
            "of": candidate.reseal.body.manifest,
            "by": candidate.reseal.hash,
            "serial": candidate.reseal.body.serial,
            "new_digest_suite": int(candidate.reseal.body.suite),
            "new_object": stored.name.text,
            "new_metadata": candidate.metadata,
            "new_leaf_digests": candidate.leaf_digests,
        },
    )
    connection.execute(_RETIRE, {"old": replacement.version.object, "at": now})
    pair = (candidate.content_capsule, candidate.metadata_capsule)
    replace_capsules(
        connection, record, [AcceptedSwap(item, Sha256Digest.of(item.sealed), is_new=False) for item in pair]
    )
    connection.execute(
        _DROP_PERSONAL,
        {"of": record, "which": replacement.version.document, "number": replacement.version.version},
    )
    insert_capsules(connection, record, [swap.capsule for swap in candidate.personal_capsules])
    delete_uploads(connection, [replacement.upload.upload])


def _load_versions(
    connection: Connection, record: RecordId, manifests: Sequence[StatementHash]
) -> dict[StatementHash, VersionRow]:
    rows = connection.execute(
        select(versions)
        .join(documents, and_(documents.c.record == versions.c.record, documents.c.document == versions.c.document))
        .where(versions.c.record == record, versions.c.manifest.in_(manifests), documents.c.tombstoned_at.is_(None))
    )
    return {
        row.manifest: VersionRow(row.document, row.version, Suite(row.suite), row.reseal, row.reseals, row.object)
        for row in rows
    }
