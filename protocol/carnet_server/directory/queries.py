"""The practitioner directory in the database. Never commits.

`is_attested` and `is_succeeded` are the one place where it is decided who is a practitioner now; other queries join
them, so that a release or a fetch asks once.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, func, insert, or_, select, update
from sqlalchemy.sql.expression import BindParameter

from carnet_protocol.ids import AttestationId, Fingerprint, IdentityHash, StatementHash
from carnet_protocol.limits import CLOCK_SKEW_SECONDS
from carnet_protocol.statements import Attestation, RevocationList, Signed, Succession
from carnet_server.database import INTEGER, Identifier
from carnet_server.statements.queries import load_texts
from carnet_server.tables import attestations, people, registrars, revoked_attestations, successions

Registrars = tuple[Fingerprint, ...]
"""The registrars that the service card pins."""


@dataclass(frozen=True, slots=True)
class ListRow:
    """The newest revocation list of a registrar."""

    registrar: Fingerprint
    number: int


def now_parameter() -> BindParameter[int]:
    """The time at which a query decides."""
    return bindparam("now", type_=INTEGER)


def principal_parameter() -> BindParameter[IdentityHash]:
    """The person about whom a query decides."""
    return bindparam("principal", type_=Identifier(IdentityHash))


def is_attested(
    pinned: Registrars,
    *,
    succeeds: ColumnElement[IdentityHash] | None = None,
    name: ColumnElement[StatementHash] | None = None,
) -> ColumnElement[bool]:
    """Whether `principal` has an attestation, the one called `name` if that is given, that is valid `now`.

    Spec `statements.md`, "Directory".

    1. Its registrar is pinned; its signature was checked when it was accepted.
    2. It names the principal's newest identity statement, and `succeeds` if that is given.
    3. not_before <= now < expires.
    4. The registrar's newest list is in date and does not name it.
    """
    conditions: list[ColumnElement[bool]] = [
        attestations.c.subject == principal_parameter(),
        # 1
        or_(*(attestations.c.registrar == registrar for registrar in pinned)),
        # 2
        people.c.identity == attestations.c.subject,
        people.c.current == attestations.c.subject_statement,
        # 3
        attestations.c.not_before <= now_parameter(),
        attestations.c.expires > now_parameter(),
        # 4
        registrars.c.registrar == attestations.c.registrar,
        registrars.c.issued_at <= now_parameter() + CLOCK_SKEW_SECONDS,
        registrars.c.next_update > now_parameter(),
        ~exists().where(
            revoked_attestations.c.registrar == attestations.c.registrar,
            revoked_attestations.c.id == attestations.c.id,
        ),
    ]
    if succeeds is not None:
        conditions.append(attestations.c.succeeds == succeeds)
    if name is not None:
        conditions.append(attestations.c.hash == name)
    return exists().where(*conditions)


def is_succeeded(pinned: Registrars, predecessor: ColumnElement[IdentityHash]) -> ColumnElement[bool]:
    """Whether `principal` holds the grants of `predecessor` `now`: both the old key and a registrar say so."""
    handed_over = exists().where(
        successions.c.predecessor == predecessor, successions.c.successor == principal_parameter()
    )
    return and_(handed_over, is_attested(pinned, succeeds=predecessor))


def find_attestation(
    connection: Connection, registrar: Fingerprint, attestation: AttestationId
) -> StatementHash | None:
    """The attestation that `registrar` made under this id."""
    found: StatementHash | None = connection.execute(
        select(attestations.c.hash).where(attestations.c.registrar == registrar, attestations.c.id == attestation)
    ).scalar()
    return found


def is_attested_by(
    connection: Connection, name: StatementHash, *, subject: IdentityHash, pinned: Registrars, now: int
) -> bool:
    """Whether `name` is an attestation of `subject` that is valid now."""
    wanted = bindparam("name", type_=Identifier(StatementHash))
    query = select(is_attested(pinned, name=wanted))
    return bool(connection.execute(query, {"name": name, "principal": subject, "now": now}).scalar())


def insert_attestation(connection: Connection, signed: Signed[Attestation]) -> None:
    """Keep the attestation `signed`."""
    body = signed.body
    connection.execute(
        insert(attestations),
        {
            "hash": signed.hash,
            "registrar": body.registrar,
            "id": body.id,
            "subject": body.subject,
            "subject_statement": body.subject_statement,
            "succeeds": body.succeeds,
            "not_before": body.not_before,
            "expires": body.expires,
        },
    )


def find_list(connection: Connection, registrar: Fingerprint) -> ListRow | None:
    """The newest revocation list of `registrar`."""
    row = connection.execute(
        select(registrars.c.registrar, registrars.c.number).where(registrars.c.registrar == registrar)
    ).first()
    return None if row is None else ListRow(row.registrar, row.number)


def store_list(connection: Connection, signed: Signed[RevocationList], *, is_first: bool) -> None:
    """Put the list `signed` in the place of the registrar's older one."""
    body = signed.body
    values = {
        "newest_list": signed.hash,
        "number": body.number,
        "issued_at": body.issued_at,
        "next_update": body.next_update,
    }
    if is_first:
        connection.execute(insert(registrars), {"registrar": body.registrar, **values})
    else:
        connection.execute(update(registrars).where(registrars.c.registrar == body.registrar).values(values))
    connection.execute(delete(revoked_attestations).where(revoked_attestations.c.registrar == body.registrar))
    if body.revoked:
        connection.execute(
            insert(revoked_attestations), [{"registrar": body.registrar, "id": revoked} for revoked in body.revoked]
        )


