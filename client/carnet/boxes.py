"""What else is sealed: compartment keys, names of compartments, openings, notes, device names (spec `keys.md`).

Each box binds the place where it stands. Text is padded to one length, so that its size says nothing.
"""

import secrets
from typing import Final

from carnet.errors import DecryptionError, UsageError, VerificationError
from carnet.sealing import KemPrivateKey, Random, open_box, open_secret, seal_box, seal_secret
from carnet_protocol import labels
from carnet_protocol.api import SealedKey
from carnet_protocol.encoding import pack
from carnet_protocol.errors import MalformedError, UnsupportedSuiteError
from carnet_protocol.ids import CompartmentId, Ed25519PublicKey, GrantId, IdentityHash, RecordId, StatementHash
from carnet_protocol.sealed_box import COMPARTMENT_NAME_SIZE, NOTE_SIZE, BoxKind
from carnet_protocol.statements import Compartment, Grant, Identity, Signed
from carnet_protocol.statements.people import DEVICE_NAME_SIZE
from carnet_protocol.statements.records import READERS_SALT_SIZE
from carnet_protocol.suites import KEM_SEED_SIZE
from carnet_protocol.tuples import (
    compartment_name_info,
    grant_note_info,
    readers_opening_info,
    sealed_compartment_key_info,
)

MAX_COMPARTMENT_NAME_BYTES: Final = COMPARTMENT_NAME_SIZE - 1
MAX_NOTE_BYTES: Final = NOTE_SIZE - 2
MAX_DEVICE_NAME_BYTES: Final = DEVICE_NAME_SIZE - 1


def seal_compartment_key(
    compartment_key: KemPrivateKey,
    *,
    compartment: Signed[Compartment],
    grant: StatementHash | None,
    reader: Signed[Identity],
) -> SealedKey:
    """`compartment_key` for `reader`, under `grant`, or as the patient's own copy when that is None."""
    suite = reader.body.suite
    info = sealed_compartment_key_info(
        suite, compartment_statement=compartment.hash, grant=grant, reader_statement=reader.hash
    )
    sealed = seal_box(
        BoxKind.SEALED_COMPARTMENT_KEY,
        compartment_key.seed(),
        suite=suite,
        public_key=reader.body.account_kem_key,
        info=info,
    )
    return SealedKey(compartment_statement=compartment.hash, grant=grant, reader_statement=reader.hash, sealed=sealed)


def open_compartment_key(
    sealed_key: SealedKey, *, compartment: Signed[Compartment], account_kem_key: KemPrivateKey
) -> KemPrivateKey:
    """The private key of `compartment`, whose statement the caller verified.

    1. The sealed key is for this compartment statement.
    2. It opens with `account_kem_key`.
    3. The public key derived from it is the one in the signed statement: a box proves no sender.

    Raises `DecryptionError` for a box that does not open, `VerificationError` for a key that is another one.
    """
    # 1
    if sealed_key.compartment_statement != compartment.hash:
        raise VerificationError("a sealed key is for another compartment statement than the one it came with")
    # 2
    suite = account_kem_key.suite
    info = sealed_compartment_key_info(
        suite,
        compartment_statement=compartment.hash,
        grant=sealed_key.grant,
        reader_statement=sealed_key.reader_statement,
    )
    try:
        seed = open_box(
            BoxKind.SEALED_COMPARTMENT_KEY,
            sealed_key.sealed,
            plaintext_size=KEM_SEED_SIZE,
            private_key=account_kem_key,
            info=info,
        )
    except (MalformedError, UnsupportedSuiteError):
        raise DecryptionError from None
    # 3
    compartment_key = KemPrivateKey(seed, compartment.body.suite)
    if compartment_key.public_key != compartment.body.compartment_key:
        raise VerificationError("a sealed compartment key is not the one that the patient signed: it was planted")
    return compartment_key


def seal_compartment_name(
    name: str, *, record: RecordId, compartment: CompartmentId, epoch: int, compartment_key: KemPrivateKey
) -> bytes:
    """`name` for everyone who holds the compartment key. Raises `UsageError` for one that does not fit."""
    return seal_box(
        BoxKind.COMPARTMENT_NAME,
        _pad_text(name, COMPARTMENT_NAME_SIZE, length_size=1),
        suite=compartment_key.suite,
        public_key=compartment_key.public_key,
        info=compartment_name_info(compartment_key.suite, record=record, compartment=compartment, epoch=epoch),
    )


