"""Grants in the database. Never commits."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, exists, func, insert, or_, select, update

from carnet_protocol.ids import CompartmentId, DocumentId, GrantId, IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Grant, Permission, Revocation, Signed
from carnet_server.directory.queries import (
    Registrars,
    is_attested,
    is_succeeded,
    now_parameter,
    principal_parameter,
)
from carnet_server.prepared import Prepared, Question
from carnet_server.statements.queries import load_texts
from carnet_server.tables import (
    devices,
    grant_compartments,
    grant_documents,
    grants,
    revocations,
    statements,
    successions,
)


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant as decisions read it. `ended` is the event that revoked or voided it."""

    hash: StatementHash
    record: RecordId
    id: GrantId
    grantee: IdentityHash
    grantee_statement: StatementHash
    permission: Permission
    not_before: int
    expires: int
    ended: int | None
    compartments: frozenset[CompartmentId]
    documents: frozenset[DocumentId]

    def is_over(self, now: int) -> bool:
        """Whether it ended, by revocation or by time."""
        return self.ended is not None or now >= self.expires

    def is_in_force(self, now: int) -> bool:
        """Whether it has begun and not ended: not_before <= now < expires."""
        return self.ended is None and self.not_before <= now < self.expires


@dataclass(frozen=True, slots=True)
class Holding:
    """A grant together with what makes a principal its holder now."""

    grant: GrantRow
    is_attested: bool
    is_successor: bool


_GRANT_COLUMNS = (
    grants.c.hash,
    grants.c.record,
    grants.c.id,
    grants.c.grantee,
    grants.c.grantee_statement,
    grants.c.permission,
    grants.c.not_before,
    grants.c.expires,
    grants.c.ended,
    grant_compartments.c.compartment,
    grant_documents.c.document,
)
_WITH_SCOPE = grants.outerjoin(grant_compartments, grant_compartments.c.grant == grants.c.hash).outerjoin(
    grant_documents, grant_documents.c.grant == grants.c.hash
)
_BY_HASH = Prepared(select(*_GRANT_COLUMNS).select_from(_WITH_SCOPE).where(grants.c.hash == bindparam("wanted")))
_BY_ID = select(grants.c.hash).where(grants.c.record == bindparam("of"), grants.c.id == bindparam("wanted"))


def find_grant(connection: Connection, grant: StatementHash) -> GrantRow | None:
    """The grant called `grant`, of whatever record, ended or not."""
    return _grant(_BY_HASH.rows(connection, wanted=grant.raw))


def find_grant_by_id(connection: Connection, record: RecordId, grant: GrantId) -> StatementHash | None:
    """The grant of `record` with the random id `grant`."""
    found: StatementHash | None = connection.execute(_BY_ID, {"of": record, "wanted": grant}).scalar()
    return found


def ask_holding(grant: StatementHash, *, principal: IdentityHash, pinned: Registrars, now: int) -> Question:
    """The question for the grant called `grant`, and what `principal` is to it now."""
    return _holding_query(pinned).asking(wanted=grant.raw, principal=principal.raw, now=now)


def read_holding(rows: Sequence[tuple[Any, ...]]) -> Holding | None:
    """What the answer to `ask_holding` says."""
    found = _grant(rows)
    if found is None:
        return None
    *_, is_now_attested, is_now_successor = rows[0]
    return Holding(found, is_attested=bool(is_now_attested), is_successor=bool(is_now_successor))


@lru_cache(maxsize=16)
def _holding_query(pinned: Registrars) -> Prepared:
    return Prepared(
        select(
            *_GRANT_COLUMNS,
            is_attested(pinned).label("is_attested"),
            is_succeeded(pinned, grants.c.grantee).label("is_successor"),
        )
        .select_from(_WITH_SCOPE)
        .where(grants.c.hash == bindparam("wanted"))
    )


def insert_grant(connection: Connection, signed: Signed[Grant], *, now: int) -> None:
    """Keep the grant `signed` with its scope."""
    body = signed.body
    connection.execute(
        insert(grants),
        {
            "hash": signed.hash,
            "record": body.record,
            "id": body.id,
            "grantee": body.grantee,
            "grantee_statement": body.grantee_statement,
            "permission": body.permission.value,
            "not_before": body.not_before,
            "expires": body.expires,
            "device": body.device,
            "received_at": now,
            "ended": None,
        },
    )
    if body.compartments:
        rows = [{"grant": signed.hash, "compartment": compartment} for compartment in body.compartments]
        connection.execute(insert(grant_compartments), rows)
    if body.documents:
        connection.execute(
            insert(grant_documents), [{"grant": signed.hash, "document": document} for document in body.documents]
        )


def end_grant(connection: Connection, grant: StatementHash, *, event: int) -> None:
    """Mark the grant as ended by `event`, unless it had ended before."""
    connection.execute(update(grants).where(grants.c.hash == grant, grants.c.ended.is_(None)).values(ended=event))


def insert_revocation(connection: Connection, signed: Signed[Revocation]) -> None:
    """Keep the revocation `signed`."""
    body = signed.body
    connection.execute(insert(revocations), {"hash": signed.hash, "record": body.record, "grant": body.grant})


def count_lasting_grants(connection: Connection, record: RecordId, *, now: int) -> int:
    """How many grants of the record have not ended, by time or otherwise."""
    return connection.execute(
        select(func.count()).where(grants.c.record == record, grants.c.expires > now, grants.c.ended.is_(None))
    ).scalar_one()


