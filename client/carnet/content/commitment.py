"""The commitments to plaintext and metadata, keyed so that they say nothing (spec `document.md`, "Commitments").

They survive a reseal: whoever reads the new ciphertexts still checks that what they say is what the author signed.
"""

from typing import Final

from blake3 import blake3

from carnet.secrets import CommitmentKey
from carnet_protocol.limits import LEAF_BYTES
from carnet_protocol.suites import Suite

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
_METADATA: Final = b"\x02"


def count_plaintext_leaves(true_size: int) -> int:
    """How many leaves a plaintext of `true_size` bytes has: one for each begun MiB, at least one."""
    return max(1, -(-true_size // LEAF_BYTES))


def commit_leaf(suite: Suite, commitment_key: CommitmentKey, leaf: bytes | memoryview) -> bytes:
    """Commitment to one leaf of the plaintext, without padding: K(k, 0x00 || leaf)."""
    match suite:
        case Suite.X25519_MLKEM768:
            hasher = blake3(_LEAF, key=commitment_key.reveal())
            hasher.update(leaf)
            return hasher.digest()


def commit_plaintext(
    suite: Suite, commitment_key: CommitmentKey, *, true_size: int, leaf_commitments: list[bytes]
) -> bytes:
    """Commitment to the whole plaintext: K(k, 0x01 || u64 true size || leaf commitments)."""
    if len(leaf_commitments) != count_plaintext_leaves(true_size):
        raise AssertionError("internal: a plaintext has one commitment for each leaf")
    joined = _NODE + true_size.to_bytes(8, "big") + b"".join(leaf_commitments)
    match suite:
        case Suite.X25519_MLKEM768:
            return blake3(joined, key=commitment_key.reveal()).digest()


def commit_metadata(suite: Suite, commitment_key: CommitmentKey, metadata: bytes) -> bytes:
    """Commitment to the metadata, the canonical JSON without padding: K(k, 0x02 || metadata)."""
    match suite:
        case Suite.X25519_MLKEM768:
            return blake3(_METADATA + metadata, key=commitment_key.reveal()).digest()
