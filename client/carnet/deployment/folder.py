"""The folder of a deployment: keys, card, settings and data of both servers.

    deployment.json         where the servers listen
    card.jws                the signed service card, for `carnet init`
    card.key                the key that signs it; take it away and keep it elsewhere until an address changes
    registrar/              the home of the registrar
    vault/ keyservice/      each server's own: settings.toml, keys/, database, log/; the vault's objects/

Each server gets what is its own, so that the two can be carried to two machines and two operators. Folders are 0700,
secrets 0600. Preparing is done again at every start and makes only what is missing; keys only before the first card,
because from then on others know them.
"""

import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from carnet.errors import HomeError, UsageError
from carnet.held_folder import hold_folder
from carnet.whole_file import replace_file
from carnet_protocol.signing import SEED_SIZE, Signer

SERVERS: Final = ("vault", "keyservice")
SERVER_KEY: Final = "server.key"
LOG_KEY: Final = "log.key"
_DATABASE: Final = "database.sqlite"
_FIRST_MASTER_KEY: Final = "master-1.key"
_MASTER_KEYS: Final = "master-*.key"


@dataclass(frozen=True, slots=True)
class Folder:
    """The places in a deployment's folder."""

    path: Path

    @property
    def address(self) -> Path:
        """Where the servers listen."""
        return self.path / "deployment.json"

    @property
    def card(self) -> Path:
        """The service card."""
        return self.path / "card.jws"

    @property
    def card_key(self) -> Path:
        """The seed of the key that signs the card; missed only when a card has to be signed."""
        return self.path / "card.key"

    @property
    def registrar(self) -> Path:
        """The registrar's home."""
        return self.path / "registrar"

    def server(self, name: str) -> Path:
        """The folder of the server called `name`."""
        return self.path / name

    def keys(self, name: str) -> Path:
        """The folder with the keys of the server called `name`."""
        return self.path / name / "keys"

    def log(self, name: str) -> Path:
        """The folder with the logs of the server called `name`."""
        return self.path / name / "log"

    def settings(self, name: str) -> Path:
        """The settings file of the server called `name`."""
        return self.path / name / "settings.toml"

    @property
    def is_begun(self) -> bool:
        """Whether there is a card or a database already, and with it people who rely on the keys."""
        return self.card.exists() or any((self.server(name) / _DATABASE).exists() for name in SERVERS)

    def make_keys(self) -> None:
        """Make the keys that are missing of a deployment that is not begun. Raises `HomeError`."""
        own = [self.keys(name) / file for name in SERVERS for file in (SERVER_KEY, LOG_KEY)]
        for path in (self.card_key, self.keys("keyservice") / _FIRST_MASTER_KEY, *own):
            if not path.exists():
                replace_file(path, secrets.token_bytes(SEED_SIZE))

    def check_master_key(self) -> None:
        """Check that some master key is there; which ones are needed the key service knows. Raises `HomeError`."""
        keys = self.keys("keyservice")
        if not any(keys.glob(_MASTER_KEYS)):
            raise HomeError(f"{keys} holds no master key any more: bring {_FIRST_MASTER_KEY} back, or the one after it")

    def check_own(self) -> None:
        """Check that nothing but a deployment is here, be it half made. Raises `UsageError`."""
        own = {self.address, self.card, self.card_key, self.registrar, *map(self.server, SERVERS)}
        here = set(self.path.iterdir()) if self.path.is_dir() else set()
        foreign = sorted(path for path in here - own if not path.name.startswith("."))
        if foreign and not self.address.exists():
            raise UsageError(f"{self.path} holds other things, such as {foreign[0].name}: name a new folder")

    def hold(self) -> AbstractContextManager[None]:
        """Keep everybody else from running what is in the folder, which exists, meanwhile.

        Raises `HomeBusyError` if somebody runs it.
        """
        return hold_folder(self.path, busy=f"the servers in {self.path} are running already: use those, or stop them")

    def create(self) -> None:
        """Make the folders that are missing. Raises `HomeError`."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in SERVERS:
                for folder in (self.server(name), self.keys(name), self.log(name)):
                    folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(f"{self.path} cannot be made: {error.strerror}") from error


def load_signer(path: Path) -> Signer:
    """The Ed25519 key whose seed is in `path`. Raises `HomeError`."""
    try:
        seed = path.read_bytes()
    except FileNotFoundError as error:
        raise HomeError(f"{path} is gone, and no other key can take its place: bring it back") from error
    except OSError as error:
        raise HomeError(f"{path} cannot be read: {error.strerror}") from error
    if len(seed) != SEED_SIZE:
        raise HomeError(f"{path} does not hold a key: put the right file back, or begin with a new folder")
    return Signer(seed)
