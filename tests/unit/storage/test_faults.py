"""A disk that fails at any call, a process killed before any call: nothing half-written shows, and all goes on.

A kill is not a power cut: what the kernel has taken survives it. What a power cut may take is the order of syncs,
tested last.
"""

import errno
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from carnet_storage import NoSpace, ObjectNotFound, StorageError, StoreUnavailable
from tests.unit.storage.broken_disk import disk_failing_at, failing_disk, watched_disk
from tests.unit.storage.story import DATA, NAME, SMALL_SIZES, Vault, new_root

FULL_AND_BROKEN = [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, StoreUnavailable)]


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, constant, value in SMALL_SIZES:
        monkeypatch.setattr(module, constant, value)


@pytest.mark.parametrize("stays_broken", [False, True])
@pytest.mark.parametrize(("code", "expected"), [FULL_AND_BROKEN[0], FULL_AND_BROKEN[2]])
def test_deposit_survives_a_failure_of_any_call(
    tmp_path: Path, code: int, expected: type[StorageError], stays_broken: bool
) -> None:
    for number in itertools.count(1):
        root = new_root(tmp_path / str(number))
        disk, calls = failing_disk(code, first=number, last=None if stays_broken else number)
        failed = _deposit_fails_with(expected, Vault(root, disk))
        _check_nothing_is_half_written(root)
        _check_a_healthy_disk_goes_on(root)
        if not failed and len(calls.names) < number:
            break
    assert number > 20, "the story has become shorter than any deposit can be"


def test_deposit_survives_a_kill_before_any_call(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "tests.unit.storage.story", str(tmp_path)], check=True, timeout=120)
    roots = sorted(tmp_path.iterdir())
    assert len(roots) > 20
    unfinished = [root for root in roots[:-1] if not _is_whole(root)]
    assert len(unfinished) > 10, "the kills came too late to prove anything"
    for root in roots:
        _check_nothing_is_half_written(root)
        _check_a_healthy_disk_goes_on(root)


@pytest.mark.parametrize(("code", "expected"), FULL_AND_BROKEN)
@pytest.mark.parametrize("call", ["open", "pwrite", "sync_data", "rename", "sync", "link"])
def test_failing_call_is_typed_and_nothing_shows(
    tmp_path: Path, call: str, code: int, expected: type[StorageError]
) -> None:
    root = new_root(tmp_path)
    with pytest.raises(expected) as failure:
        Vault(root, disk_failing_at(code, call)).deposit()
    assert isinstance(failure.value.__cause__, OSError)
    assert NAME.text not in str(failure.value)
    with pytest.raises(ObjectNotFound):
        Vault(root).store.stat(NAME)


def test_failed_sync_at_the_finish_makes_the_parts_come_again(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    with pytest.raises(StoreUnavailable):
        Vault(root, disk_failing_at(errno.EIO, "sync")).deposit()
    (pending,) = Vault(root).store.stale_uploads(touched_before=2**40)
    assert not list((root / "store" / "uploads" / f"{pending.name}.{pending.token}").glob("*.done"))
    _check_a_healthy_disk_goes_on(root)


def test_failed_sync_of_the_folder_takes_the_name_back(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    seen: list[str] = []

    def fail_after_the_link(_: int, name: str) -> None:
        seen.append(name)
        if name == "sync" and "link" in seen:
            raise OSError(errno.EIO, "injected")

    with pytest.raises(StoreUnavailable):
        Vault(root, watched_disk(fail_after_the_link)[0]).deposit()
    with pytest.raises(ObjectNotFound):
        Vault(root).store.stat(NAME)
    _check_a_healthy_disk_goes_on(root)


def test_failing_reads_are_typed(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    Vault(root).deposit()
    with Vault(root, disk_failing_at(errno.EIO, "pread")).store.open_object(NAME) as reader:
        pieces = reader.chunks(start=0, length=10)
        with pytest.raises(StoreUnavailable):
            next(pieces)
    with pytest.raises(StoreUnavailable):
        Vault(root, disk_failing_at(errno.EIO, "open")).store.open_object(NAME)


@pytest.mark.parametrize("call", ["unlink", "sync"])
def test_failed_delete_can_be_repeated(tmp_path: Path, call: str) -> None:
    root = new_root(tmp_path)
    Vault(root).deposit()
    with pytest.raises(StoreUnavailable):
        Vault(root, disk_failing_at(errno.EIO, call)).store.delete(NAME)
    disk, calls = watched_disk(lambda *_: None)
    Vault(root, disk).store.delete(NAME)
    assert calls.names[-1] == "sync"
    with pytest.raises(ObjectNotFound):
        Vault(root).store.stat(NAME)


def test_everything_is_synced_before_anything_says_so(tmp_path: Path) -> None:
    disk, calls = watched_disk(lambda *_: None)
    Vault(new_root(tmp_path), disk).deposit()
    telling = (name for name in calls.names if name not in {"free_bytes", "truncate", "open", "lock", "reserve"})
    told = [name for name, _ in itertools.groupby(telling)]
    part = ["pwrite", "sync_data", "rename"]
    # The bytes, then the two new folders above the object, then its name, its folder, and only then the upload's end.
    finish = ["sync", "mkdir", "sync", "mkdir", "sync", "link", "sync", "unlink", "rmdir"]
    assert told == ["mkdir", *part, *part, *finish]


def test_replacing_a_part_is_synced_before_its_bytes_change(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    with pytest.raises(StoreUnavailable):
        Vault(root, disk_failing_at(errno.EIO, "link")).deposit()
    disk, calls = watched_disk(lambda *_: None)
    vault = Vault(root, disk)
    vault._send(vault._upload(), 1)
    assert calls.names.index("unlink") < calls.names.index("sync") < calls.names.index("pwrite")


def _deposit_fails_with(expected: type[StorageError], vault: Vault) -> bool:
    try:
        vault.deposit()
    except expected:
        return True
    return False


def _is_whole(root: Path) -> bool:
    try:
        with Vault(root).store.open_object(NAME) as reader:
            return b"".join(reader.chunks(start=0, length=reader.size_bytes)) == DATA
    except ObjectNotFound:
        return False


def _check_nothing_is_half_written(root: Path) -> None:
    assert _is_whole(root) or Vault(root).store.list_objects() == ()


def _check_a_healthy_disk_goes_on(root: Path) -> None:
    vault = Vault(root)
    vault.deposit()
    assert _is_whole(root)
    vault.collect_litter()
    assert list((root / "store" / "uploads").iterdir()) == []
    assert [entry.name for entry in vault.store.list_objects()] == [NAME]
