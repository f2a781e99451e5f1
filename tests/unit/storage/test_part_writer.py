"""How a part takes its bytes, whatever pieces they come in."""

import errno
import io
import tracemalloc
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carnet_storage import (
    MIN_PART_BYTES,
    FilesystemStore,
    NoSpace,
    PutPermit,
    SizeMismatch,
    StorageError,
    StoreUnavailable,
    TransferUrls,
    Upload,
    UrlSecret,
    create_filesystem_store,
    make_object_name,
    part_writer,
)
from carnet_storage._disk import FREE_FLOOR_BYTES, Disk
from tests.unit.storage.broken_disk import disk_failing_at, watched_disk

URLS = TransferUrls("https://vault.example", UrlSecret(bytes(32)))
BUFFER = 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    create_filesystem_store(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> FilesystemStore:
    return FilesystemStore(root, URLS)


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "BUFFER_BYTES", BUFFER)


# What is suppressed here takes the place of what is suppressed for all.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(st.lists(st.binary(max_size=3 * BUFFER), min_size=1, max_size=8).filter(any))
def test_pieces_of_any_size_make_the_same_part(small_buffer: None, store: FilesystemStore, pieces: list[bytes]) -> None:
    upload = _begin(store, sum(map(len, pieces)))
    with store.open_part(_permit(upload)) as writer:
        for piece in pieces:
            writer.write(piece)
            assert 0 < writer.free_bytes <= BUFFER
        writer.finish()
    store.finish_upload(upload)
    assert _read(store, upload) == b"".join(pieces)