def open_compartment_name(compartment: Signed[Compartment], compartment_key: KemPrivateKey) -> str:
    """The name in `compartment`. Raises `DecryptionError`."""
    body = compartment.body
    info = compartment_name_info(
        compartment_key.suite, record=body.record, compartment=body.compartment, epoch=body.epoch
    )
    padded = _open_fixed(
        BoxKind.COMPARTMENT_NAME, body.sealed_name, COMPARTMENT_NAME_SIZE, private_key=compartment_key, info=info
    )
    return _unpad_text(padded, length_size=1)


def seal_readers_opening(
    salt: bytes, *, record: RecordId, compartment: CompartmentId, epoch: int, patient: Identity
) -> bytes:
    """The salt of a readers commitment, for the patient's own devices."""
    info = readers_opening_info(patient.suite, record=record, compartment=compartment, epoch=epoch)
    return seal_box(BoxKind.READERS_OPENING, salt, suite=patient.suite, public_key=patient.account_kem_key, info=info)


def open_readers_opening(compartment: Compartment, account_kem_key: KemPrivateKey) -> bytes:
    """The salt in `compartment`. Raises `DecryptionError`."""
    info = readers_opening_info(
        account_kem_key.suite,
        record=compartment.record,
        compartment=compartment.compartment,
        epoch=compartment.epoch,
    )
    return _open_fixed(
        BoxKind.READERS_OPENING, compartment.sealed_opening, READERS_SALT_SIZE, private_key=account_kem_key, info=info
    )


def seal_note(note: str, *, record: RecordId, grant_id: GrantId, grantee: Signed[Identity]) -> bytes:
    """A word from the patient that the grantee alone reads. Raises `UsageError` for one that does not fit."""
    suite = grantee.body.suite
    return seal_box(
        BoxKind.GRANT_NOTE,
        _pad_text(note, NOTE_SIZE, length_size=2),
        suite=suite,
        public_key=grantee.body.account_kem_key,
        info=grant_note_info(suite, record=record, grant_id=grant_id.raw, grantee_statement=grantee.hash),
    )


def open_note(grant: Grant, account_kem_key: KemPrivateKey) -> str:
    """The note in `grant`, with the key of the identity statement that it names. Raises `DecryptionError`."""
    info = grant_note_info(
        account_kem_key.suite,
        record=grant.record,
        grant_id=grant.id.raw,
        grantee_statement=grant.grantee_statement,
    )
    padded = _open_fixed(BoxKind.GRANT_NOTE, grant.sealed_note, NOTE_SIZE, private_key=account_kem_key, info=info)
    return _unpad_text(padded, length_size=2)


def seal_device_name(
    name: str,
    *,
    identity: IdentityHash,
    device_key: Ed25519PublicKey,
    device_name_key: bytes,
    random: Random = secrets.token_bytes,
) -> bytes:
    """`name` for the person's own devices. Raises `UsageError` for one that does not fit."""
    context = pack(labels.DEVICE_NAME, identity.raw, device_key.raw)
    return seal_secret(
        device_name_key, _pad_text(name, DEVICE_NAME_SIZE, length_size=1), context=context, random=random
    )


def open_device_name(
    sealed_name: bytes, *, identity: IdentityHash, device_key: Ed25519PublicKey, device_name_key: bytes
) -> str:
    """The name in a device statement. Raises `DecryptionError`."""
    context = pack(labels.DEVICE_NAME, identity.raw, device_key.raw)
    return _unpad_text(open_secret(device_name_key, sealed_name, context=context), length_size=1)


def _open_fixed(kind: BoxKind, box: bytes, size: int, *, private_key: KemPrivateKey, info: bytes) -> bytes:
    try:
        return open_box(kind, box, plaintext_size=size, private_key=private_key, info=info)
    except (MalformedError, UnsupportedSuiteError):
        raise DecryptionError from None


def _pad_text(text: str, size: int, *, length_size: int) -> bytes:
    """`length || UTF-8 || zeros`, `size` bytes."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("a text holds half a character: write it again") from error
    if len(data) > size - length_size:
        raise UsageError(f"a text is too long: at most {size - length_size} bytes of UTF-8 fit here")
    return (len(data).to_bytes(length_size, "big") + data).ljust(size, b"\0")


def _unpad_text(padded: bytes, *, length_size: int) -> str:
    """The text in `padded`. Raises `DecryptionError` for a length, padding or spelling that `_pad_text` never makes."""
    end = length_size + int.from_bytes(padded[:length_size], "big")
    if end > len(padded) or any(padded[end:]):
        raise DecryptionError
    try:
        return padded[length_size:end].decode("utf-8")
    except UnicodeDecodeError:
        raise DecryptionError from None
