"""Settings of the key service: those of every server, and how old keys and backups become."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from carnet_server.settings import ServerSettings

PREFIX: Final = "CARNET_KEYSERVICE_"
"""Settings in the environment begin with this."""


class KeyServiceSettings(ServerSettings):
    """What the key service is told."""

    backup_horizon_days: Annotated[int, Field(ge=0, le=3660)] = 90
    """How long backups of the database are kept: a retired key is destroyed no sooner."""
    master_key_days: Annotated[int, Field(ge=1, le=3660)] = 365
    """How old the master key may become before `status` asks for its rotation."""

    @property
    def keys_dir(self) -> Path:
        """Folder of `server.key`, `log.key` and `master-N.key`."""
        return self.data_dir / "keys"
