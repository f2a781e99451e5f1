"""Where the bytes of a ciphertext lie, and the digest over them."""

import hashlib
import itertools

import pytest
from blake3 import blake3
from cryptography.cobblestone import Cobblestone256Encryptor
from hypothesis import given
from hypothesis import strategies as st

from carnet_protocol.errors import MalformedError
from carnet_protocol.layout import (
    SEALED_CHUNK_BYTES,
    ciphertext_size,
    content_digest,
    leaf_count,
    leaf_digest,
    leaf_range,
    leaf_ranges,
    padded_size,
)
from carnet_protocol.suites import SIZES, Suite

CHUNK = 16_384
MIB = 1_048_576
BOUNDARIES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + CHUNK]


@pytest.mark.parametrize("padded", BOUNDARIES)
def test_ciphertext_size_is_what_cobblestone_writes(padded: int) -> None:
    encryptor = Cobblestone256Encryptor(bytes(32), b"context")
    assert ciphertext_size(padded) == len(encryptor.update(bytes(padded)) + encryptor.finalize())


@given(st.integers(0, 1 << 40))
def test_padded_size_undoes_ciphertext_size(padded: int) -> None:
    assert padded_size(ciphertext_size(padded)) == padded


@pytest.mark.parametrize(
    "size",
    [-1, 0, 55, 56, 71, 56 + SEALED_CHUNK_BYTES, 56 + SEALED_CHUNK_BYTES + 15, 56 + 7 * SEALED_CHUNK_BYTES + 15],
)
def test_a_size_that_no_ciphertext_has_is_refused(size: int) -> None:
    with pytest.raises(MalformedError):
        leaf_count(size)


def test_no_size_is_negative() -> None:
    with pytest.raises(MalformedError):
        ciphertext_size(-1)


@pytest.mark.parametrize(
    ("padded", "leaves"),
    [(0, 1), (1, 1), (MIB - 1, 1), (MIB, 1), (MIB + 1, 2), (2 * MIB, 2), (2 * MIB + 1, 3), (64 << 30, 65_536)],
)
def test_every_begun_mebibyte_has_a_leaf(padded: int, leaves: int) -> None:
    assert leaf_count(ciphertext_size(padded)) == leaves


@given(st.integers(0, 9 * MIB))
def test_leaves_cover_the_ciphertext_without_gaps(padded: int) -> None:
    size = ciphertext_size(padded)
    ranges = list(leaf_ranges(size))
    assert ranges[0][0] == 0
    assert ranges[-1][1] == size
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))
    assert all((end - 56) % SEALED_CHUNK_BYTES == 0 for _, end in ranges[:-1])


def test_the_last_empty_chunk_makes_no_leaf_of_its_own() -> None:
    size = ciphertext_size(2 * MIB)
    assert leaf_range(size, 1) == (56 + 64 * 16_400, size)


@pytest.mark.parametrize("leaf", [-1, 2])
def test_a_leaf_beyond_the_ends_is_refused(leaf: int) -> None:
    with pytest.raises(MalformedError):
        leaf_range(ciphertext_size(2 * MIB), leaf)


SUITES = pytest.mark.parametrize("suite", Suite)


def digest(suite: Suite, data: bytes) -> bytes:
    return blake3(data).digest() if suite == 1 else hashlib.sha384(data).digest()


@SUITES
def test_leaf_digests_and_content_digest_are_kept_apart(suite: Suite) -> None:
    data = b"some bytes"
    assert leaf_digest(suite, data) == digest(suite, b"\0" + data)
    digests = leaf_digest(suite, data)
    assert len(digests) == SIZES[suite].content_digest
    size = ciphertext_size(5)
    assert content_digest(suite, ciphertext_size=size, leaf_digests=digests) == digest(
        suite, b"\1" + size.to_bytes(8, "big") + digests
    )


@SUITES
@pytest.mark.parametrize("difference", [-49, -16, -1, 1, 16, 32, 48])
def test_a_leaf_list_of_another_length_is_refused(suite: Suite, difference: int) -> None:
    length = max(0, SIZES[suite].content_digest + difference)
    with pytest.raises(MalformedError):
        content_digest(suite, ciphertext_size=ciphertext_size(5), leaf_digests=bytes(length))


@SUITES
def test_the_content_digest_depends_on_size_and_order(suite: Suite) -> None:
    one, two = (bytes([number]) * SIZES[suite].content_digest for number in (1, 2))
    size = ciphertext_size(2 * MIB - 1)
    digests = {
        content_digest(suite, ciphertext_size=size, leaf_digests=one + two),
        content_digest(suite, ciphertext_size=size, leaf_digests=two + one),
        content_digest(suite, ciphertext_size=size - 1, leaf_digests=one + two),
    }
    assert len(digests) == 3
