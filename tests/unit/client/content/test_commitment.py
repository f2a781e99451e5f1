"""The commitment to a plaintext, against the spec's words written out once more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.content import CommitmentKey, ContentKey
from carnet.content.commitment import commit_leaf, commit_plaintext, count_plaintext_leaves
from carnet_protocol.suites import Suite
from tests.unit.client.content.version import MIB, SIZES, Version, keyed, pattern

KEY = CommitmentKey(bytes(range(32)))
SUITES_OF_COMMITMENTS = pytest.mark.parametrize("suite", Suite)


def expected(suite: Suite, key: bytes, plaintext: bytes) -> bytes:
    leaves = [plaintext[start : start + MIB] for start in range(0, len(plaintext), MIB)] or [b""]
    hashes = b"".join(keyed(suite, key, b"\0" + leaf) for leaf in leaves)
    return keyed(suite, key, b"\1" + len(plaintext).to_bytes(8, "big") + hashes)


@pytest.mark.parametrize("size", SIZES)
def test_commitment_is_over_the_plaintext_without_its_padding(version: Version, size: int) -> None:
    plaintext = pattern(size)
    sealed, _ = version.seal(plaintext)
    assert sealed.plaintext_commitment == expected(
        version.suites.commitment, version.commitment_key.reveal(), plaintext
    )


@pytest.mark.parametrize(("size", "leaves"), [(0, 1), (1, 1), (MIB, 1), (MIB + 1, 2), (64 << 30, 65_536)])
def test_every_begun_mebibyte_of_plaintext_has_a_leaf(size: int, leaves: int) -> None:
    assert count_plaintext_leaves(size) == leaves


def test_the_same_plaintext_has_the_same_commitment_whatever_the_content_key(version: Version) -> None:
    resealed = Version(version.context, ContentKey.make(), version.commitment_key, version.suites)
    one, two = version.seal(pattern(100))[0], resealed.seal(pattern(100))[0]
    assert one.plaintext_commitment == two.plaintext_commitment
    assert one.digest != two.digest


@SUITES_OF_COMMITMENTS
def test_another_commitment_key_gives_another_commitment(suite: Suite) -> None:
    assert commit_leaf(suite, KEY, b"leaf") != commit_leaf(suite, CommitmentKey.make(), b"leaf")


@SUITES_OF_COMMITMENTS
@given(one=st.binary(max_size=64), two=st.binary(max_size=64))
def test_two_plaintexts_never_share_a_commitment(suite: Suite, one: bytes, two: bytes) -> None:
    commitments = {
        commit_plaintext(suite, KEY, true_size=len(plaintext), leaf_commitments=[commit_leaf(suite, KEY, plaintext)])
        for plaintext in (one, two)
    }
    assert len(commitments) == (1 if one == two else 2)


@SUITES_OF_COMMITMENTS
def test_a_missing_leaf_is_our_own_fault(suite: Suite) -> None:
    with pytest.raises(AssertionError, match="internal"):
        commit_plaintext(suite, KEY, true_size=MIB + 1, leaf_commitments=[bytes(32)])
