"""Letting somebody in: what they will see, spelled out first; then the grant (promises P04, P09, P13).

    plan = plan_reading(session, access, doctor, compartments=[...], seconds=1800, purpose=Purpose.CONSULTATION)
    visible = visible_documents(plan, listing)  # shown to the patient before anything is signed
    grant = make_grant(session, access, plan)

Nothing is sealed to a practitioner whose attestation is not valid now, or whose keys changed since they were accepted.
A single-document grant carries no compartment key: that document's keys are sealed to the grantee alone.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final, Protocol, TypeVar

from carnet.access import RecordAccess
from carnet.boxes import seal_compartment_key, seal_note
from carnet.errors import RecoveryKitMissingError, UsageError, VerificationError
from carnet.grant_book import GrantBook, statements_path
from carnet.outbox import Step
from carnet.people import Practitioner
from carnet.personal_capsules import make_personal_capsules
from carnet.session import Session
from carnet.succession import fetch_practitioner
from carnet.transport import ServerName
from carnet_protocol.api import RecordUpdate, SealedKey
from carnet_protocol.ids import CompartmentId, DocumentId, GrantId, IdentityHash
from carnet_protocol.limits import MAX_DEPOSIT_GRANT_SECONDS, MAX_GRANT_SCOPE, MAX_READ_GRANT_SECONDS
from carnet_protocol.statements import Grant, Permission, Purpose, Signed

_CAPSULES_AT_ONCE: Final = 500


class ListedDocument(Protocol):
    """What a listing must say of a document, so that it can be told who will see it."""

    @property
    def id(self) -> DocumentId:
        """The document."""

    @property
    def compartment(self) -> CompartmentId | None:
        """Where it is filed."""


_L = TypeVar("_L", bound=ListedDocument)


@dataclass(frozen=True, slots=True)
class GrantPlan:
    """A grant that nobody signed yet. `not_before` and `expires` are UTC seconds, half-open."""

    practitioner: Practitioner
    permission: Permission
    compartments: tuple[CompartmentId, ...]
    documents: tuple[DocumentId, ...]
    not_before: int
    expires: int
    purpose: Purpose
    note: str


def plan_reading(
    session: Session,
    access: RecordAccess,
    grantee: IdentityHash,
    *,
    compartments: Collection[CompartmentId] = (),
    documents: Collection[DocumentId] = (),
    seconds: int,
    purpose: Purpose,
    not_before: int | None = None,
    note: str = "",
) -> GrantPlan:
    """A plan to let `grantee` read `compartments`, or single `documents`, for `seconds`.

    Raises `UsageError`, `ChangedKeysError`, a `DataError` or a `TransportError`.
    """
    if bool(compartments) == bool(documents):
        raise UsageError("let somebody into compartments, or to single documents: name one of the two")
    if len(compartments) + len(documents) > MAX_GRANT_SCOPE:
        raise UsageError(f"one grant covers at most {MAX_GRANT_SCOPE} documents: make two, or name a compartment")
    if not 0 < seconds <= MAX_READ_GRANT_SECONDS:
        raise UsageError("a grant to read lasts from one second to 366 days: take another time")
    return _plan(
        session,
        access,
        grantee,
        Permission.READ,
        compartments=compartments,
        documents=documents,
        seconds=seconds,
        purpose=purpose,
        not_before=not_before,
        note=note,
    )


def plan_depositing(
    session: Session,
    access: RecordAccess,
    grantee: IdentityHash,
    *,
    compartment: CompartmentId,
    seconds: int,
    purpose: Purpose,
    not_before: int | None = None,
    note: str = "",
) -> GrantPlan:
    """A plan to let `grantee` put documents into `compartment` for `seconds`, without reading any.

    Raises `UsageError`, `ChangedKeysError`, a `DataError` or a `TransportError`.
    """
    if not 0 < seconds <= MAX_DEPOSIT_GRANT_SECONDS:
        raise UsageError("a grant to deposit lasts from one second to ten years: take another time")
    return _plan(
        session,
        access,
        grantee,
        Permission.DEPOSIT,
        compartments=(compartment,),
        documents=(),
        seconds=seconds,
        purpose=purpose,
        not_before=not_before,
        note=note,
    )


def visible_documents(plan: GrantPlan, listing: Iterable[_L]) -> list[_L]:
    """The documents of `listing` that `plan` lets its reader see now, in the same order.

    Whatever is later put into the compartments of the plan is seen as well.
    """
    if plan.permission is not Permission.READ:
        return []
    return [entry for entry in listing if entry.compartment in plan.compartments or entry.id in plan.documents]


def check_recovery_kit(session: Session) -> None:
    """Check that losing this device would not lose what is about to be shared. Raises `RecoveryKitMissingError`."""
    if session.keyring.body.recovery_secret is not None:
        raise RecoveryKitMissingError(
            "print your recovery kit first (`carnet recovery kit kit.pdf`), and type its words once (`carnet recovery "
            "confirm`): without it, losing this device would lose your record, and a stolen one could not be shut out"
        )


def make_grant(session: Session, access: RecordAccess, plan: GrantPlan) -> Signed[Grant]:
    """The grant of `plan`, accepted by both servers.

    1. Compartment keys of all epochs that are not closed, or the keys of the single documents, are sealed to the keys
       that the grantee has now; the keys were checked when the plan was made.
    2. The key service hears of it with the sealed keys, then the vault.

    Raises a `DataError` or a `TransportError`; `PartialError` if the vault gets it with the next command only.
    """
    grantee = plan.practitioner.person
    grant_id = GrantId.make()
    body = Grant(
        record=access.record,
        id=grant_id,
        grantee=grantee.identity,
        grantee_statement=grantee.current.hash,
        attestation=plan.practitioner.attestation.hash,
        permission=plan.permission,
        compartments=tuple(sorted(plan.compartments)),
        documents=tuple(sorted(plan.documents)),
        not_before=plan.not_before,
        expires=plan.expires,
        purpose=plan.purpose,
        sealed_note=seal_note(plan.note, record=access.record, grant_id=grant_id, grantee=grantee.current),
        vault=session.vault.fingerprint,
        keyservice=session.keyservice.fingerprint,
        device=session.device,
        issued_at=session.clock(),
    )
    grant = session.sign(body)
    # 1
    sealed_keys = _seal_keys(access, plan, grant)
    capsules = make_personal_capsules(session, access, grant, grantee.current)
    # 2
    path = statements_path(access.record)
    at_keyservice = RecordUpdate(statements=(grant.text,), sealed_keys=sealed_keys, capsules=())
    batches = [capsules[start : start + _CAPSULES_AT_ONCE] for start in range(0, len(capsules), _CAPSULES_AT_ONCE)]
    at_vault = [
        RecordUpdate(statements=() if place else (grant.text,), sealed_keys=(), capsules=batch)
        for place, batch in enumerate(batches or [()])
    ]
    steps = [Step(ServerName.KEYSERVICE, path, at_keyservice), *(Step(ServerName.VAULT, path, one) for one in at_vault)]
    session.outbox.send(steps)
    return grant


def _plan(
    session: Session,
    access: RecordAccess,
    grantee: IdentityHash,
    permission: Permission,
    *,
    compartments: Collection[CompartmentId],
    documents: Collection[DocumentId],
    seconds: int,
    purpose: Purpose,
    not_before: int | None,
    note: str,
) -> GrantPlan:
    unknown = [name for name in compartments if name not in access.compartments]
    if unknown:
        raise UsageError("there is no such compartment in this record: see `carnet whoami`")
    if grantee == session.identity:
        raise UsageError("you need no grant to your own record")
    practitioner = fetch_practitioner(session, grantee)
    session.people.check_accepted(practitioner)
    session.require_suite(practitioner.person.current.body.suite, "the practitioner's keys")
    begin = session.clock() if not_before is None else not_before
    return GrantPlan(
        practitioner=practitioner,
        permission=permission,
        compartments=tuple(compartments),
        documents=tuple(documents),
        not_before=begin,
        expires=begin + seconds,
        purpose=purpose,
        note=note,
    )


def _seal_keys(access: RecordAccess, plan: GrantPlan, grant: Signed[Grant]) -> tuple[SealedKey, ...]:
    if plan.permission is not Permission.READ:
        return ()
    sealed_keys: list[SealedKey] = []
    for name in plan.compartments:
        compartment = access.compartment(name)
        if not compartment.is_trusted:
            raise VerificationError("a lost device touched this compartment last: finish removing that device first")
        sealed_keys += [
            seal_compartment_key(
                compartment.key(epoch.hash),
                compartment=epoch,
                grant=grant.hash,
                reader=plan.practitioner.person.current,
            )
            for epoch in compartment.open_epochs
        ]
    return tuple(sealed_keys)


@unique
class GrantState(StrEnum):
    """Where a grant stands."""

    COMING = "coming"
    IN_FORCE = "in force"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class GrantStatus:
    """A grant as its patient sees it; `seconds_left` is 0 for one that is over."""

    grant: Signed[Grant]
    state: GrantState
    seconds_left: int


def list_grants(book: GrantBook, *, now: int) -> list[GrantStatus]:
    """Every grant of `book` with its state at `now`, newest first. An incomplete one is not known to both servers."""
    return sorted(
        (_status(book, grant, now) for grant in book.grants),
        key=lambda status: status.grant.body.issued_at,
        reverse=True,
    )


def _status(book: GrantBook, grant: Signed[Grant], now: int) -> GrantStatus:
    body = grant.body
    lacking: Sequence[str] = (*book.lacking_at_vault, *book.lacking_at_keyservice)
    if book.revocation_of(grant.hash) is not None:
        return GrantStatus(grant, GrantState.REVOKED, 0)
    if now >= body.expires:
        return GrantStatus(grant, GrantState.EXPIRED, 0)
    if grant.text in lacking:
        return GrantStatus(grant, GrantState.INCOMPLETE, 0)
    if now < body.not_before:
        return GrantStatus(grant, GrantState.COMING, body.expires - now)
    return GrantStatus(grant, GrantState.IN_FORCE, body.expires - now)
