"""Which files are meant, and what batches they go in."""

from pathlib import Path

import pytest

from carnet.cli.deposits import _batches, collect_files
from carnet.documents.deposit import SMALL_BYTES, NewVersion
from carnet.documents.metadata import DocumentKind
from carnet.errors import UsageError
from carnet_protocol.ids import CompartmentId


def make_file(path: Path, size: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def make_version(path: Path) -> NewVersion:
    return NewVersion(
        source=path,
        compartment=CompartmentId(bytes(16)),
        title="x",
        kind=DocumentKind(code="1-1", display="x"),
        media_type="text/plain",
        author_name="x",
    )


def test_folder_means_every_visible_file_in_it(tmp_path: Path) -> None:
    wanted = [make_file(tmp_path / name) for name in ("a.pdf", "b/c.pdf", "b/d/e.pdf")]
    make_file(tmp_path / ".hidden")
    make_file(tmp_path / ".git" / "x")
    (tmp_path / "link").symlink_to(tmp_path / "a.pdf")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert collect_files([tmp_path]) == wanted
    assert collect_files([tmp_path / "a.pdf", tmp_path]) == wanted


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        collect_files([tmp_path / "none"])


def test_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file in there"):
        collect_files([tmp_path])


def test_large_files_go_alone_and_small_ones_together(tmp_path: Path) -> None:
    large = make_version(make_file(tmp_path / "large", SMALL_BYTES + 1))
    small = [make_version(make_file(tmp_path / f"{number}")) for number in range(205)]
    batches = list(_batches([small[0], large, *small[1:]]))
    assert [len(batch) for batch in batches] == [1, 100, 100, 5]
    assert batches[0] == [large]
    assert sorted(str(one.source) for batch in batches for one in batch) == sorted(
        str(one.source) for one in [large, *small]
    )


def test_batch_holds_sixteen_mebibytes(tmp_path: Path) -> None:
    versions = [make_version(make_file(tmp_path / f"{number}", SMALL_BYTES)) for number in range(9)]
    assert [len(batch) for batch in _batches(versions)] == [4, 4, 1]


def test_empty_file_is_told_by_name(tmp_path: Path) -> None:
    make_file(tmp_path / "letter.pdf")
    make_file(tmp_path / "nothing.pdf", 0)
    with pytest.raises(UsageError, match=r"nothing\.pdf is empty"):
        collect_files([tmp_path])


def test_what_is_no_plain_file_is_told_so() -> None:
    with pytest.raises(UsageError, match="/dev/null is not a plain file"):
        collect_files([Path("/dev/null")])
