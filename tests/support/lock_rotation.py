"""Rotations of record locks in a world of both servers, with no patient present.

with rotating(world) as rotation:
    order = rotation.order()
    (rotated,) = rotation.rotate([alice.record], order)
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from sqlalchemy import select, text

from carnet.transport import ServerName
from carnet_keyservice.lock_rotation import LockRotator, LockStore, RecordRotation, RotationOrder
from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.sealing import Secret
from carnet_keyservice.tables import record_locks
from carnet_keyservice.vault import VaultClient
from carnet_protocol.ids import RecordId
from carnet_server.database import reader
from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.events.queries import find_newest
from carnet_server.writer import Writer
from carnet_vault.tables import capsules, locks, personal_capsules
from tests.support.client import ClientWorld
from tests.support.master_keys import make_ring


@dataclass(slots=True)
class LockTables:
    """What both servers' tables say of record locks."""

    world: ClientWorld

    def versions(self, record: RecordId) -> dict[int, bool]:
        """Versions of the lock of `record`, and whether each is retired."""
        with self.world.engines[ServerName.KEYSERVICE].connect() as connection:
            rows = connection.execute(select(record_locks).where(record_locks.c.record == record))
            return {row.version: row.retired is not None for row in rows}

    def used(self, record: RecordId) -> dict[int, int]:
        """How many capsules are under each version, as the vault's tables say."""
        counts: dict[int, int] = {}
        with self.world.engines[ServerName.VAULT].connect() as connection:
            for table in (capsules, personal_capsules):
                rows = connection.execute(
                    select(locks.c.version)
                    .join(table, table.c.lock_statement == locks.c.hash)
                    .where(table.c.record == record)
                )
                for version in rows.scalars():
                    counts[version] = counts.get(version, 0) + 1
        return counts

    def events(self, server: ServerName, kind: str) -> list[dict[str, Any]]:
        """The bodies of events of one kind."""
        query = text("SELECT body FROM events WHERE kind = :kind ORDER BY position")
        with self.world.engines[server].connect() as connection:
            return [json.loads(body) for body in connection.execute(query, {"kind": kind}).scalars()]


@dataclass(slots=True)
class Rotation(LockTables):
    """A program beside the key service that rotates locks."""

    rotator: LockRotator

    def order(self, job: str = "1") -> RotationOrder:
        """A job that begins now."""
        with reader(self.world.engines[ServerName.KEYSERVICE]) as connection:
            return RotationOrder(job, find_newest(connection).index, by=None)

    def rotate(self, records: Sequence[RecordId], order: RotationOrder | None = None) -> list[RecordRotation]:
        """Steps 1 to 4."""
        return self.rotator.rotate(records, order or self.order())


@contextlib.contextmanager
def rotating(world: ClientWorld, *, http: httpx2.Client | None = None, page: int = 500) -> Iterator[Rotation]:
    """A program beside the running key service of `world`, which reaches the vault by `http`."""
    own, engine = world.own, world.engines[ServerName.KEYSERVICE]
    with Writer(engine) as writer:
        store = LockStore(
            engine=engine,
            writer=writer,
            deployment=ServerDeployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key),
            keys=LockKeys(make_ring(Secret(world.master_key))),
            server_key=own.keyservice.key,
            clock=world.clock,
        )
        vault = VaultClient(
            own.card.body.vault,
            server_key=own.keyservice.key,
            http=http or world.open_client(own.vault.origin),
            clock=world.clock,
            sleep=lambda _: None,
        )
        yield Rotation(world, LockRotator(store, vault, page=page))
