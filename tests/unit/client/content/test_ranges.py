"""A part of a document, without the rest."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.content import CommitmentKey, ContentKey, ContentRefusedError, OpenedRanges, RefusalReason, open_range
from carnet.errors import UsageError
from tests.unit.client.content.version import CHUNK, HEADER, MIB, SEALED_CHUNK, SIZES, Version, pattern

LEAF = 64 * SEALED_CHUNK
SIZE = 3 * MIB + 5 * CHUNK + 7
VERSION = Version(b"context", ContentKey.make(), CommitmentKey.make())
SEALED, CIPHERTEXT = VERSION.seal(pattern(SIZE))


@given(offset=st.integers(0, SIZE + 10), length=st.integers(0, SIZE + 10))
def test_a_range_is_the_slice(offset: int, length: int) -> None:
    found = VERSION.ranges(CIPHERTEXT, SEALED).read(offset=offset, length=length)
    assert found == pattern(SIZE)[offset : offset + length]


EDGES = sorted({edge + step for edge in (0, CHUNK, MIB, 2 * MIB, 3 * MIB, SIZE) for step in (-1, 0, 1)} - {-1})


@pytest.mark.parametrize("start", EDGES)
@pytest.mark.parametrize("end", EDGES)
def test_a_range_at_the_edges_of_chunks_and_leaves_is_the_slice(start: int, end: int) -> None:
    found = VERSION.ranges(CIPHERTEXT, SEALED).read(offset=start, length=max(0, end - start))
    assert found == pattern(SIZE)[start:end]


@pytest.mark.parametrize("size", SIZES)
def test_all_of_it_is_the_document_without_padding(version: Version, size: int) -> None:
    sealed, ciphertext = version.seal(pattern(size))
    assert version.ranges(ciphertext, sealed).read(offset=0, length=sealed.ciphertext_size) == pattern(size)


def test_one_range_is_the_slice() -> None:
    found = open_range(
        lambda start, end: CIPHERTEXT[start:end],
        offset=MIB - 1,
        length=2,
        sealed=SEALED,
        content_key=VERSION.content_key,
        context=VERSION.context,
    )
    assert found == pattern(SIZE)[MIB - 1 : MIB + 1]


def fetched(offset: int, length: int, *, twice: bool = False) -> list[tuple[int, int]]:
    calls: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        calls.append((start, end))
        return CIPHERTEXT[start:end]

    ranges = OpenedRanges(fetch, sealed=SEALED, content_key=VERSION.content_key, context=VERSION.context)
    for _ in range(2 if twice else 1):
        ranges.read(offset=offset, length=length)
    return calls


FIRST, THIRD = (0, HEADER + LEAF), (HEADER + 2 * LEAF, HEADER + 3 * LEAF)


def test_whole_leaves_are_fetched_and_the_first_one_once() -> None:
    assert fetched(5, 5) == [FIRST]
    assert fetched(2 * MIB, 1) == [THIRD, FIRST]
    assert fetched(2 * MIB, 1, twice=True) == [THIRD, FIRST, THIRD]


def test_a_document_read_whole_is_fetched_with_its_padding() -> None:
    size = 64 * MIB + 1
    sealed, ciphertext = VERSION.seal(bytes(size))
    assert sealed.padded_size - size > MIB  # so that the last leaf holds padding alone
    calls: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        calls.append((start, end))
        return ciphertext[start:end]

    ranges = OpenedRanges(fetch, sealed=sealed, content_key=VERSION.content_key, context=VERSION.context)
    assert sum(len(piece) for piece in ranges.stream_all()) == size
    assert calls == [sealed.leaf_range(leaf) for leaf in range(sealed.leaf_count)]

    ciphertext = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
    with pytest.raises(ContentRefusedError):
        list(ranges.stream_all())


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (SIZE, 1), (SIZE + 1, 1), (1 << 60, 1 << 60)])
def test_nothing_is_fetched_for_nothing(offset: int, length: int) -> None:
    assert fetched(offset, length) == []


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (-5, -5)])
def test_a_negative_range_is_refused_at_once(offset: int, length: int) -> None:
    ranges = VERSION.ranges(CIPHERTEXT, SEALED)
    with pytest.raises(UsageError):
        ranges.stream(offset=offset, length=length)


def test_pieces_come_leaf_by_leaf() -> None:
    pieces = list(VERSION.ranges(CIPHERTEXT, SEALED).stream(offset=MIB - 10, length=MIB + 20))
    assert [len(piece) for piece in pieces] == [10, MIB, 10]


@pytest.mark.parametrize("position", [0, 24, 56, HEADER + 2 * LEAF, HEADER + 3 * LEAF - 1])
def test_a_flipped_bit_in_a_fetched_leaf_is_refused(position: int) -> None:
    changed = bytearray(CIPHERTEXT)
    changed[position] ^= 1
    with pytest.raises(ContentRefusedError) as caught:
        VERSION.ranges(bytes(changed), SEALED).read(offset=2 * MIB, length=1)
    assert caught.value.reason is RefusalReason.LEAF


ANSWERS = {
    "nothing": lambda _start, _end: b"",
    "too little": lambda start, end: CIPHERTEXT[start : end - 1],
    "too much": lambda start, end: CIPHERTEXT[start : end + 1],
    "all": lambda _start, _end: CIPHERTEXT,
    "another leaf": lambda _start, _end: CIPHERTEXT[HEADER + LEAF : HEADER + 2 * LEAF],
    "the leaf of another file": lambda start, end: VERSION.seal(pattern(SIZE))[1][start:end],
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_with_another_range_is_refused(answer: object) -> None:
    ranges = OpenedRanges(
        answer,  # type: ignore[arg-type]  # a lambda of two positions
        sealed=SEALED,
        content_key=VERSION.content_key,
        context=VERSION.context,
    )
    with pytest.raises(ContentRefusedError) as caught:
        ranges.read(offset=2 * MIB, length=1)
    assert caught.value.reason in {RefusalReason.SIZE, RefusalReason.LEAF}


def test_another_key_or_place_is_refused(other: Version) -> None:
    for wrong in (
        dataclasses.replace(VERSION, content_key=other.content_key),
        dataclasses.replace(VERSION, context=other.context),
    ):
        with pytest.raises(ContentRefusedError) as caught:
            wrong.ranges(CIPHERTEXT, SEALED).read(offset=0, length=1)
        assert caught.value.reason is RefusalReason.CIPHER


def test_what_the_caller_raises_goes_through() -> None:
    def fetch(_start: int, _end: int) -> bytes:
        raise ConnectionError("gone")

    ranges = OpenedRanges(fetch, sealed=SEALED, content_key=VERSION.content_key, context=VERSION.context)
    with pytest.raises(ConnectionError, match="gone"):
        ranges.read(offset=0, length=1)
