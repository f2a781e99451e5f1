"""The header of everything sealed to a public key (spec `keys.md`, "Sealed boxes").

`"CRNT" || u8 kind || u8 format version || u16 suite || HPKE enc || HPKE ciphertext`

The eight header bytes are the first field of the HPKE `info`, so that they are authenticated. This module reads and
writes the header; it opens nothing.
"""

from enum import IntEnum, unique
from typing import Final

from carnet_protocol.errors import MalformedError
from carnet_protocol.suites import SIZES, Suite, parse_suite

MAGIC: Final = b"CRNT"
FORMAT_VERSION: Final = 1
HEADER_SIZE: Final = 8


@unique
class BoxKind(IntEnum):
    """What is sealed, and to whom."""

    INNER_LOCK = 1
    OUTER_LOCK = 2
    SEALED_COMPARTMENT_KEY = 3
    PERSONAL_INNER_LOCK = 4
    PERSONAL_OUTER_LOCK = 5
    COMPARTMENT_NAME = 6
    READERS_OPENING = 7
    GRANT_NOTE = 8


def format_header(kind: BoxKind, suite: Suite) -> bytes:
    """The eight header bytes."""
    return MAGIC + bytes([kind, FORMAT_VERSION]) + int(suite).to_bytes(2, "big")


def parse_header(box: bytes, kind: BoxKind, *, plaintext_size: int) -> Suite:
    """The suite of `box`, after checking magic, kind, version, suite and the exact length.

    Raises `MalformedError` or `UnsupportedSuiteError`.
    """
    if len(box) < HEADER_SIZE or box[:4] != MAGIC:
        raise MalformedError("not a sealed box")
    if box[4] != kind:
        raise MalformedError("a sealed box of another kind")
    if box[5] != FORMAT_VERSION:
        raise MalformedError("a sealed box of an unknown format version")
    suite = parse_suite(int.from_bytes(box[6:8], "big"))
    if len(box) != box_size(suite, plaintext_size):
        raise MalformedError("a sealed box of impossible length")
    return suite


def box_size(suite: Suite, plaintext_size: int) -> int:
    """Bytes of a sealed box that holds `plaintext_size` bytes."""
    return HEADER_SIZE + SIZES[suite].kem_enc + plaintext_size + SIZES[suite].aead_tag


CONTENT_KEY_SIZE: Final = 32
NOTE_SIZE: Final = 256
COMPARTMENT_NAME_SIZE: Final = 128


def inner_size(suite: Suite) -> int:
    """Bytes of an inner lock: a sealed box that holds one 32-byte key."""
    return box_size(suite, CONTENT_KEY_SIZE)


def capsule_size(*, inner_suite: Suite, outer_suite: Suite) -> int:
    """Bytes of a capsule: a sealed box of `outer_suite` that holds an inner lock of `inner_suite`."""
    return box_size(outer_suite, inner_size(inner_suite))
