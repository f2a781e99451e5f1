"""Those who may keep master keys, each as a key service finds it in its settings, and each to be taken away.

    with places["pkcs11"].lay_out(tmp_path) as place:
        made = place.open().make(1)
        place.take_away()

`place.elsewhere("load", 1, token)` asks another process that has the same settings.
"""

import contextlib
import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from typing_extensions import override

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys import MadeKey, MasterKeyProvider
from carnet_keyservice.sealing import Secret
from carnet_keyservice.settings import PREFIX, KeyServiceSettings
from carnet_keyservice.startup import make_providers
from carnet_server.key_files import SERVER_KEY
from carnet_server.settings import load_settings
from tests.support.kms_stand_in import KmsStandIn
from tests.support.people import Dice
from tests.support.softhsm import SoftHsm, fresh_token

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass
class Place(ABC):
    """Where one provider keeps its keys."""

    root: Path
    name = ""

    @classmethod
    @contextlib.contextmanager
    @abstractmethod
    def lay_out(cls, root: Path) -> Iterator[Self]:
        """One that keeps nothing yet, with the folder of a key service in `root`."""

    @abstractmethod
    def settings(self) -> str:
        """Lines for the settings."""

    @abstractmethod
    def take_away(self) -> None:
        """Nobody reaches it."""

    @abstractmethod
    def bring_back(self) -> None:
        """Everybody reaches it again."""

    def secrets(self) -> list[str]:
        """What of it must never be shown, besides keys."""
        return []

    def open(self, key_service: str = "key service") -> MasterKeyProvider:
        """A fresh provider, made from settings as the program makes it; each key service has keys of its own."""
        settings = load_settings(
            KeyServiceSettings, file=self.write_settings(key_service), environment={}, prefix=PREFIX, arguments={}
        )
        (found,) = (provider for provider in make_providers(settings) if provider.name == self.name)
        return found

    def write_settings(self, key_service: str = "key service") -> Path:
        """The settings of a key service, and its signing key."""
        folder = self.root / key_service
        file = folder / "settings.toml"
        if not file.exists():
            (folder / "keys").mkdir(parents=True, mode=0o700)
            (folder / "keys" / SERVER_KEY).touch(mode=0o600)
            (folder / "keys" / SERVER_KEY).write_bytes(Dice(key_service).signer().seed())
            lines = [
                f'data_dir = "{folder}"',
                'service_card = "/nonexistent"',
                'origin = "https://keys.example"',
                'listen_host = "127.0.0.1"',
                self.settings(),
            ]
            file.write_text("\n".join(lines))
        return file

    def elsewhere(self, *asked: tuple[str, int, bytes]) -> list[MadeKey]:
        """What one other process is answered, for each call; it raises what that one is refused with first."""
        words = [json.dumps([what, version, token.hex()]) for what, version, token in asked]
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.provider_process", str(self.write_settings()), self.name, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise MasterKeyError(answer["error"])
        return [MadeKey(Secret(bytes.fromhex(key)), bytes.fromhex(token)) for key, token in answer["made"]]


class FilePlace(Place):
    """Files among the key service's other keys."""

    name = "file"

    @classmethod
    @contextlib.contextmanager
    @override
    def lay_out(cls, root: Path) -> Iterator[Self]:
        yield cls(root)

    @override
    def settings(self) -> str:
        return ""

    @override
    def take_away(self) -> None:
        (self.root / "key service" / "keys").rename(self.root / "away")

    @override
    def bring_back(self) -> None:
        (self.root / "away").rename(self.root / "key service" / "keys")


@dataclass
class Pkcs11Place(Place):
    """A token of SoftHSM2."""

    softhsm: SoftHsm
    name = "pkcs11"

    @classmethod
    @contextlib.contextmanager
    @override
    def lay_out(cls, root: Path) -> Iterator[Self]:
        folder = root / "softhsm"
        folder.mkdir()
        with fresh_token(folder) as softhsm:
            yield cls(root, softhsm)

    @override
    def settings(self) -> str:
        return self.softhsm.settings()

    @override
    def secrets(self) -> list[str]:
        return [self.softhsm.pin_file.read_text().strip()]

    @override
    def take_away(self) -> None:
        self.softhsm.take_away()

    @override
    def bring_back(self) -> None:
        self.softhsm.bring_back()


@dataclass
class AwsKmsPlace(Place):
    """A stand-in for AWS KMS, whose credentials are in the environment."""

    kms: KmsStandIn
    name = "aws-kms"

    @classmethod
    @contextlib.contextmanager
    @override
    def lay_out(cls, root: Path) -> Iterator[Self]:
        with KmsStandIn.running() as kms, kms.credentials_in_environment():
            yield cls(root, kms)

    @override
    def settings(self) -> str:
        return self.kms.settings()

    @override
    def secrets(self) -> list[str]:
        return [os.environ["AWS_SECRET_ACCESS_KEY"]]

    @override
    def take_away(self) -> None:
        self.kms.take_away()

    @override
    def bring_back(self) -> None:
        self.kms.bring_back()


PLACES: Final[dict[str, type[Place]]] = {place.name: place for place in (FilePlace, Pkcs11Place, AwsKmsPlace)}
