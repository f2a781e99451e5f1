"""The people of the vectors: Alice (patient), Bob (physician), a laboratory, a registrar, two servers, Mallory."""

from dataclasses import dataclass
from typing import Final

from carnet_protocol import labels
from carnet_protocol.encoding import hash_packed, pack
from carnet_protocol.ids import AttestationId, Commitment, IdentityHash, RecordId
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Attestation, Device, Identity, Profession, Recovery, RevocationList, Role, Signed
from carnet_protocol.suites import Suite
from tests.vectors.deterministic import Stream, derive, kem_public_key, seal_secret

NOW: Final = 1_800_000_000
DAY: Final = 86_400
SUITE: Final = Suite.X25519_MLKEM768


@dataclass(frozen=True, slots=True)
class Actor:
    """A person with every secret they have."""

    recovery_secret: bytes
    account_key: bytes
    root: Signer
    phone: Signer
    founding: Signed[Identity]
    device: Signed[Device]
    recovery: Signed[Recovery]

    @property
    def identity(self) -> IdentityHash:
        """The person's name."""
        return IdentityHash(self.founding.hash.raw)

    @property
    def kem_seed(self) -> bytes:
        """Seed of the account KEM key."""
        return derive(self.account_key, labels.ACCOUNT_KEM_SEED)

    def bundle(self) -> dict[str, list[str]]:
        """The person bundle."""
        return {"identities": [self.founding.text], "devices": [self.device.text], "removals": []}


def make_actor(name: str, role: Role) -> Actor:
    """The actor called `name`, always the same."""
    random = Stream(f"actor {name}")
    recovery_secret, account_key = random.take(32), random.take(32)
    root = Signer(derive(recovery_secret, labels.RECOVERY_ROOT_SEED))
    slot_key = derive(recovery_secret, labels.RECOVERY_SLOT_KEY)
    founding = Signed.sign(
        Identity(
            suite=SUITE,
            role=role,
            serial=0,
            founding=None,
            previous=None,
            root_key=root.public_key,
            account_kem_key=kem_public_key(derive(account_key, labels.ACCOUNT_KEM_SEED)),
            recovery_commitment=Commitment(hash_packed(labels.RECOVERY_COMMITMENT, slot_key)),
            issued_at=NOW,
        ),
        root,
    )
    identity = IdentityHash(founding.hash.raw)
    phone = Signer(random.take(32))
    sealed_name = seal_device_name(account_key, identity, phone, f"{name}'s phone", random)
    device = Signed.sign(
        Device(
            identity=identity, device_key=phone.public_key, enrolled_by=None, sealed_name=sealed_name, issued_at=NOW
        ),
        root,
    )
    slot = pack(labels.RECOVERY_SLOT, identity.raw, founding.hash.raw)
    recovery = Signed.sign(
        Recovery(
            identity=identity,
            identity_statement=founding.hash,
            sealed_account_key=seal_secret(slot_key, account_key, slot, random),
            sealed_previous=None,
            issued_at=NOW,
        ),
        root,
    )
    return Actor(recovery_secret, account_key, root, phone, founding, device, recovery)


def seal_device_name(account_key: bytes, identity: IdentityHash, device: Signer, name: str, random: Stream) -> bytes:
    """The sealed name of a device."""
    text = name.encode()
    return seal_secret(
        derive(account_key, labels.DEVICE_NAME_KEY),
        (bytes([len(text)]) + text).ljust(64, b"\0"),
        pack(labels.DEVICE_NAME, identity.raw, device.public_key.raw),
        random,
    )


def make_signer(name: str) -> Signer:
    """The signing key called `name`, always the same."""
    return Signer(Stream(f"signer {name}").take(32))


ALICE = make_actor("alice", Role.PATIENT)
BOB = make_actor("bob", Role.PRACTITIONER)
LAB = make_actor("lab", Role.PRACTITIONER)
MALLORY = make_actor("mallory", Role.PRACTITIONER)
RECORD = RecordId.of(ALICE.identity)
REGISTRAR = make_signer("registrar")
VAULT, VAULT_LOG = make_signer("vault"), make_signer("vault log")
KEYSERVICE, KEYSERVICE_LOG = make_signer("keyservice"), make_signer("keyservice log")
CARD = make_signer("card")


def attest(subject: Actor, name: str, profession: Profession) -> Signed[Attestation]:
    """The registrar's word about `subject`."""
    body = Attestation(
        id=AttestationId(Stream(f"attestation {name}").take(16)),
        registrar=REGISTRAR.public_key.fingerprint(),
        subject=subject.identity,
        subject_statement=subject.founding.hash,
        succeeds=None,
        name=name,
        profession=profession,
        organisation="Cabinet du Port",
        not_before=NOW,
        expires=NOW + 30 * DAY,
    )
    return Signed.sign(body, REGISTRAR)


BOBS_ATTESTATION = attest(BOB, "Dr Bob Martin", Profession.PHYSICIAN)
LABS_ATTESTATION = attest(LAB, "Laboratoire du Port", Profession.LABORATORY)
REVOCATION_LIST = Signed.sign(
    RevocationList(
        registrar=REGISTRAR.public_key.fingerprint(), number=1, issued_at=NOW, next_update=NOW + 7 * DAY, revoked=()
    ),
    REGISTRAR,
)
