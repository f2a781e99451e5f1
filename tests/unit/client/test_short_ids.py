"""An id is named by its beginning, if that is long enough to be meant."""

import pytest

from carnet.short_ids import is_beginning, shorten
from carnet_protocol.ids import IdentityHash

NAME = "x7QmP2abcdefghijklmnopqrstuvwxyzABCDEFGHIJA"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("", False),
        ("x", False),
        ("x7Q", False),
        ("x7Qm", True),
        (NAME[:8], True),
        (NAME, True),
        (NAME + "A", False),
        ("X7Qm", False),
        ("7QmP", False),
        (" x7Qm", False),
    ],
)
def test_beginning_of_four_characters_names_an_id(text: str, *, is_one: bool) -> None:
    assert is_beginning(text, NAME) is is_one


def test_what_is_shown_is_enough_to_name_it() -> None:
    identity = IdentityHash.parse(NAME)
    assert shorten(identity) == NAME[:8]
    assert is_beginning(shorten(identity), identity)
