"""Making an identity and letting both servers know of it; renewing its account key (spec `keys.md`, `statements.md`).

    session = make_identity(Home(path), card, Role.PATIENT, passphrase="correct horse battery", device_name="laptop")
    register(session)

Everything that is needed later is on disk before a server hears of it, so a cut anywhere is mended by `register`.
"""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from carnet.boxes import open_device_name, seal_device_name
from carnet.card import pin_card
from carnet.connections import open_http
from carnet.errors import DecryptionError, HomeTakenError, RollbackError, UnauthenticatedError, UnlockError
from carnet.home import Home
from carnet.keyring import KEYRING_FILE, HeldAccountKey, KeyringBody, create_keyring
from carnet.keys import AccountKey, RecoverySecret, seal_previous_account_key, seal_recovery_slot
from carnet.outbox import Step
from carnet.people import verify_own
from carnet.receipts import verify_receipts
from carnet.sealing import PassphraseCost, Random
from carnet.session import OpenHttp, Session, read_clock
from carnet.slots import Slot, check_passphrase
from carnet.state import STATE_FOLDER
from carnet.succession import ask_person
from carnet.transport import ServerClient, ServerName
from carnet_protocol.api import Accepted, PeopleUpdate, PersonBundle
from carnet_protocol.authority import Person
from carnet_protocol.ids import Ed25519PublicKey, IdentityHash, StatementHash
from carnet_protocol.signing import SEED_SIZE, Signer
from carnet_protocol.statements import Device, Identity, Recovery, Role, ServiceCard, Signed
from carnet_protocol.suites import Suite

_T = TypeVar("_T")
PEOPLE_PATH: Final = "/v1/people"
_UNNAMED: Final = "this device"
UNOPENED: Final = "record-unopened"
"""Local state of a patient made here whose record nobody can have opened yet."""
UNREGISTERED: Final = "person-unregistered"
"""Local state of a home whose person, or whose device, no server may have heard of yet."""


def make_identity(
    home: Home,
    card: Signed[ServiceCard],
    role: Role,
    *,
    passphrase: str,
    device_name: str,
    clock: Callable[[], int] = read_clock,
    open_client: OpenHttp | None = None,
    cost: PassphraseCost | None = None,
    random: Random = secrets.token_bytes,
) -> Session:
    """A new person in the empty `home`, not yet known to any server: `register` comes next.

    Raises `HomeTakenError`, `UsageError`, or what pinning `card` raises.
    """
    check_passphrase(passphrase)
    home.create()
    with home.lock():
        check_free(home)
        pin_card(home, card)
        suite = Suite(card.body.write_suite)
        body, identity = _make_body(role, suite, device_name=device_name, now=clock(), random=random)
        keyring = create_keyring(home, body, identity=identity, passphrase=passphrase, now=clock(), cost=cost)
    session = Session(home, keyring, card, clock=clock, open_client=open_client or open_http)
    note_unregistered(session)
    if role is Role.PATIENT:
        session.state.store(UNOPENED, {"format": "carnet.record-unopened.v1"})
    return session


def note_unregistered(session: Session) -> None:
    """Note that `register` has not told both servers yet of who lives in this home now."""
    session.state.store(UNREGISTERED, {"format": "carnet.person-unregistered.v1"})


def is_unregistered(home: Home) -> bool:
    """Whether `home` says that `register` has not told both servers yet of who lives there."""
    return home.has(f"{STATE_FOLDER}/{UNREGISTERED}")


def check_free(home: Home) -> None:
    """Check that nobody lives in `home`. Raises `HomeTakenError`."""
    if home.has(KEYRING_FILE):
        raise HomeTakenError(f"somebody lives in {home.path} already: name another home, or use `carnet whoami`")


