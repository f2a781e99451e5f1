"""Local state beside the keyring: small canonical JSON files, each sealed under the account key (spec `keys.md`).

What this client saw (`pins`), still has to send (`outbox`) and was in the middle of (`journal`) says who treats whom,
so it lies sealed on disk. A file names its place in its associated data. After an account key was renewed, older files
still open with the keys before.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Final

from carnet.errors import DecryptionError, VerificationError
from carnet.home import Home
from carnet.keys import AccountKey
from carnet.sealing import open_secret, seal_secret
from carnet_protocol import labels
from carnet_protocol.encoding import format_canonical_json, pack, parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import IdentityHash

STATE_FOLDER: Final = "state"


class LocalState:
    """Sealed files of one identity. `account_keys` gives the keys that the keyring holds now, oldest first."""

    __slots__ = ("_account_keys", "_home", "_identity")

    def __init__(
        self, home: Home, *, identity: IdentityHash, account_keys: Callable[[], tuple[AccountKey, ...]]
    ) -> None:
        """The state of `identity` in `home`."""
        self._home = home
        self._identity = identity
        self._account_keys = account_keys

    def load(self, name: str) -> dict[str, object] | None:
        """The value stored as `name`, None if there is none. Raises `VerificationError` if it does not open."""
        file = f"{STATE_FOLDER}/{name}"
        if not self._home.has(file):
            return None
        return self._open(name, self._home.load(file))

    def store(self, name: str, value: dict[str, object]) -> None:
        """Put `value` in the place of what `name` holds; durable on return."""
        self._home.store(f"{STATE_FOLDER}/{name}", self._seal(name, value))

    def remove(self, name: str) -> None:
        """Forget `name`."""
        self._home.remove(f"{STATE_FOLDER}/{name}")

    def names(self, prefix: str) -> list[str]:
        """The names that begin with `prefix`, in order."""
        names = [name.removeprefix(f"{STATE_FOLDER}/") for name in self._home.names(STATE_FOLDER)]
        return [name for name in names if name.startswith(prefix)]

    def append(self, name: str, value: dict[str, object]) -> None:
        """Add `value` to the list `name`; a power cut may cost the last ones."""
        self._home.append(f"{STATE_FOLDER}/{name}", base64.b64encode(self._seal(name, value)))

    def load_list(self, name: str) -> list[dict[str, object]]:
        """The values of the list `name`; lines that a cut left half written are left out.

        Raises `VerificationError` if a whole one does not open.
        """
        file = f"{STATE_FOLDER}/{name}"
        if not self._home.has(file):
            return []
        lines = self._home.load(file).split(b"\n")[:-1]
        whole = [sealed for line in lines if (sealed := _parse_line(line)) is not None]
        return [self._open(name, sealed) for sealed in whole]

    def _seal(self, name: str, value: dict[str, object]) -> bytes:
        key = self._account_keys()[-1].derive_local_state_key()
        return seal_secret(key, format_canonical_json(value), context=self._context(name))

    def _open(self, name: str, sealed: bytes) -> dict[str, object]:
        for account_key in reversed(self._account_keys()):
            try:
                data = open_secret(account_key.derive_local_state_key(), sealed, context=self._context(name))
            except DecryptionError:
                continue
            try:
                return parse_canonical_json(data)
            except MalformedError as error:
                raise AssertionError("internal: local state that is not canonical") from error
        raise VerificationError(f"{name} in {self._home.path} was changed: take the home folder from a backup")

    def _context(self, name: str) -> bytes:
        return pack(labels.LOCAL_STATE, self._identity.raw, name.encode())


def _parse_line(line: bytes) -> bytes | None:
    """The sealed value in `line`, None if it is no base64 and so no whole line: what is left of one was marked."""
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        return None
