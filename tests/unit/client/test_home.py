"""A home folder: private, whole files or none, one command at a time."""

import os
import stat
from pathlib import Path

import pytest

from carnet.errors import HomeBusyError, HomeError, NoHomeError
from carnet.home import Home, find_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_named_home_comes_before_the_environment() -> None:
    assert find_home(Path("/here"), {"CARNET_HOME": "/there"}) == Path("/here")
    assert find_home(None, {"CARNET_HOME": "/there"}) == Path("/there")
    assert find_home(None, {}) == Path.home() / ".carnet"
    assert find_home(None, {"CARNET_HOME": ""}) == Path.home() / ".carnet"


def test_everything_is_for_its_owner_alone(home: Home) -> None:
    old_umask = os.umask(0)
    try:
        home.store("one", b"1")
        home.store("state/two", b"2")
        home.append("state/three", b"3")
        with home.lock():
            pass
    finally:
        os.umask(old_umask)
    assert mode(home.path) == 0o700
    assert mode(home.path / "state") == 0o700
    assert {mode(path) for path in home.path.rglob("*") if path.is_file()} == {0o600}


def test_create_closes_a_folder_that_stood_open(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    Home(tmp_path / "open").create()
    assert mode(tmp_path / "open") == 0o700


def test_store_replaces_whole_files(home: Home) -> None:
    home.store("file", b"long content")
    home.store("file", b"short")
    assert home.load("file") == b"short"
    assert [path.name for path in home.path.iterdir()] == ["file"]


def test_a_failed_store_leaves_the_old_file_and_nothing_else(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.store("file", b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HomeError, match="No space left"):
        home.store("file", b"new")
    assert home.load("file") == b"old"
    assert [path.name for path in home.path.iterdir()] == ["file"]


def test_nobody_in_a_home_is_told_with_what_to_do(home: Home) -> None:
    for name in ("keyring.json", "card.jws"):
        with pytest.raises(NoHomeError, match=r"^nobody lives in .*: begin with `carnet init`, or name a home$"):
            home.load(name)


def test_file_that_somebody_s_home_lost_is_named(home: Home) -> None:
    home.store("keyring.json", b"{}")
    with pytest.raises(HomeError, match="no device-secret in") as caught:
        home.load_device_secret()
    assert not isinstance(caught.value, NoHomeError)


def test_a_file_that_cannot_be_read_is_a_home_error(home: Home) -> None:
    (home.path / "folder").mkdir()
    with pytest.raises(HomeError):
        home.load("folder")


def test_names_leave_out_what_a_cut_left_behind(home: Home) -> None:
    home.store("state/b", b"")
    home.store("state/a", b"")
    (home.path / "state" / ".c.0123456789abcdef").write_bytes(b"")
    assert home.names("state") == ["state/a", "state/b"]
    assert home.names("nothing") == []


def test_remove_is_repeatable(home: Home) -> None:
    home.store("file", b"")
    home.remove("file")
    home.remove("file")
    home.remove("nothing/here")
    assert not home.has("file")


@pytest.mark.parametrize("name", ["", "..", "../keyring.json", "state/../x", "/etc/passwd", "a//b"])
def test_no_name_leads_out_of_the_home(home: Home, name: str) -> None:
    with pytest.raises(AssertionError, match="internal"):
        home.load(name)


def test_a_second_command_waits_and_then_gives_up(home: Home) -> None:
    waits: list[float] = []
    with home.lock(), pytest.raises(HomeBusyError, match="try again"), home.lock(sleep=waits.append):
        pass
    assert 9 < sum(waits) < 11


def test_a_lock_ends_with_its_command(home: Home) -> None:
    with pytest.raises(RuntimeError), home.lock():
        raise RuntimeError
    with home.lock():
        pass


def test_a_lock_in_no_folder_is_a_home_error(tmp_path: Path) -> None:
    with pytest.raises(HomeError), Home(tmp_path / "none").lock():
        pass


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_cut_device_secret_is_refused(home: Home, content: bytes) -> None:
    home.store("device-secret", content)
    with pytest.raises(HomeError, match="recovery words"):
        home.load_device_secret()
