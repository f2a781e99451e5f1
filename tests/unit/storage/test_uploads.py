"""How an object is cut into parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet_storage import (
    MAX_OBJECT_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    MIN_PART_BYTES,
    InvalidUpload,
    ObjectName,
    Upload,
)

NAME = ObjectName("A" * 43)
PART = MIN_PART_BYTES
TOKEN = "token"


def _upload(size_bytes: int, part_bytes: int = PART, token: str = TOKEN) -> Upload:
    return Upload(NAME, size_bytes, part_bytes, token)


@pytest.mark.parametrize(
    ("size_bytes", "sizes"),
    [
        (1, [1]),
        (PART - 1, [PART - 1]),
        (PART, [PART]),
        (PART + 1, [PART, 1]),
        (2 * PART, [PART, PART]),
        (2 * PART + 1, [PART, PART, 1]),
    ],
)
def test_parts_are_all_alike_but_the_last(size_bytes: int, sizes: list[int]) -> None:
    upload = _upload(size_bytes)
    assert [upload.part_size(part) for part in range(1, upload.part_count + 1)] == sizes


@given(st.integers(1, 300 * PART), st.integers(PART, 3 * PART))
def test_parts_cover_the_object_without_gap_or_overlap(size_bytes: int, part_bytes: int) -> None:
    upload = _upload(size_bytes, part_bytes)
    end = 0
    for part in range(1, upload.part_count + 1):
        assert upload.part_offset(part) == end
        end += upload.part_size(part)
    assert end == size_bytes


@pytest.mark.parametrize("part", [-1, 0, 3])
def test_part_that_is_not_there_has_no_place(part: int) -> None:
    upload = _upload(PART + 1)
    with pytest.raises(InvalidUpload):
        upload.part_offset(part)
    with pytest.raises(InvalidUpload):
        upload.part_size(part)


@pytest.mark.parametrize(
    ("size_bytes", "part_bytes"),
    [(MAX_PARTS * PART, PART), (MAX_OBJECT_BYTES, MAX_PART_BYTES), (1, MAX_PART_BYTES)],
)
def test_limits_themselves_are_allowed(size_bytes: int, part_bytes: int) -> None:
    assert _upload(size_bytes, part_bytes).part_count <= MAX_PARTS


@pytest.mark.parametrize(
    ("size_bytes", "part_bytes"),
    [
        (MAX_PARTS * PART + 1, PART),
        (MAX_OBJECT_BYTES + 1, MAX_PART_BYTES),
        (0, PART),
        (-1, PART),
        (1, PART - 1),
        (1, MAX_PART_BYTES + 1),
        (1, 0),
        (1, -PART),
    ],
)
def test_beyond_the_limits_there_is_no_upload(size_bytes: int, part_bytes: int) -> None:
    with pytest.raises(InvalidUpload):
        _upload(size_bytes, part_bytes)


@pytest.mark.parametrize("token", ["", "a b", "a\n", "é", "x" * 1025, "\0"])
def test_token_is_short_visible_ascii(token: str) -> None:
    with pytest.raises(InvalidUpload):
        _upload(1, token=token)
