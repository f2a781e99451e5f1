"""The verified view of one record: as its patient, or as a grantee under one grant (promises P04, P08, P09).

    access = open_access(session, record, grant)
    inner_locks = release(session, access, ReleaseKind.LIST, items)

Both servers are asked at the same time and must agree. Nothing that they say is believed that is not signed by the
patient, by the key service's pinned key, or opened with a key that the patient signed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from carnet.boxes import open_compartment_key
from carnet.compartments import CompartmentAccess, is_trusted, verify_chains, verify_closings, verify_compartment
from carnet.errors import (
    AnswerError,
    BelowFloorError,
    CarnetError,
    DataError,
    DisagreementError,
    GrantEndedError,
    RefusedError,
    VerificationError,
)
from carnet.identity import ask_as_registered
from carnet.people import verify_own
from carnet.receipts import keep_receipt, verify_receipt
from carnet.sealing import KemPrivateKey
from carnet.session import Both, Session
from carnet.succession import verify_successor
from carnet_protocol.api import AccessView, ReleaseAnswer, ReleaseItem, ReleaseKind, ReleaseRequest
from carnet_protocol.authority import Person
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import CompartmentId, RecordId, StatementHash
from carnet_protocol.limits import MAX_RELEASE_ITEMS
from carnet_protocol.statements import Compartment, Grant, Lock, Permission, Signed
from carnet_protocol.suites import Suite

_PAUSES_SECONDS: Final = (0.15, 0.5)
"""One server may be a statement ahead of the other while the patient publishes: worth a second and a third look."""


@dataclass(frozen=True, slots=True)
class RecordAccess:
    """A record, verified. `grant` is None for the patient; `personal_keys` open single documents under `grant`.

    They are this person's own, by the identity statement to which something was sealed. `lock` is the newest lock
    statement that the key service showed; None if it showed none. Nothing of a suite below `floor` is read.
    """

    record: RecordId
    patient: Person
    grant: Signed[Grant] | None
    compartments: dict[CompartmentId, CompartmentAccess]
    personal_keys: Mapping[StatementHash, KemPrivateKey]
    lock: Signed[Lock] | None
    floor: Suite

    @property
    def grant_hash(self) -> StatementHash | None:
        """How requests name the grant."""
        return None if self.grant is None else self.grant.hash

    def compartment(self, name: CompartmentId) -> CompartmentAccess:
        """The compartment `name`. Raises `VerificationError` if it is outside this access."""
        found = self.compartments.get(name)
        if found is None:
            raise VerificationError("something is in a compartment outside this access: it was not opened")
        return found

    def require_suites(self, *suites: Suite) -> None:
        """Refuse to read what is of any suite below the floor. Raises `BelowFloorError`."""
        check_floor(min(suites), self.floor, is_own=self.grant is None)


def check_floor(suite: Suite, floor: Suite, *, is_own: bool) -> None:
    """Refuse what is of a `suite` below `floor`, in an own record or another's. Raises `BelowFloorError`."""
    if suite < floor:
        renewal = "renew it with `carnet renew`" if is_own else "its patient has to renew it, with `carnet renew`"
        raise BelowFloorError(
            f"this is sealed under suite {suite:d}, and your service card allows none below {floor:d}: {renewal}"
        )


