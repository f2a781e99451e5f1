"""Settings of the vault: those of every server, and its store."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator

from carnet_protocol.statements.deployment import Origin
from carnet_server.settings import ServerSettings

PREFIX: Final = "CARNET_VAULT_"
"""Settings in the environment begin with this."""


class VaultSettings(ServerSettings):
    """What the vault is told."""

    store: Literal["filesystem", "s3"] = "filesystem"
    objects_dir: Path | None = None
    """Folder of the filesystem store; `objects` in `data_dir` by default. On a local disk, never a network one."""
    s3_endpoint_url: Origin | None = None
    """Origin of the bucket's service, as clients reach it, by TLS but on loopback; none for AWS."""
    s3_region: str = "us-east-1"
    s3_bucket: str = ""
    s3_access_key_id: SecretStr = SecretStr("")
    s3_secret_access_key: SecretStr = SecretStr("")
    # Every part of every upload is a request of nobody in particular, whose right is in its URL.
    address_requests_per_second: Annotated[float, Field(gt=0)] = 500
    address_burst: Annotated[int, Field(ge=1)] = 2_000

    @model_validator(mode="after")
    def _check_store(self) -> Self:
        if self.store == "s3" and not (
            self.s3_bucket and self.s3_access_key_id.get_secret_value() and self.s3_secret_access_key.get_secret_value()
        ):
            raise ValueError("the store s3 wants s3_bucket, s3_access_key_id and s3_secret_access_key")
        return self

    @property
    def keys_dir(self) -> Path:
        """Folder of the vault's keys."""
        return self.data_dir / "keys"

    @property
    def objects_root(self) -> Path:
        """Folder of the filesystem store."""
        return self.objects_dir or self.data_dir / "objects"
