"""Suites: the one table of algorithms and sizes (spec `keys.md`, "Suites"). Nothing is negotiated."""

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final

from carnet_protocol.errors import UnsupportedSuiteError


@unique
class Suite(IntEnum):
    """An integer that never changes meaning, named after the two halves of its KEM."""

    X25519_MLKEM768 = 1
    P384_MLKEM1024 = 2


KEM_SEED_SIZE: Final = 32
"""Of a private key, its seed is kept and sealed: 32 bytes in every suite."""


@dataclass(frozen=True, slots=True)
class SuiteSizes:
    """Sizes in bytes under one suite."""

    kem_public_key: int
    kem_enc: int
    aead_tag: int
    content_digest: int
    commitment: int


SIZES: Final[dict[Suite, SuiteSizes]] = {
    Suite.X25519_MLKEM768: SuiteSizes(kem_public_key=1216, kem_enc=1120, aead_tag=16, content_digest=32, commitment=32),
    Suite.P384_MLKEM1024: SuiteSizes(kem_public_key=1665, kem_enc=1665, aead_tag=16, content_digest=48, commitment=48),
}

WRITE_SUITE: Final = Suite.X25519_MLKEM768
"""What the first card of a new deployment says. Whoever seals asks the card that is in force, never this."""
READABLE_SUITES: Final = frozenset(Suite)


def parse_suite(number: int, readable: frozenset[Suite] = READABLE_SUITES) -> Suite:
    """The suite numbered `number`. Raises `UnsupportedSuiteError` if it is unknown or not in `readable`."""
    try:
        suite = Suite(number)
    except ValueError as error:
        raise UnsupportedSuiteError("this suite is unknown here; a newer Carnet may know it") from error
    if suite not in readable:
        raise UnsupportedSuiteError("this suite is below the floor that is pinned here")
    return suite