def _make_body(
    role: Role, suite: Suite, *, device_name: str, now: int, random: Random
) -> tuple[KeyringBody, IdentityHash]:
    recovery_secret = RecoverySecret.make(random)
    root = recovery_secret.derive_root_signer()
    account_key = AccountKey.make(random)
    founding = Signed.sign(
        Identity(
            suite=suite,
            role=role,
            serial=0,
            founding=None,
            previous=None,
            root_key=root.public_key,
            account_kem_key=account_key.derive_kem_key(suite).public_key,
            recovery_commitment=recovery_secret.derive_commitment(),
            issued_at=now,
        ),
        root,
    )
    identity = IdentityHash(founding.hash.raw)
    signer = Signer(random(SEED_SIZE))
    device = sign_device(
        signer.public_key,
        by=root,
        enrolled_by=None,
        identity=identity,
        account_key=account_key,
        name=device_name,
        now=now,
    )
    recovery = _sign_recovery(
        recovery_secret, account_key, statement=founding, identity=identity, previous=None, now=now
    )
    body = KeyringBody(
        role=role,
        device=device.hash,
        device_signer=signer,
        account_keys=(HeldAccountKey(founding.hash, suite, account_key),),
        recovery_secret=recovery_secret,
        person=PersonBundle(identities=(founding.text,), devices=(device.text,), removals=()),
        recovery=recovery.text,
    )
    return body, identity


def sign_device(
    device_key: Ed25519PublicKey,
    *,
    by: Signer,
    enrolled_by: StatementHash | None,
    identity: IdentityHash,
    account_key: AccountKey,
    name: str,
    now: int,
) -> Signed[Device]:
    """The statement that enrols `device_key`, signed by the root key, or by the device `enrolled_by`.

    Raises `UsageError` for a name that does not fit.
    """
    sealed_name = seal_device_name(
        name, identity=identity, device_key=device_key, device_name_key=account_key.derive_device_name_key()
    )
    body = Device(
        identity=identity, device_key=device_key, enrolled_by=enrolled_by, sealed_name=sealed_name, issued_at=now
    )
    return Signed.sign(body, by)


def register(session: Session) -> None:
    """Let both servers know of this session's person; again and again without harm.

    Raises a `TransportError`; the same call mends whatever was cut.
    """
    body = session.keyring.body
    statements = (*body.person.identities, *body.person.devices, *body.person.removals)
    recovery = () if body.recovery is None else (body.recovery,)

    def tell(server: ServerClient) -> None:
        texts = (*statements, *recovery) if server is session.keyservice else statements
        accepted = server.post(PEOPLE_PATH, PeopleUpdate(statements=texts), Accepted)
        verify_receipts(accepted.receipts, server, count=len(texts))

    session.ask_both(tell)
    session.state.remove(UNREGISTERED)


def ask_as_registered(session: Session, ask: Callable[[], _T]) -> _T:
    """What `ask` returns.

    Where a server has not heard of this device, or of all that this person signed, because an earlier command was cut,
    both are told and asked again. Raises what `ask` raises then, or a `TransportError`.
    """
    try:
        return ask()
    except (RollbackError, UnauthenticatedError):
        register(session)
        return ask()


def publish_person(session: Session, statements: Sequence[str], recovery: str | None) -> None:
    """Let both servers know of own `statements`; the key service alone of `recovery`. Raises a `TransportError`."""
    with_recovery = (*statements, *(() if recovery is None else (recovery,)))
    session.outbox.send(
        [
            Step(ServerName.KEYSERVICE, PEOPLE_PATH, PeopleUpdate(statements=with_recovery)),
            Step(ServerName.VAULT, PEOPLE_PATH, PeopleUpdate(statements=tuple(statements))),
        ]
    )


def fetch_own(session: Session) -> Person:
    """The person of this session, as both servers show them, with the keys that the keyring holds.

    What the servers have not heard of, because an earlier command was cut, they are told first. Raises a `DataError` or
    a `TransportError`.
    """
    return ask_as_registered(session, lambda: _fetch_own(session))


def _fetch_own(session: Session) -> Person:
    views = ask_person(session, session.identity)
    person = session.people.verify_both(session.identity, vault=views.vault.person, keyservice=views.keyservice.person)
    verify_own(person, session.keyring)
    return person


