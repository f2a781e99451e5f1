"""The commitments to plaintext and metadata, keyed so that they say nothing (spec `document.md`, "Commitments").

They survive a reseal: whoever reads the new ciphertexts still checks that what they say is what the author signed.
"""

import hmac
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
    return _commit(suite, commitment_key, _LEAF, leaf)


def commit_plaintext(
    suite: Suite, commitment_key: CommitmentKey, *, true_size: int, leaf_commitments: list[bytes]
) -> bytes:
    """Commitment to the whole plaintext: K(k, 0x01 || u64 true size || leaf commitments)."""
    if len(leaf_commitments) != count_plaintext_leaves(true_size):
        raise AssertionError("internal: a plaintext has one commitment for each leaf")
    return _commit(suite, commitment_key, _NODE + true_size.to_bytes(8, "big"), b"".join(leaf_commitments))


def commit_metadata(suite: Suite, commitment_key: CommitmentKey, metadata: bytes) -> bytes:
    """Commitment to the metadata, the canonical JSON without padding: K(k, 0x02 || metadata)."""
    return _commit(suite, commitment_key, _METADATA, metadata)


def _commit(suite: Suite, commitment_key: CommitmentKey, prefix: bytes, rest: bytes | memoryview) -> bytes:
    """K of the suite: keyed BLAKE3, or HMAC-SHA-384."""
    match suite:
        case Suite.X25519_MLKEM768:
            hasher = blake3(prefix, key=commitment_key.reveal())
            hasher.update(rest)
            return hasher.digest()
        case Suite.P384_MLKEM1024:
            mac = hmac.new(commitment_key.reveal(), prefix, "sha384")
            mac.update(rest)
            return mac.digest()
