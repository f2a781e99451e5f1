"""The filesystem store: objects as files on one local disk, transfers through the vault's own routes.

    <root>/format                    says which layout this is
    <root>/objects/47/78/<name>      finished objects, read-only
    <root>/uploads/<name>.<token>/   uploads under way (see _upload_folder)

The two folders above an object are the ASCII codes of its name's first two characters: so their order is the order of
names, and no two of them differ in case alone.

An upload is one file of the full length into which every part is written at its place; finishing is a sync, a hard
link to the final name and a sync of the folder, whatever the size. A link never replaces a file, so it is also what
decides between uploads of one name. The disk must be local (locks, links and syncs with their POSIX meaning): not NFS,
not a synchronised folder.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from carnet_storage._disk import Disk, check_room, sync_folder, typed_errors
from carnet_storage._upload_folder import UploadFolder
from carnet_storage.errors import (
    AlreadyExists,
    InvalidName,
    InvalidUpload,
    ObjectNotFound,
    SizeMismatch,
    StoreUnavailable,
    UploadIncomplete,
    UploadNotFound,
)
from carnet_storage.names import ObjectName
from carnet_storage.object_file import ObjectFile
from carnet_storage.part_writer import PartWriter
from carnet_storage.port import MAX_PAGE, StoredObject
from carnet_storage.uploads import PendingUpload, Upload, check_sizes
from carnet_storage.urls import PutPermit, TransferUrls

_FORMAT: Final = "carnet-storage filesystem 1\n"
_TOKEN_BYTES: Final = 16
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_CODE: Final = re.compile(r"[2-7][0-9a-f]", re.ASCII)
_READ_ONLY: Final = 0o400


def create_filesystem_store(root: Path) -> None:
    """Lays out an empty store in `root`, which may exist and then must be empty; one that is laid out stays as it is.

    Raises `StoreUnavailable` when something else is there, and `NoSpace`.
    """
    with typed_errors():
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (root / "format").exists():
            _check_format(root)
            return
        strangers = {entry.name for entry in root.iterdir()} - {"objects", "uploads", "format.new"}
        if strangers:
            raise StoreUnavailable(f"{root} is not a store and not empty. Choose another folder.")
        for folder in ("objects", "uploads"):
            (root / folder).mkdir(mode=0o700, exist_ok=True)
        # The word that this is a store comes last, whole and at once.
        draft = root / "format.new"
        with draft.open("w", encoding="ascii") as file:
            file.write(_FORMAT)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(root / "format")
        for folder_path in (root, root.parent):
            sync_folder(Disk(), folder_path)


class FilesystemStore:
    """The port's contract on one local disk (see `Store`), with the transfers that the vault serves itself."""

    def __init__(self, root: Path, urls: TransferUrls, *, disk: Disk | None = None) -> None:
        """Opens the store that was laid out in `root`; `disk` is there for tests. Raises `StoreUnavailable`."""
        self._root: Final = root
        self._objects: Final = root / "objects"
        self._uploads: Final = root / "uploads"
        self._urls: Final = urls
        self._disk: Final = disk or Disk()
        # Folders of which this process knows that a power cut will not take them.
        self._durable_folders: Final = {self._objects}
        self.check()

    def check(self) -> None:
        """Looks whether the disk is mounted and writable."""
        with typed_errors():
            _check_format(self._root)
            if not os.access(self._uploads, os.W_OK):
                raise StoreUnavailable(f"{self._root} cannot be written. Look at its owner and how it is mounted.")

    def begin_upload(self, name: ObjectName, *, size_bytes: int, part_bytes: int) -> Upload:
        """Makes the upload's folder; only bytes that come take space, so a large claim alone takes none."""
        check_sizes(size_bytes=size_bytes, part_bytes=part_bytes)
        upload = Upload(name, size_bytes, part_bytes, secrets.token_urlsafe(_TOKEN_BYTES))
        with typed_errors():
            check_room(self._disk, self._uploads, size_bytes)
            self._folder(name, upload.token).create(size_bytes)
        return upload

    def put_url(self, upload: Upload, part: int, *, now: int, ttl_seconds: int) -> str:
        """Returns a URL under the vault's origin."""
        return self._urls.put_url(upload, part, now=now, ttl_seconds=ttl_seconds)

    def get_url(self, name: ObjectName, *, now: int, ttl_seconds: int) -> str:
        """Returns a URL under the vault's origin."""
        return self._urls.get_url(name, now=now, ttl_seconds=ttl_seconds)

    def open_part(self, permit: PutPermit) -> PartWriter:
        """Returns the writer for what a verified URL permits (`TransferUrls.authorize_put`).

        Whoever was writing the same part until now is stopped. Raises `UploadNotFound`, `NoSpace` and
        `StoreUnavailable`.
        """
        return PartWriter(self._folder(permit.name, permit.token), permit)

    def arrived_parts(self, upload: Upload) -> tuple[int, ...]:
        """Reads the upload's folder."""
        with typed_errors():
            return self._folder(upload.name, upload.token).arrived_parts()

    def finish_upload(self, upload: Upload) -> None:
        """Syncs the upload's file and gives it its final name; copies nothing."""
        folder = self._folder(upload.name, upload.token)
        with typed_errors():
            try:
                with folder.exclusively() as descriptor:
                    self._check_complete(upload, folder, descriptor)
                    # 1. The bytes. Every part is done, so nobody has a claim to write any more.
                    self._sync_bytes(folder, descriptor)
                    # 2. The name.
                    self._link(folder, upload.name)
                    os.fchmod(descriptor, _READ_ONLY)
                    # 3. The upload is over. What a failing disk leaves of it is found by stale_uploads.
                    with contextlib.suppress(OSError):
                        folder.remove()
            except UploadNotFound:
                if not self._is_finished(upload):
                    raise

    def abort_upload(self, name: ObjectName, token: str) -> None:
        """Removes the upload's folder."""
        folder = self._folder(name, token)
        with typed_errors():
            try:
                with folder.exclusively():
                    folder.remove()
            except UploadNotFound:
                # Gone, or what a cut begin, finish or abort left behind.
                folder.remove()

    def stale_uploads(self, *, touched_before: int) -> Iterator[PendingUpload]:
        """Looks at the times of every upload's folder and file."""
        with typed_errors():
            entries = sorted(entry.name for entry in self._uploads.iterdir())
        for entry in entries:
            pending = self._pending(entry)
            if pending is not None and pending.touched_at < touched_before:
                yield pending

    def stat(self, name: ObjectName) -> StoredObject:
        """Asks the filesystem."""
        with typed_errors():
            try:
                return StoredObject(name, self._object_path(name).lstat().st_size)
            except FileNotFoundError as error:
                raise ObjectNotFound("There is no object of this name.") from error

    def open_object(self, name: ObjectName) -> ObjectFile:
        """Opens the object's file."""
        return ObjectFile(self._object_path(name), self._disk)

    def list_objects(self, *, after: ObjectName | None = None, limit: int = MAX_PAGE) -> tuple[StoredObject, ...]:
        """Reads as many folders as the page needs; what is not named like an object is not ours and not listed."""
        if not 1 <= limit <= MAX_PAGE:
            raise AssertionError(f"internal: a page has 1 to {MAX_PAGE} names")
        page: list[StoredObject] = []
        with typed_errors():
            for name in self._names_after(after):
                with contextlib.suppress(ObjectNotFound):
                    page.append(self.stat(name))
                if len(page) == limit:
                    break
        return tuple(page)

    def delete(self, name: ObjectName) -> None:
        """Removes the object's file, and makes that durable."""
        path = self._object_path(name)
        with typed_errors():
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(path)
            # Also when it was gone: the delete that removed it may not have come to this line.
            with contextlib.suppress(FileNotFoundError):
                sync_folder(self._disk, path.parent)

    def _check_complete(self, upload: Upload, folder: UploadFolder, descriptor: int) -> None:
        if os.fstat(descriptor).st_size != upload.size_bytes:
            raise SizeMismatch("The upload was begun for another size.")
        missing = set(range(1, upload.part_count + 1)).difference(folder.arrived_parts())
        if missing:
            raise UploadIncomplete(tuple(sorted(missing)))

    def _sync_bytes(self, folder: UploadFolder, descriptor: int) -> None:
        try:
            self._disk.sync(descriptor)
        except OSError:
            # The kernel has now forgotten what it could not write, and a second sync would succeed: the parts must
            # come again.
            folder.doubt_parts()
            raise

    def _link(self, folder: UploadFolder, name: ObjectName) -> None:
        path = self._object_path(name)
        self._make_durable_folder(path.parent)
        try:
            self._disk.link(folder.bytes_path, path)
        except FileExistsError as error:
            # Our own link, when an earlier finish was cut after it.
            if not path.samefile(folder.bytes_path):
                raise AlreadyExists("An object of this name is there already.") from error
        try:
            sync_folder(self._disk, path.parent)
        except OSError:
            # Visible but perhaps not durable is no promise at all: take the name back.
            with contextlib.suppress(OSError):
                self._disk.unlink(path)
            raise

    def _make_durable_folder(self, path: Path) -> None:
        if path in self._durable_folders:
            return
        self._make_durable_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            self._disk.mkdir(path, 0o700)
        # Also when it was there: whoever made it may not have come to this line.
        sync_folder(self._disk, path.parent)
        self._durable_folders.add(path)

    def _is_finished(self, upload: Upload) -> bool:
        try:
            return self.stat(upload.name).size_bytes == upload.size_bytes
        except ObjectNotFound:
            return False

    def _names_after(self, after: ObjectName | None) -> Iterator[ObjectName]:
        first = "" if after is None else after.text
        for high in self._codes(self._objects):
            for low in self._codes(self._objects / high):
                start = bytes.fromhex(high + low).decode("ascii")
                # Whole folders that lie before the page are not read.
                if start >= first[:2]:
                    entries = sorted(entry.name for entry in (self._objects / high / low).iterdir())
                    names = (_object_name(entry) for entry in entries if entry > first)
                    yield from (name for name in names if name is not None)

    def _codes(self, folder: Path) -> list[str]:
        return sorted(entry.name for entry in folder.iterdir() if _CODE.fullmatch(entry.name))

    def _pending(self, entry: str) -> PendingUpload | None:
        text, _, token = entry.partition(".")
        name = _object_name(text)
        if name is None or _TOKEN.fullmatch(token) is None:
            return None
        folder = self._folder(name, token)
        with typed_errors():
            times = [_modified_at(folder.path), _modified_at(folder.bytes_path)]
        known = [time for time in times if time is not None]
        return PendingUpload(name, token, max(known)) if known else None

    def _folder(self, name: ObjectName, token: str) -> UploadFolder:
        if _TOKEN.fullmatch(token) is None:
            raise InvalidUpload("This store gave no such upload token.")
        return UploadFolder(self._uploads / f"{name}.{token}", self._disk)

    def _object_path(self, name: ObjectName) -> Path:
        first, second = name.text[:2].encode("ascii")
        return self._objects / f"{first:02x}" / f"{second:02x}" / name.text


def _check_format(root: Path) -> None:
    try:
        text = (root / "format").read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"{root} holds no store. Is its disk mounted? A new one has to be created.") from error
    if text != _FORMAT:
        raise StoreUnavailable(f"{root} holds a store of another version. Use the program that wrote it.")


def _object_name(text: str) -> ObjectName | None:
    try:
        return ObjectName(text)
    except InvalidName:
        return None


def _modified_at(path: Path) -> int | None:
    try:
        return int(path.lstat().st_mtime)
    except FileNotFoundError:
        return None
