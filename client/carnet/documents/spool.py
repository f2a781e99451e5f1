"""Depositing a large document: sealed once into a local spool, its parts sent while sealing goes on.

The spool holds ciphertext alone. Once it is complete and signed, what it takes to finish is kept in the sealed local
state: a command that was cut is simply run again and sends what is missing, the same bytes. Before that, a cut costs
the work done, never more: another run seals anew, under fresh keys.
"""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError

from carnet.access import RecordAccess
from carnet.content import (
    ContentKey,
    ContentSuites,
    MetadataKey,
    OnProgress,
    padded_document_size,
    seal_file,
    wrapping_system_errors,
)
from carnet.documents.deposit import (
    NewVersion,
    SealedVersion,
    begin_uploads,
    commit,
    make_keys,
    measure_source,
    sign_version,
)
from carnet.documents.upload import put_part, read_part
from carnet.errors import RefusedError, VerificationError
from carnet.session import Session
from carnet_protocol import layout
from carnet_protocol.api import UploadView
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import CompartmentId, DocumentId, StatementHash, UploadId
from carnet_protocol.statements import Manifest, Signed
from carnet_protocol.wire import Base64Bytes, WireModel

_FOLDER: Final = "spool"
_PREFIX: Final = "spool-"
_SENDERS: Final = 2


class _SourceFile(WireModel):
    path: str
    size: int
    modified_ns: str
    compartment: CompartmentId
    grant: StatementHash | None
    previous: StatementHash | None


class _SpoolFile(WireModel):
    """What finishes an upload. Lies sealed in the local state."""

    format: Literal["carnet.spool.v1"]
    source: _SourceFile
    upload: UploadId
    manifest: str
    metadata: Base64Bytes
    leaf_digests: Base64Bytes
    content_key: Annotated[Base64Bytes, Field(repr=False)]
    metadata_key: Annotated[Base64Bytes, Field(repr=False)]


def deposit_large(
    session: Session, access: RecordAccess, new: NewVersion, *, on_progress: OnProgress | None = None
) -> DocumentId:
    """Deposit `new` through a spool; `on_progress` is told how many bytes of ciphertext the store has.

    Goes on where an earlier call for the same file, place and access was cut. Raises `UsageError` for an
    empty file, `SourceChangedError`, `LocalFileError`, a `TransportError` or a `DataError`; but for the first, the same
    call can then be made again.
    """
    source = _describe(new, access)
    name = _find(session, source)
    if name is None:
        name = _seal(session, access, new, source, on_progress)
    return _finish(session, access, name, on_progress)


def forget_unfinished(session: Session) -> int:
    """Remove the spools of this home that no state refers to; return how many."""
    kept = {name.removeprefix(_PREFIX) for name in session.state.names(_PREFIX)}
    folder = session.home.path / _FOLDER
    litter = [path for path in folder.glob("*") if path.name not in kept] if folder.is_dir() else []
    for path in litter:
        path.unlink(missing_ok=True)
    return len(litter)


def _seal(
    session: Session, access: RecordAccess, new: NewVersion, source: _SourceFile, on_progress: OnProgress | None
) -> str:
    """Seal into a new spool while sending it; keep the state as soon as all is sealed. Returns the state's name."""
    token = secrets.token_hex(16)
    path = _spool_path(session, token)
    keys = make_keys(session, access, new)
    size = layout.ciphertext_size(padded_document_size(source.size))
    upload = begin_uploads(session, access, [size])[0]
    name = _PREFIX + token
    sending = _Sending(session, path, upload, on_progress)
    try:
        with sending:
            with wrapping_system_errors(), path.open("xb", buffering=0) as target:
                sealed = seal_file(
                    new.source,
                    target,
                    content_key=keys.content_key,
                    context=keys.identity.content_context(),
                    commitment_key=keys.commitment_key,
                    suites=ContentSuites.of(keys.identity.suite),
                    on_progress=sending.sealed_up_to,
                )
            version = sign_version(session, access, new, keys, sealed)
            _keep(session, name, source, upload, version)
            sending.wait()
    except BaseException:
        if session.state.load(name) is None:
            path.unlink(missing_ok=True)
        raise
    return name


