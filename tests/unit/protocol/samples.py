"""One valid statement of every kind, made from fixed seeds, for the tests of the protocol package."""

from carnet_protocol.ids import (
    AttestationId,
    Commitment,
    CompartmentId,
    DocumentSalt,
    GrantId,
    IdentityHash,
    JobId,
    RecordId,
    Sha256Digest,
    StatementHash,
    derive_document_id,
)
from carnet_protocol.signing import Signer
from carnet_protocol.statements import (
    Attestation,
    Closing,
    Compartment,
    Count,
    Destruction,
    Device,
    Erasure,
    Filing,
    Grant,
    Identity,
    Lock,
    Manifest,
    Permission,
    Profession,
    Purpose,
    Receipt,
    Recovery,
    Removal,
    Reseal,
    Revocation,
    RevocationList,
    Role,
    RotationReport,
    Server,
    ServiceCard,
    Signed,
    Statement,
    Succession,
    Tombstone,
    TombstoneReason,
)
from carnet_protocol.suites import Suite

NOW = 1_800_000_000
SUITE = Suite.X25519_MLKEM768


def signer(number: int) -> Signer:
    """The key pair of a seed made of one number."""
    return Signer(bytes([number]) * 32)


ROOT, DEVICE, REGISTRAR, SERVER = (signer(number) for number in (1, 2, 3, 4))
HASH = StatementHash(bytes([7]) * 32)

IDENTITY = Identity(
    suite=SUITE,
    role=Role.PATIENT,
    serial=0,
    founding=None,
    previous=None,
    root_key=ROOT.public_key,
    account_kem_key=bytes(1216),
    recovery_commitment=Commitment(bytes(32)),
    issued_at=NOW,
)
PATIENT = IdentityHash(Signed.sign(IDENTITY, ROOT).hash.raw)
RECORD = RecordId.of(PATIENT)
DOCTOR = IdentityHash(bytes([9]) * 32)
SALT = DocumentSalt(bytes([5]) * 32)
DOCUMENT = derive_document_id(RECORD, PATIENT, SALT)
COMPARTMENT = CompartmentId(bytes([6]) * 16)
FINGERPRINT = SERVER.public_key.fingerprint()

