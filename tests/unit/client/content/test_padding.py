"""Sizes that many lengths share, and zeros up to them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.content import DocumentTooLargeError, padded_document_size
from carnet.content.padding import is_padding, padded_metadata_size

# Worked out by hand from the definition; the folder of shared vectors has more, where it is beside this checkout.
PAIRS = {16_385: 17_408, 17_408: 17_408, 17_409: 18_432, 1_000_000: 1_015_808, 1_048_577: 1_081_344}
GIB = 1 << 30
SHARED = Path(__file__).parents[5] / "shared" / "vectors" / "padme" / "padme.json"
if SHARED.exists():
    PAIRS |= {size: padded for size, padded in json.loads(SHARED.read_text())["pairs"] if 16_384 < size <= 64 * GIB}


@pytest.mark.parametrize(("size", "padded"), PAIRS.items())
def test_padded_size_is_padme(size: int, padded: int) -> None:
    assert padded_document_size(size) == padded


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384])
def test_small_documents_all_have_one_size(size: int) -> None:
    assert padded_document_size(size) == 16_384


@pytest.mark.parametrize(("size", "padded"), [(4, 1024), (1024, 1024), (1025, 1088), (2049, 2176)])
def test_small_metadata_all_has_one_size(size: int, padded: int) -> None:
    assert padded_metadata_size(size) == padded


@given(st.integers(0, 64 * GIB))
def test_padding_never_shrinks_is_stable_and_costs_at_most_an_eighth_above_the_floor(size: int) -> None:
    padded = padded_document_size(size)
    assert padded >= size
    assert padded_document_size(padded) == padded
    assert padded == 16_384 or padded - size <= size // 8


@given(st.integers(0, 64 * GIB - 1))
def test_a_longer_document_is_never_padded_to_less(size: int) -> None:
    assert padded_document_size(size + 1) >= padded_document_size(size)


@pytest.mark.parametrize("size", [-1, 64 * GIB + 1, 1 << 80])
def test_a_size_that_no_document_has_is_refused(size: int) -> None:
    with pytest.raises(DocumentTooLargeError):
        padded_document_size(size)


def test_the_largest_document_is_allowed() -> None:
    assert padded_document_size(64 * GIB) == 64 * GIB


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (b"", True),
        (b"\0", True),
        (bytes(1 << 20), True),
        (b"\1", False),
        (bytes(99) + b"\1", False),
        (b"\x80" + bytes(99), False),
        (bytes((1 << 20) - 1) + b"\1", False),
    ],
)
def test_padding_is_zeros_and_nothing_else(padding: bytes, expected: bool) -> None:
    assert is_padding(memoryview(padding)) is expected