def renew_account_key(
    session: Session,
    recovery_secret: RecoverySecret,
    *,
    new_kit: RecoverySecret | None = None,
    random: Random = secrets.token_bytes,
) -> tuple[Slot, ...]:
    """A new account key, of the write suite, under a later identity statement.

    With `new_kit` the root key is a new one too: the words of before open nothing that comes after, and the new ones
    wait in the keyring to be printed. Every device falls with the root key under which it was enrolled; this one is
    enrolled anew, under a new key of its own.

    1. The words are those of the newest root key.
    2. The new account key is in the keyring and sealed to the recovery words before anyone hears of it.
    3. Both servers accept the statements, or what is missing is sent with the next command.

    Returns the ways to unlock that fell away, because they were not used in this session: add them anew. Epochs of
    compartments are not renewed here. Raises `UnlockError`, a `DataError` or a `TransportError`.
    """
    # 1
    person = fetch_own(session)
    root = recovery_secret.derive_root_signer()
    if root.public_key != person.root_key:
        raise UnlockError("these words are not those of this identity's newest recovery kit: take the newest page")
    # 2
    now = session.clock()
    account_key = AccountKey.make(random)
    kit = new_kit or recovery_secret
    current = person.current
    renewed = Signed.sign(
        Identity(
            suite=session.write_suite,
            role=person.role,
            serial=current.body.serial + 1,
            founding=person.identity,
            previous=current.hash,
            root_key=kit.derive_root_signer().public_key,
            account_kem_key=account_key.derive_kem_key(session.write_suite).public_key,
            recovery_commitment=kit.derive_commitment(),
            # Devices of the replaced root key fall then: what they signed in this very second still counts.
            issued_at=now if new_kit is None else now + 1,
        ),
        root,
    )
    body = session.keyring.body
    previous = next(held for held in body.account_keys if held.statement == current.hash)
    recovery = _sign_recovery(kit, account_key, statement=renewed, identity=person.identity, previous=previous, now=now)
    signer, device = body.device_signer, body.device
    enrolled: tuple[str, ...] = ()
    if new_kit is not None:
        signer = Signer(random(SEED_SIZE))
        enrolment = sign_device(
            signer.public_key,
            by=kit.derive_root_signer(),
            enrolled_by=None,
            identity=person.identity,
            account_key=account_key,
            name=open_own_device_name(session, person.devices[body.device].statement) or _UNNAMED,
            now=now,
        )
        device, enrolled = enrolment.hash, (enrolment.text,)
    bundle = PersonBundle(
        identities=(*(signed.text for signed in person.chain), renewed.text),
        devices=(*(known.statement.text for known in person.devices.values()), *enrolled),
        removals=tuple(signed.text for signed in person.removals),
    )
    dropped = session.keyring.replace_body(
        replace(
            body,
            device=device,
            device_signer=signer,
            account_keys=(*body.account_keys, HeldAccountKey(renewed.hash, renewed.body.suite, account_key)),
            person=bundle,
            recovery=recovery.text,
            recovery_secret=body.recovery_secret if new_kit is None else new_kit,
        )
    )
    # 3
    publish_person(session, (renewed.text, *enrolled), recovery.text)
    return dropped


def open_own_device_name(session: Session, device: Signed[Device]) -> str | None:
    """The name of a device of this person; None if it was sealed under an account key that this one never had."""
    for held in session.keyring.body.account_keys:
        with suppress(DecryptionError):
            return open_device_name(
                device.body.sealed_name,
                identity=session.identity,
                device_key=device.body.device_key,
                device_name_key=held.account_key.derive_device_name_key(),
            )
    return None


def _sign_recovery(
    recovery_secret: RecoverySecret,
    account_key: AccountKey,
    *,
    statement: Signed[Identity],
    identity: IdentityHash,
    previous: HeldAccountKey | None,
    now: int,
) -> Signed[Recovery]:
    """The statement that holds `account_key`, of `statement`, for the recovery words, and with it the one before."""
    sealed_previous = None
    if previous is not None:
        sealed_previous = seal_previous_account_key(
            previous.account_key, account_key, identity=identity, previous_statement=previous.statement
        )
    body = Recovery(
        identity=identity,
        identity_statement=statement.hash,
        sealed_account_key=seal_recovery_slot(
            account_key, recovery_secret, identity=identity, statement=statement.hash
        ),
        sealed_previous=sealed_previous,
        issued_at=now,
    )
    return Signed.sign(body, recovery_secret.derive_root_signer())
