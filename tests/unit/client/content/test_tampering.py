"""Whatever is changed, cut, moved or mixed up is refused, by every way of opening, and leaves nothing behind."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from cryptography.cobblestone import Cobblestone256Encryptor
from hypothesis import given, settings
from hypothesis import strategies as st

from carnet.content import (
    CommitmentKey,
    ContentKey,
    ContentRefusedError,
    RefusalReason,
    SealedContent,
)
from carnet.content import crew as crew_module
from carnet_protocol import layout
from carnet_protocol.suites import Suite
from tests.unit.client.content.version import CHUNK, HEADER, MIB, SEALED_CHUNK, Version, pattern

LEAF = 64 * SEALED_CHUNK
PLAINTEXT = pattern(3 * MIB + 5 * CHUNK)


def refuse_everywhere(version: Version, sealed: SealedContent, ciphertext: bytes, tmp_path: Path) -> set[RefusalReason]:
    """Opens in every way, each of which must refuse and leave nothing; returns the reasons."""
    place = tmp_path / "place"
    place.write_bytes(b"what was here before")
    source = tmp_path / "sealed"
    source.write_bytes(ciphertext)
    reasons = set()
    ways: list[Callable[[], object]] = [
        lambda: version.open(ciphertext, sealed),
        lambda: version.open_file(source, place, sealed),
        lambda: version.open_stream(ciphertext, place, sealed),
    ]
    for way in ways:
        with pytest.raises(ContentRefusedError) as caught:
            way()
        reasons.add(caught.value.reason)
    assert place.read_bytes() == b"what was here before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place", "sealed"]
    return reasons


def list_leaves(suite: Suite, ciphertext: bytes) -> bytes:
    size = len(ciphertext)
    ranges = layout.leaf_ranges(size)
    return b"".join(layout.leaf_digest(suite, ciphertext[start:end]) for start, end in ranges)


def sign_again(sealed: SealedContent, ciphertext: bytes, **changes: object) -> SealedContent:
    """What an author would have signed over `ciphertext`: only the cipher and what is inside can refuse it now."""
    suite = sealed.suites.digest
    leaf_digests = list_leaves(suite, ciphertext)
    digest = layout.content_digest(suite, ciphertext_size=len(ciphertext), leaf_digests=leaf_digests)
    values = {"ciphertext_size": len(ciphertext), "digest": digest, "leaf_digests": leaf_digests}
    return dataclasses.replace(sealed, **{**values, **changes})  # type: ignore[arg-type]  # fields by their names


def flip(ciphertext: bytes, position: int) -> bytes:
    changed = bytearray(ciphertext)
    changed[position] ^= 0x01
    return bytes(changed)


POSITIONS = [0, 23, 24, 55, 56, HEADER + CHUNK, HEADER + LEAF - 1, HEADER + LEAF, HEADER + 3 * LEAF, -17, -16, -1]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("cores", [1, 2])
def test_a_flipped_bit_is_refused_by_its_leaf(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int, cores: int
) -> None:
    monkeypatch.setattr(crew_module, "count_cores", lambda: cores)
    sealed, ciphertext = version.seal(PLAINTEXT)
    assert refuse_everywhere(version, sealed, flip(ciphertext, position), tmp_path) == {RefusalReason.LEAF}


@pytest.mark.parametrize("position", POSITIONS)
def test_a_flipped_bit_under_a_new_digest_is_refused_by_the_cipher(
    version: Version, tmp_path: Path, position: int
) -> None:
    sealed, ciphertext = version.seal(PLAINTEXT)
    changed = flip(ciphertext, position)
    assert refuse_everywhere(version, sign_again(sealed, changed), changed, tmp_path) == {RefusalReason.CIPHER}


@settings(max_examples=60)
@given(data=st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    version = Version(b"context", ContentKey.make(), CommitmentKey.make())
    sealed, ciphertext = version.seal(pattern(data.draw(st.integers(0, 40_000))))
    changed = bytearray(ciphertext)
    changed[data.draw(st.integers(0, len(ciphertext) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ContentRefusedError) as caught:
        version.open(bytes(changed), sealed)
    assert caught.value.reason is RefusalReason.LEAF
    with pytest.raises(ContentRefusedError) as caught:
        version.open(bytes(changed), sign_again(sealed, bytes(changed)))
    assert caught.value.reason is RefusalReason.CIPHER


CUTS = {
    "nothing left": lambda _whole: b"",
    "half a header": lambda whole: whole[:30],
    "a byte short": lambda whole: whole[:-1],
    "the last chunk short": lambda whole: whole[:-16],
    "a leaf short": lambda whole: whole[: HEADER + 3 * LEAF],
    "a byte more": lambda whole: whole + b"\0",
    "an empty chunk more": lambda whole: whole + bytes(16),
    "twice": lambda whole: whole + whole,
    "the front cut": lambda whole: whole[1:],
}


@pytest.mark.parametrize("change", CUTS.values(), ids=CUTS.keys())
def test_cut_or_extended_is_refused(version: Version, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    sealed, ciphertext = version.seal(PLAINTEXT)
    reasons = refuse_everywhere(version, sealed, change(ciphertext), tmp_path)
    assert reasons <= {RefusalReason.SIZE, RefusalReason.INCOMPLETE, RefusalReason.BEYOND_END, RefusalReason.LEAF}


def swap_chunks(whole: bytes, first: int, second: int) -> bytes:
    chunks = [whole[start : start + SEALED_CHUNK] for start in range(HEADER, len(whole), SEALED_CHUNK)]
    chunks[first], chunks[second] = chunks[second], chunks[first]
    return whole[:HEADER] + b"".join(chunks)


ORDERS = {
    "two chunks of a leaf": lambda whole: swap_chunks(whole, 0, 1),
    "two chunks of two leaves": lambda whole: swap_chunks(whole, 63, 64),
    "a chunk twice": lambda whole: (
        whole[: HEADER + SEALED_CHUNK] * 1 + whole[HEADER : HEADER + SEALED_CHUNK] + whole[HEADER + 2 * SEALED_CHUNK :]
    ),
    "two leaves": lambda whole: (
        whole[:HEADER]
        + whole[HEADER + LEAF : HEADER + 2 * LEAF]
        + whole[HEADER : HEADER + LEAF]
        + whole[HEADER + 2 * LEAF :]
    ),
}


@pytest.mark.parametrize("change", ORDERS.values(), ids=ORDERS.keys())
def test_another_order_is_refused_by_the_digest_and_without_it_by_the_cipher(
    version: Version, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    sealed, ciphertext = version.seal(PLAINTEXT)
    changed = change(ciphertext)
    assert len(changed) == len(ciphertext)
    assert refuse_everywhere(version, sealed, changed, tmp_path) == {RefusalReason.LEAF}
    assert refuse_everywhere(version, sign_again(sealed, changed), changed, tmp_path) == {RefusalReason.CIPHER}


def test_parts_of_another_file_under_the_same_key_are_refused(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(PLAINTEXT)
    _, other = version.seal(PLAINTEXT)
    for mixed in (other, ciphertext[: HEADER + LEAF] + other[HEADER + LEAF :], other[:HEADER] + ciphertext[HEADER:]):
        assert refuse_everywhere(version, sealed, mixed, tmp_path) == {RefusalReason.LEAF}
    for mixed in (ciphertext[: HEADER + LEAF] + other[HEADER + LEAF :], other[:HEADER] + ciphertext[HEADER:]):
        assert refuse_everywhere(version, sign_again(sealed, mixed), mixed, tmp_path) == {RefusalReason.CIPHER}


def test_another_key_or_another_place_is_refused(version: Version, other: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(PLAINTEXT)
    for wrong in (
        dataclasses.replace(version, content_key=other.content_key),
        dataclasses.replace(version, context=other.context),
        dataclasses.replace(version, context=version.context + b"\0"),
    ):
        assert refuse_everywhere(wrong, sealed, ciphertext, tmp_path) == {RefusalReason.CIPHER}


def test_another_commitment_or_another_key_for_it_is_refused(version: Version, other: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(PLAINTEXT)
    wrong_key = dataclasses.replace(version, commitment_key=other.commitment_key)
    assert refuse_everywhere(wrong_key, sealed, ciphertext, tmp_path) == {RefusalReason.COMMITMENT}
    wrong = dataclasses.replace(sealed, plaintext_commitment=bytes(32))
    assert refuse_everywhere(version, wrong, ciphertext, tmp_path) == {RefusalReason.COMMITMENT}


def test_a_reseal_with_another_plaintext_is_refused(version: Version, tmp_path: Path) -> None:
    sealed, _ = version.seal(PLAINTEXT)
    forged, ciphertext = version.seal(PLAINTEXT[:-1] + b"!")
    swapped = dataclasses.replace(forged, plaintext_commitment=sealed.plaintext_commitment)
    assert refuse_everywhere(version, swapped, ciphertext, tmp_path) == {RefusalReason.COMMITMENT}


def encrypt(version: Version, padded: bytes) -> bytes:
    encryptor = Cobblestone256Encryptor(version.content_key.reveal(), version.context)
    return encryptor.update(padded) + encryptor.finalize()


@pytest.mark.parametrize("size", [0, 100, CHUNK - 1, MIB + 1, 3 * MIB + 5 * CHUNK])
@pytest.mark.parametrize("where", ["first", "last"])
def test_padding_that_is_not_zeros_is_refused(version: Version, tmp_path: Path, size: int, where: str) -> None:
    sealed, _ = version.seal(pattern(size))
    padded = bytearray(pattern(size) + bytes(sealed.padded_size - size))
    padded[size if where == "first" else -1] = 1
    ciphertext = encrypt(version, bytes(padded))
    assert refuse_everywhere(version, sign_again(sealed, ciphertext), ciphertext, tmp_path) == {RefusalReason.PADDING}


def test_a_true_size_that_is_a_little_too_small_or_large_is_refused(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(pattern(40_000))
    smaller = dataclasses.replace(sealed, true_size=39_999)
    larger = dataclasses.replace(sealed, true_size=40_001)
    assert refuse_everywhere(version, smaller, ciphertext, tmp_path) == {RefusalReason.PADDING}
    assert refuse_everywhere(version, larger, ciphertext, tmp_path) == {RefusalReason.COMMITMENT}


@pytest.mark.parametrize("true_size", [-1, 0, 1_000_000, 64 << 30, (64 << 30) + 1, 1 << 70])
def test_a_true_size_of_another_padded_size_never_becomes_a_value(version: Version, true_size: int) -> None:
    sealed, _ = version.seal(pattern(40_000))
    with pytest.raises(ContentRefusedError) as caught:
        dataclasses.replace(sealed, true_size=true_size)
    assert caught.value.reason is RefusalReason.SIZE


@pytest.mark.parametrize("difference", [-41_000, -1, 1, 16, SEALED_CHUNK])
def test_a_ciphertext_size_of_another_document_never_becomes_a_value(version: Version, difference: int) -> None:
    sealed, _ = version.seal(pattern(40_000))
    with pytest.raises(ContentRefusedError) as caught:
        dataclasses.replace(sealed, ciphertext_size=sealed.ciphertext_size + difference)
    assert caught.value.reason is RefusalReason.SIZE


LISTS = {
    "empty": lambda _leaves: b"",
    "one missing": lambda leaves: leaves[:-32],
    "one more": lambda leaves: leaves + bytes(32),
    "a byte missing": lambda leaves: leaves[:-1],
    "a byte more": lambda leaves: leaves + b"\0",
    "another order": lambda leaves: leaves[32:64] + leaves[:32] + leaves[64:],
    "a bit flipped": lambda leaves: flip(leaves, 40),
}


@pytest.mark.parametrize("change", LISTS.values(), ids=LISTS.keys())
def test_another_leaf_list_never_becomes_a_value(version: Version, change: Callable[[bytes], bytes]) -> None:
    sealed, _ = version.seal(PLAINTEXT)
    with pytest.raises(ContentRefusedError) as caught:
        dataclasses.replace(sealed, leaf_digests=change(sealed.leaf_digests))
    assert caught.value.reason is RefusalReason.LEAF_LIST


@pytest.mark.parametrize("digest", [b"", bytes(32), blake3(b"other").digest(), bytes(48)])
def test_another_digest_never_becomes_a_value(version: Version, digest: bytes) -> None:
    sealed, _ = version.seal(PLAINTEXT)
    with pytest.raises(ContentRefusedError) as caught:
        dataclasses.replace(sealed, digest=digest)
    assert caught.value.reason is RefusalReason.LEAF_LIST
