"""What the filesystem store does beyond the contract: its layout, its space, and writers that outlive their time."""

import fcntl
import os
from pathlib import Path

import pytest

from carnet_storage import (
    MIN_PART_BYTES,
    FilesystemStore,
    NoSpace,
    ObjectName,
    PartWriter,
    PutPermit,
    SizeMismatch,
    StoreUnavailable,
    TransferUrls,
    Upload,
    UploadIncomplete,
    UploadNotFound,
    UrlSecret,
    create_filesystem_store,
    make_object_name,
)
from carnet_storage._disk import FREE_FLOOR_BYTES, Disk

URLS = TransferUrls("https://vault.example", UrlSecret(bytes(32)))
FAR_FUTURE = 2**40
GIB = 2**30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    create_filesystem_store(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> FilesystemStore:
    return FilesystemStore(root, URLS)


def test_store_is_created_once_and_stays(root: Path) -> None:
    store = FilesystemStore(root, URLS)
    name = _keep(store, b"letter")
    create_filesystem_store(root)
    assert FilesystemStore(root, URLS).stat(name).size_bytes == 6


def test_creation_that_was_cut_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "format.new").write_text("carn")
    create_filesystem_store(tmp_path)
    FilesystemStore(tmp_path, URLS).check()


def test_store_is_not_created_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreUnavailable, match="not empty"):
        create_filesystem_store(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_disk_that_is_not_mounted_is_not_taken_for_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="mounted"):
        FilesystemStore(tmp_path, URLS)


def test_store_that_goes_away_is_not_ready(root: Path, store: FilesystemStore) -> None:
    root.rename(root.with_name("elsewhere"))
    with pytest.raises(StoreUnavailable):
        store.check()


