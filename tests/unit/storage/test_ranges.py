"""The Range header: one range of bytes, or the whole object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet_storage import ByteRange, RangeNotSatisfiable, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=0-9", ByteRange(0, 10)),
        ("bytes=0-99", ByteRange(0, 10)),
        ("bytes=9-", ByteRange(9, 1)),
        ("bytes=9-9", ByteRange(9, 1)),
        ("bytes=-1", ByteRange(9, 1)),
        ("bytes=-10", ByteRange(0, 10)),
        ("bytes=-11", ByteRange(0, 10)),
        ("bytes=007-8", ByteRange(7, 2)),
    ],
)
def test_range_within_the_object(header: str, expected: ByteRange) -> None:
    assert parse_range(header, size_bytes=10) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,3-4",
        "bytes=0-1,",
        "bytes = 0-1",
        "bytes=0 - 1",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=１-2",
        "bytes=1--2",
        "bytes=0-1\n",
        "items=0-1",
        "Bytes=0-1",
        f"bytes=0-{'9' * 17}",
    ],
)
def test_anything_else_asks_for_the_whole_object(header: str | None) -> None:
    assert parse_range(header, size_bytes=10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=999-", "bytes=-0"])
def test_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refusal:
        parse_range(header, size_bytes=10)
    assert refusal.value.size_bytes == 10


@given(st.integers(1, 1000), st.integers(0, 1200), st.integers(0, 1200))
def test_range_is_the_slice_that_it_names(size_bytes: int, first: int, last: int) -> None:
    data = bytes(number % 256 for number in range(size_bytes))
    try:
        wanted = parse_range(f"bytes={first}-{last}", size_bytes=size_bytes)
    except RangeNotSatisfiable:
        assert first >= size_bytes
        return
    if wanted is None:
        assert last < first
        return
    assert data[wanted.start : wanted.start + wanted.length] == data[first : last + 1]
    assert wanted.content_range(size_bytes) == f"bytes {first}-{min(last, size_bytes - 1)}/{size_bytes}"
