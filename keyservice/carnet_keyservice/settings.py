"""Settings of the key service: those of every server, who keeps its master keys, how old those and backups become."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from carnet_protocol.statements.deployment import Origin
from carnet_server.settings import ServerSettings

PREFIX: Final = "CARNET_KEYSERVICE_"
"""Settings in the environment begin with this."""


class KeyServiceSettings(ServerSettings):
    """What the key service is told."""

    vault_authority: Path | None = None
    """PEM file of the certificate authority that the vault's certificate is from; those of this machine by default."""
    master_key_provider: Literal["file", "pkcs11", "aws-kms"] = "file"
    """Who makes the first master key. `rotate master --to` goes to another; all that are set up here give theirs."""
    pkcs11_module: Path | None = None
    """The shared library that speaks to the token."""
    pkcs11_token: Annotated[str, Field(max_length=32)] = ""
    """The token's label."""
    pkcs11_pin_file: Path | None = None
    """One line, the PIN of the token's user, for this program's user alone; `pkcs11.pin` among the keys by default."""
    aws_kms_region: Annotated[str, Field(pattern=r"^(?:[a-z0-9]+(?:-[a-z0-9]+)+)?$")] = ""
    """Region of the account whose KMS is asked."""
    aws_kms_endpoint_url: Origin | None = None
    """Origin of a private endpoint, by TLS but on loopback; none for AWS's own."""
    backup_horizon_days: Annotated[int, Field(ge=0, le=3660)] = 90
    """How long backups of the database are kept: a retired key is destroyed no sooner."""
    master_key_days: Annotated[int, Field(ge=1, le=3660)] = 365
    """How old the master key may become before `status` asks for its rotation."""
    record_lock_days: Annotated[int, Field(ge=1, le=3660)] = 365
    """And how old a record lock in use may."""

    @model_validator(mode="after")
    def _check_master_keys(self) -> Self:
        if (self.pkcs11_module is None) != (not self.pkcs11_token):
            raise ValueError("pkcs11_module and pkcs11_token come together")
        if self.master_key_provider == "pkcs11" and self.pkcs11_module is None:
            raise ValueError("the provider pkcs11 wants pkcs11_module and pkcs11_token")
        if self.pkcs11_module is not None and not self.pkcs11_module.is_absolute():
            raise ValueError("pkcs11_module is an absolute path, so that nobody puts another in its place")
        if self.aws_kms_endpoint_url is not None and not self.aws_kms_region:
            raise ValueError("aws_kms_endpoint_url wants aws_kms_region")
        if self.master_key_provider == "aws-kms" and not self.aws_kms_region:
            raise ValueError("the provider aws-kms wants aws_kms_region")
        return self

    @property
    def keys_dir(self) -> Path:
        """Folder of `server.key`, `log.key`, and what opens master keys: `master-N.key`, or the PIN of a token."""
        return self.data_dir / "keys"

    @property
    def pin_file(self) -> Path:
        """The file of the PIN of the token's user."""
        return self.pkcs11_pin_file or self.keys_dir / "pkcs11.pin"
