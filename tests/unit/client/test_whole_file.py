"""Files are there whole or as they were before, their owner's alone, with nothing left beside them."""

import os
import stat
from pathlib import Path

import pytest

from carnet.errors import HomeError
from carnet.whole_file import replace_file, write_new_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("mode", "seen"), [(0o600, 0o600), (0o644, 0o644)])
def test_file_is_replaced_whole_with_its_mode(tmp_path: Path, mode: int, seen: int) -> None:
    path = tmp_path / "file"
    for data in (b"one", b"another"):
        replace_file(path, data, mode=mode)
        assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == seen
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_mode_is_the_one_asked_for_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "readable", b"one", mode=0o644)
        write_new_file(tmp_path / "own", b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "readable").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o600


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_file_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file"
    replace_file(path, b"before")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, call, fail)
        with pytest.raises(HomeError, match="No space left on device"):
            replace_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


def test_new_file_takes_the_place_of_nothing(tmp_path: Path) -> None:
    write_new_file(tmp_path / "new", b"one")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("new", "link"):
        with pytest.raises(FileExistsError):
            write_new_file(tmp_path / name, b"another")
    assert (tmp_path / "new").read_bytes() == b"one"
    assert names(tmp_path) == ["link", "new"]


def test_file_in_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be written"):
        replace_file(tmp_path / "none" / "file", b"")
    with pytest.raises(FileNotFoundError):
        write_new_file(tmp_path / "none" / "file", b"")
