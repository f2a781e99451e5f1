"""A version of a document as a server shows it, believed only after these checks (spec `document.md`, "Reading").

Nothing is decrypted here.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from carnet.access import RecordAccess, verify_grant
from carnet.content import ContentSuites
from carnet.errors import VerificationError
from carnet.people import parse_succession
from carnet.pins import SeenDocument
from carnet.sealing import KemPrivateKey
from carnet.session import Session
from carnet_protocol.api import Capsule, PersonView, VersionEntry
from carnet_protocol.authority import Person
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, Sha256Digest, StatementHash
from carnet_protocol.statements import Filing, Grant, Manifest, Permission, Reseal, Signed
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, PersonalLock, WrapTuple


@dataclass(frozen=True, slots=True)
class Version:
    """One verified version: the author's manifest, the patient's newest reseal if any, and its metadata capsule.

    `filings` are those of its document, oldest first; the patient alone sees them.
    """

    manifest: Signed[Manifest]
    reseal: Signed[Reseal] | None
    metadata: bytes
    metadata_capsule: Capsule
    filings: tuple[Signed[Filing], ...]

    @property
    def document(self) -> DocumentId:
        """The document that this is a version of."""
        return self.manifest.body.document

    @property
    def number(self) -> int:
        """The version's number, from 1."""
        return self.manifest.body.version

    @property
    def identity(self) -> IdentityTuple:
        """What content and metadata are bound to."""
        return self.manifest.body.identity_tuple()

    @property
    def content_suites(self) -> ContentSuites:
        """Suite of the content digest in force, and of the author's commitments."""
        suite = self.manifest.body.suite
        return ContentSuites(digest=suite if self.reseal is None else self.reseal.body.suite, commitment=suite)

    @property
    def digest(self) -> bytes:
        """The content digest in force."""
        return self.manifest.body.digest if self.reseal is None else self.reseal.body.digest

    @property
    def ciphertext_size(self) -> int:
        """The ciphertext's size in bytes."""
        return self.manifest.body.ciphertext_size if self.reseal is None else self.reseal.body.ciphertext_size

    def seen(self, *, by_patient: bool) -> SeenDocument:
        """What a client pins of it, where it is the newest version shown."""
        return SeenDocument(
            document=self.document,
            author=self.manifest.body.author,
            version=self.number,
            manifest=self.manifest.hash,
            previous=self.manifest.body.previous,
            reseals=0 if self.reseal is None else self.reseal.body.serial,
            filings=tuple(signed.hash for signed in self.filings) if by_patient else None,
        )

    @property
    def metadata_digest(self) -> Sha256Digest:
        """The digest of the metadata ciphertext in force."""
        return self.manifest.body.metadata_digest if self.reseal is None else self.reseal.body.metadata_digest


class Authors:
    """Who wrote what, and whether they might: verified people and deposit grants of one access."""

    __slots__ = ("_access", "_grants", "_people", "_session", "_successions")

    def __init__(self, session: Session, access: RecordAccess) -> None:
        """The authors of the record that `access` is to."""
        self._session = session
        self._access = access
        self._grants: dict[StatementHash, Signed[Grant]] = {}
        self._people: dict[IdentityHash, Person] = {access.patient.identity: access.patient}
        self._successions: dict[IdentityHash, str | None] = {}

    def learn_grants(self, texts: Sequence[str]) -> None:
        """Take deposit grants that a server sent along. What relies on one that does not count will not verify."""
        for text in texts:
            with contextlib.suppress(VerificationError):
                grant = verify_grant(text, self._access.patient)
                self._grants[grant.hash] = grant

    def verify(self, manifest: Signed[Manifest]) -> None:
        """Check the author's right and signature.

        1. The author is the patient, or holds the deposit grant that the manifest names, at the time it gives: as its
           grantee, or as who took over from the grantee by then.
        2. A device of the author signed it that counted then.

        Raises `VerificationError` or a `TransportError`.
        """
        body = manifest.body
        # 1
        if body.grant is not None:
            grant = self._grants.get(body.grant)
            if grant is None:
                raise VerificationError("a document came without the grant under which it was deposited")
            is_holder = grant.body.grantee == body.author or self._took_over(grant.body.grantee, body)
            if grant.body.permission is not Permission.DEPOSIT or not is_holder:
                raise VerificationError("a document's author had no right to deposit it")
            if not grant.body.not_before <= body.created_at < grant.body.expires:
                raise VerificationError("a document was deposited before or after its author might")
        # 2
        try:
            manifest.verify(self.person(body.author).device_key(body.device, at=body.created_at))
        except ProtocolError as error:
            raise VerificationError(f"a document is not its author's ({error})") from error

    def deposited_in(self, manifest: Signed[Manifest]) -> CompartmentId | None:
        """Where `manifest`, verified, was deposited as its grant says; None for the patient's own."""
        grant = None if manifest.body.grant is None else self._grants[manifest.body.grant]
        return None if grant is None else grant.body.compartments[0]

    def person(self, identity: IdentityHash) -> Person:
        """The verified author `identity`. Raises a `DataError` or a `TransportError`."""
        known = self._people.get(identity)
        if known is None:
            view = self._session.keyservice.get(f"/v1/people/{identity}", PersonView)
            known = self._session.people.verify(identity, view.person)
            self._people[identity] = known
            self._successions[identity] = view.succession
        return known

    def _took_over(self, grantee: IdentityHash, manifest: Manifest) -> bool:
        """Whether `grantee` had handed over to the author of `manifest` when it was made.

        The grantee's own root key says so, and the grantee had the right; whether a registrar said so as well, the
        vault checked then.
        """
        predecessor = self.person(grantee)
        text = self._successions.get(grantee)
        if text is None:
            return False
        root_keys = [identity.body.root_key for identity in predecessor.chain]
        succession = parse_succession(text, predecessor=predecessor, root_keys=root_keys).body
        return succession.successor == manifest.author and succession.issued_at <= manifest.created_at


