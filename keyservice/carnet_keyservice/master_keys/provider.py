"""What the key service asks of whoever holds the master key: a file, a PKCS#11 token, a cloud's key management."""

from typing import Protocol

from carnet_keyservice.sealing import Secret


class MasterKeyProvider(Protocol):
    """Seals and opens small secrets under master keys that it need not give away.

    The contract:

    * A version is a number from 1; its key never changes. `current_version` is the one to seal under. Older versions
      stay openable for as long as the provider lists them.
    * `seal` and `open` are authenticated encryption with associated data; what `seal` returned, `open` accepts with
      the same `aad` and version, and nothing else. What is sealed is at most 4 KiB, and its format the provider's own.
    * Both may be slow (a token, a network) and may be called from several threads at once. The key service calls them
      outside of transactions, and keeps what it opened in memory.
    * Failures are `MasterKeyError`; a thing that does not open is `SealedError`.
    """

    def current_version(self) -> int:
        """The version to seal under."""

    def versions(self) -> frozenset[int]:
        """Every version that can be opened."""

    def seal(self, secret: Secret, *, aad: bytes, version: int) -> bytes:
        """`secret`, sealed under the master key `version` and bound to `aad`."""

    def open(self, sealed: bytes, *, aad: bytes, version: int) -> Secret:
        """The secret inside of `sealed`."""
