"""The recovery kit: printing it, forgetting what it holds, and beginning anew from it (promise P14).

Whoever holds the twenty-four words holds the root key: can shut devices out, renew keys, and open everything with the
account keys that the recovery statements hold. Until the kit was printed the words lie in the keyring, sealed; then
they are nowhere but on paper.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from carnet.card import pin_card
from carnet.connections import open_http
from carnet.errors import DecryptionError, HomeTakenError, UnlockError, UsageError, VerificationError
from carnet.home import Home
from carnet.identity import check_free, fetch_own, is_unregistered, note_unregistered, register, sign_device
from carnet.keyring import (
    KEYRING_FILE,
    HeldAccountKey,
    Keyring,
    KeyringBody,
    create_keyring,
    load_keyring_identity,
    open_keyring,
)
from carnet.keys import (
    RecoverySecret,
    open_previous_account_key,
    open_recovery_slot,
    verify_recovery_commitment,
)
from carnet.people import verify_bundle
from carnet.sealing import PassphraseCost, Random
from carnet.session import OpenHttp, Session, open_servers, read_clock
from carnet.short_code import derive_short_code, format_short_code
from carnet.slots import check_passphrase
from carnet.transport import KeySigner
from carnet_protocol.api import PersonBundle, RecoveryView
from carnet_protocol.authority import Person
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_protocol.requests import KeyId
from carnet_protocol.signing import SEED_SIZE, Signer, hash_statement
from carnet_protocol.statements import Recovery, ServiceCard, Signed


@dataclass(frozen=True, slots=True, repr=False)
class RecoveryKit:
    """What the recovery page shows. The words are a secret."""

    words: tuple[str, ...]
    identity: IdentityHash
    short_code: str
    card: Signed[ServiceCard]

    def __repr__(self) -> str:
        """No secret."""
        return f"RecoveryKit({self.identity}, ****)"


def read_kit(session: Session) -> RecoveryKit:
    """The kit, to be printed; `forget_kit` comes after it was. Raises `UsageError` once it was forgotten."""
    recovery_secret = session.keyring.body.recovery_secret
    if recovery_secret is None:
        raise UsageError(
            "the recovery kit was printed before and is nowhere but on that paper: make a new one with "
            "`carnet recovery renew`, which asks for its words"
        )
    return RecoveryKit(
        words=recovery_secret.words(),
        identity=session.identity,
        short_code=format_short_code(derive_short_code(session.identity)),
        card=session.card,
    )


def forget_kit(session: Session, confirmed: RecoverySecret) -> None:
    """Forget the recovery words, once a person showed that the printed ones are right.

    1. `confirmed`, read from the paper, is the secret that the keyring holds.
    2. The key service holds the account key that they open.

    Raises `UnlockError`, or a `TransportError`; then nothing was forgotten.
    """
    body = session.keyring.body
    if body.recovery_secret is None:
        return
    # 1
    try:
        verify_recovery_commitment(confirmed, body.recovery_secret.derive_commitment())
    except DecryptionError as error:
        raise UnlockError("these words are not the ones that were printed: compare them with the page") from error
    # 2
    register(session)
    session.keyring.replace_body(replace(body, recovery_secret=None))


def restore(
    home: Home,
    card: Signed[ServiceCard],
    recovery_secret: RecoverySecret,
    *,
    passphrase: str,
    device_name: str,
    clock: Callable[[], int] = read_clock,
    open_client: OpenHttp = open_http,
    cost: PassphraseCost | None = None,
    random: Random = secrets.token_bytes,
) -> Session:
    """The session of the person whose words these are, in the empty `home`, as a new device.

    In a home where the same was begun and cut before both servers had heard, `passphrase` is the one of then, and it
    goes on with the device of then.

    1. The key service shows, to the root key alone, the person and their recovery statements.
    2. The person proves itself; its newest root key and commitment are those of the words.
    3. The newest recovery statement opens, and with its account key the one before, and so on to the first.
    4. Each account key gives the public key in its identity statement.
    5. A new device, enrolled by the root key, is in the keyring before the servers hear of it.
    6. Both servers hear of it, and the vault shows the same person.

    Raises `HomeTakenError`, `UsageError`, `UnlockError`, a `DataError` or a `TransportError`.
    """
    check_passphrase(passphrase)
    root = recovery_secret.derive_root_signer()
    # 1
    view = _fetch(card, root, clock=clock, open_client=open_client)
    # 2
    person = _verify_person(view, root, recovery_secret)
    recoveries = _verify_recoveries(view, person)
    # 3, 4
    held = _open_account_keys(person, recoveries, recovery_secret)
    # 5
    home.create()
    with home.lock():
        check_restorable(home)
        pin_card(home, card)
        if home.has(KEYRING_FILE):
            keyring = _open_begun(home, person.identity, passphrase)
        else:
            body = _make_body(view, person, held, root=root, device_name=device_name, now=clock(), random=random)
            keyring = create_keyring(
                home, body, identity=person.identity, passphrase=passphrase, now=clock(), cost=cost
            )
    session = Session(home, keyring, card, clock=clock, open_client=open_client)
    note_unregistered(session)
    session.people.verify(person.identity, view.person)
    # 6
    register(session)
    fetch_own(session)
    return session


def check_restorable(home: Home) -> None:
    """Check that nobody lives in `home`, or somebody of whom the servers may not know. Raises `HomeTakenError`."""
    if not is_unregistered(home):
        check_free(home)


def _open_begun(home: Home, identity: IdentityHash, passphrase: str) -> Keyring:
    """The keyring of `identity` that a command before this one left in `home`."""
    if load_keyring_identity(home) != identity:
        raise HomeTakenError(f"somebody else lives in {home.path} already: name another home")
    try:
        return open_keyring(home, passphrase=passphrase)
    except UnlockError as error:
        raise UnlockError(
            f"this was begun before in {home.path}, under another passphrase: give that one, or name another home"
        ) from error


def _make_body(
    view: RecoveryView,
    person: Person,
    held: tuple[HeldAccountKey, ...],
    *,
    root: Signer,
    device_name: str,
    now: int,
    random: Random,
) -> KeyringBody:
    """Step 5 of `restore`."""
    signer = Signer(random(SEED_SIZE))
    device = sign_device(
        signer.public_key,
        by=root,
        enrolled_by=None,
        identity=person.identity,
        account_key=held[-1].account_key,
        name=device_name,
        now=now,
    )
    return KeyringBody(
        role=person.role,
        device=device.hash,
        device_signer=signer,
        account_keys=held,
        recovery_secret=None,
        person=PersonBundle(
            identities=view.person.identities,
            devices=(*view.person.devices, device.text),
            removals=view.person.removals,
        ),
        recovery=None,
    )


def _fetch(card: Signed[ServiceCard], root: Signer, *, clock: Callable[[], int], open_client: OpenHttp) -> RecoveryView:
    signer = KeySigner(KeyId(root.public_key.fingerprint().raw), root.sign)
    vault, keyservice = open_servers(card, clock=clock, open_client=open_client, signer=signer)
    try:
        return keyservice.get("/v1/recovery", RecoveryView)
    finally:
        vault.close()
        keyservice.close()


def _verify_person(view: RecoveryView, root: Signer, recovery_secret: RecoverySecret) -> Person:
    """Step 2 of `restore`. The identity hash is that of the founding statement which the key service shows."""
    founding = _founding_hash(view)
    person = verify_bundle(IdentityHash(founding.raw), view.person)
    if person.root_key != root.public_key:
        raise UnlockError("these words are of an older recovery kit: take the page that was printed last")
    verify_recovery_commitment(recovery_secret, person.current.body.recovery_commitment)
    return person


def _founding_hash(view: RecoveryView) -> StatementHash:

    return hash_statement(view.person.identities[0])


def _verify_recoveries(view: RecoveryView, person: Person) -> dict[StatementHash, Signed[Recovery]]:
    """The newest recovery statement for each identity statement, signed by the root key of that statement."""
    recoveries: dict[StatementHash, Signed[Recovery]] = {}
    for text in view.recoveries:
        try:
            signed = Signed.parse(text, Recovery)
            signed.verify(person.statement(signed.body.identity_statement).body.root_key)
        except ProtocolError as error:
            raise VerificationError("the key service shows a recovery statement that is not yours") from error
        if signed.body.identity != person.identity:
            raise VerificationError("the key service shows a recovery statement that is not yours")
        recoveries[signed.body.identity_statement] = signed
    if person.current.hash not in recoveries:
        raise VerificationError("the key service holds no account key for your newest identity: ask its operator")
    return recoveries


def _open_account_keys(
    person: Person, recoveries: dict[StatementHash, Signed[Recovery]], recovery_secret: RecoverySecret
) -> tuple[HeldAccountKey, ...]:
    """Steps 3 and 4 of `restore`, oldest first."""
    newest_first = list(reversed(person.chain))
    account_key = open_recovery_slot(recoveries[person.current.hash].body, recovery_secret)
    held: list[HeldAccountKey] = []
    for statement, previous in zip(newest_first, [*newest_first[1:], None], strict=True):
        if account_key.derive_kem_key(statement.body.suite).public_key != statement.body.account_kem_key:
            raise VerificationError("an account key that was kept for you is not yours: ask the key service's operator")
        held.append(HeldAccountKey(statement.hash, statement.body.suite, account_key))
        recovery = recoveries.get(statement.hash)
        if previous is None or recovery is None or recovery.body.sealed_previous is None:
            break
        account_key = open_previous_account_key(
            recovery.body.sealed_previous,
            account_key,
            identity=person.identity,
            previous_statement=previous.hash,
        )
    return tuple(reversed(held))
