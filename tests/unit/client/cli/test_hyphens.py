"""Ids and files that begin with a hyphen are no options."""

from pathlib import Path

import pytest

from carnet.cli.hyphens import MARK, mark, unmark


@pytest.mark.parametrize(
    "word",
    [
        *("-Kq3zR8tw", "-ab", "-_bc", "-report.pdf", "-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"),
        *("--Kq3zR8tw", "--a", "---", "--ab-c_d", "---K", "--abc1", "--abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"),
    ],
)
def test_hyphenated_word_is_marked_and_unmarked(word: str) -> None:
    assert mark(word) == MARK + word
    assert unmark(mark(word)) == word


@pytest.mark.parametrize(
    "word", ["--json", "--no-qr", "--home=x", "--home=Kq3z", "-h", "-", "--", "", "Kq3zR8tw", "-1 day", "a-b-c"]
)
def test_other_word_is_let_be(word: str) -> None:
    assert mark(word) == word


def test_mark_is_taken_out_of_whatever_a_parser_made() -> None:
    marked = mark("-Kq3zR8tw")
    assert unmark({"one": marked, "many": [marked], "path": Path(marked), "none": None, "flag": True}) == {
        "one": "-Kq3zR8tw",
        "many": ["-Kq3zR8tw"],
        "path": Path("-Kq3zR8tw"),
        "none": None,
        "flag": True,
    }
