"""A demo is kept in a folder of its own, begun anew over one that did not end, and never over anything else."""

from pathlib import Path

import pytest

from carnet.demo.kept_folder import keep_folder
from carnet.errors import HomeBusyError, UsageError


def play(folder: Path, *, until: type[BaseException] | None = None) -> None:
    """A demo, which may be stopped by an exception."""
    with keep_folder(folder) as path:
        (path / "servers").mkdir()
        (path / "servers" / "database").write_text("kept")
        (path / "passphrase").write_text("kept")
        if until is not None:
            raise until


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


ALL = {"servers", "servers/database", "passphrase"}


@pytest.mark.parametrize("place", ["", "new", "new/and/deep"])
def test_new_or_empty_folder_is_taken(tmp_path: Path, place: str) -> None:
    play(tmp_path / place)
    assert contents(tmp_path / place) == ALL


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError])
def test_demo_begins_anew_over_one_that_was_stopped(tmp_path: Path, stop: type[BaseException]) -> None:
    with pytest.raises(stop):
        play(tmp_path / "demo", until=stop)
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "demo" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "demo" / "folder").symlink_to(tmp_path)
    play(tmp_path / "demo")
    assert contents(tmp_path / "demo") == ALL
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_demo_that_ended_is_left_as_it_is(tmp_path: Path) -> None:
    play(tmp_path)
    with pytest.raises(UsageError, match="not empty: name a new folder"):
        play(tmp_path)
    assert contents(tmp_path) == ALL


def test_folder_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("mine")
    with pytest.raises(UsageError, match="not empty: name a new folder"):
        play(tmp_path)
    assert contents(tmp_path) == {"letter"}


def test_folder_where_a_demo_is_on_is_refused(tmp_path: Path) -> None:
    with keep_folder(tmp_path):
        (tmp_path / "passphrase").write_text("in use")
        with pytest.raises(HomeBusyError, match="at this moment"):
            play(tmp_path)
        assert (tmp_path / "passphrase").read_text() == "in use"


def test_place_that_takes_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/x"), Path("/proc")):
        with pytest.raises(UsageError, match="name"):
            play(place)
