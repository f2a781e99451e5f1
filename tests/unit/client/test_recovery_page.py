"""The recovery page: what stands on it, what does not, and a file that is new, whole and its owner's alone."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest

from carnet.cli.entry import main
from carnet.errors import CallerError
from carnet.qr import QrError
from carnet.recovery_page import RecoveryPageError, make_recovery_page
from carnet.recovery_texts import RENEW_COMMAND, RESTORE_COMMAND, TEXTS, Language
from carnet.short_code import derive_short_code, format_short_code
from carnet.words import WordChecksumError, WordCountError, format_words, parse_words
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import IdentityHash

LANGUAGES = get_args(Language)
IDENTITY = IdentityHash(bytes(range(32)))
SECRET = bytes.fromhex("9f6a2878b2520799a44ef18bc7df394e7061a224d2c33cd015b157d746869863")
CONTENT: dict[str, Any] = {
    "words": format_words(SECRET),
    "qr_text": "carnet-recovery:" + "A" * 64,
    "identity_text": str(IDENTITY),
    "short_code": format_short_code(derive_short_code(IDENTITY)),
    "origins": ["https://vault.example", "https://keys.example:8443"],
    "card_text": "E6kkzfuo-H6KsjtsR1MqXbaLmFzU-YxYoZ1j2pT7JvA",
    "created_on": date(2026, 3, 1),
}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Where the page goes; nothing is there yet."""
    return tmp_path / "page.pdf"


