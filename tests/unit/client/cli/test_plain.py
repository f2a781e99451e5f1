"""Strings of other people do nothing to a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.cli.plain import REPLACEMENT, plain, plain_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Lettre de liaison", "Lettre de liaison"),
        ("Dr Élodie Šimić, Ωμέγα, 山田", "Dr Élodie Šimić, Ωμέγα, 山田"),
        ("\x1b[2J\x1b[31mred", "�[2J�[31mred"),
        ("a\rb", "a�b"),
        ("bell\x07 back\x08 del\x7f", "bell� back� del�"),
        ("\x9b31m C1", "�31m C1"),
        ("\x1b]8;;http://evil\x07link", "�]8;;http://evil�link"),
        ("scan\u202egpj.exe", "scan�gpj.exe"),
        ("\u2066isolate\u2069 \u200fmark \u061c", "�isolate� �mark �"),
        ("zero\u200bwidth \ufeff \u2028", "zero�width � �"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\ud800 half", "� half"),
        ("o" + "\u0301" * 9, "o" + "\u0301" * 4),
    ],
)
def test_string_is_made_harmless(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_nothing_but_printable_characters_is_left(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) <= len(text)


@given(st.text(st.characters(blacklist_categories=["Mn", "Me"])).filter(str.isprintable))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


@given(st.text())
def test_lines_of_a_comment_are_kept_and_nothing_else(text: str) -> None:
    assert all(line.isprintable() for line in plain_lines(text).split("\n"))
    assert plain_lines("one\r\ntwo\nthree") == "one\ntwo\nthree"


def test_replacement_is_printable_itself() -> None:
    assert unicodedata.category(REPLACEMENT) == "So"
