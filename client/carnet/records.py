"""Opening a record, and making the next epoch of a compartment (spec `statements.md`, "Records").

    access = open_record(session)

A compartment key is sealed to its patient, read back and opened before anything can be put under it. A compartment
statement goes to the key service, the one authority that appends, then to the vault, which mirrors.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from carnet.access import RecordAccess, verify_access
from carnet.boxes import open_compartment_key, seal_compartment_key, seal_compartment_name, seal_readers_opening
from carnet.compartments import commit_to_readers, covering_grants, verify_chains
from carnet.errors import AnswerError, RefusedError, UsageError
from carnet.grant_book import GrantBook, statements_path
from carnet.identity import UNOPENED, UNREGISTERED, ask_as_registered, register
from carnet.people import verify_own
from carnet.profiles import DEFAULT_COMPARTMENTS
from carnet.sealing import KEY_SIZE, KemPrivateKey, Random
from carnet.session import Both, Session
from carnet_protocol.api import Accepted, AccessView, LockView, RecordUpdate, SealedKey
from carnet_protocol.authority import Person
from carnet_protocol.ids import CompartmentId, StatementHash
from carnet_protocol.limits import MAX_STATEMENTS_PER_REQUEST
from carnet_protocol.statements import Compartment, Identity, Role, Signed


@dataclass(frozen=True, slots=True, repr=False)
class NewEpoch:
    """An epoch that is signed and not yet published: its statement, its private key, the patient's own copy."""

    statement: Signed[Compartment]
    compartment_key: KemPrivateKey
    own_copy: SealedKey


def open_record(session: Session, names: Sequence[str] = DEFAULT_COMPARTMENTS) -> RecordAccess:
    """The patient's record with at least the compartments called `names`; run again, it does what is missing.

    1. What both servers have of the record is read, unless this home made the identity and never came this far; what
       the vault lacks of it is sent.
    2. Missing compartments go to the key service, each with the patient's own copy of its key.
    3. The key service makes the first record lock, if there is none.
    4. All of it is read back and verified, and every key opened.
    5. Only then the vault hears of the compartments, so that nothing was deposited under a key that is not safe.

    Raises `UsageError` for a practitioner, a `DataError` or a `TransportError`.
    """
    if session.keyring.body.role is not Role.PATIENT:
        raise UsageError("a record is a patient's: practitioners have an inbox, see `carnet inbox`")
    # 1
    if session.state.load(UNREGISTERED) is not None:
        register(session)
    if session.state.load(UNOPENED) is not None:
        session.state.remove(UNOPENED)  # before anything is sent: whatever happens now, servers are asked next time
        patient = session.people.verify(session.identity, session.keyring.body.person)
        return _make_compartments(session, patient, list(dict.fromkeys(names)), None)
    views = _read_both(session)
    access = verify_access(session, session.record, None, views)
    present = {compartment.name for compartment in access.compartments.values()}
    missing = [name for name in dict.fromkeys(names) if name not in present]
    if not missing and access.lock is not None:
        return access
    return _make_compartments(session, access.patient, missing, views.vault)


def _read_both(session: Session) -> Both[AccessView]:
    """Step 1 of `open_record`."""
    path = f"/v1/records/{session.record}/access"
    views = ask_as_registered(session, lambda: session.ask_both(lambda server: server.get(path, AccessView)))
    return Both(_mirror(session, views), views.keyservice)


def _make_compartments(
    session: Session, patient: Person, names: Sequence[str], vault: AccessView | None
) -> RecordAccess:
    """Steps 2 to 5 of `open_record`; `vault` is what the vault showed, None if it has nothing yet."""
    # 2
    epochs = [make_compartment(session, patient, name) for name in names]
    update = RecordUpdate(
        statements=tuple(epoch.statement.text for epoch in epochs),
        sealed_keys=tuple(epoch.own_copy for epoch in epochs),
        capsules=(),
    )
    path = statements_path(session.record)
    if epochs:
        session.keyservice.post(path, update, Accepted)
    # 3
    _make_first_lock(session, is_new=vault is None or not vault.compartments)
    # 4
    keyservice = session.keyservice.get(f"/v1/records/{session.record}/access", AccessView)
    mirrored = update.model_copy(update={"sealed_keys": ()})
    if vault is None:
        vault = keyservice.model_copy(update={"compartments": (), "closings": ()})
    vault = vault.model_copy(update={"compartments": (*vault.compartments, *mirrored.statements)})
    access = verify_access(session, session.record, None, Both(vault, keyservice))
    if any(epoch.statement.hash not in access.compartment(_name(epoch)).keys for epoch in epochs):
        raise AnswerError("the key service does not give back a key that it was just given: nothing was put under it")
    # 5
    if epochs:
        session.vault.post(path, mirrored, Accepted)
    return access


def _name(epoch: NewEpoch) -> CompartmentId:
    return epoch.statement.body.compartment