def open_access(
    session: Session,
    record: RecordId,
    grant: StatementHash | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> RecordAccess:
    """The access to `record` under `grant`, or as its patient when that is None.

    Raises `RefusedError`, `GrantEndedError`, a `DataError` or another `TransportError`.
    """
    if grant is not None:
        return _open_access(session, record, grant, sleep)
    return ask_as_registered(session, lambda: _open_access(session, record, None, sleep))


def find_moved_on(session: Session, access: RecordAccess) -> RecordAccess | None:
    """The access of `access` as it is now, where epochs or the lock moved on since; None where all is as it was.

    For what did not open: its locks may just have been remade. None as well where the access itself is no more.
    """
    with suppress(CarnetError):
        now = open_access(session, access.record, access.grant_hash)
        if _keys_in_force(now) != _keys_in_force(access):
            return now
    return None


def _keys_in_force(access: RecordAccess) -> tuple[object, ...]:
    epochs = {name: (compartment.newest.hash, compartment.closed) for name, compartment in access.compartments.items()}
    return epochs, None if access.lock is None else access.lock.body.version


def _open_access(
    session: Session, record: RecordId, grant: StatementHash | None, sleep: Callable[[float], None]
) -> RecordAccess:
    path = f"/v1/records/{record}/access"
    query = {"grant": None if grant is None else str(grant)}
    for pause in _PAUSES_SECONDS:
        try:
            views = session.ask_both(lambda server: server.get(path, AccessView, query=query))
            return verify_access(session, record, grant, views)
        except DisagreementError:
            sleep(pause)
    views = session.ask_both(lambda server: server.get(path, AccessView, query=query))
    return verify_access(session, record, grant, views)


def verify_access(
    session: Session, record: RecordId, grant: StatementHash | None, views: Both[AccessView]
) -> RecordAccess:
    """The access that `views` of both servers prove.

    1. The patient is the one that the record is named after, and the same at both servers; on the patient's own
       device, with the very keys of its keyring.
    2. The grant is the one asked for, the same at both, the patient's, for us, in force, for these two servers.
    3. Compartments are the same at both, and their chains prove themselves; all that the grant covers are there.
       What the vault alone shows of a device that was shut out is passed over: the key service decides. An epoch that
       either server calls closed, by a statement of the patient, is closed.
    4. No newest epoch is of a suite below the floor. Each key that was sealed to us opens, and its public half is the
       one that the patient signed; one that is of a suite below the floor, or sealed under one, is passed over.
    5. The lock is this record's, by this key service, and of no suite below the floor.
    6. Nothing is less than this client saw before.

    Raises `GrantEndedError` or a `DataError`.
    """
    vault, keyservice = views.vault, views.keyservice
    # 1
    patient = session.people.verify_both(record.patient(), vault=vault.patient, keyservice=keyservice.patient)
    if grant is None:
        verify_own(patient, session.keyring)
    # 2
    signed_grant = None if grant is None else _verify_grant(session, grant, views, patient)
    # 3
    _compare_compartments(vault, keyservice, patient)
    chains = verify_chains(
        keyservice.compartments,
        record=record,
        patient=patient,
        keyservice=session.keyservice.fingerprint,
        verified=session.verified_epochs,
    )
    closed = verify_closings({*vault.closings, *keyservice.closings}, chains, patient=patient)
    if signed_grant is not None and set(chains) != set(signed_grant.body.compartments):
        raise VerificationError("the servers show other compartments than the grant covers: nothing was used")
    # 4
    for chain in chains.values():
        check_floor(chain[-1].body.suite, session.reading_floor, is_own=grant is None)
    keys = _open_keys(session, keyservice, chains, signed_grant, patient)
    compartments = {
        name: CompartmentAccess(name, chain, closed, keys.get(name, {}), is_trusted(chain[-1], patient))
        for name, chain in chains.items()
    }
    # 5
    lock = None if keyservice.lock is None else verify_lock(session, keyservice.lock, record)
    if lock is not None:
        check_floor(lock.body.suite, session.reading_floor, is_own=grant is None)
    # 6
    session.pins.check_compartments(record, chains, complete=grant is None)
    if lock is not None:
        session.pins.check_lock(lock)
    is_personal = signed_grant is not None and bool(signed_grant.body.documents)
    personal_keys = session.keyring.kem_keys_by_statement() if is_personal else {}
    return RecordAccess(record, patient, signed_grant, compartments, personal_keys, lock, session.reading_floor)


def verify_lock(session: Session, text: str, record: RecordId) -> Signed[Lock]:
    """The lock statement in `text`.

    1. The key service's pinned key signed it, and it names that key.
    2. It is of this record.

    Raises `VerificationError`.
    """
    try:
        # 1
        lock = Signed.parse(text, Lock)
        lock.verify(session.keyservice.entry.key)
    except ProtocolError as error:
        raise VerificationError("a record lock is not signed by the key service: nothing was sealed") from error
    # 2
    if lock.body.keyservice != session.keyservice.fingerprint or lock.body.record != record:
        raise VerificationError("a record lock is of another record or another key service: nothing was sealed")
    return lock


def release(
    session: Session, access: RecordAccess, kind: ReleaseKind, items: Sequence[ReleaseItem]
) -> list[bytes | None]:
    """The inner locks of `items`, in order, None where the key service refused.

    Up to 500 go in one request. Each answer's receipt is verified and kept. Raises `RefusedError` if all were refused,
    or another `TransportError` or `DataError`.
    """
    inner_locks: list[bytes | None] = []
    refusal: RefusedError | None = None
    for start in range(0, len(items), MAX_RELEASE_ITEMS):
        batch = tuple(items[start : start + MAX_RELEASE_ITEMS])
        try:
            inner_locks += _release_batch(session, access, kind, batch)
        except RefusedError as error:
            refusal = error
            inner_locks += [None] * len(batch)
    if refusal is not None and not any(inner is not None for inner in inner_locks):
        raise refusal
    return inner_locks


def _release_batch(
    session: Session, access: RecordAccess, kind: ReleaseKind, batch: tuple[ReleaseItem, ...]
) -> tuple[bytes | None, ...]:
    request = ReleaseRequest(grant=access.grant_hash, kind=kind, items=batch)
    answer = session.keyservice.post(f"/v1/records/{access.record}/releases", request, ReleaseAnswer)
    if len(answer.inner) != len(batch):
        raise AnswerError("the key service released another number of keys than asked for: ask its operator")
    keep_receipt(session.state, verify_receipt(answer.receipt, session.keyservice))
    return answer.inner


def _verify_grant(session: Session, name: StatementHash, views: Both[AccessView], patient: Person) -> Signed[Grant]:
    """Step 2 of `verify_access`."""
    if views.vault.grant != views.keyservice.grant or views.keyservice.grant is None:
        raise DisagreementError(
            "vault and key service show different grants where one was asked for: nothing was used; ask the operators"
        )
    signed = verify_grant(views.keyservice.grant, patient)
    body = signed.body
    if signed.hash != name:
        raise VerificationError("the servers show another grant than the one asked for: nothing was used")
    if body.vault != session.vault.fingerprint or body.keyservice != session.keyservice.fingerprint:
        raise VerificationError("the grant is for other servers than these: nothing was used")
    if body.grantee != session.identity:
        verify_successor(session, body.grantee)
    now = session.clock()
    if now >= body.expires:
        raise GrantEndedError("this grant is over: ask the patient for a new one")
    if now < body.not_before:
        raise GrantEndedError("this grant has not begun yet: try again when it has")
    return signed


def verify_grant(text: str, patient: Person) -> Signed[Grant]:
    """The grant in `text`: of this patient's record, by a device that counted then. Raises `VerificationError`."""
    try:
        signed = Signed.parse(text, Grant)
        if signed.body.record != RecordId.of(patient.identity):
            raise VerificationError("a grant is for another record: nothing was used")
        signed.verify(patient.device_key(signed.body.device, at=signed.body.issued_at))
    except ProtocolError as error:
        raise VerificationError(f"a grant is not the patient's ({error}): nothing was used") from error
    return signed


def _compare_compartments(vault: AccessView, keyservice: AccessView, patient: Person) -> None:
    """Step 3 of `verify_access`: the same epochs at both."""
    only_vault = {
        text
        for text in set(vault.compartments) - set(keyservice.compartments)
        if is_trusted(verify_compartment(text, patient), patient)
    }
    only_keyservice = set(keyservice.compartments) - set(vault.compartments)
    if only_vault or only_keyservice:
        shown, missing, count = (
            ("vault", "key service", len(only_vault)) if only_vault else ("key service", "vault", len(only_keyservice))
        )
        raise DisagreementError(
            f"the {shown} shows {count} epochs of compartments that the {missing} does not show: nothing was used; run "
            "the patient's last command again, then ask the operators"
        )


def _open_keys(
    session: Session,
    keyservice: AccessView,
    chains: dict[CompartmentId, tuple[Signed[Compartment], ...]],
    grant: Signed[Grant] | None,
    patient: Person,
) -> dict[CompartmentId, dict[StatementHash, KemPrivateKey]]:
    """Step 4 of `verify_access`. A key that is sealed to somebody else, or under another grant, is not ours to open."""
    statements = {signed.hash: signed for chain in chains.values() for signed in chain}
    keys: dict[CompartmentId, dict[StatementHash, KemPrivateKey]] = {}
    for sealed_key in keyservice.sealed_keys:
        compartment = statements.get(sealed_key.compartment_statement)
        account_kem_key = session.keyring.account_kem_key(sealed_key.reader_statement)
        if (
            compartment is None
            or account_kem_key is None
            or sealed_key.grant != (None if grant is None else grant.hash)
            or min(compartment.body.suite, account_kem_key.suite) < session.reading_floor
        ):
            continue
        try:
            opened = open_compartment_key(sealed_key, compartment=compartment, account_kem_key=account_kem_key)
        except DataError:
            if is_trusted(compartment, patient):
                raise
            continue  # an epoch of a device that was shut out: nothing is sealed to it, and it does not bar the way
        keys.setdefault(compartment.body.compartment, {})[compartment.hash] = opened
    if grant is not None and grant.body.permission is Permission.READ and set(keys) != set(grant.body.compartments):
        raise VerificationError(
            "the key service holds no key for you to a part of this record: ask the patient to let you in again"
        )
    return keys