def drawn_texts(pdf: bytes) -> list[str]:
    """Every piece of text that the page draws, in order."""
    strings = re.findall(rb"\(((?:\\.|[^\\)])*)\) Tj", pdf)
    plain = [re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), string) for string in strings]
    return [re.sub(rb"\\(.)", rb"\1", string).decode("cp1252") for string in plain]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Another umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def names(folder: Path) -> list[str]:
    """What lies in `folder`, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


def make(page: Path, **changes: object) -> bytes:
    """Make a page with `changes` to the usual content and return the file."""
    make_recovery_page(page, **{**CONTENT, **changes})
    return page.read_bytes()


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_shows_every_word_beside_its_number(page: Path, language: Language) -> None:
    drawn = drawn_texts(make(page, language=language))
    beginning = drawn.index("1")
    shown = dict(zip(drawn[beginning : beginning + 48 : 2], drawn[beginning + 1 : beginning + 48 : 2], strict=True))
    assert [shown[str(number)] for number in range(1, 25)] == list(CONTENT["words"])
    assert parse_words(" ".join(shown.values())) == SECRET


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_shows_code_identity_servers_and_date(page: Path, language: Language) -> None:
    drawn = drawn_texts(make(page, language=language))
    assert "   ".join(CONTENT["short_code"].split()) in drawn
    assert str(IDENTITY) in drawn
    assert {*CONTENT["origins"], CONTENT["card_text"]} <= set(drawn)
    made_on = {"en": "Made on 1 March 2026", "fr": "Établie le 1er mars 2026", "de": "Erstellt am 1. März 2026"}
    assert made_on[language] in drawn


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_is_one_sheet_of_a4_in_its_language(page: Path, language: Language) -> None:
    pdf = make(page, language=language)
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
    assert b"/MediaBox [ 0 0 595.2756 841.8898 ]" in pdf
    assert f"/Lang ({language})".encode() in pdf
    assert TEXTS[language].title in drawn_texts(pdf)


def test_document_properties_hold_no_word_and_nobody(page: Path) -> None:
    pdf = make(page)
    beginning = pdf.index(b"/Author")
    properties = pdf[beginning : pdf.index(b">>", beginning)]
    assert b"Carnet: Recovery page" in properties
    for secret in (*CONTENT["words"], str(IDENTITY), *CONTENT["short_code"].split(), CONTENT["qr_text"]):
        assert not re.search(rb"\b" + re.escape(secret.encode()) + rb"\b", properties)


def test_words_stand_on_the_page_once_each(page: Path) -> None:
    drawn = drawn_texts(make(page))
    for word in CONTENT["words"]:
        assert drawn.count(word) == CONTENT["words"].count(word)


def test_same_content_gives_the_same_page(tmp_path: Path) -> None:
    assert make(tmp_path / "one.pdf") == make(tmp_path / "two.pdf")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_file_is_its_owners_alone_whatever_the_umask(page: Path, mask: int) -> None:
    with umask(mask):
        make(page)
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert names(page.parent) == ["page.pdf"]


def test_a_page_that_is_there_stays_as_it_was(page: Path) -> None:
    page.write_bytes(b"an older page")
    with pytest.raises(RecoveryPageError, match="already"):
        make(page)
    assert page.read_bytes() == b"an older page"
    assert names(page.parent) == ["page.pdf"]


def test_a_link_to_nowhere_is_not_followed(page: Path, tmp_path: Path) -> None:
    page.symlink_to(tmp_path / "elsewhere.pdf")
    with pytest.raises(RecoveryPageError, match="already"):
        make(page)
    assert not (tmp_path / "elsewhere.pdf").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecoveryPageError, match="cannot be written"):
        make(tmp_path / "missing" / "page.pdf")


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_failed_write_leaves_nothing(page: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(RecoveryPageError, match="No space left on device"):
        make(page)
    assert names(page.parent) == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"words": CONTENT["words"][:-1]}, WordCountError),
        ({"words": (*CONTENT["words"][1:], CONTENT["words"][0])}, WordChecksumError),
        ({"short_code": "12345"}, MalformedError),
        ({"qr_text": "x" * 3000}, QrError),
        ({"identity_text": "é" * 43}, RecoveryPageError),
        ({"identity_text": "A" * 200}, RecoveryPageError),
        ({"identity_text": "A\nB"}, RecoveryPageError),
        ({"origins": ["https://" + "x" * 200]}, RecoveryPageError),
        ({"origins": ["https://vault.example"] * 9}, RecoveryPageError),
        ({"origins": ["https://\u0432ault.example"]}, RecoveryPageError),
    ],
)
def test_content_that_cannot_be_shown_is_refused_and_nothing_written(
    page: Path, changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(page, **changes)
    assert names(page.parent) == []


def test_a_page_that_is_not_durable_is_taken_back(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = os.fsync, iter([os.fsync])

    def fail_for_the_folder(descriptor: int) -> None:
        if next(calls, None) is None:
            raise OSError(5, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_the_folder)
    with pytest.raises(RecoveryPageError, match="Input/output error"):
        make(page)
    assert names(page.parent) == []


def test_shortened_words_are_not_printed(page: Path) -> None:
    with pytest.raises(AssertionError, match="internal"):
        make(page, words=tuple(word[:4] for word in CONTENT["words"]))
    assert names(page.parent) == []


def test_no_error_holds_a_word(page: Path) -> None:
    page.touch()
    with pytest.raises(CallerError) as caught:
        make(page)
    assert not set(re.findall(r"[a-z]+", str(caught.value))) & set(CONTENT["words"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_long_origins_are_made_smaller_rather_than_cut(page: Path, language: Language) -> None:
    origin = "https://" + "sub.domain." * 7 + "example:8443"
    assert origin in drawn_texts(make(page, language=language, origins=[origin, origin]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_advice_that_outgrows_the_page_is_noticed(
    page: Path, monkeypatch: pytest.MonkeyPatch, language: Language
) -> None:
    texts = TEXTS[language]
    monkeypatch.setitem(TEXTS, language, replace(texts, keep=texts.keep * 2))
    with pytest.raises(AssertionError, match="internal"):
        make(page, language=language)
    assert names(page.parent) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything(language: Language) -> None:
    texts, english = TEXTS[language], TEXTS["en"]
    assert len(texts.months.split()) == 12
    for field in fields(texts):
        said, expected = getattr(texts, field.name), getattr(english, field.name)
        assert len(said) == len(expected) if isinstance(expected, tuple) else said or field.name == "day_suffix"
    assert sum("{restore}" in step for step in texts.restore) == 1
    assert sum("{renew}" in step for step in texts.lost) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_commands_on_the_page_exist_and_stand_in_one_piece(page: Path, language: Language) -> None:
    drawn = [text.replace("\u00a0", " ") for text in drawn_texts(make(page, language=language))]
    for command in (RESTORE_COMMAND, RENEW_COMMAND):
        assert any(command in text for text in drawn)
        program, *words = command.split()
        assert program == "carnet"
        assert main([*words, "--help"]) == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_speaks_of_nothing_that_there_is_not(page: Path, language: Language) -> None:
    said = " ".join(drawn_texts(make(page, language=language))).casefold()
    assert not [word for word in ("app", "téléphone", "phone", "telefon", "restaurer") if f" {word} " in f" {said} "]
