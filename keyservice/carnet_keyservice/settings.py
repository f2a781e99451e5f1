"""Settings of the key service: those of every server."""

from pathlib import Path
from typing import Final

from carnet_server.settings import ServerSettings

PREFIX: Final = "CARNET_KEYSERVICE_"
"""Settings in the environment begin with this."""


class KeyServiceSettings(ServerSettings):
    """What the key service is told."""

    vault_authority: Path | None = None
    """PEM file of the certificate authority that the vault's certificate is from; those of this machine by default."""

    @property
    def keys_dir(self) -> Path:
        """Folder of `server.key`, `log.key` and `master-N.key`."""
        return self.data_dir / "keys"
