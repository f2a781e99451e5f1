"""The search finds what is there, however it is spelled and wherever it lies, and nothing else."""

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carnet.demo import canaries
from carnet.demo.canaries import MOST_SPELLINGS, Needle, search, spell
from carnet.demo.plants import planted
from carnet.samples import make_canary

TITLE = "Scanner thoracique été"
NEEDLE = Needle("title", TITLE.encode())


def spellings(text: bytes) -> dict[str, bytes]:
    word = text.decode()
    return {
        "plain": text,
        "hex": text.hex().encode(),
        "HEX": text.hex().upper().encode(),
        "base64": base64.b64encode(text),
        "base64 later": base64.b64encode(b"x" + text + b"yz"),
        "base64 last": base64.b64encode(b"xy" + text),
        "base64url": base64.urlsafe_b64encode(b">?" * 5 + text + b">?" * 5),
        "UTF-16LE": word.encode("utf-16-le"),
        "UTF-16BE": word.encode("utf-16-be"),
        "JSON": b'{"title":"Scanner thoracique \\u00e9t\\u00e9"}',
        "URL": b"/x?title=Scanner%20thoracique%20%C3%A9t%C3%A9",
    }


@pytest.mark.parametrize("name", sorted(spellings(TITLE.encode())))
def test_every_spelling_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1000) + spellings(TITLE.encode())[name] + os.urandom(1000))
    assert {finding.needle for finding in search([tmp_path], [NEEDLE]).findings} == {"title"}


@settings(max_examples=40)
@given(st.binary(min_size=8, max_size=64), st.integers(0, 5), st.sampled_from(["plain", "base64", "hex"]))
def test_any_bytes_are_found_at_any_alignment(secret: bytes, before: int, how: str) -> None:
    text = b"?" * before + secret + b"!" * 4
    written = {"plain": text, "base64": base64.b64encode(text), "hex": text.hex().encode()}[how]
    assert any(spelling in written for spelling in spell(Needle("x", secret)).values())


@pytest.mark.parametrize("offset", [0, (1 << 20) - 40, (1 << 20) - 1, 1 << 20, (2 << 20) - 7])
def test_needle_across_two_chunks_is_found_where_it_is(tmp_path: Path, offset: int) -> None:
    data = bytearray(3 << 20)
    data[offset : offset + len(NEEDLE.secret)] = NEEDLE.secret
    (tmp_path / "file").write_bytes(data)
    (finding,) = search([tmp_path], [NEEDLE]).findings
    assert (finding.offset, finding.spelling) == (offset, "plain")


def test_every_byte_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes((2 << 20) + 3))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"x")
    (tmp_path / "empty").touch()
    done = search([tmp_path], [NEEDLE])
    assert (done.files, done.size, done.findings) == (3, (2 << 20) + 4, ())


def test_characters_that_only_stand_near_each_other_are_no_finding(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff".join(bytes([byte]) for byte in NEEDLE.secret))
    assert search([tmp_path], [NEEDLE]).findings == ()


def test_name_of_a_file_is_searched_too(tmp_path: Path) -> None:
    (tmp_path / TITLE).touch()
    assert search([tmp_path], [NEEDLE]).findings


def test_short_needle_is_refused() -> None:
    with pytest.raises(AssertionError, match="internal"):
        Needle("x", b"1234567")


def test_needle_shows_no_secret() -> None:
    assert TITLE not in repr(NEEDLE)


def test_spellings_are_no_more_than_told() -> None:
    assert all(len(spell(needle)) <= MOST_SPELLINGS for needle in (NEEDLE, Needle("key", os.urandom(32))))


def test_planted_needles_are_found_and_gone_afterwards(tmp_path: Path) -> None:
    folders = [tmp_path / "vault", tmp_path / "keyservice"]
    for folder in folders:
        folder.mkdir()
    with planted(folders) as needles:
        found = search(folders, needles).findings
        assert {finding.needle for finding in found} == {needle.name for needle in needles}
        assert any(finding.path.name.endswith("-wal") for finding in found)
    assert len(needles) == 6
    assert search(folders, needles).files == 0


def test_search_that_reads_too_little_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vault").mkdir()
    monkeypatch.setattr(canaries, "_files", lambda _: iter(()))
    with planted([tmp_path / "vault"]) as needles:
        assert search([tmp_path / "vault"], needles).findings == ()


def test_canary_is_found_in_what_it_was_made_for(tmp_path: Path) -> None:
    canary = make_canary()
    (tmp_path / "x").write_bytes(b"before" + canary + b"after")
    assert search([tmp_path], [Needle("c", canary)]).findings
