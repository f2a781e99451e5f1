"""Who may do what in a record now: the patient, or the holder of a grant in force (spec `api.md`).

    access = authorise(connection, principal, record, grant, permission=Permission.READ, pinned=pinned, now=now)
    access.covers_compartment(compartment)

Decided in the transaction of whoever asks, from rows alone. Everything that is wrong raises the same `RefusedError`:
unknown record, erased record (of which no grant is left), unknown grant, another's, another record's, of the other
permission, not begun, ended, not attested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Permission
from carnet_server.directory.queries import Registrars
from carnet_server.erasures import ask_erasure, read_erasure, require_standing
from carnet_server.errors import RefusedError
from carnet_server.grants.queries import GrantRow, Holding, ask_holding, read_holding
from carnet_server.prepared import Question, run_together
from carnet_server.principals import Principal, PrincipalKind


@dataclass(frozen=True, slots=True)
class Access:
    """What `principal` may do in `record`: everything as the patient (`grant` is None), or what the grant covers."""

    principal: IdentityHash
    record: RecordId
    grant: GrantRow | None

    @property
    def is_patient(self) -> bool:
        """Whether this is the patient."""
        return self.grant is None

    def covers_compartment(self, compartment: CompartmentId) -> bool:
        """Whether `compartment` is in scope."""
        return self.grant is None or compartment in self.grant.compartments

    def covers_document(self, document: DocumentId) -> bool:
        """Whether `document` is in scope by itself, through a single-document grant (or as the patient)."""
        return self.grant is None or document in self.grant.documents


def require_own_record(principal: Principal, record: RecordId) -> None:
    """Refuse anyone but the patient on a device of theirs. Whether the record stands is not asked.

    Raises `RefusedError`.
    """
    if principal.kind is not PrincipalKind.DEVICE or principal.identity != record.patient():
        raise RefusedError("not_the_patient")


def authorise_patient(connection: Connection, principal: Principal, record: RecordId) -> Access:
    """The access of the patient on a device of theirs, to a record that was not erased. Raises `RefusedError`."""
    require_own_record(principal, record)
    require_standing(connection, record)
    return Access(record.patient(), record, None)


def authorise(
    connection: Connection,
    principal: Principal,
    record: RecordId,
    grant: StatementHash | None,
    *,
    permission: Permission | None,
    pinned: Registrars,
    now: int,
) -> Access:
    """The access of `principal` to `record` under `grant`, which has `permission` unless that is None.

    Without a grant it is the patient's. Raises `RefusedError`.
    """
    access, _ = authorise_asking(
        connection, principal, record, grant, (), permission=permission, pinned=pinned, now=now
    )
    return access


def authorise_asking(
    connection: Connection,
    principal: Principal,
    record: RecordId,
    grant: StatementHash | None,
    questions: Sequence[Question],
    *,
    permission: Permission | None,
    pinned: Registrars,
    now: int,
) -> tuple[Access, list[Sequence[tuple[Any, ...]]]]:
    """As `authorise`, together with the answers to `questions`, which are asked in the same round trip."""
    if grant is None:
        require_own_record(principal, record)
        erasure, *answers = run_together(connection, ask_erasure(record), *questions)
        read_erasure(erasure)
        return Access(record.patient(), record, None), answers
    if principal.kind is not PrincipalKind.DEVICE:
        raise RefusedError("not_a_device")
    asked = ask_holding(grant, principal=principal.person, pinned=pinned, now=now)
    holding, *answers = run_together(connection, asked, *questions)
    return decide_access(read_holding(holding), principal.person, record, permission=permission, now=now), answers


def decide_access(
    holding: Holding | None, principal: IdentityHash, record: RecordId, *, permission: Permission | None, now: int
) -> Access:
    """The access that `holding` gives.

    1. The grant is known, one of this record, and has the permission.
    2. The principal is the grantee, or whom the grantee's old key and a registrar made the successor.
    3. The principal has a valid attestation.
    4. The grant is in force: begun, not expired, neither revoked nor voided.

    Raises `RefusedError`.
    """
    # 1
    if holding is None or holding.grant.record != record:
        raise RefusedError("grant_unknown")
    grant = holding.grant
    if permission is not None and grant.permission is not permission:
        raise RefusedError("grant_permission")
    # 2
    if grant.grantee != principal and not holding.is_successor:
        raise RefusedError("grant_of_another")
    # 3
    if not holding.is_attested:
        raise RefusedError("not_attested")
    # 4
    if not grant.is_in_force(now):
        raise RefusedError("grant_not_in_force")
    return Access(principal, record, grant)
