"""People, registrars and deployments for tests: real statements with real signatures, from seeded randomness.

    dice = Dice("seed of this test")
    deployment = Deployment.make(dice)
    alice = make_person(dice, Role.PATIENT)
    bob = make_person(dice, Role.PRACTITIONER)
    attestation = deployment.registrar.attest(bob)

Sealed contents that only a person's own devices open (device names, recovery slots) are random bytes of the right
size. What belongs to a record is in `tests.support.records`.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Self

from carnet_protocol.ids import (
    AttestationId,
    Commitment,
    Ed25519PublicKey,
    Fingerprint,
    IdentityHash,
    Nonce,
    RecordId,
    StatementHash,
)
from carnet_protocol.requests import KeyId, sign_request
from carnet_protocol.signing import Signer
from carnet_protocol.statements import (
    Attestation,
    Device,
    Identity,
    Profession,
    Recovery,
    Removal,
    RevocationList,
    Role,
    Server,
    ServiceCard,
    Signed,
    Succession,
)
from carnet_protocol.statements.people import RECOVERY_SLOT_SIZE, SEALED_DEVICE_NAME_SIZE
from carnet_protocol.suites import WRITE_SUITE, Suite
from tests.support.hpke import KemKey, make_kem_key

NOW = 1_800_000_000
"""When stories of tests happen, unless they say otherwise: 2027-01-15T08:00:00Z."""
DAY = 86_400


class Dice:
    """Repeatable randomness: the same bytes for the same seed, in the order in which they are asked for."""

    def __init__(self, seed: str | int, suite: Suite = WRITE_SUITE) -> None:
        """Begin the stream of `seed`; KEM keys, and what else is of a suite, are of `suite`."""
        self.suite = suite
        self._seed = str(seed).encode()
        self._rolls = 0

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes."""
        self._rolls += 1
        return hashlib.shake_256(self._seed + b"/" + str(self._rolls).encode()).digest(size)

    def signer(self) -> Signer:
        """A fresh Ed25519 key."""
        return Signer(self(32))

    def kem_key(self) -> KemKey:
        """A fresh KEM key pair."""
        return make_kem_key(self(32), self.suite)


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """A device with its private key."""

    signer: Signer
    statement: Signed[Device]

    @property
    def hash(self) -> StatementHash:
        """The name of the device."""
        return self.statement.hash

    @property
    def key_id(self) -> KeyId:
        """What its requests name."""
        return KeyId(self.hash.raw)

    def sign_request(
        self, *, method: str, target: str, body: bytes, server: Fingerprint, now: int, nonce: Nonce | None = None
    ) -> dict[str, str]:
        """The headers of a request by this device."""
        return sign_request(
            method=method,
            target=target,
            body=body,
            server=server,
            key_id=self.key_id,
            created=now,
            sign=self.signer.sign,
            nonce=nonce,
        )


@dataclass(slots=True)
class OwnPerson:
    """A person with all private keys; grows as the person renews keys and enrols devices."""

    dice: Dice
    role: Role
    root: Signer
    chain: list[Signed[Identity]]
    account_keys: list[KemKey]
    devices: list[OwnDevice] = field(default_factory=list)
    removals: list[Signed[Removal]] = field(default_factory=list)

    @property
    def identity(self) -> IdentityHash:
        """The name of the person."""
        return IdentityHash(self.chain[0].hash.raw)

    @property
    def record(self) -> RecordId:
        """The person's record, if a patient."""
        return RecordId.of(self.identity)

    @property
    def current(self) -> Signed[Identity]:
        """The newest identity statement."""
        return self.chain[-1]

    @property
    def account_key(self) -> KemKey:
        """The newest account KEM key."""
        return self.account_keys[-1]

    @property
    def device(self) -> OwnDevice:
        """The first device."""
        return self.devices[0]

    def statements(self) -> list[str]:
        """Everything but recovery, in an order in which servers accept it."""
        people: list[Signed[Identity] | Signed[Device] | Signed[Removal]] = [*self.chain]
        people += [device.statement for device in self.devices]
        return [signed.text for signed in [*people, *self.removals]]

    def enrol(self, *, by: OwnDevice | None = None, at: int = NOW) -> OwnDevice:
        """Enrol a fresh device, by the root key or by a device."""
        signer = self.dice.signer()
        body = Device(
            identity=self.identity,
            device_key=signer.public_key,
            enrolled_by=None if by is None else by.hash,
            sealed_name=self.dice(SEALED_DEVICE_NAME_SIZE),
            issued_at=at,
        )
        device = OwnDevice(signer, Signed.sign(body, self.root if by is None else by.signer))
        self.devices.append(device)
        return device

    def remove(self, device: OwnDevice, *, since: int, at: int = NOW) -> Signed[Removal]:
        """Shut `device` out with the root key."""
        body = Removal(identity=self.identity, device=device.hash, since=since, issued_at=at)
        removal = Signed.sign(body, self.root)
        self.removals.append(removal)
        return removal

    def renew(self, *, new_root: bool = False, at: int = NOW) -> Signed[Identity]:
        """A later identity statement with a new account key, and a new root key if `new_root`."""
        root = self.dice.signer() if new_root else self.root
        account_key = self.dice.kem_key()
        body = Identity(
            suite=account_key.suite,
            role=self.role,
            serial=self.current.body.serial + 1,
            founding=self.identity,
            previous=self.current.hash,
            root_key=root.public_key,
            account_kem_key=account_key.public_key,
            recovery_commitment=Commitment(self.dice(32)),
            issued_at=at,
        )
        renewed = Signed.sign(body, self.root)
        self.root = root
        self.chain.append(renewed)
        self.account_keys.append(account_key)
        return renewed

    def recovery(self, *, at: int = NOW) -> Signed[Recovery]:
        """A recovery statement for the newest identity statement."""
        founding = len(self.chain) == 1
        body = Recovery(
            identity=self.identity,
            identity_statement=self.current.hash,
            sealed_account_key=self.dice(RECOVERY_SLOT_SIZE),
            sealed_previous=None if founding else self.dice(RECOVERY_SLOT_SIZE),
            issued_at=at,
        )
        return Signed.sign(body, self.root)

    def hand_over_to(self, successor: "OwnPerson", *, at: int = NOW) -> Signed[Succession]:
        """A succession from this practitioner to `successor`."""
        body = Succession(
            predecessor=self.identity,
            successor=successor.identity,
            successor_statement=successor.current.hash,
            issued_at=at,
        )
        return Signed.sign(body, self.root)


