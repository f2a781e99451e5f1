"""One deposit on a local disk, from beginning to end, and how it goes on after a cut: as a vault would do it.

Run as a program it is the deposit of a process that is killed: before its n-th call to the disk, for n = 1, 2, 3 …
until one deposit is done before its n-th call comes. Each has a folder of its own.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Final

from carnet_storage import (
    FilesystemStore,
    ObjectName,
    PutPermit,
    TransferUrls,
    Upload,
    UploadNotFound,
    UrlSecret,
    create_filesystem_store,
    part_writer,
    uploads,
)
from carnet_storage._disk import Disk
from tests.unit.storage.broken_disk import watched_disk

NAME: Final = ObjectName("c" * 42 + "A")
PART_BYTES: Final = 200_000
DATA: Final = (bytes(range(256)) * PART_BYTES)[: PART_BYTES + 100]
# The same calls to the disk as a deposit of megabytes makes, with a fraction of the bytes.
SMALL_SIZES: Final = (
    (uploads, "MIN_PART_BYTES", PART_BYTES),
    (part_writer, "BUFFER_BYTES", 64_000),
    (part_writer, "_RESERVE_FROM_BYTES", PART_BYTES),
)
URLS: Final = TransferUrls("https://vault.example", UrlSecret(bytes(32)))


class Vault:
    """What the vault keeps of a deposit: the upload, from when `begin_upload` returned."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root: Final = root
        self.store: Final = FilesystemStore(root / "store", URLS, disk=disk)
        self._token_file: Final = root / "token"

    def deposit(self) -> None:
        """Does what has not been done yet, and nothing twice."""
        upload = self._upload()
        try:
            arrived = self.store.arrived_parts(upload)
        except UploadNotFound:
            arrived = (1, 2)
        for part in (1, 2):
            if part not in arrived:
                self._send(upload, part)
        self.store.finish_upload(upload)

    def collect_litter(self) -> None:
        """Aborts all that is not finished."""
        for pending in self.store.stale_uploads(touched_before=2**40):
            self.store.abort_upload(pending.name, pending.token)

    def _upload(self) -> Upload:
        if self._token_file.exists():
            return Upload(NAME, len(DATA), PART_BYTES, self._token_file.read_text(encoding="ascii"))
        upload = self.store.begin_upload(NAME, size_bytes=len(DATA), part_bytes=PART_BYTES)
        self._token_file.write_text(upload.token, encoding="ascii")
        return upload

    def _send(self, upload: Upload, part: int) -> None:
        offset, size = upload.part_offset(part), upload.part_size(part)
        with self.store.open_part(PutPermit(upload.name, upload.token, part, offset, size)) as writer:
            for start in range(offset, offset + size, 70_001):
                writer.write(DATA[start : min(start + 70_001, offset + size)])
            writer.finish()


def new_root(root: Path) -> Path:
    """Lays out an empty store under `root` and returns `root`."""
    create_filesystem_store(root / "store")
    return root


def main(folder: Path) -> None:
    """Plays the deposits that are killed; the last one is not."""
    for number in range(1, 1000):
        root = new_root(folder / f"{number:03d}")
        child = os.fork()
        if child == 0:
            Vault(root, _deadly_disk(number)).deposit()
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return


def _deadly_disk(deadly: int) -> Disk:
    def kill(number: int, name: str) -> None:
        if number == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    return watched_disk(kill)[0]


if __name__ == "__main__":
    for module, constant, value in SMALL_SIZES:
        setattr(module, constant, value)
    main(Path(sys.argv[1]))
