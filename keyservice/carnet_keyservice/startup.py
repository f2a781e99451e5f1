"""What the key service needs before it is wired: its place in the deployment, and its private keys."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from carnet_keyservice.master_keys import FileMasterKeys, MasterKeyProvider
from carnet_keyservice.master_keys.check import is_unregistered, register_current
from carnet_keyservice.settings import KeyServiceSettings
from carnet_protocol.signing import Signer
from carnet_server.clock import system_clock
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_server.errors import SettingsError
from carnet_server.key_files import SERVER_KEY, load_service_card, load_signer
from carnet_server.writer import Writer


@dataclass(frozen=True, slots=True)
class Secrets:
    """The key that signs lock statements, and whoever holds the master keys."""

    server_key: Signer
    master_keys: MasterKeyProvider


def load_deployment(settings: KeyServiceSettings) -> Deployment:
    """The deployment that the service card describes, if this key service is the one in it. Raises `SettingsError`."""
    card = load_service_card(settings.service_card)
    if card.body.keyservice.origin != settings.origin:
        raise SettingsError("origin is not the key service's in the service card; correct the one that is wrong")
    return Deployment.load(card, card.body.keyservice, settings.keys_dir)


def load_secrets(settings: KeyServiceSettings) -> Secrets:
    """The private keys. Raises `SettingsError` or `MasterKeyError`."""
    return Secrets(load_signer(settings.keys_dir / SERVER_KEY), FileMasterKeys.load(settings.keys_dir))


def require_master_keys(engine: Engine, writer: Writer, provider: MasterKeyProvider) -> None:
    """Check every master key in use, and note the current one at its first use. Raises `MasterKeyError`."""
    with reader(engine) as connection:
        is_new = is_unregistered(connection, provider)
    if is_new:
        writer.run(lambda _: system_clock(), lambda connection, _: _register(connection, provider))


def _register(connection: Connection, provider: MasterKeyProvider) -> None:
    # Another process may have come first.
    if is_unregistered(connection, provider):
        register_current(connection, provider)
