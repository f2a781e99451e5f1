"""The commitment to a plaintext, against the spec's words written out once more."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from carnet.content import CommitmentKey, ContentKey
from carnet.content.commitment import commit_leaf, commit_plaintext, count_plaintext_leaves
from carnet_protocol.suites import WRITE_SUITE
from tests.unit.client.content.version import MIB, SIZES, Version, pattern

KEY = CommitmentKey(bytes(range(32)))


def expected(key: bytes, plaintext: bytes) -> bytes:
    leaves = [plaintext[start : start + MIB] for start in range(0, len(plaintext), MIB)] or [b""]
    hashes = b"".join(blake3(b"\0" + leaf, key=key).digest() for leaf in leaves)
    return blake3(b"\1" + len(plaintext).to_bytes(8, "big") + hashes, key=key).digest()


@pytest.mark.parametrize("size", SIZES)
def test_commitment_is_over_the_plaintext_without_its_padding(version: Version, size: int) -> None:
    plaintext = pattern(size)
    sealed, _ = version.seal(plaintext)
    assert sealed.plaintext_commitment == expected(version.commitment_key.reveal(), plaintext)


@pytest.mark.parametrize(("size", "leaves"), [(0, 1), (1, 1), (MIB, 1), (MIB + 1, 2), (64 << 30, 65_536)])
def test_every_begun_mebibyte_of_plaintext_has_a_leaf(size: int, leaves: int) -> None:
    assert count_plaintext_leaves(size) == leaves


def test_the_same_plaintext_has_the_same_commitment_whatever_the_content_key(version: Version) -> None:
    resealed = Version(version.context, ContentKey.make(), version.commitment_key)
    one, two = version.seal(pattern(100))[0], resealed.seal(pattern(100))[0]
    assert one.plaintext_commitment == two.plaintext_commitment
    assert one.digest != two.digest


def test_another_commitment_key_gives_another_commitment() -> None:
    assert commit_leaf(WRITE_SUITE, KEY, b"leaf") != commit_leaf(WRITE_SUITE, CommitmentKey.make(), b"leaf")


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_two_plaintexts_never_share_a_commitment(one: bytes, two: bytes) -> None:
    commitments = {
        commit_plaintext(
            WRITE_SUITE, KEY, true_size=len(plaintext), leaf_commitments=[commit_leaf(WRITE_SUITE, KEY, plaintext)]
        )
        for plaintext in (one, two)
    }
    assert len(commitments) == (1 if one == two else 2)


def test_a_missing_leaf_is_our_own_fault() -> None:
    with pytest.raises(AssertionError, match="internal"):
        commit_plaintext(WRITE_SUITE, KEY, true_size=MIB + 1, leaf_commitments=[bytes(32)])