def test_store_that_cannot_be_written_is_not_ready(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(StoreUnavailable, match="written"):
        store.check()


@pytest.mark.parametrize("text", ["carnet-storage filesystem 2\n", "", "\xff"])
def test_store_of_another_version_is_refused(root: Path, text: str) -> None:
    (root / "format").write_text(text, encoding="latin-1")
    with pytest.raises(StoreUnavailable):
        FilesystemStore(root, URLS)
    with pytest.raises(StoreUnavailable):
        create_filesystem_store(root)


def test_object_is_one_read_only_file_and_nothing_else_stays(root: Path, store: FilesystemStore) -> None:
    name = ObjectName("Gx" + make_object_name().text[2:])
    _keep(store, b"letter", name)
    path = root / "objects" / "47" / "78" / name.text
    assert [entry for entry in root.rglob("*") if entry.is_file()] == [root / "format", path]
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.stat().st_nlink == 1
    assert list((root / "uploads").iterdir()) == []


def test_nobody_else_may_look_into_the_store(root: Path, store: FilesystemStore) -> None:
    _keep(store, b"letter")
    store.begin_upload(make_object_name(), size_bytes=1, part_bytes=MIN_PART_BYTES)
    assert [entry for entry in [root, *root.rglob("*")] if entry.is_dir() and entry.stat().st_mode & 0o077] == []


def test_files_that_are_not_ours_are_not_listed(root: Path, store: FilesystemStore) -> None:
    name = _keep(store, b"letter")
    (root / "objects" / "lost+found").mkdir()
    (root / "objects" / "2d" / "41").mkdir(parents=True)
    (root / "objects" / "2d" / "41" / ".nfs0001").touch()
    (root / "uploads" / "notes.txt").touch()
    assert [entry.name for entry in store.list_objects()] == [name]
    assert list(store.stale_uploads(touched_before=FAR_FUTURE)) == []


def test_large_claim_takes_no_space(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=GIB, part_bytes=64 * 2**20)
    data = _bytes_of(root, upload)
    assert data.stat().st_size == GIB
    assert data.stat().st_blocks == 0


def test_opened_parts_take_no_space_until_their_bytes_come(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=GIB, part_bytes=64 * 2**20)
    data = _bytes_of(root, upload)
    for part in range(1, upload.part_count + 1):
        with store.open_part(_permit(upload, part)) as writer:
            writer.write(b"x")
    assert data.stat().st_blocks == 0


def test_cut_part_takes_no_more_than_what_came_of_it(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=GIB, part_bytes=64 * 2**20)
    with store.open_part(_permit(upload)) as writer:
        writer.write(bytes(2**20))
    assert _bytes_of(root, upload).stat().st_blocks * 512 <= 2 * 2**20


def test_claim_beyond_the_free_space_is_refused_at_once(root: Path) -> None:
    store = FilesystemStore(root, URLS, disk=Disk(free_bytes=lambda _: GIB + FREE_FLOOR_BYTES))
    store.begin_upload(make_object_name(), size_bytes=GIB, part_bytes=64 * 2**20)
    before = list((root / "uploads").iterdir())
    with pytest.raises(NoSpace):
        store.begin_upload(make_object_name(), size_bytes=GIB + 1, part_bytes=64 * 2**20)
    assert list((root / "uploads").iterdir()) == before


def test_abort_frees_the_space_of_what_had_arrived(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=2 * MIN_PART_BYTES, part_bytes=MIN_PART_BYTES)
    _send(store, upload, bytes(MIN_PART_BYTES), part=2)
    store.abort_upload(upload.name, upload.token)
    assert list((root / "uploads").iterdir()) == []


def test_upload_whose_parts_arrive_is_not_stale(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=2 * MIN_PART_BYTES, part_bytes=MIN_PART_BYTES)
    for path in (_bytes_of(root, upload), _bytes_of(root, upload).parent):
        os.utime(path, (1_000, 1_000))
    (stale,) = store.stale_uploads(touched_before=1_001)
    assert (stale.name, stale.token, stale.touched_at) == (upload.name, upload.token, 1_000)
    assert list(store.stale_uploads(touched_before=1_000)) == []
    _send(store, upload, bytes(MIN_PART_BYTES), part=1)
    assert list(store.stale_uploads(touched_before=1_001)) == []


def test_replaced_writer_writes_nothing_more(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=MIN_PART_BYTES, part_bytes=MIN_PART_BYTES)
    with store.open_part(_permit(upload)) as old:
        old.write(b"o" * 1_000_000)
        with store.open_part(_permit(upload)) as new:
            with pytest.raises(UploadNotFound):
                old.write(b"o" * 1_000_000)
            new.write(b"n" * MIN_PART_BYTES)
            new.finish()
    store.finish_upload(upload)
    assert _read(store, upload.name) == b"n" * MIN_PART_BYTES


def test_replaced_writer_cannot_confirm(store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=100, part_bytes=MIN_PART_BYTES)
    with store.open_part(_permit(upload)) as old:
        old.write(bytes(99))
        old.write(bytes(1))
        with store.open_part(_permit(upload)), pytest.raises(UploadNotFound):
            old.finish()
    assert store.arrived_parts(upload) == ()


def test_writer_that_is_replaced_during_its_sync_cannot_confirm(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=100, part_bytes=MIN_PART_BYTES)
    successors: list[PartWriter] = []
    slow_disk = Disk(sync_data=lambda _: successors.append(store.open_part(_permit(upload))))
    with FilesystemStore(root, URLS, disk=slow_disk).open_part(_permit(upload)) as old:
        old.write(bytes(100))
        with pytest.raises(UploadNotFound):
            old.finish()
    assert store.arrived_parts(upload) == ()
    (successor,) = successors
    successor.abort()


def test_whoever_replaces_a_writer_waits_until_he_writes_no_more(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=100, part_bytes=MIN_PART_BYTES)
    asked: list[int] = []

    def lock(descriptor: int, kind: int) -> None:
        asked.append(kind)
        fcntl.flock(descriptor, kind)

    watched = FilesystemStore(root, URLS, disk=Disk(lock=lock))
    with watched.open_part(_permit(upload)):
        assert asked == [fcntl.LOCK_SH, fcntl.LOCK_UN]
        asked.clear()
        with watched.open_part(_permit(upload)):
            assert asked == [fcntl.LOCK_SH, fcntl.LOCK_UN, fcntl.LOCK_EX, fcntl.LOCK_UN]


def test_replaced_writer_does_not_take_its_successors_place(store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=100, part_bytes=MIN_PART_BYTES)
    old = store.open_part(_permit(upload))
    with store.open_part(_permit(upload)) as new:
        old.abort()
        new.write(b"n" * 100)
        new.finish()
    assert store.arrived_parts(upload) == (1,)


def test_part_that_is_sent_again_has_not_arrived_meanwhile(store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=100, part_bytes=MIN_PART_BYTES)
    _send(store, upload, bytes(100))
    with store.open_part(_permit(upload)), pytest.raises(UploadIncomplete):
        store.finish_upload(upload)
    assert store.arrived_parts(upload) == ()


def test_writer_that_outlives_an_abort_writes_nothing(store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=MIN_PART_BYTES, part_bytes=MIN_PART_BYTES)
    with store.open_part(_permit(upload)) as writer:
        store.abort_upload(upload.name, upload.token)
        with pytest.raises(UploadNotFound):
            writer.write(bytes(MIN_PART_BYTES))


def test_writer_that_was_late_for_the_finish_is_refused(store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=100, part_bytes=MIN_PART_BYTES)
    _send(store, upload, bytes(100))
    folder = store._folder(upload.name, upload.token)
    opened_before = folder.open_for_writer()
    store.finish_upload(upload)
    with pytest.raises(UploadNotFound):
        folder.claim(opened_before, 1)
    os.close(opened_before)
    with pytest.raises(UploadNotFound):
        store.open_part(_permit(upload))


def test_object_whose_finish_was_cut_after_its_link_cannot_be_written(root: Path, store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=100, part_bytes=MIN_PART_BYTES)
    _send(store, upload, b"a" * 100)
    path = store._object_path(upload.name)
    path.parent.mkdir(parents=True)
    path.hardlink_to(_bytes_of(root, upload))
    with pytest.raises(UploadNotFound):
        store.open_part(_permit(upload))
    assert _read(store, upload.name) == b"a" * 100
    store.finish_upload(upload)
    assert path.stat().st_nlink == 1
    assert _read(store, upload.name) == b"a" * 100


def test_object_stays_readable_to_its_end_when_it_is_deleted(store: FilesystemStore) -> None:
    name = _keep(store, b"letter")
    with store.open_object(name) as reader:
        store.delete(name)
        assert b"".join(reader.chunks(start=0, length=6)) == b"letter"


def test_object_that_shrank_on_disk_is_noticed(store: FilesystemStore) -> None:
    name = _keep(store, b"letter")
    with store.open_object(name) as reader:
        store._object_path(name).chmod(0o600)
        os.truncate(store._object_path(name), 3)
        with pytest.raises(StoreUnavailable, match="shorter"):
            list(reader.chunks(start=0, length=6))


def test_symbolic_link_in_the_place_of_an_object_is_not_followed(tmp_path: Path, store: FilesystemStore) -> None:
    (tmp_path / "secret").write_text("secret")
    name = make_object_name()
    path = store._object_path(name)
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(StoreUnavailable):
        store.open_object(name)


def test_part_outside_of_the_object_is_refused(store: FilesystemStore) -> None:
    upload = store.begin_upload(make_object_name(), size_bytes=100, part_bytes=MIN_PART_BYTES)
    with pytest.raises(SizeMismatch):
        store.open_part(PutPermit(upload.name, upload.token, 2, 90, 11))


def test_nothing_stays_open(store: FilesystemStore) -> None:
    before = _open_files()
    name = _keep(store, b"letter")
    upload = store.begin_upload(name, size_bytes=100, part_bytes=MIN_PART_BYTES)
    for wrong in (bytes(99), bytes(101)):
        with pytest.raises(SizeMismatch):
            _send(store, upload, wrong)
    with pytest.raises(UploadIncomplete):
        store.finish_upload(upload)
    store.abort_upload(upload.name, upload.token)
    with pytest.raises(UploadNotFound):
        store.open_part(_permit(upload))
    assert _read(store, name) == b"letter"
    assert _open_files() == before


def _keep(store: FilesystemStore, data: bytes, name: ObjectName | None = None) -> ObjectName:
    upload = store.begin_upload(name or make_object_name(), size_bytes=len(data), part_bytes=MIN_PART_BYTES)
    _send(store, upload, data)
    store.finish_upload(upload)
    return upload.name


def _send(store: FilesystemStore, upload: Upload, data: bytes, *, part: int = 1) -> None:
    with store.open_part(_permit(upload, part)) as writer:
        writer.write(data)
        writer.finish()


def _permit(upload: Upload, part: int = 1) -> PutPermit:
    return PutPermit(upload.name, upload.token, part, upload.part_offset(part), upload.part_size(part))


def _read(store: FilesystemStore, name: ObjectName) -> bytes:
    with store.open_object(name) as reader:
        return b"".join(reader.chunks(start=0, length=reader.size_bytes))


def _bytes_of(root: Path, upload: Upload) -> Path:
    return root / "uploads" / f"{upload.name}.{upload.token}" / "bytes"


def _open_files() -> set[str]:
    return {entry.name for entry in Path("/dev/fd").iterdir()}
