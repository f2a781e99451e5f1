"""The locks that a rotation goes from and to: made once per job, read back, opened."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Engine

from carnet_keyservice.errors import SealedError
from carnet_keyservice.lock_rotation.remake import NewLock
from carnet_keyservice.lock_rotation.report import RecordState, RotationOrder
from carnet_keyservice.locks import accept, decide, queries
from carnet_keyservice.locks.keys import LockKeys, LockName
from carnet_keyservice.locks.queries import SealedLock
from carnet_keyservice.master_keys.queries import find_coming_versions, find_sealing_versions
from carnet_keyservice.sealing import LockKey, LockPublicKey
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import RecordId
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Lock, Signed
from carnet_server.clock import Clock
from carnet_server.database import reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.errors import ConflictError, TooLargeError, UnavailableError
from carnet_server.writer import Work, Writer

_MAX_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class LockStore:
    """The record locks of the key service, as a job uses them."""

    engine: Engine
    writer: Writer
    deployment: Deployment
    keys: LockKeys
    server_key: Signer
    clock: Clock

    def make_new(
        self, records: Sequence[RecordId], order: RotationOrder
    ) -> tuple[dict[RecordId, NewLock], dict[RecordId, RecordState]]:
        """The lock of each of `records` that is newer than the job, made where there is none, opened from its seal.

        And why others have none: one that fails holds up no other. Raises `UnavailableError` where no lock can be
        sealed, or `ConflictError` where locks change again and again.
        """
        failed: dict[RecordId, RecordState] = {}
        for attempt in range(_MAX_ATTEMPTS):
            missing, failed = self._seal_missing(records, order)
            try:
                if missing:
                    self.run(partial(self._accept, made=missing, order=order))
                break
            except ConflictError:  # the patient, or another worker, was first
                if attempt == _MAX_ATTEMPTS - 1:
                    raise
        left = [record for record in records if record not in failed]
        self._reissue(left)
        made: dict[RecordId, NewLock] = {}
        with reader(self.engine) as connection:
            for record in left:
                new = self._load_new(connection, record)
                if new is None:
                    failed[record] = RecordState.LOCK_DOES_NOT_OPEN
                else:
                    made[record] = new
        return made, failed

    def open(self, names: Collection[LockName]) -> dict[LockName, LockKey]:
        """The private halves of those of the locks `names` that open, retired ones included."""
        found = {name: key for name in names if (key := self.keys.find(name)) is not None}
        versions: dict[RecordId, set[int]] = {}
        for record, version in set(names) - found.keys():
            versions.setdefault(record, set()).add(version)
        if versions:
            with reader(self.engine) as connection:
                sealed = [
                    lock for record, some in versions.items() for lock in queries.load_sealed(connection, record, some)
                ]
            found |= self._open_what_opens(sealed)
        return found

    def retire(self, below: Mapping[RecordId, int], order: RotationOrder) -> None:
        """Release nothing more under the versions below the one that `below` says of a record. Again does nothing."""
        maker = accept.LockMaker(order.by, job=order.job)

        def work(connection: Connection, now: int) -> None:
            moment = Moment(connection, now, self.deployment)
            for record, version in below.items():
                for older in queries.find_versions_in_use(connection, record, below=version):
                    accept.retire_lock(moment, maker, record, older)

        if below:
            self.run(work)

    def run(self, work: Work[None]) -> None:
        """Run `work` in a transaction of the writer's kind."""
        self.writer.run(lambda _: self.clock(), work)

    def _seal_missing(
        self, records: Sequence[RecordId], order: RotationOrder
    ) -> tuple[list[SealedLock], dict[RecordId, RecordState]]:
        """Fresh locks for those of `records` whose newest one is not newer than the job; why others cannot have one."""
        with reader(self.engine) as connection:
            newest = {record: queries.find_newest_lock(connection, record) for record in records}
            under, coming = find_sealing_versions(connection), find_coming_versions(connection)
        made: list[SealedLock] = []
        failed: dict[RecordId, RecordState] = {}
        for record, lock in newest.items():
            if lock is None:
                failed[record] = RecordState.NO_LOCK
            elif lock.made <= order.newer_than:
                try:
                    version = decide.decide_next_version(lock)
                    suite = self.deployment.write_suite
                    made.append(self.keys.make(record, version, suite=suite, under=under, coming=coming))
                except TooLargeError:
                    failed[record] = RecordState.FULL
        return made, failed

    def _accept(self, connection: Connection, now: int, *, made: Sequence[SealedLock], order: RotationOrder) -> None:
        moment = Moment(connection, now, self.deployment)
        maker = accept.LockMaker(order.by, job=order.job)
        for sealed in made:
            newest = queries.find_newest_lock(connection, sealed.lock.record)
            if newest is not None and newest.made <= order.newer_than:
                accept.make_lock(moment, maker, sealed, self.server_key)

    def _reissue(self, records: Sequence[RecordId]) -> None:
        """Have each of `records` that has a lock a statement of it that is good for a week."""
        now = self.clock()
        with reader(self.engine) as connection:
            last = {record: queries.find_newest_statement(connection, record) for record in records}
        stale = [
            record
            for record, statement in last.items()
            if statement is not None and not decide.is_fresh(statement, now=now)
        ]

        def work(connection: Connection, now: int) -> None:
            moment = Moment(connection, now, self.deployment)
            for record in stale:
                if queries.find_newest_lock(connection, record) is None:  # erased meanwhile
                    continue
                accept.reissue_statement(moment, record, self.server_key)

        if stale:
            self.run(work)

    def _load_new(self, connection: Connection, record: RecordId) -> NewLock | None:
        """The newest lock of `record`, None if it does not open.

        It is read from its row, whatever is in memory: what is opened again under it is what the next run can open.
        """
        statement = queries.find_newest_statement(connection, record)
        if statement is None:
            return None
        try:
            body = Signed.parse(statement.jws, Lock).body
            (sealed,) = queries.load_sealed(connection, record, [statement.version])
            public_key, key = LockPublicKey(body.lock_key, body.suite), self.keys.open(sealed)
        except (ProtocolError, UnavailableError, SealedError, ValueError):
            return None
        return NewLock(statement.version, statement.hash, statement.jws, public_key, key)

    def _open_what_opens(self, locks: Iterable[SealedLock]) -> dict[LockName, LockKey]:
        opened: dict[LockName, LockKey] = {}
        for sealed in locks:
            try:
                opened[(sealed.lock.record, sealed.lock.version)] = self.keys.open(sealed)
            except UnavailableError:
                continue  # named with every capsule that is under it
        return opened
