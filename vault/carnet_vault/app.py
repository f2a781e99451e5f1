"""The vault, wired. Importing this starts nothing."""

import collections
import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from sqlalchemy import Engine
from structlog.typing import FilteringBoundLogger

from carnet_protocol.ids import RecordId
from carnet_protocol.signing import Signer
from carnet_server.app import make_app
from carnet_server.chassis import Chassis, make_chassis
from carnet_server.clock import Clock, system_clock
from carnet_server.database import overwrite_deleted
from carnet_server.deployment import Deployment
from carnet_server.directory.routes import make_directory_router
from carnet_server.erasures.routes import make_erasures_router
from carnet_server.errors import RefusalError
from carnet_server.events.queries import find_newest_time
from carnet_server.events.routes import router as events_router
from carnet_server.grants.routes import make_grants_router
from carnet_server.officers.routes import make_officers_router
from carnet_server.people.queries import find_key
from carnet_server.people.routes import make_people_router
from carnet_server.principals import make_server_look_up
from carnet_server.records.routes import make_records_router
from carnet_server.service_card.routes import make_service_card_router
from carnet_storage import Store
from carnet_vault.capsules.queries import delete_personal_capsules
from carnet_vault.capsules.routes import router as capsules_router
from carnet_vault.deposits.routes import make_deposits_router
from carnet_vault.documents.routes import make_documents_router
from carnet_vault.erasures.queries import delete_documents
from carnet_vault.erasures.remove import remove_erased
from carnet_vault.locks.routes import make_locks_router
from carnet_vault.objects.routes import make_objects_router
from carnet_vault.records.effects import VaultEffects
from carnet_vault.refusals import store_refusals
from carnet_vault.reseals.routes import make_reseals_router
from carnet_vault.rotation.routes import make_rotation_router
from carnet_vault.settings import VaultSettings
from carnet_vault.startup import LocalStore
from carnet_vault.status import count_all
from carnet_vault.tables import nonces
from carnet_vault.uploads.routes import make_uploads_router

NAME: Final = "carnet-vault"
VERSION: Final = "0.1.0"
REVISIONS: Final = Path(__file__).parent / "migrations"
ERASED_BATCHES: Final = 2
"""How much of an erased record's objects is removed before the request is answered, in batches of a hundred."""


@dataclass(frozen=True, slots=True)
class Vault:
    """The application and what it stands on."""

    app: FastAPI
    chassis: Chassis


def create_app(
    settings: VaultSettings,
    deployment: Deployment,
    engine: Engine,
    store: LocalStore | Store,
    log: FilteringBoundLogger,
    *,
    server_key: Signer,
    clock: Clock = system_clock,
) -> Vault:
    """Wire the vault on `engine` and `store`. With a store that serves its own URLs, the vault moves no bytes.

    `server_key` is the vault's in the service card: it signs what the key service is answered.
    """
    port = store.store if isinstance(store, LocalStore) else store

    def check_store() -> None:
        with store_refusals():
            port.check()

    chassis = make_chassis(
        name=NAME,
        version=VERSION,
        origin=settings.origin,
        fingerprint=deployment.fingerprint,
        engine=engine,
        revisions=REVISIONS,
        nonces=nonces,
        look_up=make_server_look_up(find_key, deployment.card.body.keyservice.key),
        log=log,
        newest=(find_newest_time,),
        needs=(check_store,),
        rates=settings.rates,
        clock=clock,
        server_key=server_key,
    )

    def remove_objects(record: RecordId) -> None:
        """Begin with what an erasure left in the store; what stays when this is cut, `gc` removes."""
        del record
        removing = remove_erased(engine, chassis.writer, port, clock)
        with contextlib.suppress(RefusalError), store_refusals():
            collections.deque(itertools.islice(removing, ERASED_BATCHES), maxlen=0)
        overwrite_deleted(engine)

    routers = [
        make_service_card_router(deployment),
        make_people_router(deployment, on_voided=delete_personal_capsules),
        make_directory_router(deployment),
        make_records_router(deployment, VaultEffects()),
        make_grants_router(deployment),
        make_erasures_router(deployment, delete_documents, remove_objects),
        events_router,
        make_officers_router(deployment, count_all),
        make_uploads_router(deployment, port),
        make_deposits_router(deployment, port),
        make_documents_router(deployment, port),
        capsules_router,
        make_reseals_router(deployment, port),
        make_locks_router(deployment),
        make_rotation_router(deployment),
    ]
    if isinstance(store, LocalStore):
        routers.append(make_objects_router(store.store, store.urls))
    return Vault(make_app(chassis, title="Carnet vault", routers=routers), chassis)
