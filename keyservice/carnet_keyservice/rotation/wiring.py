"""A workshop wired from the settings of a key service, for the programs that run jobs."""

import contextlib
from collections.abc import Iterator

from sqlalchemy import Engine
from structlog.typing import FilteringBoundLogger

from carnet_keyservice.lock_rotation.wiring import open_rotator
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import Secrets
from carnet_server.clock import Clock, system_clock
from carnet_server.deployment import Deployment
from carnet_server.writer import Writer


@contextlib.contextmanager
def open_workshop(
    settings: KeyServiceSettings,
    deployment: Deployment,
    engine: Engine,
    writer: Writer,
    secrets: Secrets,
    *,
    log: FilteringBoundLogger,
    clock: Clock = system_clock,
) -> Iterator[Workshop]:
    """A workshop on `engine`, with a way to the vault of the service card. Raises `SettingsError`."""
    with open_rotator(settings, deployment, engine, writer, secrets, clock=clock) as rotator:
        yield Workshop(
            engine=engine,
            writer=writer,
            deployment=deployment,
            server_key=secrets.server_key,
            ring=secrets.master_keys,
            log=log,
            clock=clock,
            rotator=rotator,
        )