def count_lasting_grants_to(connection: Connection, record: RecordId, grantee: IdentityHash, *, now: int) -> int:
    """As `count_lasting_grants`, of those that name `grantee`."""
    return connection.execute(
        select(func.count()).where(
            grants.c.record == record,
            grants.c.grantee == grantee,
            grants.c.expires > now,
            grants.c.ended.is_(None),
        )
    ).scalar_one()


def count_new_grants(connection: Connection, record: RecordId, *, since: int) -> int:
    """How many grants of the record came at or after `since`, without those that a removal voided."""
    is_voided = exists().where(devices.c.hash == grants.c.device, grants.c.received_at >= devices.c.void_from)
    return connection.execute(
        select(func.count()).where(grants.c.record == record, grants.c.received_at >= since, ~is_voided)
    ).scalar_one()


def find_grants_by(
    connection: Connection, signers: Collection[StatementHash], *, since: int
) -> Sequence[tuple[StatementHash, RecordId, StatementHash]]:
    """The grants that the devices `signers` signed, that came at or after `since`, and that have not been ended.

    Each with its record and its device, in the order in which they came.
    """
    rows = connection.execute(
        select(grants.c.hash, grants.c.record, grants.c.device)
        .where(grants.c.device.in_(signers), grants.c.received_at >= since, grants.c.ended.is_(None))
        .order_by(grants.c.received_at, grants.c.hash)
    )
    return [(row.hash, row.record, row.device) for row in rows]


def holds_lasting_grant(
    connection: Connection, principal: IdentityHash, record: RecordId, *, pinned: Registrars, now: int
) -> bool:
    """Whether a grant of `record` that has not ended is `principal`'s, who has a valid attestation; begun or not."""
    query = _lasting(pinned).where(grants.c.record == record).limit(1)
    return connection.execute(query, {"principal": principal, "now": now}).first() is not None


def holds_grant_in_force(
    connection: Connection, principal: IdentityHash, record: RecordId, *, pinned: Registrars, now: int
) -> bool:
    """As `holds_lasting_grant`, of a grant that has begun."""
    query = _in_force(pinned).where(grants.c.record == record).limit(1)
    return connection.execute(query, {"principal": principal, "now": now}).first() is not None


def holds_deposit_grant(
    connection: Connection, principal: IdentityHash, record: RecordId, *, pinned: Registrars, now: int
) -> bool:
    """As `holds_grant_in_force`, of a grant that lets deposit."""
    query = _in_force(pinned).where(grants.c.record == record, grants.c.permission == Permission.DEPOSIT.value).limit(1)
    return connection.execute(query, {"principal": principal, "now": now}).first() is not None


def load_lasting_grants(
    connection: Connection,
    principal: IdentityHash,
    *,
    after: StatementHash | None,
    pinned: Registrars,
    now: int,
    limit: int,
) -> Sequence[tuple[StatementHash, RecordId, str]]:
    """Grants that are `principal`'s and have not ended, begun or not, by hash, above `after`.

    None without a valid attestation: it says which patients, and which parts of their records, let somebody in.
    """
    query = _lasting(pinned).order_by(grants.c.hash).limit(limit)
    if after is not None:
        query = query.where(grants.c.hash > after)
    rows = connection.execute(query, {"principal": principal, "now": now})
    return [(row.hash, row.record, row.jws) for row in rows]


def _lasting(pinned: Registrars) -> Select[Any]:
    predecessors = select(successions.c.predecessor).where(successions.c.successor == principal_parameter())
    return (
        select(grants.c.hash, grants.c.record, statements.c.jws)
        .join(statements, statements.c.hash == grants.c.hash)
        .where(
            grants.c.ended.is_(None),
            grants.c.expires > now_parameter(),
            is_attested(pinned),
            or_(
                grants.c.grantee == principal_parameter(),
                and_(grants.c.grantee.in_(predecessors), is_succeeded(pinned, grants.c.grantee)),
            ),
        )
    )


def _in_force(pinned: Registrars) -> Select[Any]:
    return _lasting(pinned).where(grants.c.not_before <= now_parameter())


def load_grants(connection: Connection, record: RecordId) -> tuple[str, ...]:
    """Every grant of `record`, in the order of acceptance."""
    return load_texts(connection, grants.c.hash, grants.c.record == record)


def load_revocations(connection: Connection, record: RecordId) -> tuple[str, ...]:
    """Every revocation of `record`, in the order of acceptance."""
    return load_texts(connection, revocations.c.hash, revocations.c.record == record)


def _grant(rows: Sequence[tuple[Any, ...]]) -> GrantRow | None:
    """The grant that `rows` describe, one for each thing in its scope."""
    if not rows:
        return None
    name, record, random_id, grantee, grantee_statement, permission, not_before, expires, ended, *_ = rows[0]
    place = len(_GRANT_COLUMNS)
    return GrantRow(
        hash=StatementHash(name),
        record=RecordId(record),
        id=GrantId(random_id),
        grantee=IdentityHash(grantee),
        grantee_statement=StatementHash(grantee_statement),
        permission=Permission(permission),
        not_before=not_before,
        expires=expires,
        ended=ended,
        compartments=frozenset(CompartmentId(row[place - 2]) for row in rows if row[place - 2] is not None),
        documents=frozenset(DocumentId(row[place - 1]) for row in rows if row[place - 1] is not None),
    )