STATEMENTS: dict[str, Statement] = {
    statement.KIND: statement
    for statement in (
        IDENTITY,
        Device(
            identity=PATIENT,
            device_key=DEVICE.public_key,
            enrolled_by=None,
            sealed_name=bytes(104),
            issued_at=NOW,
        ),
        Removal(identity=PATIENT, device=HASH, since=NOW - 5, issued_at=NOW),
        Recovery(
            identity=PATIENT,
            identity_statement=HASH,
            sealed_account_key=bytes(72),
            sealed_previous=None,
            issued_at=NOW,
        ),
        Attestation(
            id=AttestationId(bytes(16)),
            registrar=REGISTRAR.public_key.fingerprint(),
            subject=DOCTOR,
            subject_statement=HASH,
            succeeds=None,
            name="Dr Élise Martin",
            profession=Profession.PHYSICIAN,
            organisation="Cabinet du Port",
            not_before=NOW,
            expires=NOW + 86_400,
        ),
        RevocationList(
            registrar=REGISTRAR.public_key.fingerprint(),
            number=1,
            issued_at=NOW,
            next_update=NOW + 86_400,
            revoked=(AttestationId(bytes(16)), AttestationId(bytes([1]) * 16)),
        ),
        Succession(predecessor=DOCTOR, successor=PATIENT, successor_statement=HASH, issued_at=NOW),
        Compartment(
            record=RECORD,
            compartment=COMPARTMENT,
            epoch=1,
            previous=None,
            suite=SUITE,
            compartment_key=bytes(1216),
            sealed_name=bytes(8 + 1120 + 128 + 16),
            readers_commitment=Commitment(bytes(32)),
            sealed_opening=bytes(8 + 1120 + 32 + 16),
            keyservice=FINGERPRINT,
            device=HASH,
            issued_at=NOW,
        ),
        Closing(
            record=RECORD, compartment=COMPARTMENT, epoch=1, compartment_statement=HASH, device=HASH, issued_at=NOW
        ),
        Lock(
            record=RECORD,
            version=1,
            suite=SUITE,
            lock_key=bytes(1216),
            previous=None,
            keyservice=FINGERPRINT,
            issued_at=NOW,
            expires=NOW + 86_400,
        ),
        Filing(
            record=RECORD,
            document=DOCUMENT,
            serial=1,
            previous=None,
            compartment=COMPARTMENT,
            device=HASH,
            issued_at=NOW,
        ),
        Erasure(record=RECORD, vault=FINGERPRINT, keyservice=FINGERPRINT, issued_at=NOW),
        Manifest(
            suite=SUITE,
            record=RECORD,
            document=DOCUMENT,
            document_salt=SALT,
            version=1,
            author=PATIENT,
            device=HASH,
            grant=None,
            previous=None,
            digest=bytes(32),
            ciphertext_size=16_472,
            metadata_digest=Sha256Digest(bytes(32)),
            plaintext_commitment=bytes(32),
            metadata_commitment=bytes(32),
            created_at=NOW,
        ),
        Tombstone(
            record=RECORD,
            document=DOCUMENT,
            manifest=HASH,
            by=PATIENT,
            device=HASH,
            reason=TombstoneReason.MISFILED,
            issued_at=NOW,
        ),
        Reseal(
            record=RECORD,
            manifest=HASH,
            serial=1,
            previous=None,
            suite=SUITE,
            digest=bytes(32),
            ciphertext_size=16_472,
            metadata_digest=Sha256Digest(bytes(32)),
            device=HASH,
            issued_at=NOW,
        ),
        Grant(
            record=RECORD,
            id=GrantId(bytes(16)),
            grantee=DOCTOR,
            grantee_statement=HASH,
            attestation=HASH,
            permission=Permission.READ,
            compartments=(COMPARTMENT,),
            documents=(),
            not_before=NOW,
            expires=NOW + 1_800,
            purpose=Purpose.CONSULTATION,
            sealed_note=bytes(8 + 1120 + 256 + 16),
            vault=FINGERPRINT,
            keyservice=FINGERPRINT,
            device=HASH,
            issued_at=NOW,
        ),
        Revocation(record=RECORD, grant_id=GrantId(bytes(16)), grant=HASH, device=HASH, issued_at=NOW),
        ServiceCard(
            card_key=signer(10).public_key,
            serial=1,
            name="Hôpital du Port",
            vault=Server(origin="https://vault.example", key=signer(11).public_key, log_key=signer(12).public_key),
            keyservice=Server(origin="http://127.0.0.1:8443", key=signer(13).public_key, log_key=signer(14).public_key),
            registrars=(REGISTRAR.public_key,),
            witnesses=(),
            suite_floor=SUITE,
            write_suite=SUITE,
            issued_at=NOW,
        ),
        Receipt(server=FINGERPRINT, index=0, time=NOW, leaf=Sha256Digest(bytes(32))),
        RotationReport(
            keyservice=FINGERPRINT,
            job=JobId(bytes(16)),
            rotates="master",
            outcome="finished",
            by=FINGERPRINT,
            begun_at=NOW,
            ended_at=NOW + 90,
            old_version=1,
            new_version=2,
            total=1_000_000,
            done=(Count(name="delete", count=999_999), Count(name="write", count=999_999)),
            skipped=(Count(name="no seal of this lock opens", count=1),),
            old_references=1,
        ),
        Destruction(
            keyservice=FINGERPRINT,
            officer=FINGERPRINT,
            destroys="master-key",
            version=1,
            retired_before=None,
            issued_at=NOW,
            expires=NOW + 86_400,
        ),
    )
}