def _finish(session: Session, access: RecordAccess, name: str, on_progress: OnProgress | None) -> DocumentId:
    """Send what is missing of the spool of `name`, commit, forget it."""
    file, version = _load(session, name)
    path = _spool_path(session, name.removeprefix(_PREFIX))
    try:
        upload = session.vault.get(f"/v1/records/{access.record}/uploads/{file.upload}", UploadView)
    except RefusedError:
        # The vault gave the upload up, or committed it and lost its answer on the way: a new one tells.
        upload = begin_uploads(session, access, [version.manifest.body.ciphertext_size])[0]
    if upload.parts:
        with _Sending(session, path, upload, on_progress) as sending:
            sending.sealed_up_to(version.manifest.body.ciphertext_size)
            sending.wait()
    commit(session, access, [(upload, version)])
    session.state.remove(name)
    path.unlink(missing_ok=True)
    return version.manifest.body.document


class _Sending:
    """Threads that send the missing parts of one upload, each as soon as the spool holds it."""

    def __init__(self, session: Session, path: Path, upload: UploadView, on_progress: OnProgress | None) -> None:
        self._session = session
        self._path = path
        self._upload = upload
        self._on_progress = on_progress
        self._reached = threading.Condition()
        self._sealed = 0
        self._sent = upload.size - sum(part.size for part in upload.parts)
        self._stopped = False
        self._pool = ThreadPoolExecutor(max_workers=_SENDERS, thread_name_prefix="carnet-upload")
        self._jobs = [self._pool.submit(self._send, number) for number in range(len(upload.parts))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        with self._reached:
            self._stopped = True
            self._reached.notify_all()
        self._pool.shutdown(cancel_futures=True)

    def sealed_up_to(self, end: int) -> None:
        """The spool holds every byte before `end`."""
        with self._reached:
            self._sealed = end
            self._reached.notify_all()

    def wait(self) -> None:
        """Return when every part is sent; raise what the first that failed raised."""
        for job in self._jobs:
            job.result()

    def _send(self, number: int) -> None:
        part = self._upload.parts[number]
        with self._reached:
            while self._sealed < part.offset + part.size and not self._stopped:
                self._reached.wait()
            if self._stopped:
                return
        put_part(self._session, part, read_part(str(self._path), part, on_sent=self._count))

    def _count(self, size: int) -> None:
        with self._reached:
            self._sent += size
            if self._on_progress is not None:
                self._on_progress(self._sent)


def _describe(new: NewVersion, access: RecordAccess) -> _SourceFile:
    status = measure_source(new)
    return _SourceFile(
        path=str(new.source.absolute()),
        size=status.st_size,
        modified_ns=str(status.st_mtime_ns),
        compartment=new.compartment,
        grant=access.grant_hash,
        previous=None if new.previous is None else new.previous.hash,
    )


def _find(session: Session, source: _SourceFile) -> str | None:
    for name in session.state.names(_PREFIX):
        with contextlib.suppress(VerificationError):
            file, version = _load(session, name)
            is_there = _spool_path(session, name.removeprefix(_PREFIX)).is_file()
            if file.source == source and is_there and version.manifest.body.device == session.device:
                return name
    return None


def _keep(session: Session, name: str, source: _SourceFile, upload: UploadView, version: SealedVersion) -> None:
    file = _SpoolFile(
        format="carnet.spool.v1",
        source=source,
        upload=upload.upload,
        manifest=version.manifest.text,
        metadata=version.metadata,
        leaf_digests=version.leaf_digests,
        content_key=version.content_key.reveal(),
        metadata_key=version.metadata_key.reveal(),
    )
    session.state.store(name, file.model_dump(mode="json"))


def _load(session: Session, name: str) -> tuple[_SpoolFile, SealedVersion]:
    try:
        file = _SpoolFile.model_validate(session.state.load(name))
        manifest = Signed.parse(file.manifest, Manifest)
    except (ValidationError, ProtocolError):
        raise VerificationError("an unfinished upload was left by a newer Carnet: update Carnet") from None
    version = SealedVersion(
        manifest,
        file.source.compartment,
        file.metadata,
        file.leaf_digests,
        ContentKey(file.content_key),
        MetadataKey(file.metadata_key),
    )
    return file, version


def _spool_path(session: Session, token: str) -> Path:
    folder = session.home.path / _FOLDER
    with wrapping_system_errors():
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder / token


def unfinished(session: Session) -> Iterator[str]:
    """The local paths of files whose upload was begun and not finished."""
    for name in session.state.names(_PREFIX):
        with contextlib.suppress(VerificationError):
            yield _load(session, name)[0].source.path
