"""Wiring of the key service. Importing this starts nothing."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection, Engine
from structlog.typing import FilteringBoundLogger

from carnet_keyservice import tables
from carnet_keyservice.effects import KeyServiceEffects
from carnet_keyservice.erasures.memory import forgetting
from carnet_keyservice.erasures.queries import delete_keys
from carnet_keyservice.gauges import ScheduleGauges
from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.locks.queries import find_newest_statement
from carnet_keyservice.locks.routes import make_locks_router
from carnet_keyservice.recovery.accept import RECOVERIES
from carnet_keyservice.recovery.queries import find_key
from carnet_keyservice.recovery.routes import router as recovery_router
from carnet_keyservice.releases.routes import make_releases_router
from carnet_keyservice.rotation.embedded import EmbeddedRunner
from carnet_keyservice.rotation.processes import has_workers
from carnet_keyservice.rotation.watch import Watch
from carnet_keyservice.rotation.wiring import open_workshop
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.schedule import Policy
from carnet_keyservice.sealed_keys.queries import delete_under, load_open
from carnet_keyservice.sealed_keys.routes import make_sealed_keys_router
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import Secrets, require_master_keys
from carnet_keyservice.status import counts_under
from carnet_protocol.api import AccessView
from carnet_protocol.ids import RecordId
from carnet_server.app import make_app
from carnet_server.chassis import Chassis, make_chassis
from carnet_server.clock import Clock, system_clock
from carnet_server.database import overwrite_deleted
from carnet_server.deployment import Deployment
from carnet_server.directory.routes import make_directory_router
from carnet_server.erasures.routes import make_erasures_router
from carnet_server.events.queries import find_newest_time
from carnet_server.events.routes import router as events_router
from carnet_server.grants import Access
from carnet_server.grants.routes import make_grants_router
from carnet_server.officers.routes import make_officers_router
from carnet_server.people.routes import make_people_router
from carnet_server.records.routes import make_records_router
from carnet_server.service_card.routes import make_service_card_router

NAME: Final = "carnet-keyservice"
VERSION: Final = "0.1.0"
REVISIONS: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class KeyService:
    """The application and what it stands on."""

    app: FastAPI
    chassis: Chassis


class Part(Protocol):
    """Something that runs in threads of its own while the key service serves."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End, and return when nothing runs any more."""


Background = Callable[[Workshop], Sequence[Part]]
"""Makes what runs beside the answering of requests."""


def run_alone(shop: Workshop) -> Sequence[Part]:
    """What an embedded key service runs: it follows the master keys and does the jobs of rotation itself."""
    return Watch(shop, NAME), EmbeddedRunner(shop)


def run_beside_workers(shop: Workshop) -> Sequence[Part]:
    """What a key service runs where workers do the jobs (`carnet-keyservice work`): without any it does them itself.

    When who keeps the master keys is away, no worker starts; a program that serves has the keys in memory.
    """

    def is_needed() -> bool:
        return not shop.read(lambda connection: has_workers(connection, now=shop.clock()))

    return Watch(shop, NAME), EmbeddedRunner(shop, is_needed)


def create_app(
    settings: KeyServiceSettings,
    deployment: Deployment,
    engine: Engine,
    secrets: Secrets,
    log: FilteringBoundLogger,
    *,
    clock: Clock = system_clock,
    background: Background | None = None,
) -> KeyService:
    """Wire the key service on `engine`, with the private keys in `secrets`; `background` runs while it serves."""
    chassis = make_chassis(
        name=NAME,
        version=VERSION,
        origin=settings.origin,
        fingerprint=deployment.fingerprint,
        engine=engine,
        revisions=REVISIONS,
        nonces=tables.nonces,
        look_up=find_key,
        log=log,
        newest=(find_newest_time,),
        rates=settings.rates,
        clock=clock,
    )
    policy = Policy.of(settings)
    chassis.metrics.registry.register(ScheduleGauges(engine, policy, clock))
    keys = LockKeys(secrets.master_keys)

    def forget_keys(record: RecordId) -> None:
        """Forget what an erasure has deleted, in memory and in the log ahead of the database."""
        keys.forget(record)
        overwrite_deleted(engine)

    routers = [
        make_service_card_router(deployment),
        make_people_router(deployment, recoveries=RECOVERIES, on_voided=delete_under),
        make_directory_router(deployment),
        make_records_router(deployment, KeyServiceEffects(), extras=add_sealed_keys),
        make_grants_router(deployment),
        make_erasures_router(deployment, delete_keys, forget_keys),
        events_router,
        make_officers_router(deployment, counts_under(policy)),
        recovery_router,
        make_locks_router(deployment, keys, secrets.server_key),
        make_sealed_keys_router(deployment),
        make_releases_router(deployment, keys),
    ]

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await run_in_threadpool(require_master_keys, engine, chassis.writer, secrets.master_keys)
        async with forgetting(engine, keys):
            if background is None:
                yield
                return
            with open_workshop(settings, deployment, engine, chassis.writer, secrets, log=log, clock=clock) as shop:
                parts = background(shop)
                for part in parts:
                    await run_in_threadpool(part.start)
                try:
                    yield
                finally:
                    for part in reversed(parts):
                        await run_in_threadpool(part.stop)

    return KeyService(make_app(chassis, title="Carnet key service", routers=routers, lifespan=lifespan), chassis)


def add_sealed_keys(connection: Connection, access: Access, view: AccessView, now: int) -> AccessView:
    """Add to `view` the sealed keys of open epochs in scope, and the newest lock statement, in date or not."""
    del now
    grant = access.grant
    keys = load_open(
        connection,
        access.record,
        grant=None if grant is None else grant.hash,
        scope=None if grant is None else grant.compartments,
    )
    last = find_newest_statement(connection, access.record)
    return view.model_copy(update={"sealed_keys": keys, "lock": None if last is None else last.jws})