def verify_entry(access: RecordAccess, authors: Authors, entry: VersionEntry) -> Version:
    """The version in `entry`.

    1. The manifest is of this record; its document id is the hash of record, author and salt.
    2. Its author had the right, and signed it.
    3. The reseal, if any, is the patient's and names the manifest. The filings, which the patient alone sees, are the
       patient's, of this document, and form a chain.
    4. The metadata ciphertext has its digest.
    5. The digest in force is of no suite below the floor. The capsule names this version, its metadata key, and a lock
       that this access knows, and is of no such suite either.
    6. For the patient: a first version is in the compartment where it was filed last, or else deposited. A later one
       may be where its author deposited it after the document was moved.

    Raises `VerificationError` or a `TransportError`.
    """
    try:
        # 1
        manifest = Signed.parse(entry.manifest, Manifest)
        if manifest.body.record != access.record:
            raise VerificationError("a document is of another record")
        # 2
        authors.verify(manifest)
        # 3
        reseal = None if entry.reseal is None else _verify_reseal(entry.reseal, manifest, access.patient)
        filings = _verify_filings(entry.filings, manifest, access.patient) if access.grant is None else ()
    except ProtocolError as error:
        raise VerificationError(f"a document's statements are not in order ({error})") from error
    version = Version(manifest, reseal, entry.metadata, entry.metadata_capsule, filings)
    # 4
    if Sha256Digest.of(entry.metadata) != version.metadata_digest:
        raise VerificationError("a document's metadata is not what its author signed")
    # 5
    access.require_suites(version.content_suites.digest)
    verify_capsule(access, version, entry.metadata_capsule, KeyRole.METADATA)
    # 6
    if access.grant is None and version.number == 1:
        place = filings[-1].body.compartment if filings else authors.deposited_in(manifest)
        recipient = entry.metadata_capsule.compartment
        if place is not None and (recipient is None or recipient.compartment != place):
            raise VerificationError("a document is shown in another part of the record than where it was put")
    return version


def verify_capsule(access: RecordAccess, version: Version, capsule: Capsule, role: KeyRole) -> WrapTuple:
    """The wrap tuple of `capsule`, if it is the one of `version` and `role`, for this access, and not below its floor.

    Raises `VerificationError` or `BelowFloorError`.
    """
    if (capsule.document, capsule.version, capsule.role) != (version.document, version.number, role):
        raise VerificationError("a capsule is of another document, version or key: it was not opened")
    access.require_suites(capsule.inner_suite, capsule.outer_suite)
    match capsule.recipient():
        case CompartmentLock(name, statement):
            compartment = access.compartment(name)
            compartment.statement(statement)
            # Closing shuts readers out; the patient's own copy of what a lost device closed can still be rescued.
            if access.grant is not None and statement in compartment.closed:
                raise VerificationError("a capsule is under an epoch that is closed: it was not opened")
        case PersonalLock(grant, grantee, _):
            if access.grant is None or grant != access.grant.hash or grantee != access.grant.body.grantee:
                raise VerificationError("a capsule is for somebody else: it was not opened")
    return capsule.wrap_tuple(version.identity)


def recipient_key(access: RecordAccess, wrap: WrapTuple) -> KemPrivateKey:
    """The private key that opens the inner lock of `wrap`. Raises `VerificationError` if this access has none."""
    if isinstance(wrap.recipient, CompartmentLock):
        key = access.compartment(wrap.recipient.compartment).keys.get(wrap.recipient.compartment_statement)
    else:
        key = access.personal_keys.get(wrap.recipient.grantee_statement)
    if key is None:
        raise VerificationError("no key to this document was sealed to you: ask the patient to let you in again")
    return key


def _verify_reseal(text: str, manifest: Signed[Manifest], patient: Person) -> Signed[Reseal]:
    signed = Signed.parse(text, Reseal)
    if signed.body.manifest != manifest.hash or signed.body.record != manifest.body.record:
        raise VerificationError("a reseal is of another document")
    if signed.body.suite < manifest.body.suite:
        raise VerificationError("a reseal is of an older suite than its author's manifest")
    # The author's commitments bind all that it may have changed. What a lost device resealed before its removal stays:
    # the old ciphertext is gone, and no later reseal replaces it.
    signed.verify(patient.unremoved_key(signed.body.device, at=signed.body.issued_at))
    return signed


def _verify_filings(texts: Sequence[str], manifest: Signed[Manifest], patient: Person) -> tuple[Signed[Filing], ...]:
    filings: list[Signed[Filing]] = []
    for serial, text in enumerate(texts, start=1):
        signed = Signed.parse(text, Filing)
        if signed.body.document != manifest.body.document or signed.body.record != manifest.body.record:
            raise VerificationError("a filing is of another document")
        previous = filings[-1].hash if filings else None
        if signed.body.serial != serial or signed.body.previous != previous:
            raise VerificationError("the filings of a document do not form a chain")
        # What a lost device filed before its removal stays where it is, until the patient files it again.
        signed.verify(patient.unremoved_key(signed.body.device, at=signed.body.issued_at))
        filings.append(signed)
    return tuple(filings)