def find_succession(connection: Connection, predecessor: IdentityHash) -> StatementHash | None:
    """The succession from `predecessor`."""
    found: StatementHash | None = connection.execute(
        select(successions.c.hash).where(successions.c.predecessor == predecessor)
    ).scalar()
    return found


def find_successor(
    connection: Connection, predecessor: IdentityHash, *, pinned: Registrars, now: int
) -> IdentityHash | None:
    """Who holds the grants of `predecessor` now besides themselves, None if nobody does."""
    successor: IdentityHash | None = connection.execute(
        select(successions.c.successor).where(successions.c.predecessor == predecessor)
    ).scalar()
    if successor is None:
        return None
    wanted = bindparam("predecessor", type_=Identifier(IdentityHash))
    query = select(is_succeeded(pinned, wanted))
    holds = connection.execute(query, {"predecessor": predecessor, "principal": successor, "now": now}).scalar()
    return successor if holds else None


def insert_succession(connection: Connection, signed: Signed[Succession]) -> None:
    """Keep the succession `signed`."""
    body = signed.body
    connection.execute(
        insert(successions),
        {"hash": signed.hash, "predecessor": body.predecessor, "successor": body.successor},
    )


def load_attestations(connection: Connection, subject: IdentityHash, *, now: int) -> tuple[str, ...]:
    """The attestations of `subject` that have not expired; else the one that did last, which names them in the past."""
    last = select(func.max(attestations.c.expires)).where(attestations.c.subject == subject).scalar_subquery()
    return load_texts(
        connection,
        attestations.c.hash,
        attestations.c.subject == subject,
        or_(attestations.c.expires > now, attestations.c.expires == last),
    )


def load_lists(connection: Connection, pinned: Collection[Fingerprint]) -> tuple[str, ...]:
    """The newest list of each pinned registrar."""
    return load_texts(connection, registrars.c.newest_list, registrars.c.registrar.in_(pinned))


def load_succession(connection: Connection, predecessor: IdentityHash) -> str | None:
    """The succession from `predecessor`, if one was accepted."""
    texts = load_texts(connection, successions.c.hash, successions.c.predecessor == predecessor)
    return texts[0] if texts else None
