"""A file in the making leaves nothing behind, whatever ends its process, and takes nothing from a process at work."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import carnet.draft
from carnet.draft import Draft
from tests.support.children import hearing_interrupts

WAYS = [
    pytest.param(
        "nameless",
        marks=pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="a system without files that have no name"),
    ),
    "hidden",
]
CUT = """
import os, sys
from pathlib import Path
from carnet.draft import Draft

way, number, folder, moment = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
if way == "hidden" and hasattr(os, "O_TMPFILE"):
    del os.O_TMPFILE
draft = Draft(folder)
os.write(draft.descriptor, b"diagnosis")
if moment == "placing":
    Path.replace = lambda *_: os.kill(os.getpid(), number)
    draft.replace(folder / "letter")
os.kill(os.getpid(), number)
"""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How drafts are kept in this test."""
    if request.param == "hidden":
        hide(monkeypatch)
    return str(request.param)


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(draft: Draft, data: bytes = b"new") -> None:
    os.write(draft.descriptor, data)


def cut(way: str, number: signal.Signals, folder: Path, moment: str = "writing") -> None:
    """Let a process end by a signal while it writes a draft, or gives it the place of another file."""
    command = [sys.executable, "-c", CUT, way, str(int(number)), str(folder), moment]
    with hearing_interrupts():
        assert subprocess.run(command, check=False).returncode == -number


@pytest.mark.parametrize("before", [None, b"old"])
def test_file_takes_its_place_whole(tmp_path: Path, way: str, before: bytes | None) -> None:
    if before is not None:
        (tmp_path / "file").write_bytes(before)
    with Draft(tmp_path) as draft:
        write(draft)
        assert len(names(tmp_path)) == (before is not None) + (way == "hidden")
        draft.replace(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_link_takes_the_place_of_nothing(tmp_path: Path, way: str) -> None:
    for path in (tmp_path / "file", tmp_path / "other"):
        with Draft(tmp_path) as draft:
            write(draft)
            draft.link(path)
    with Draft(tmp_path) as draft, pytest.raises(FileExistsError):
        draft.link(tmp_path / "file")
    assert names(tmp_path) == ["file", "other"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_file_has_its_mode(tmp_path: Path, way: str, mode: int) -> None:
    with Draft(tmp_path, mode=mode) as draft:
        draft.replace(tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_what_got_no_name_is_gone(tmp_path: Path, way: str) -> None:
    with Draft(tmp_path) as draft:
        write(draft)
    draft.close()
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="a system without files that have no name")
def test_a_kill_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    cut("nameless", number, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("moment", ["writing", "placing"])
def test_what_a_kill_leaves_goes_with_the_next_file(tmp_path: Path, way: str, moment: str) -> None:
    (tmp_path / "letter").write_bytes(b"old")
    cut(way, signal.SIGKILL, tmp_path, moment)
    assert len(names(tmp_path)) == (1 if (way, moment) == ("nameless", "writing") else 2)
    with Draft(tmp_path) as draft:
        draft.replace(tmp_path / "other")
    assert names(tmp_path) == ["letter", "other"]
    assert (tmp_path / "letter").read_bytes() == b"old"


def test_draft_that_is_being_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch)
    with Draft(tmp_path) as one, Draft(tmp_path) as other:
        write(one)
        assert len(names(tmp_path)) == 2
        other.replace(tmp_path / "other")
        one.replace(tmp_path / "one")
    assert names(tmp_path) == ["one", "other"]


def test_nothing_but_our_own_is_removed(tmp_path: Path, way: str) -> None:
    hidden = ".carnet-0123456789abcdef.part"
    for name in (".carnet-0123456789abcde.part", ".carnet-0123456789abcdeg.part", hidden + "x", "x" + hidden):
        (tmp_path / name).write_bytes(b"somebody's")
    (tmp_path / hidden).mkdir()
    (tmp_path / hidden.replace("0", "1")).symlink_to("nowhere")
    os.mkfifo(tmp_path / hidden.replace("0", "2"))
    before = names(tmp_path)
    Draft(tmp_path).close()
    assert names(tmp_path) == before


def test_draft_of_another_person_stays(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".carnet-0123456789abcdef.part").write_bytes(b"theirs")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    Draft(tmp_path).close()
    assert names(tmp_path) == [".carnet-0123456789abcdef.part"]


def test_draft_that_was_taken_for_abandoned_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch)
    lock, calls = carnet.draft._lock, []

    def remove_first(descriptor: int) -> None:
        if not calls:
            carnet.draft._remove_abandoned(tmp_path)
        calls.append(descriptor)
        lock(descriptor)

    monkeypatch.setattr(carnet.draft, "_lock", remove_first)
    with Draft(tmp_path) as draft:
        write(draft)
        draft.replace(tmp_path / "file")
    assert len(calls) == 2
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="a system without files that have no name")
def test_a_file_system_without_nameless_files_has_hidden_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    open_file = os.open

    def refuse(path: Path, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, os.strerror(number))
        return open_file(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    with Draft(tmp_path) as draft:
        assert len(names(tmp_path)) == 1
        draft.replace(tmp_path / "file")
    assert names(tmp_path) == ["file"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, way: str) -> None:
    with pytest.raises(FileNotFoundError):
        Draft(tmp_path / "none")