def _make_first_lock(session: Session, *, is_new: bool) -> None:
    """Step 3 of `open_record`. A lock statement that ran out is issued again, which a look at it does."""
    path = f"/v1/records/{session.record}"
    if not is_new:
        with suppress(RefusedError):
            session.keyservice.get(f"{path}/lock", LockView)
            return
    session.keyservice.post_once(f"{path}/locks", None, LockView)


def make_compartment(session: Session, patient: Person, name: str, *, random: Random = secrets.token_bytes) -> NewEpoch:
    """The first epoch of a new compartment called `name`, which nobody but the patient reads."""
    return sign_epoch(
        session,
        patient.current,
        CompartmentId.make(random),
        name=name,
        previous=None,
        readers=(),
        revocations=(),
        random=random,
    )


def make_epoch(
    session: Session,
    access: RecordAccess,
    compartment: CompartmentId,
    *,
    book: GrantBook,
    random: Random = secrets.token_bytes,
) -> NewEpoch:
    """The next epoch of `compartment`, which commits to the grants and revocations that the key service showed."""
    held = access.compartment(compartment)
    name = held.name
    if name is None:
        raise AssertionError("internal: a patient without the key to an own compartment")
    revocations = book.decided_revocations
    covering = covering_grants(compartment, grants=book.decided_grants, revocations=revocations, now=session.clock())
    return sign_epoch(
        session,
        access.patient.current,
        compartment,
        name=name,
        previous=held.newest,
        readers=[grant.hash for grant in covering],
        revocations=[revocation.hash for revocation in revocations],
        random=random,
    )


def sign_epoch(
    session: Session,
    patient: Signed[Identity],
    compartment: CompartmentId,
    *,
    name: str,
    previous: Signed[Compartment] | None,
    readers: Sequence[StatementHash],
    revocations: Sequence[StatementHash],
    random: Random,
) -> NewEpoch:
    """An epoch after `previous` with a fresh key; `patient` is the newest own identity statement, verified.

    Raises `BelowFloorError` while that one's account key is of a suite below the floor.
    """
    session.require_suite(patient.body.suite, "your own keys")
    record = session.record
    epoch = 1 if previous is None else previous.body.epoch + 1
    compartment_key = KemPrivateKey.make(session.write_suite, random)
    salt = random(KEY_SIZE)
    body = Compartment(
        record=record,
        compartment=compartment,
        epoch=epoch,
        previous=None if previous is None else previous.hash,
        suite=compartment_key.suite,
        compartment_key=compartment_key.public_key,
        sealed_name=seal_compartment_name(
            name, record=record, compartment=compartment, epoch=epoch, compartment_key=compartment_key
        ),
        readers_commitment=commit_to_readers(salt, grants=readers, revocations=revocations),
        sealed_opening=seal_readers_opening(
            salt, record=record, compartment=compartment, epoch=epoch, patient=patient.body
        ),
        keyservice=session.keyservice.fingerprint,
        device=session.device,
        issued_at=session.clock(),
    )
    statement = session.sign(body)
    session.verified_epochs[statement.text] = statement
    own_copy = seal_compartment_key(compartment_key, compartment=statement, grant=None, reader=patient)
    return NewEpoch(statement, compartment_key, own_copy)


def check_own_copy(session: Session, sealed_keys: Sequence[SealedKey], epoch: NewEpoch) -> None:
    """Check that `sealed_keys`, read back, hold the patient's own copy of the key of `epoch`, and that it opens.

    Raises `AnswerError` if it is not there, else as `open_compartment_key`.
    """
    for sealed_key in sealed_keys:
        account_kem_key = session.keyring.account_kem_key(sealed_key.reader_statement)
        if (
            sealed_key.compartment_statement == epoch.statement.hash
            and sealed_key.grant is None
            and account_kem_key is not None
        ):
            open_compartment_key(sealed_key, compartment=epoch.statement, account_kem_key=account_kem_key)
            return
    raise AnswerError("the key service does not give back a key that it was just given: nothing was put under it")


def _mirror(session: Session, views: Both[AccessView]) -> AccessView:
    """The vault's view once it has every epoch that the key service has.

    A command that was cut between the two leaves the vault behind; whatever the vault alone has is left to
    `verify_access` to refuse.
    """
    known = set(views.vault.compartments)
    missing = tuple(text for text in views.keyservice.compartments if text not in known)
    if not missing:
        return views.vault
    person = session.people.verify_both(
        session.identity, vault=views.vault.patient, keyservice=views.keyservice.patient
    )
    verify_own(person, session.keyring)
    verify_chains(
        views.keyservice.compartments,
        record=session.record,
        patient=person,
        keyservice=session.keyservice.fingerprint,
        verified=session.verified_epochs,
    )
    for start in range(0, len(missing), MAX_STATEMENTS_PER_REQUEST):
        batch = missing[start : start + MAX_STATEMENTS_PER_REQUEST]
        update = RecordUpdate(statements=batch, sealed_keys=(), capsules=())
        session.vault.post(statements_path(session.record), update, Accepted)
    return views.vault.model_copy(update={"compartments": (*views.vault.compartments, *missing)})
