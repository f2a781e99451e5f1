"""A part on its way into the store: what a thread is writing with stays open until the thread is done."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from carnet_storage import (
    FilesystemStore,
    PartWriter,
    TransferUrls,
    UrlSecret,
    create_filesystem_store,
    make_object_name,
)
from carnet_storage._disk import Disk
from carnet_vault.objects.take import take_part

SIZE = 6 << 20


class SlowDisk:
    """A disk whose writes, or syncs, begin when they are let, and say into which file they went."""

    def __init__(self, call: str) -> None:
        self.began, self.may_go = threading.Event(), threading.Event()
        self.files: list[str] = []
        self._call = call
        self.disk = replace(Disk(), pwrite=self._pwrite, sync_data=self._sync_data)

    def _pwrite(self, descriptor: int, piece: memoryview, offset: int) -> int:
        self._wait("pwrite", descriptor)
        return os.pwrite(descriptor, piece, offset)

    def _sync_data(self, descriptor: int) -> None:
        self._wait("sync_data", descriptor)

    def _wait(self, call: str, descriptor: int) -> None:
        if call == self._call:
            self.began.set()
            assert self.may_go.wait(10)
            self.files.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)


async def body(size: int) -> AsyncIterator[bytes]:
    yield b"A" * size


def open_part(root: Path, disk: Disk) -> PartWriter:
    create_filesystem_store(root)
    urls = TransferUrls("http://127.0.0.1:1", UrlSecret(bytes(32)))
    store = FilesystemStore(root, urls, disk=disk)
    upload = store.begin_upload(make_object_name(), size_bytes=SIZE, part_bytes=SIZE)
    query = urlsplit(urls.put_url(upload, 1, now=0, ttl_seconds=600)).query
    return store.open_part(urls.authorize_put(upload.name.text, query, content_length=SIZE, now=0))


@pytest.mark.parametrize("cuts", [1, 3])
@pytest.mark.parametrize(("call", "size"), [("pwrite", 1 << 20), ("sync_data", SIZE)])
def test_a_transfer_that_is_cut_waits_for_the_thread_that_writes(
    tmp_path: Path, call: str, size: int, cuts: int
) -> None:
    slow = SlowDisk(call)
    writer = open_part(tmp_path / "store", slow.disk)
    victim = tmp_path / "victim"
    victim.write_bytes(b"." * SIZE)

    async def story() -> None:
        taking = asyncio.ensure_future(take_part(body(size), writer))
        await asyncio.to_thread(slow.began.wait, 10)
        for _ in range(cuts):
            taking.cancel()
            await asyncio.sleep(0.01)
        assert not taking.done()
        # Whatever is opened now must not get the descriptor into which the thread is about to write.
        others = [os.open(victim, os.O_RDWR) for _ in range(3)]
        slow.may_go.set()
        with pytest.raises(asyncio.CancelledError):
            await taking
        for other in others:
            os.close(other)

    asyncio.run(story())
    assert set(slow.files) == {"bytes"}
    assert victim.read_bytes() == b"." * SIZE
    assert list(tmp_path.rglob("*.writing")) == []


def test_a_transfer_that_breaks_gives_its_part_up(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"A" * (1 << 20)
        raise ConnectionResetError

    writer = open_part(tmp_path / "store", Disk())
    with pytest.raises(ConnectionResetError):
        asyncio.run(take_part(broken(), writer))
    assert [path.name for path in tmp_path.rglob("uploads/*/*")] == ["bytes"]
