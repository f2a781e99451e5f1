"""What a patient makes of a record, for tests: compartments, grants, filings, capsules; real statements, real seals.

    alice = make_person(dice, Role.PATIENT)
    own = OwnRecord(dice, alice, deployment)
    general = own.open_compartment()
    grant = own.grant(bob, attestation, compartments=[general])
    capsule = own.capsule(version, KeyRole.CONTENT, general, lock)

Notes, openings and names are random bytes of the right size: nothing that these tests do opens them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from carnet_protocol.api import Capsule, RecordUpdate, ReleaseItem, SealedKey
from carnet_protocol.api.capsules import CompartmentRecipient, PersonalRecipient
from carnet_protocol.ids import (
    Commitment,
    CompartmentId,
    DocumentId,
    DocumentSalt,
    Fingerprint,
    GrantId,
    IdentityHash,
    RecordId,
    StatementHash,
    derive_document_id,
)
from carnet_protocol.sealed_box import COMPARTMENT_NAME_SIZE, NOTE_SIZE, BoxKind, box_size
from carnet_protocol.signing import Signer
from carnet_protocol.statements import (
    Attestation,
    Closing,
    Compartment,
    Erasure,
    Filing,
    Grant,
    Lock,
    Permission,
    Purpose,
    Revocation,
    Signed,
    Tombstone,
    TombstoneReason,
)
from carnet_protocol.statements.records import READERS_SALT_SIZE
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import IdentityTuple, KeyRole, sealed_compartment_key_info
from tests.support.hpke import KemKey, seal
from tests.support.people import DAY, NOW, Deployment, Dice, OwnDevice, OwnPerson


@dataclass(slots=True)
class OwnCompartment:
    """A compartment with the private keys of all its epochs."""

    id: CompartmentId
    epochs: list[Signed[Compartment]] = field(default_factory=list)
    keys: list[KemKey] = field(default_factory=list)

    @property
    def newest(self) -> Signed[Compartment]:
        """The statement of the newest epoch."""
        return self.epochs[-1]

    @property
    def key(self) -> KemKey:
        """The key pair of the newest epoch."""
        return self.keys[-1]


@dataclass(frozen=True, slots=True)
class OwnVersion:
    """A version of a document with its two keys."""

    identity: IdentityTuple
    salt: DocumentSalt
    content_key: bytes
    metadata_key: bytes

    @property
    def document(self) -> DocumentId:
        """The document."""
        return self.identity.document

    def key(self, role: KeyRole) -> bytes:
        """The key of `role`."""
        return self.content_key if role is KeyRole.CONTENT else self.metadata_key


def make_version(
    dice: Dice, record: RecordId, author: IdentityHash, *, salt: DocumentSalt | None = None, version: int = 1
) -> OwnVersion:
    """A version of a fresh document, or of the one that `salt` makes."""
    salt = salt or DocumentSalt(dice(32))
    document = derive_document_id(record, author, salt)
    return OwnVersion(IdentityTuple(dice.suite, record, document, version, author), salt, dice(32), dice(32))


def update_of(
    *statements: Signed[Compartment]
    | Signed[Closing]
    | Signed[Filing]
    | Signed[Grant]
    | Signed[Revocation]
    | Signed[Tombstone],
    sealed_keys: Sequence[SealedKey] = (),
) -> RecordUpdate:
    """The request that brings `statements` and `sealed_keys`."""
    return RecordUpdate(
        statements=tuple(signed.text for signed in statements), sealed_keys=tuple(sealed_keys), capsules=()
    )


@dataclass(slots=True)
class OwnRecord:
    """A record as its patient makes it. Each method signs with the first device, or with `device`."""

    dice: Dice
    patient: OwnPerson
    deployment: Deployment

    @property
    def id(self) -> RecordId:
        """The record."""
        return self.patient.record

    def open_compartment(self, *, at: int = NOW, device: OwnDevice | None = None) -> OwnCompartment:
        """A fresh compartment at epoch 1."""
        compartment = OwnCompartment(CompartmentId(self.dice(16)))
        self.next_epoch(compartment, at=at, device=device)
        return compartment

    def next_epoch(
        self, compartment: OwnCompartment, *, at: int = NOW, device: OwnDevice | None = None
    ) -> Signed[Compartment]:
        """The next epoch of `compartment`, with a fresh key; it becomes the newest."""
        key = self.dice.kem_key()
        signer = device or self.patient.device
        body = Compartment(
            record=self.id,
            compartment=compartment.id,
            epoch=len(compartment.epochs) + 1,
            previous=compartment.newest.hash if compartment.epochs else None,
            suite=key.suite,
            compartment_key=key.public_key,
            sealed_name=self.dice(box_size(key.suite, COMPARTMENT_NAME_SIZE)),
            readers_commitment=Commitment(self.dice(32)),
            sealed_opening=self.dice(box_size(self.patient.account_key.suite, READERS_SALT_SIZE)),
            keyservice=self.deployment.keyservice.fingerprint,
            device=signer.hash,
            issued_at=at,
        )
        signed = Signed.sign(body, signer.signer)
        compartment.epochs.append(signed)
        compartment.keys.append(key)
        return signed

    def close_epoch(self, compartment: OwnCompartment, *, epoch: int, at: int = NOW) -> Signed[Closing]:
        """A closing of `epoch`."""
        body = Closing(
            record=self.id,
            compartment=compartment.id,
            epoch=epoch,
            compartment_statement=compartment.epochs[epoch - 1].hash,
            device=self.patient.device.hash,
            issued_at=at,
        )
        return Signed.sign(body, self.patient.device.signer)

    def sealed_key(
        self, compartment: OwnCompartment, *, grant: Signed[Grant] | None = None, reader: OwnPerson | None = None
    ) -> SealedKey:
        """The newest key of `compartment`, sealed to `reader` under `grant`, or to the patient."""
        reader = reader or self.patient
        info = sealed_compartment_key_info(
            reader.account_key.suite,
            compartment_statement=compartment.newest.hash,
            grant=None if grant is None else grant.hash,
            reader_statement=reader.current.hash,
        )
        sealed = seal(
            reader.account_key.public_key,
            info,
            compartment.key.seed,
            kind=BoxKind.SEALED_COMPARTMENT_KEY,
            suite=reader.account_key.suite,
        )
        return SealedKey(
            compartment_statement=compartment.newest.hash,
            grant=None if grant is None else grant.hash,
            reader_statement=reader.current.hash,
            sealed=sealed,
        )

    def grant(
        self,
        grantee: OwnPerson,
        attestation: Signed[Attestation],
        *,
        compartments: Sequence[OwnCompartment] = (),
        documents: Sequence[DocumentId] = (),
        permission: Permission = Permission.READ,
        not_before: int = NOW - 60,
        expires: int = NOW + 30 * 60,
        at: int = NOW,
        device: OwnDevice | None = None,
        grant_id: GrantId | None = None,
    ) -> Signed[Grant]:
        """A grant to `grantee`, half an hour long."""
        signer = device or self.patient.device
        body = Grant(
            record=self.id,
            id=grant_id or GrantId(self.dice(16)),
            grantee=grantee.identity,
            grantee_statement=grantee.current.hash,
            attestation=attestation.hash,
            permission=permission,
            compartments=tuple(sorted(compartment.id for compartment in compartments)),
            documents=tuple(sorted(documents)),
            not_before=not_before,
            expires=expires,
            purpose=Purpose.CONSULTATION,
            sealed_note=self.dice(box_size(grantee.account_key.suite, NOTE_SIZE)),
            vault=self.deployment.vault.fingerprint,
            keyservice=self.deployment.keyservice.fingerprint,
            device=signer.hash,
            issued_at=at,
        )
        return Signed.sign(body, signer.signer)

    def revoke(self, grant: Signed[Grant], *, at: int = NOW) -> Signed[Revocation]:
        """A revocation of `grant`."""
        body = Revocation(
            record=self.id,
            grant_id=grant.body.id,
            grant=grant.hash,
            device=self.patient.device.hash,
            issued_at=at,
        )
        return Signed.sign(body, self.patient.device.signer)

    def erase(
        self,
        *,
        root: Signer | None = None,
        vault: Fingerprint | None = None,
        keyservice: Fingerprint | None = None,
        at: int = NOW,
    ) -> Signed[Erasure]:
        """An erasure of the record, by the newest root key and for both servers unless said otherwise."""
        body = Erasure(
            record=self.id,
            vault=vault or self.deployment.vault.fingerprint,
            keyservice=keyservice or self.deployment.keyservice.fingerprint,
            issued_at=at,
        )
        return Signed.sign(body, root or self.patient.root)

    def file(
        self,
        document: DocumentId,
        compartment: OwnCompartment,
        *,
        previous: Signed[Filing] | None = None,
        at: int = NOW,
    ) -> Signed[Filing]:
        """A filing of `document` into `compartment`, after `previous`."""
        body = Filing(
            record=self.id,
            document=document,
            serial=1 if previous is None else previous.body.serial + 1,
            previous=None if previous is None else previous.hash,
            compartment=compartment.id,
            device=self.patient.device.hash,
            issued_at=at,
        )
        return Signed.sign(body, self.patient.device.signer)

    def entomb(
        self, document: DocumentId, manifest: StatementHash, *, by: OwnPerson | None = None, at: int = NOW
    ) -> Signed[Tombstone]:
        """A tombstone of `document` by the patient, or by its author."""
        maker = by or self.patient
        body = Tombstone(
            record=self.id,
            document=document,
            manifest=manifest,
            by=maker.identity,
            device=maker.device.hash,
            reason=TombstoneReason.MISFILED,
            issued_at=at,
        )
        return Signed.sign(body, maker.device.signer)

    def capsule(self, version: OwnVersion, role: KeyRole, compartment: OwnCompartment, lock: Signed[Lock]) -> Capsule:
        """The key of `role`, sealed to the newest key of `compartment` and then to `lock`."""
        recipient = CompartmentRecipient(compartment=compartment.id, compartment_statement=compartment.newest.hash)
        return _seal_capsule(version, role, lock, compartment=recipient, to=compartment.key)

    def personal_capsule(
        self, version: OwnVersion, role: KeyRole, grant: Signed[Grant], grantee: OwnPerson, lock: Signed[Lock]
    ) -> Capsule:
        """The key of `role`, sealed to the account key of `grantee` and then to `lock`."""
        recipient = PersonalRecipient(
            grant=grant.hash, grantee=grantee.identity, grantee_statement=grantee.current.hash
        )
        return _seal_capsule(version, role, lock, personal=recipient, to=grantee.account_key)


def make_lock(
    dice: Dice, deployment: Deployment, record: RecordId, *, version: int = 1, at: int = NOW
) -> tuple[Signed[Lock], KemKey]:
    """A lock statement as the key service makes it, with its private key: for tests without a key service."""
    key = dice.kem_key()
    body = Lock(
        record=record,
        version=version,
        suite=key.suite,
        lock_key=key.public_key,
        previous=None,
        keyservice=deployment.keyservice.fingerprint,
        issued_at=at,
        expires=at + 30 * DAY,
    )
    return Signed.sign(body, deployment.keyservice.key), key


def release_item(version: OwnVersion, capsule: Capsule) -> ReleaseItem:
    """The item of a release request for `capsule`."""
    return ReleaseItem(suite=version.identity.suite, author=version.identity.author, capsule=capsule)


def _seal_capsule(
    version: OwnVersion,
    role: KeyRole,
    lock: Signed[Lock],
    *,
    compartment: CompartmentRecipient | None = None,
    personal: PersonalRecipient | None = None,
    to: KemKey,
) -> Capsule:
    empty = Capsule(
        document=version.document,
        version=version.identity.version,
        role=role,
        compartment=compartment,
        personal=personal,
        lock_statement=lock.hash,
        inner_suite=to.suite,
        outer_suite=lock.body.suite,
        sealed=b"",
    )
    wrap = empty.wrap_tuple(version.identity)
    inner = seal(to.public_key, wrap.inner_info(), version.key(role), kind=wrap.inner_kind(), suite=to.suite)
    outer_suite = Suite(lock.body.suite)
    sealed = seal(lock.body.lock_key, wrap.outer_info(), inner, kind=wrap.outer_kind(), suite=outer_suite)
    return empty.model_copy(update={"sealed": sealed})