def make_person(dice: Dice, role: Role, *, at: int = NOW) -> OwnPerson:
    """A fresh person with one device."""
    root = dice.signer()
    account_key = dice.kem_key()
    body = Identity(
        suite=account_key.suite,
        role=role,
        serial=0,
        founding=None,
        previous=None,
        root_key=root.public_key,
        account_kem_key=account_key.public_key,
        recovery_commitment=Commitment(dice(32)),
        issued_at=at,
    )
    person = OwnPerson(dice, role, root, [Signed.sign(body, root)], [account_key])
    person.enrol(at=at)
    return person


@dataclass(slots=True)
class OwnRegistrar:
    """A registrar with its key and the attestations that it ended early."""

    dice: Dice
    signer: Signer
    revoked: set[AttestationId] = field(default_factory=set)
    number: int = 0

    @property
    def fingerprint(self) -> Fingerprint:
        """The name of the registrar."""
        return self.signer.public_key.fingerprint()

    def attest(
        self,
        person: OwnPerson,
        *,
        not_before: int = NOW - DAY,
        expires: int = NOW + 60 * DAY,
        succeeds: OwnPerson | None = None,
        profession: Profession = Profession.PHYSICIAN,
    ) -> Signed[Attestation]:
        """An attestation of `person` with the keys that they have now."""
        body = Attestation(
            id=AttestationId(self.dice(16)),
            registrar=self.fingerprint,
            subject=person.identity,
            subject_statement=person.current.hash,
            succeeds=None if succeeds is None else succeeds.identity,
            name="Dr. Test",
            profession=profession,
            organisation="Clinic of Tests",
            not_before=not_before,
            expires=expires,
        )
        return Signed.sign(body, self.signer)

    def publish_list(
        self, *revoked: Signed[Attestation], at: int = NOW - DAY, next_update: int = NOW + 30 * DAY
    ) -> Signed[RevocationList]:
        """The next revocation list; `revoked` joins what was revoked before."""
        self.revoked |= {attestation.body.id for attestation in revoked}
        self.number += 1
        body = RevocationList(
            registrar=self.fingerprint,
            number=self.number,
            issued_at=at,
            next_update=next_update,
            revoked=tuple(sorted(self.revoked)),
        )
        return Signed.sign(body, self.signer)


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server's two keys."""

    key: Signer
    log_key: Signer
    origin: str

    @property
    def fingerprint(self) -> Fingerprint:
        """The name of the server."""
        return self.key.public_key.fingerprint()

    def entry(self) -> Server:
        """Its place in a service card."""
        return Server(origin=self.origin, key=self.key.public_key, log_key=self.log_key.public_key)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A vault, a key service and a registrar, with the service card that describes them."""

    vault: OwnServer
    keyservice: OwnServer
    registrar: OwnRegistrar
    card_key: Signer
    card: Signed[ServiceCard]

    @classmethod
    def make(
        cls,
        dice: Dice,
        *,
        vault_origin: str = "http://127.0.0.1:7801",
        keyservice_origin: str = "http://127.0.0.1:7802",
        write: Suite | None = None,
    ) -> Self:
        """A fresh deployment that writes the suite of `dice`, or `write`, and reads nothing below that of `dice`."""
        vault = OwnServer(dice.signer(), dice.signer(), vault_origin)
        keyservice = OwnServer(dice.signer(), dice.signer(), keyservice_origin)
        registrar = OwnRegistrar(dice, dice.signer())
        card_key = dice.signer()
        body = ServiceCard(
            card_key=card_key.public_key,
            serial=1,
            name="Tests",
            vault=vault.entry(),
            keyservice=keyservice.entry(),
            registrars=(registrar.signer.public_key,),
            witnesses=(),
            suite_floor=dice.suite,
            write_suite=write or dice.suite,
            issued_at=NOW - 365 * DAY,
        )
        return cls(vault, keyservice, registrar, card_key, Signed.sign(body, card_key))

    def change_suites(self, *, floor: int, write: int) -> Self:
        """The same deployment with its next card, which says so."""
        changed = {"serial": self.card.body.serial + 1, "suite_floor": floor, "write_suite": write}
        return replace(self, card=Signed.sign(self.card.body.model_copy(update=changed), self.card_key))

    @property
    def registrar_keys(self) -> tuple[Ed25519PublicKey, ...]:
        """The registrar keys that the card pins."""
        return self.card.body.registrars
