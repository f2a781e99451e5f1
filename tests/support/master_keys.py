"""Master keys for tests: a provider that keeps them in memory, under the name of the one that keeps files."""

from dataclasses import dataclass, field

from typing_extensions import override

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys import MadeKey, MasterKeyProvider, MasterKeys
from carnet_keyservice.master_keys.files import FILES
from carnet_keyservice.sealing import Secret
from tests.support.people import Dice


@dataclass
class KeptKeys(MasterKeyProvider):
    """Keeps keys in `keys`, and makes each from a seed of its version. With `is_away` it cannot be reached."""

    keys: dict[int, Secret] = field(default_factory=dict)
    name: str = FILES
    afterwards: str = "nothing has it"
    is_away: bool = False

    @override
    def make(self, version: int) -> MadeKey:
        """A key that every such provider makes alike."""
        self._require_reach()
        key = self.keys.setdefault(version, Secret(Dice(f"{self.name} {version}")(32)))
        return MadeKey(key, b"")

    @override
    def load(self, version: int, token: bytes) -> Secret:
        """What is kept."""
        self._require_reach()
        if version not in self.keys:
            raise MasterKeyError(f"master key {version} is not here")
        return self.keys[version]

    @override
    def destroy(self, version: int, token: bytes) -> None:
        """Forget it."""
        self._require_reach()
        self.keys.pop(version, None)

    def _require_reach(self) -> None:
        if self.is_away:
            raise MasterKeyError("the provider is away")


def make_ring(*keys: Secret, first: int = 1) -> MasterKeys:
    """A ring that holds `keys` as versions `first`, … and whose provider keeps them too."""
    kept = KeptKeys(dict(enumerate(keys, first)))
    ring = MasterKeys([kept])
    for version, key in kept.keys.items():
        ring.hold(version, key)
    return ring
