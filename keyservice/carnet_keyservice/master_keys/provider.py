"""What the key service asks of whoever keeps a master key: a file, a PKCS#11 token, a cloud's key management.

A master key is 32 bytes, made once for a version and never changed. While the key service runs it holds the keys that
it needs in memory (`ring.py`); the provider is what gives them to it, at start or when a new version comes into use,
and what destroys them.
"""

from dataclasses import dataclass
from typing import Protocol

from carnet_keyservice.sealing import Secret


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A fresh master key, and the token that the database keeps so that its provider finds or unwraps it again."""

    key: Secret
    token: bytes


class MasterKeyProvider(Protocol):
    """Keeps master keys, each under the number of its version.

    The contract:

    * `make` makes the key of `version`, durable on return. Where a cut-off run made one that no row of the database
      knows yet, it may give that one back; it never gives one key for two versions, and never changes a key.
    * `load` gives the key of `version` again, the same bytes for ever, from the token that `make` returned. A token is
      at most 4 KiB, opens nothing by itself, and is bound to its version: another version's token is refused.
    * `destroy` makes the key impossible to load again for anyone who holds all databases and backups, as far as the
      provider can; it may be repeated, also for a key that is gone.
    * All may be slow (a token, a network) and may be called from several threads at once. The key service calls them
      outside of transactions. Failures are `MasterKeyError`, whose message tells the operator what to mend.
    """

    name: str
    """What the database calls the provider."""
    afterwards: str
    """What an operator is to be told once `destroy` has returned: what may still give the key to somebody, and for how
    long."""

    def make(self, version: int) -> MadeKey:
        """A key for `version`."""

    def load(self, version: int, token: bytes) -> Secret:
        """The key that `make` made for `version`."""

    def destroy(self, version: int, token: bytes) -> None:
        """Let nobody load the key of `version` any more."""
