"""Files of this machine: what they hold when something goes wrong, and what is told."""

import errno
import gc
import os
from pathlib import Path
from typing import Any

import pytest

from carnet.content import ContentRefusedError, LocalFileError, RefusalReason
from carnet.content.local_file import CiphertextFile, FileSource, FileTarget, Placement
from tests.unit.client.content.version import MIB, Version, pattern


def failing_with(number: int) -> Any:
    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_cannot_allocate_is_written_all_the_same(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing_with(number))
    (tmp_path / "plain").write_bytes(pattern(MIB))
    sealed = version.seal_file(tmp_path / "plain", tmp_path / "sealed")
    assert version.open((tmp_path / "sealed").read_bytes(), sealed) == pattern(MIB)


def test_a_disk_too_full_to_allocate_is_a_local_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing_with(errno.ENOSPC))
    monkeypatch.setattr(os, "major", lambda _device: 8)  # as on a disk, wherever the tests run
    with (tmp_path / "target").open("w+b") as file, pytest.raises(LocalFileError) as caught:
        FileTarget(file.fileno()).allocate(MIB)
    assert caught.value.errno == errno.ENOSPC


def test_nothing_is_allocated_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing_with(errno.ENOSPC))
    monkeypatch.setattr(os, "major", lambda _device: 0)
    with (tmp_path / "target").open("w+b") as file:
        FileTarget(file.fileno()).allocate(MIB)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("way", ["open_file", "open_stream"])
def test_a_failed_write_leaves_nothing_at_the_place(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, way: str
) -> None:
    sealed, ciphertext = version.seal(pattern(3 * MIB))
    source, place = tmp_path / "sealed", tmp_path / "plain"
    source.write_bytes(ciphertext)
    ways = {
        "open_file": lambda: version.open_file(source, place, sealed),
        "open_stream": lambda: version.open_stream(ciphertext, place, sealed),
    }
    monkeypatch.setattr(os, "pwrite", failing_with(number))
    with pytest.raises(LocalFileError) as caught:
        ways[way]()
    assert caught.value.errno == number
    assert [path.name for path in tmp_path.iterdir()] == ["sealed"]


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, start: write(descriptor, data[:1_000], start))
    with (tmp_path / "target").open("w+b") as file:
        FileTarget(file.fileno()).write_at(5, memoryview(pattern(10_000)))
    assert (tmp_path / "target").read_bytes() == bytes(5) + pattern(10_000)


def test_a_ciphertext_that_ends_too_soon_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(bytes(100))
    with CiphertextFile(tmp_path / "sealed") as file:
        file.read_at(10, memoryview(bytearray(90)))
        with pytest.raises(ContentRefusedError) as caught:
            file.read_at(11, memoryview(bytearray(90)))
    assert caught.value.reason is RefusalReason.SIZE


def test_a_failed_read_is_a_local_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sealed").write_bytes(bytes(100))
    monkeypatch.setattr(os, "preadv", failing_with(errno.EIO))
    with CiphertextFile(tmp_path / "sealed") as file, pytest.raises(LocalFileError):
        file.read_at(0, memoryview(bytearray(1)))


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_are_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    gc.collect()  # what other tests left to it would be closed between two counts
    before = count_descriptors()
    with FileSource(tmp_path / "file"), CiphertextFile(tmp_path / "file"), Placement(tmp_path / "place"):
        assert count_descriptors() == before + 3
    assert count_descriptors() == before


def test_a_placement_that_failed_to_flush_is_not_placed(tmp_path: Path) -> None:
    (tmp_path / "place").write_bytes(b"before")
    with Placement(tmp_path / "place") as placement:
        FileTarget(placement.descriptor).write_at(0, memoryview(b"after"))
        with pytest.raises(LocalFileError):
            placement.place(failing_with(errno.EIO))
    assert (tmp_path / "place").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_what_was_placed_stays(tmp_path: Path) -> None:
    with Placement(tmp_path / "place") as placement:
        FileTarget(placement.descriptor).write_at(0, memoryview(b"after"))
        placement.place(os.fsync)
        placement.abandon()
    assert (tmp_path / "place").read_bytes() == b"after"


def test_a_local_error_keeps_its_number_and_no_name() -> None:
    error = LocalFileError(OSError(errno.EACCES, os.strerror(errno.EACCES), "/home/alice/HIV test.pdf"))
    assert error.errno == errno.EACCES
    assert "HIV" not in str(error)
