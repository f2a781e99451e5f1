"""A second device of the same person joins (spec `keys.md`, "A second device").

request = request_pairing(new_home, card, passphrase="…")        # on the new device: show text and code
answer = approve_device(session, PairingRequest.parse(text), name="tablet")  # on the old one, codes compared
session = join(new_home, answer, passphrase="…")                 # on the new one: compare whose identity it is
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from carnet.card import load_card, pin_card
from carnet.connections import open_http
from carnet.errors import NoHomeError, UsageError, VerificationError
from carnet.home import Home
from carnet.identity import check_free, fetch_own, publish_person, sign_device
from carnet.keyring import DEVICE_SECRET_FILE, HeldAccountKey, KeyringBody, create_keyring
from carnet.keys import AccountKey, DeviceSecret
from carnet.people import verify_bundle
from carnet.sealing import KemPrivateKey, PassphraseCost, Random, derive_key, open_message, seal_message
from carnet.session import OpenHttp, Session, read_clock
from carnet.short_code import derive_short_code, format_short_code
from carnet.slots import Slot, derive_passphrase_slot_key, make_passphrase_slot, open_slot
from carnet_protocol import labels
from carnet_protocol.api import PersonBundle
from carnet_protocol.authority import EnrolledDevice, Person
from carnet_protocol.encoding import format_canonical_json, pack, parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint, IdentityHash, StatementHash
from carnet_protocol.signing import SEED_SIZE, Signer, hash_statement
from carnet_protocol.statements import ServiceCard, Signed
from carnet_protocol.statements.people import SigningPublicKey
from carnet_protocol.suites import SIZES, Suite
from carnet_protocol.wire import Base64Bytes, SuiteNumber, WireModel

_PAIRING_FILE: Final = "pairing.json"


class _RequestFile(WireModel):
    device_key: SigningPublicKey
    format: Literal["carnet.device-request.v1"]
    kem_key: Base64Bytes
    suite: SuiteNumber

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.kem_key) != SIZES[self.suite].kem_public_key:
            raise ValueError("the key of a request has the size of its suite")
        return self


class _PairingFile(WireModel):
    format: Literal["carnet.device-pairing.v1"]
    request: str
    slot: Slot


class _AnswerKey(WireModel):
    key: Annotated[Base64Bytes, Field(min_length=AccountKey.SIZE, max_length=AccountKey.SIZE)]
    statement: StatementHash
    suite: SuiteNumber


class _AnswerFile(WireModel):
    account_keys: Annotated[tuple[_AnswerKey, ...], Field(min_length=1, strict=False)]
    card_key: Fingerprint
    format: Literal["carnet.device-answer.v1"]
    person: PersonBundle


@dataclass(frozen=True, slots=True)
class PairingRequest:
    """What a new device shows: `text` to be carried over, `short_code` to be compared on both screens."""

    text: str
    device_key: Ed25519PublicKey
    kem_key: bytes
    suite: Suite

    @classmethod
    def parse(cls, text: str) -> Self:
        """The request in `text`. Raises `UsageError` for anything else."""
        try:
            file = _RequestFile.model_validate(parse_canonical_json(text.strip().encode()))
        except (MalformedError, ValidationError) as error:
            raise UsageError("this is not what a new device shows: copy its whole text, or scan its code") from error
        return cls(text.strip(), file.device_key, file.kem_key, file.suite)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text: to what the answer is bound."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def short_code(self) -> str:
        """The code that both devices show."""
        return format_short_code(derive_short_code(IdentityHash(self.digest)))


def request_pairing(
    home: Home,
    card: Signed[ServiceCard],
    *,
    passphrase: str,
    clock: Callable[[], int] = read_clock,
    cost: PassphraseCost | None = None,
    random: Random = secrets.token_bytes,
) -> PairingRequest:
    """Begin to join, in the empty `home`: what to show to a device of the person. `join` comes next.

    Raises `HomeTakenError`, `UsageError`, or what pinning `card` raises.
    """
    home.create()
    with home.lock():
        check_free(home)
        pin_card(home, card)
        if not home.has(DEVICE_SECRET_FILE):
            home.store(DEVICE_SECRET_FILE, DeviceSecret.make(random).reveal())
        pairing_secret = AccountKey.make(random)
        device, kem_key = _derive_pairing_keys(pairing_secret, Suite(card.body.write_suite))
        file = _RequestFile(
            device_key=device.public_key,
            format="carnet.device-request.v1",
            kem_key=kem_key.public_key,
            suite=kem_key.suite,
        )
        request = PairingRequest.parse(format_canonical_json(file.model_dump(mode="json")).decode())
        slot, _ = make_passphrase_slot(
            pairing_secret,
            passphrase,
            home.load_device_secret(),
            identity=IdentityHash(request.digest),
            now=clock(),
            cost=cost,
            random=random,
        )
        pairing = _PairingFile(format="carnet.device-pairing.v1", request=request.text, slot=slot)
        home.store(_PAIRING_FILE, format_canonical_json(pairing.model_dump(mode="json")))
    return request


def approve_device(session: Session, request: PairingRequest, *, name: str) -> bytes:
    """Enrol the device of `request`, whose short code a person compared, and answer with the keys for it.

    Returns the sealed answer, which that device alone opens. Raises a `DataError` or a `TransportError`.
    """
    session.require_suite(request.suite, "the new device's keys")
    person = fetch_own(session)
    body = session.keyring.body
    device = sign_device(
        request.device_key,
        by=body.device_signer,
        enrolled_by=session.device,
        identity=session.identity,
        account_key=body.account_key,
        name=name,
        now=session.clock(),
    )
    publish_person(session, (device.text,), None)
    answer = _AnswerFile(
        account_keys=tuple(
            _AnswerKey(key=held.account_key.reveal(), statement=held.statement, suite=held.suite)
            for held in body.account_keys
        ),
        card_key=session.card.body.card_key.fingerprint(),
        format="carnet.device-answer.v1",
        person=PersonBundle(
            identities=tuple(signed.text for signed in person.chain),
            devices=(*(enrolled.statement.text for enrolled in person.devices.values()), device.text),
            removals=tuple(signed.text for signed in person.removals),
        ),
    )
    plaintext = format_canonical_json(answer.model_dump(mode="json"))
    return seal_message(plaintext, request.kem_key, suite=request.suite, info=_answer_info(request))


def join(
    home: Home,
    sealed_answer: bytes,
    *,
    passphrase: str,
    clock: Callable[[], int] = read_clock,
    open_client: OpenHttp = open_http,
    cost: PassphraseCost | None = None,
) -> Session:
    """Finish what `request_pairing` began in `home`. Show the short code of the session's identity to its owner.

    1. The passphrase opens the pairing secret.
    2. The answer opens with the key of the request, and names the key of the service card that is pinned here: whoever
       gave this device its card has not put servers or registrars of their own in the place of the owner's.
    3. The person in it proves itself, and enrolled this device.
    4. Each account key gives the public key in its identity statement, the newest among them.
    5. Both servers show the same person.

    Raises `NoHomeError`, `UnlockError`, a `DataError` or a `TransportError`.
    """
    # 1
    request, pairing_secret = _open_pairing(home, passphrase)
    device, kem_key = _derive_pairing_keys(pairing_secret, request.suite)
    # 2
    plaintext = open_message(sealed_answer, kem_key, info=_answer_info(request))
    try:
        answer = _AnswerFile.model_validate(parse_canonical_json(plaintext))
    except (MalformedError, ValidationError):
        raise VerificationError("the answer is of a newer Carnet: update Carnet here") from None
    card = load_card(home)
    if card.body.card_key.fingerprint() != answer.card_key:
        raise VerificationError(
            "the service card that this device was given is not of the deployment that your other device uses: begin "
            "again in a new home, with the card from there"
        )
    # 3
    person = verify_bundle(_identity_of(answer.person), answer.person)
    enrolled = _find_enrolled(person, device.public_key)
    # 4
    body = KeyringBody(
        role=person.role,
        device=enrolled.statement.hash,
        device_signer=device,
        account_keys=_verify_account_keys(answer, person),
        recovery_secret=None,
        person=answer.person,
        recovery=None,
    )
    with home.lock():
        check_free(home)
        keyring = create_keyring(home, body, identity=person.identity, passphrase=passphrase, now=clock(), cost=cost)
        home.remove(_PAIRING_FILE)
    session = Session(home, keyring, card, clock=clock, open_client=open_client)
    # 5
    fetch_own(session)
    return session


def _derive_pairing_keys(pairing_secret: AccountKey, suite: Suite) -> tuple[Signer, KemPrivateKey]:
    raw = pairing_secret.reveal()
    return (
        Signer(derive_key(raw, labels.PAIRING_DEVICE_SEED, size=SEED_SIZE)),
        KemPrivateKey(derive_key(raw, labels.PAIRING_KEM_SEED), suite),
    )


def _answer_info(request: PairingRequest) -> bytes:
    return pack(labels.DEVICE_PAIRING, request.digest)


def _open_pairing(home: Home, passphrase: str) -> tuple[PairingRequest, AccountKey]:
    if not home.has(_PAIRING_FILE):
        raise NoHomeError("nothing was begun here: show a request first, with `carnet device request`")
    try:
        file = _PairingFile.model_validate(parse_canonical_json(home.load(_PAIRING_FILE)))
        request = PairingRequest.parse(file.request)
    except (MalformedError, ValidationError, UsageError) as error:
        raise VerificationError("what was begun here was changed: begin again with `carnet device request`") from error
    key = derive_passphrase_slot_key(file.slot, passphrase, home.load_device_secret())
    return request, open_slot(file.slot, key, identity=IdentityHash(request.digest))


def _identity_of(bundle: PersonBundle) -> IdentityHash:
    return IdentityHash(hash_statement(bundle.identities[0]).raw)


def _find_enrolled(person: Person, device_key: Ed25519PublicKey) -> EnrolledDevice:
    for enrolled in person.devices.values():
        if enrolled.statement.body.device_key == device_key and enrolled.void_from is None:
            return enrolled
    raise VerificationError("the answer does not enrol this device: begin again on both")


def _verify_account_keys(answer: _AnswerFile, person: Person) -> tuple[HeldAccountKey, ...]:
    held = tuple(HeldAccountKey(key.statement, key.suite, AccountKey(key.key)) for key in answer.account_keys)
    public_keys = {signed.hash: signed.body.account_kem_key for signed in person.chain}
    for entry in held:
        if entry.account_key.derive_kem_key(entry.suite).public_key != public_keys.get(entry.statement):
            raise VerificationError("the answer holds an account key that is not this person's: begin again on both")
    if held[-1].statement != person.current.hash:
        raise VerificationError("the answer lacks the newest account key: begin again on both")
    return held
