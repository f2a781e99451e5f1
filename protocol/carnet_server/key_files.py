"""Key files of a server: seeds of 32 bytes that their owner alone can read, and the service card beside them.

`server.key` and `log.key` are the two keys of a server in the service card. A file that others can use is refused, as
is anything but a plain file of the program's own user. The key of the TLS certificate, wherever it lies, is held to the
same, but may be reached by a link.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.limits import MAX_STATEMENT_BYTES
from carnet_protocol.signing import SEED_SIZE, Signer
from carnet_protocol.statements import ServiceCard, Signed
from carnet_server.errors import SettingsError

SERVER_KEY: Final = "server.key"
LOG_KEY: Final = "log.key"
MAX_SECRET_LINE_BYTES: Final = 1024


def load_secret_file(path: Path, *, size_bytes: int) -> bytes:
    """The `size_bytes` bytes in `path`.

    It is checked through one descriptor, so that nothing is put in its place in between. Raises `SettingsError`.
    """
    raw = _read_secret(path, size_bytes + 1)
    if len(raw) != size_bytes:
        raise SettingsError(f"{path.name} does not hold {size_bytes} bytes")
    return raw


def load_secret_line(path: Path) -> str:
    """The one line of text in `path`, held to the same as `load_secret_file`. Raises `SettingsError`."""
    raw = _read_secret(path, MAX_SECRET_LINE_BYTES + 2).removesuffix(b"\n")
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError:
        line = ""
    if not line or len(raw) > MAX_SECRET_LINE_BYTES or not line.isprintable():
        raise SettingsError(f"{path.name} does not hold one line of text")
    return line


def _read_secret(path: Path, size_bytes: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"{path.name} cannot be opened: it is a plain file in the folder of keys") from error
    try:
        _check_status(os.fstat(descriptor), path.name)
        return os.read(descriptor, size_bytes)
    finally:
        os.close(descriptor)


def check_secret_file(path: Path) -> None:
    """Check that the file that `path` leads to is its owner's alone, for a key that a library reads by its name.

    Raises `SettingsError`.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SettingsError(f"{path.name} cannot be read") from error
    _check_status(status, path.name)


def _check_status(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"{name} is not a plain file")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"{name} can be used by others than its owner; chmod 600 it")
    if status.st_uid != os.geteuid():
        raise SettingsError(f"{name} belongs to another user than this program's")


def make_secret_file(path: Path, *, size_bytes: int, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
    """Write `size_bytes` fresh bytes to the new file `path`, whole or not at all, durable on return.

    Raises `SettingsError` rather than overwrite a file.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_draft(draft, random(size_bytes))
        # A link, not a rename: it never takes the place of a file that is there already.
        path.hardlink_to(draft)
        _sync_folder(path.parent)
    except OSError as error:
        raise SettingsError(f"{path.name} cannot be made: it is there already, or the folder cannot hold it") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _write_draft(path: Path, raw: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_signer(path: Path) -> Signer:
    """The Ed25519 key whose seed is in `path`. Raises `SettingsError`."""
    return Signer(load_secret_file(path, size_bytes=SEED_SIZE))


def load_service_card(path: Path) -> Signed[ServiceCard]:
    """The service card in `path`, which its own card key signed; clients pin that key. Raises `SettingsError`."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_STATEMENT_BYTES + 2).decode("ascii").removesuffix("\n")
        card = Signed.parse(text, ServiceCard)
        card.verify(Ed25519PublicKey(card.body.card_key.raw))
    except OSError as error:
        raise SettingsError("the service card cannot be read; name its file in `service_card`") from error
    except (ProtocolError, UnicodeDecodeError) as error:
        raise SettingsError("the service card is malformed or not signed by its own card key") from error
    return card
