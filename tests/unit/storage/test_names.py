"""Object names: one spelling for 32 bytes, and nothing else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet_storage import InvalidName, ObjectName, make_object_name

GOOD = "A" * 43


@given(st.binary(min_size=32, max_size=32))
def test_name_is_the_base64url_of_its_bytes(data: bytes) -> None:
    name = _name_of(data)
    assert base64.urlsafe_b64decode(name.text + "=") == data
    assert str(name) == name.text


def test_names_differ() -> None:
    assert len({make_object_name() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD[:-1],
        GOOD + "A",
        GOOD + "=",
        GOOD + "\n",
        GOOD[:-1] + "B",
        GOOD[:-1] + "\n",
        GOOD[:-1] + ".",
        "." * 43,
        "../" + GOOD[3:],
        "/" + GOOD[1:],
        GOOD[:20] + "/" + GOOD[21:],
        GOOD[:20] + "\\" + GOOD[21:],
        GOOD[:20] + "%2f" + GOOD[23:],
        GOOD[:20] + "+" + GOOD[21:],
        GOOD[:20] + "\0" + GOOD[21:],
        GOOD[:20] + "é" + GOOD[21:],
        GOOD[:20] + "\ud800" + GOOD[21:],
        "Ａ" + GOOD[1:],
        " " + GOOD[1:],
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        ObjectName(text)


@given(st.text(min_size=43, max_size=43))
def test_whatever_is_accepted_is_spelled_in_the_one_way(text: str) -> None:
    try:
        name = ObjectName(text)
    except InvalidName:
        return
    assert _name_of(base64.urlsafe_b64decode(text + "=")) == name


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20))
def test_names_are_ordered_as_their_ascii_texts(values: list[bytes]) -> None:
    names = [_name_of(value) for value in values]
    assert sorted(names) == sorted(names, key=lambda name: name.text.encode("ascii"))


def _name_of(data: bytes) -> ObjectName:
    return make_object_name(lambda _: data)