@pytest.mark.parametrize("size", [1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 2 * BUFFER + 1])
def test_stream_of_any_length_makes_the_part(small_buffer: None, store: FilesystemStore, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    upload = _begin(store, size)
    source = io.BytesIO(data + b"what follows is not ours")
    with store.open_part(_permit(upload)) as writer:
        writer.write_from(source)
        writer.finish()
    store.finish_upload(upload)
    assert _read(store, upload) == data
    assert source.read() == b"what follows is not ours"


def test_stream_that_pauses_is_taken_up_again(store: FilesystemStore) -> None:
    class Pausing:
        pieces: ClassVar[list[bytes | None]] = [b"hello", None, b", world"]

        def readinto(self, buffer: memoryview, /) -> int | None:
            piece = self.pieces.pop(0)
            if piece is None:
                return None
            buffer[: len(piece)] = piece
            return len(piece)

    upload = _begin(store, 12)
    source = Pausing()
    with store.open_part(_permit(upload)) as writer:
        writer.write_from(source)
        assert source.pieces == [b", world"]
        writer.write_from(source)
        writer.finish()
    store.finish_upload(upload)
    assert _read(store, upload) == b"hello, world"


def test_stream_that_breaks_cuts_the_part(store: FilesystemStore) -> None:
    class Breaking:
        def readinto(self, buffer: memoryview, /) -> int:
            raise ConnectionResetError

    upload = _begin(store, 12)
    with store.open_part(_permit(upload)) as writer, pytest.raises(ConnectionResetError):
        writer.write_from(Breaking())
    assert store.arrived_parts(upload) == ()


def test_caller_may_reuse_its_buffer(small_buffer: None, store: FilesystemStore) -> None:
    upload = _begin(store, 3 * BUFFER)
    buffer = bytearray(BUFFER // 2)
    with store.open_part(_permit(upload)) as writer:
        for number in range(6):
            buffer[:] = bytes([number]) * len(buffer)
            writer.write(memoryview(buffer))
        buffer[:] = b"x" * len(buffer)
        writer.finish()
    store.finish_upload(upload)
    assert _read(store, upload) == b"".join(bytes([number]) * (BUFFER // 2) for number in range(6))


def test_disk_that_takes_a_little_at_a_time_gets_all(root: Path) -> None:
    reluctant = Disk(pwrite=lambda descriptor, piece, offset: Disk().pwrite(descriptor, piece[:999], offset))
    store = FilesystemStore(root, URLS, disk=reluctant)
    data = bytes(number % 251 for number in range(100_000))
    upload = _begin(store, len(data))
    with store.open_part(_permit(upload)) as writer:
        writer.write(data)
        writer.finish()
    store.finish_upload(upload)
    assert _read(store, upload) == data


def test_chunk_that_fits_into_memory_does_not_touch_the_disk(root: Path) -> None:
    disk, calls = watched_disk(lambda *_: None)
    store = FilesystemStore(root, URLS, disk=disk)
    with store.open_part(_permit(_begin(store, MIN_PART_BYTES))) as writer:
        calls.names.clear()
        writer.write(bytes(writer.free_bytes - 1))
        assert (writer.free_bytes, calls.names) == (1, [])
        writer.write(b"x")
        assert calls.names == ["lock", "free_bytes", "reserve", "pwrite", "lock"]


@pytest.mark.parametrize("pieces", [[13], [12, 1], [5, 8], [0, 13]])
def test_more_than_was_announced_cuts_the_part(store: FilesystemStore, pieces: list[int]) -> None:
    upload = _begin(store, 12)
    *before, last = pieces
    with store.open_part(_permit(upload)) as writer:
        for piece in before:
            writer.write(bytes(piece))
        with pytest.raises(SizeMismatch):
            writer.write(bytes(last))
    assert store.arrived_parts(upload) == ()


@pytest.mark.parametrize("size", [0, 1, 11])
def test_less_than_was_announced_cuts_the_part(store: FilesystemStore, size: int) -> None:
    upload = _begin(store, 12)
    with store.open_part(_permit(upload)) as writer:
        writer.write(bytes(size))
        with pytest.raises(SizeMismatch):
            writer.finish()
    assert store.arrived_parts(upload) == ()


def test_leaving_without_finish_cuts_the_part(store: FilesystemStore) -> None:
    upload = _begin(store, 12)
    with store.open_part(_permit(upload)) as writer:
        writer.write(bytes(12))
    assert store.arrived_parts(upload) == ()


def test_abort_after_finish_leaves_the_part(store: FilesystemStore) -> None:
    upload = _begin(store, 12)
    writer = store.open_part(_permit(upload))
    writer.write(bytes(12))
    writer.finish()
    writer.abort()
    assert store.arrived_parts(upload) == (1,)


def test_writer_is_of_no_use_after_its_end(store: FilesystemStore) -> None:
    upload = _begin(store, 12)
    writer = store.open_part(_permit(upload))
    writer.abort()
    with pytest.raises(AssertionError, match="internal"):
        writer.write(b"x")
    with pytest.raises(AssertionError, match="internal"):
        writer.finish()


def test_part_that_would_take_the_last_of_the_disk_is_refused_before_any_byte(root: Path) -> None:
    free = [FREE_FLOOR_BYTES + MIN_PART_BYTES]
    store = FilesystemStore(root, URLS, disk=Disk(free_bytes=lambda _: free[0]))
    upload = _begin(store, MIN_PART_BYTES)
    free[0] -= 1
    with pytest.raises(NoSpace):
        store.open_part(_permit(upload))
    assert [entry.name for entry in store._folder(upload.name, upload.token).path.iterdir()] == ["bytes"]


def test_part_ends_where_others_have_taken_the_disk_meanwhile(root: Path) -> None:
    free = [FREE_FLOOR_BYTES + MIN_PART_BYTES]
    store = FilesystemStore(root, URLS, disk=Disk(free_bytes=lambda _: free[0]))
    upload = _begin(store, MIN_PART_BYTES)
    with store.open_part(_permit(upload)) as writer:
        writer.write(bytes(2**20))
        free[0] = FREE_FLOOR_BYTES + 2**20 - 1
        with pytest.raises(NoSpace):
            writer.write(bytes(2 * 2**20))
    assert store.arrived_parts(upload) == ()


@pytest.mark.parametrize("error", [AttributeError(), OSError(errno.EOPNOTSUPP, ""), OSError(errno.EINVAL, "")])
def test_reserving_where_the_system_cannot_is_no_failure(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: int) -> None:
        raise error

    monkeypatch.setattr("os.posix_fallocate", refuse)
    upload = _begin(store, MIN_PART_BYTES)
    with store.open_part(_permit(upload)) as writer:
        writer.write(bytes(MIN_PART_BYTES))
        writer.finish()
    assert store.arrived_parts(upload) == (1,)


@pytest.mark.parametrize(("code", "expected"), [(errno.ENOSPC, NoSpace), (errno.EIO, StoreUnavailable)])
def test_failure_to_reserve_gives_the_part_back(root: Path, code: int, expected: type[StorageError]) -> None:
    broken = FilesystemStore(root, URLS, disk=disk_failing_at(code, "reserve"))
    upload = _begin(broken, MIN_PART_BYTES)
    with broken.open_part(_permit(upload)) as writer, pytest.raises(expected):
        writer.write(bytes(MIN_PART_BYTES))
    assert [entry.name for entry in broken._folder(upload.name, upload.token).path.iterdir()] == ["bytes"]


@pytest.mark.parametrize("size", [MIN_PART_BYTES, MIN_PART_BYTES + 1, 3 * MIN_PART_BYTES])
def test_never_more_is_reserved_than_came_already_and_never_beyond_the_part(root: Path, size: int) -> None:
    reserved: list[tuple[int, int]] = []
    store = FilesystemStore(root, URLS, disk=Disk(reserve=lambda _, start, length: reserved.append((start, length))))
    upload = store.begin_upload(make_object_name(), size_bytes=size, part_bytes=3 * MIN_PART_BYTES)
    came = 0
    with store.open_part(_permit(upload)) as writer:
        while came < size:
            came += min(300_000, size - came)
            writer.write(bytes(came - writer._written - writer._buffered))
            assert sum(length for _, length in reserved) <= min(2 * came, came + 4 * 2**20, size)
        writer.finish()
    assert [start for start, _ in reserved] == [sum(length for _, length in reserved[:n]) for n in range(len(reserved))]
    assert sum(length for _, length in reserved) == size


def test_disk_that_does_not_say_what_is_free_gives_the_part_back(root: Path) -> None:
    upload = _begin(FilesystemStore(root, URLS), MIN_PART_BYTES)
    broken = FilesystemStore(root, URLS, disk=disk_failing_at(errno.EIO, "free_bytes"))
    with pytest.raises(StoreUnavailable):
        broken.open_part(_permit(upload))
    assert [entry.name for entry in broken._folder(upload.name, upload.token).path.iterdir()] == ["bytes"]


def test_memory_stays_small_whatever_the_part(root: Path) -> None:
    store = FilesystemStore(root, URLS, disk=Disk(pwrite=lambda _, piece, __: len(piece), reserve=lambda *_: None))
    # What a thread of another test takes meanwhile counts as well: it does not do so each time
    assert min(_peak_of_a_part(store) for _ in range(3)) < 2 * 2**20


def _peak_of_a_part(store: FilesystemStore) -> int:
    """Bytes of Python's at the most while one part of 1 GiB is written."""
    upload = store.begin_upload(make_object_name(), size_bytes=2**30, part_bytes=2**30)
    chunk = bytes(300_000)
    tracemalloc.start()
    try:
        with store.open_part(_permit(upload)) as writer:
            for _ in range(2**30 // len(chunk)):
                writer.write(chunk)
            writer.write(bytes(2**30 % len(chunk)))
            writer.finish()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _begin(store: FilesystemStore, size_bytes: int) -> Upload:
    return store.begin_upload(make_object_name(), size_bytes=size_bytes, part_bytes=MIN_PART_BYTES)


def _permit(upload: Upload) -> PutPermit:
    return PutPermit(upload.name, upload.token, 1, 0, upload.part_size(1))


def _read(store: FilesystemStore, upload: Upload) -> bytes:
    with store.open_object(upload.name) as reader:
        return b"".join(reader.chunks(start=0, length=reader.size_bytes))
