"""Versions of documents as authors bring them to the vault: real statements and capsules around random ciphertext.

    parcel = make_parcel(dice, own, author, general, lock, grant=deposit_grant)
    deposit = parcel.deposit(upload)

The vault decrypts nothing, so nothing here was encrypted: ciphertext and metadata are random bytes of possible sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from carnet_protocol.api import Capsule, CapsuleSwap, Deposit, ResealDeposit
from carnet_protocol.ids import DocumentId, Sha256Digest, UploadId
from carnet_protocol.layout import ciphertext_size, content_digest, leaf_digest, leaf_ranges
from carnet_protocol.statements import Grant, Lock, Manifest, Reseal, Signed
from carnet_protocol.suites import SIZES, Suite
from carnet_protocol.tuples import KeyRole
from tests.support.people import NOW, Dice, OwnDevice, OwnPerson
from tests.support.records import OwnCompartment, OwnRecord, OwnVersion, make_version

METADATA_BYTES = 56 + 1024 + 16
PADDED_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext, its metadata's, and what is computed over them."""

    ciphertext: bytes
    metadata: bytes
    leaf_digests: bytes
    suite: Suite

    @property
    def digest(self) -> bytes:
        """The content digest."""
        return content_digest(self.suite, ciphertext_size=len(self.ciphertext), leaf_digests=self.leaf_digests)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A version with everything that its deposit brings."""

    version: OwnVersion
    manifest: Signed[Manifest]
    sealed: Sealed
    lock: Signed[Lock]
    content_capsule: Capsule
    metadata_capsule: Capsule

    @property
    def document(self) -> DocumentId:
        """The document."""
        return self.version.document

    @property
    def number(self) -> int:
        """The version's number."""
        return self.version.identity.version

    @property
    def size(self) -> int:
        """Bytes of the ciphertext."""
        return len(self.sealed.ciphertext)

    def deposit(self, upload: UploadId) -> Deposit:
        """The deposit of this version, whose ciphertext went to `upload`."""
        return Deposit(
            upload=upload,
            manifest=self.manifest.text,
            metadata=self.sealed.metadata,
            leaf_digests=self.sealed.leaf_digests,
            lock=self.lock.text,
            content_capsule=self.content_capsule,
            metadata_capsule=self.metadata_capsule,
        )


@dataclass(frozen=True, slots=True)
class ResealParcel:
    """A version encrypted anew, with everything that its reseal brings."""

    reseal: Signed[Reseal]
    sealed: Sealed
    lock: Signed[Lock]
    content_capsule: Capsule
    metadata_capsule: Capsule
    replaces: Parcel

    @property
    def size(self) -> int:
        """Bytes of the ciphertext."""
        return len(self.sealed.ciphertext)

    def deposit(
        self, upload: UploadId, *, personal: Sequence[CapsuleSwap] = (), drops: Sequence[Capsule] = ()
    ) -> ResealDeposit:
        """The deposit of this reseal, whose ciphertext went to `upload`."""
        return ResealDeposit(
            upload=upload,
            reseal=self.reseal.text,
            metadata=self.sealed.metadata,
            leaf_digests=self.sealed.leaf_digests,
            lock=self.lock.text,
            content_capsule=self.content_capsule,
            metadata_capsule=self.metadata_capsule,
            replaces_content=Sha256Digest.of(self.replaces.content_capsule.sealed),
            replaces_metadata=Sha256Digest.of(self.replaces.metadata_capsule.sealed),
            personal_capsules=tuple(personal),
            drops=tuple(Sha256Digest.of(capsule.sealed) for capsule in drops),
        )


def make_sealed(
    dice: Dice, *, padded: int = PADDED_BYTES, metadata: int = METADATA_BYTES, suite: Suite | None = None
) -> Sealed:
    """Random bytes in the form of a ciphertext of `padded` bytes and of its metadata."""
    suite = suite or dice.suite
    ciphertext = dice(ciphertext_size(padded))
    leaves = b"".join(leaf_digest(suite, ciphertext[a:b]) for a, b in leaf_ranges(len(ciphertext)))
    return Sealed(ciphertext, dice(metadata), leaves, suite)


def make_parcel(
    dice: Dice,
    own: OwnRecord,
    author: OwnPerson,
    compartment: OwnCompartment,
    lock: Signed[Lock],
    *,
    grant: Signed[Grant] | None = None,
    after: Parcel | None = None,
    sealed: Sealed | None = None,
    device: OwnDevice | None = None,
    at: int = NOW,
) -> Parcel:
    """Version 1 of a fresh document by `author`, or the version that follows `after`."""
    sealed = sealed or make_sealed(dice)
    version = make_version(
        dice,
        own.id,
        author.identity,
        salt=None if after is None else after.version.salt,
        version=1 if after is None else after.number + 1,
    )
    signer = device or author.device
    manifest = Manifest(
        suite=sealed.suite,
        record=own.id,
        document=version.document,
        document_salt=version.salt,
        version=version.identity.version,
        author=author.identity,
        device=signer.hash,
        grant=None if grant is None else grant.hash,
        previous=None if after is None else after.manifest.hash,
        digest=sealed.digest,
        ciphertext_size=len(sealed.ciphertext),
        metadata_digest=Sha256Digest.of(sealed.metadata),
        plaintext_commitment=dice(SIZES[sealed.suite].commitment),
        metadata_commitment=dice(SIZES[sealed.suite].commitment),
        created_at=at,
    )
    return Parcel(
        version=version,
        manifest=Signed.sign(manifest, signer.signer),
        sealed=sealed,
        lock=lock,
        content_capsule=own.capsule(version, KeyRole.CONTENT, compartment, lock),
        metadata_capsule=own.capsule(version, KeyRole.METADATA, compartment, lock),
    )


def make_reseal(
    dice: Dice,
    own: OwnRecord,
    parcel: Parcel,
    compartment: OwnCompartment,
    lock: Signed[Lock],
    *,
    after: Signed[Reseal] | None = None,
    device: OwnDevice | None = None,
    at: int = NOW,
    suite: Suite | None = None,
) -> ResealParcel:
    """The patient's reseal of the version in `parcel`, whose capsules still stand; its digests are of `suite`."""
    sealed = make_sealed(dice, suite=suite)
    signer = device or own.patient.device
    body = Reseal(
        record=own.id,
        manifest=parcel.manifest.hash,
        serial=1 if after is None else after.body.serial + 1,
        previous=None if after is None else after.hash,
        suite=sealed.suite,
        digest=sealed.digest,
        ciphertext_size=len(sealed.ciphertext),
        metadata_digest=Sha256Digest.of(sealed.metadata),
        device=signer.hash,
        issued_at=at,
    )
    return ResealParcel(
        reseal=Signed.sign(body, signer.signer),
        sealed=sealed,
        lock=lock,
        content_capsule=own.capsule(parcel.version, KeyRole.CONTENT, compartment, lock),
        metadata_capsule=own.capsule(parcel.version, KeyRole.METADATA, compartment, lock),
        replaces=parcel,
    )


def swap(capsule: Capsule, replaces: Capsule | None) -> CapsuleSwap:
    """Puts `capsule` where `replaces` stands, or where none does."""
    return CapsuleSwap(capsule=capsule, replaces=None if replaces is None else Sha256Digest.of(replaces.sealed))
