"""Waiting ends when it is over, when it cannot come any more, and when it took too long; it says what it waited for."""

import subprocess
import sys

import pytest

from tests.support import patience
from tests.support.patience import wait_until


def test_it_ends_as_soon_as_it_is_so() -> None:
    answers = iter([False, False, True])
    wait_until(lambda: next(answers), "the third answer")
    assert list(answers) == []


def test_it_says_what_did_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0)
    with pytest.raises(AssertionError, match="waited for a miracle, and it did not come"):
        wait_until(lambda: False, "a miracle")


def test_it_does_not_wait_for_the_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        with pytest.raises(AssertionError, match="waited for a word, and the process ended with 3"):
            wait_until(lambda: False, "a word", process=process)
        wait_until(lambda: True, "what it did before its end", process=process)
