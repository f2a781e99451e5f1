"""Where a passphrase comes from."""

from pathlib import Path

import pytest

from carnet.cli.passphrases import choose_passphrase, find_file, load_passphrase, read_passphrase
from carnet.cli.terminal import Terminal
from carnet.errors import HomeError, UsageError


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (b"correct horse\n", "correct horse"),
        (b"correct horse\r\n", "correct horse"),
        (b"correct horse", "correct horse"),
        (b" spaces count \nnot this\n", " spaces count "),
        ("pâté élémentaire\n".encode(), "pâté élémentaire"),
    ],
)
def test_first_line_of_a_file_is_the_passphrase(tmp_path: Path, content: bytes, passphrase: str) -> None:
    (tmp_path / "file").write_bytes(content)
    assert load_passphrase(tmp_path / "file") == passphrase


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x80abc\n"])
def test_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(HomeError, match="not text"):
        load_passphrase(tmp_path / "file")


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be read"):
        load_passphrase(tmp_path / "none")


def test_option_goes_before_the_environment() -> None:
    environment = {"CARNET_PASSPHRASE_FILE": "theirs"}
    assert find_file(Path("mine"), environment) == Path("mine")
    assert find_file(None, environment) == Path("theirs")
    assert find_file(None, {}) is None


def test_chosen_passphrase_must_be_long_enough(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("short\n")
    with pytest.raises(UsageError, match="at least"):
        choose_passphrase(Terminal(is_json=True), tmp_path / "file")


class Typist(Terminal):
    """A terminal at which somebody types some answers."""

    def __init__(self, *answers: str) -> None:
        super().__init__(is_json=False)
        self._answers = list(answers)

    def ask_secret(self, question: str, *, otherwise: str) -> str:
        assert otherwise
        return self._answers.pop(0)


def test_typed_passphrase_is_typed_twice() -> None:
    assert choose_passphrase(Typist("correct horse", "correct horse"), None) == "correct horse"
    assert read_passphrase(Typist("correct horse"), None) == "correct horse"


def test_two_different_passphrases_are_refused() -> None:
    with pytest.raises(UsageError, match="not the same"):
        choose_passphrase(Typist("correct horse", "corect horse"), None)
