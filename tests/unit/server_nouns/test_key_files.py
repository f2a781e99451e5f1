"""Key files are plain, their owner's alone, and of the exact size; the card is signed and matches the keys."""

import os
from pathlib import Path
from typing import Any

import pytest

from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.errors import SettingsError
from carnet_server.key_files import (
    check_secret_file,
    load_secret_file,
    load_service_card,
    load_signer,
    make_secret_file,
)
from tests.support.people import Deployment, Dice


def write(path: Path, raw: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(raw)
    path.chmod(mode)
    return path


def test_a_key_file_that_was_made_can_be_loaded(tmp_path: Path) -> None:
    make_secret_file(tmp_path / "server.key", size_bytes=32, random=Dice(1))
    assert load_signer(tmp_path / "server.key").seed() == Dice(1)(32)
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "server.key", bytes(32))
    with pytest.raises(SettingsError, match=r"server\.key cannot be made"):
        make_secret_file(tmp_path / "server.key", size_bytes=32)
    assert (tmp_path / "server.key").read_bytes() == bytes(32)


class KilledError(BaseException):
    """The program ends here."""


@pytest.mark.parametrize("call", ["open", "fsync", "link"])
def test_a_kill_while_a_key_file_is_made_leaves_none_or_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    act = getattr(os, call)

    def kill(*arguments: Any, **options: Any) -> None:
        act(*arguments, **options)
        raise KilledError

    with monkeypatch.context() as killing:
        killing.setattr(os, call, kill)
        with pytest.raises(KilledError):
            make_secret_file(tmp_path / "url.key", size_bytes=32)
    if not (tmp_path / "url.key").exists():
        make_secret_file(tmp_path / "url.key", size_bytes=32)
    assert len(load_secret_file(tmp_path / "url.key", size_bytes=32)) == 32


def test_a_key_file_that_was_made_leaves_no_draft(tmp_path: Path) -> None:
    make_secret_file(tmp_path / "url.key", size_bytes=32)
    assert [path.name for path in tmp_path.iterdir()] == ["url.key"]


def test_a_key_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"url\.key cannot be made"):
        make_secret_file(tmp_path / "nowhere" / "url.key", size_bytes=32)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610, 0o601])
def test_a_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        load_secret_file(write(tmp_path / "k", bytes(32), mode), size_bytes=32)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_of_a_library_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        check_secret_file(write(tmp_path / "key.pem", b"any size", mode))


def test_a_key_of_a_library_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path / "key.pem", b"any size"))
    check_secret_file(tmp_path / "link")
    with pytest.raises(SettingsError, match="cannot be read"):
        check_secret_file(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_file_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(SettingsError, match="does not hold 32 bytes"):
        load_secret_file(write(tmp_path / "k", bytes(size)), size_bytes=32)


def test_a_link_to_a_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path / "k", bytes(32)))
    with pytest.raises(SettingsError, match="cannot be opened"):
        load_secret_file(tmp_path / "link", size_bytes=32)


def test_a_folder_in_the_place_of_a_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir(mode=0o700)
    with pytest.raises(SettingsError, match="not a plain file"):
        load_secret_file(tmp_path / "k", size_bytes=32)


def test_a_pipe_in_the_place_of_a_key_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "k", mode=0o600)
    with pytest.raises(SettingsError, match="not a plain file"):
        load_secret_file(tmp_path / "k", size_bytes=32)


def test_a_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "k", bytes(32))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(SettingsError, match="belongs to another user"):
        load_secret_file(tmp_path / "k", size_bytes=32)


def test_a_missing_key_file_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"log\.key cannot be opened"):
        load_signer(tmp_path / "log.key")


def test_a_service_card_is_loaded_with_or_without_a_newline(tmp_path: Path) -> None:
    card = Deployment.make(Dice(2)).card
    for text in (card.text, card.text + "\n"):
        (tmp_path / "card.jws").write_text(text)
        assert load_service_card(tmp_path / "card.jws") == card


@pytest.mark.parametrize("damage", ["", "\n\n", "A", "."])
def test_a_damaged_service_card_is_refused(tmp_path: Path, damage: str) -> None:
    card = Deployment.make(Dice(2)).card
    (tmp_path / "card.jws").write_text(card.text[: -len(damage) or None][:-3] + "AAA" + damage)
    with pytest.raises(SettingsError, match="malformed or not signed"):
        load_service_card(tmp_path / "card.jws")


def test_keys_other_than_those_in_the_card_are_refused(tmp_path: Path) -> None:
    own = Deployment.make(Dice(3))
    write(tmp_path / "server.key", own.vault.key.seed())
    write(tmp_path / "log.key", own.vault.log_key.seed())
    assert ServerDeployment.load(own.card, own.card.body.vault, tmp_path).fingerprint == own.vault.fingerprint
    with pytest.raises(SettingsError, match=r"server\.key is not the one"):
        ServerDeployment.load(own.card, own.card.body.keyservice, tmp_path)
    write(tmp_path / "log.key", own.keyservice.log_key.seed())
    with pytest.raises(SettingsError, match=r"log\.key is not the one"):
        ServerDeployment.load(own.card, own.card.body.vault, tmp_path)
