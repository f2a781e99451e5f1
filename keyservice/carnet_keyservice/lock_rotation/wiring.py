"""A rotator wired from the settings of a key service, for the programs that run jobs."""

import contextlib
from collections.abc import Iterator

from sqlalchemy import Engine

from carnet_keyservice.lock_rotation.locks import LockStore
from carnet_keyservice.lock_rotation.procedure import LockRotator
from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import Secrets
from carnet_keyservice.vault import VaultClient, open_vault_http
from carnet_protocol.limits import MAX_ROTATION_CAPSULES
from carnet_server.clock import Clock, system_clock
from carnet_server.deployment import Deployment
from carnet_server.writer import Writer


@contextlib.contextmanager
def open_rotator(
    settings: KeyServiceSettings,
    deployment: Deployment,
    engine: Engine,
    writer: Writer,
    secrets: Secrets,
    *,
    page: int = MAX_ROTATION_CAPSULES,
    clock: Clock = system_clock,
) -> Iterator[LockRotator]:
    """A rotator on `engine`, which writes through `writer` and asks the vault of the service card.

    The master keys of `secrets` are loaded already. Raises `SettingsError`.
    """
    vault = VaultClient(
        deployment.card.body.vault,
        server_key=secrets.server_key,
        http=open_vault_http(settings.vault_authority),
        clock=clock,
    )
    keys = LockKeys(secrets.master_keys)
    try:
        yield LockRotator(LockStore(engine, writer, deployment, keys, secrets.server_key, clock), vault, page)
    finally:
        vault.close()
