"""Identifiers and digests as types of their own: fixed length, one text form (spec `keys.md`, "Ids").

>>> GrantId.parse("AAAAAAAAAAAAAAAAAAAAAA").raw == bytes(16)
True
"""

import hashlib
import secrets
from collections.abc import Callable
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from carnet_protocol import labels
from carnet_protocol.encoding import format_base64url, hash_packed, pack, parse_base64url
from carnet_protocol.errors import MalformedError


class FixedBytes:
    """A byte string of exactly `SIZE` bytes whose text form is unpadded base64url.

    Values of different classes never compare equal. Raises `MalformedError` for another length or spelling.
    """

    SIZE: ClassVar[int] = 32
    __slots__ = ("raw",)
    raw: bytes

    def __init__(self, raw: bytes) -> None:
        """Wrap `raw`, `SIZE` bytes. Raises `MalformedError` for another length."""
        if len(raw) != self.SIZE:
            raise MalformedError(f"{type(self).__name__} has {self.SIZE} bytes")
        object.__setattr__(self, "raw", bytes(raw))

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: values are frozen."""
        raise AttributeError(f"internal: {type(self).__name__} is frozen")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The value whose text form is `text`. Raises `MalformedError` for any other spelling."""
        return cls(parse_base64url(text))

    def __str__(self) -> str:
        """The text form, the only one."""
        return format_base64url(self.raw)

    def __repr__(self) -> str:
        """Class and text form."""
        return f"{type(self).__name__}({self})"

    def __bytes__(self) -> bytes:
        """The raw bytes."""
        return self.raw

    def __eq__(self, other: object) -> bool:
        """Equal in class and bytes."""
        return isinstance(other, FixedBytes) and type(self) is type(other) and self.raw == other.raw

    def __lt__(self, other: Self) -> bool:
        """Order of the raw bytes."""
        return self.raw < other.raw

    def __hash__(self) -> int:
        """Hash of class and bytes."""
        return hash((type(self).__name__, self.raw))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Accept the class itself or its text form; write the text form."""
        del source, handler
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """JSON Schema of the text form."""
        del schema, handler
        length = (cls.SIZE * 8 + 5) // 6
        return {"type": "string", "minLength": length, "maxLength": length, "pattern": "^[A-Za-z0-9_-]+$"}

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError(f"{cls.__name__} is text")  # noqa: TRY004  pydantic turns ValueError alone into its own
        try:
            return cls.parse(value)
        except MalformedError as error:
            raise ValueError(str(error)) from error


class StatementHash(FixedBytes):
    """SHA-256 of a statement's signing input; the name of the statement."""

    __slots__ = ()


class IdentityHash(FixedBytes):
    """Hash of a person's founding identity statement; the name of the person everywhere."""

    __slots__ = ()


class RecordId(FixedBytes):
    """The patient's identity hash, as the name of the record."""

    __slots__ = ()

    @classmethod
    def of(cls, patient: IdentityHash) -> Self:
        """The id of the record of `patient`."""
        return cls(patient.raw)

    def patient(self) -> IdentityHash:
        """The identity hash of the patient whose record this is."""
        return IdentityHash(self.raw)


class DocumentId(FixedBytes):
    """Hash of record, author and salt, so that nobody writes into another author's document."""

    __slots__ = ()


class DocumentSalt(FixedBytes):
    """The random 32 bytes from which a document's id is made; public, in every manifest."""

    __slots__ = ()


class Fingerprint(FixedBytes):
    """Hash of an Ed25519 public key of a server, a registrar, an officer or a root."""

    __slots__ = ()


class Ed25519PublicKey(FixedBytes):
    """An Ed25519 public key (RFC 8032), 32 bytes."""

    __slots__ = ()

    def fingerprint(self) -> Fingerprint:
        """SHA-256 over the packed key."""
        return Fingerprint(hash_packed(labels.KEY_FINGERPRINT, self.raw))


class Commitment(FixedBytes):
    """A 32-byte commitment (to readers, to a recovery key, to a plaintext, to an event)."""

    __slots__ = ()


class Sha256Digest(FixedBytes):
    """A SHA-256 digest, 32 bytes."""

    __slots__ = ()

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The digest of `data`."""
        return cls(hashlib.sha256(data).digest())


class RandomId(FixedBytes):
    """A random id of 16 bytes."""

    SIZE: ClassVar[int] = 16
    __slots__ = ()

    @classmethod
    def make(cls, random: Callable[[int], bytes] = secrets.token_bytes) -> Self:
        """A fresh id."""
        return cls(random(cls.SIZE))


class CompartmentId(RandomId):
    """Random name of a compartment."""

    __slots__ = ()


class GrantId(RandomId):
    """Random name of a grant, the one that a revocation names."""

    __slots__ = ()


class AttestationId(RandomId):
    """Random name of an attestation."""

    __slots__ = ()


class UploadId(RandomId):
    """Random name of an upload in progress."""

    __slots__ = ()


class JobId(RandomId):
    """Random name of a job of rotation."""

    __slots__ = ()


class Nonce(RandomId):
    """Nonce of a signed request."""

    __slots__ = ()


def derive_document_id(record: RecordId, author: IdentityHash, salt: DocumentSalt) -> DocumentId:
    """The only document id that `author` can use in `record` with `salt`."""
    return DocumentId(hash_packed(labels.DOCUMENT_ID, record.raw, author.raw, salt.raw))


def derive_event_commitment(salt: bytes, body: bytes) -> Commitment:
    """Salted commitment to an event body; `salt` is 32 random bytes."""
    return Commitment(hash_packed(labels.EVENT_COMMITMENT, salt, body))


def pack_event_leaf(server: Fingerprint, index: int, time: int, commitment: Commitment) -> bytes:
    """The bytes of an event's leaf in the log (spec `log.md`): what RFC 6962 hashes with a leading zero byte."""
    return pack(labels.EVENT_LEAF, server.raw, index, time, commitment.raw)
