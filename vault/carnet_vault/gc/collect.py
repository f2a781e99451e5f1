"""What `gc` removes, step by step.

Each step decides in a transaction of the writer, commits, and only then removes from the store what no row names any
more. Cut in between, it leaves an orphan object, which a later run finds. A running server is not disturbed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from carnet_server.clock import Clock
from carnet_server.database import reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.events import NewEvent
from carnet_server.writer import Writer
from carnet_storage import ObjectName, PendingUpload, Store, Upload, UploadNotFound
from carnet_vault.erasures.queries import count_erased
from carnet_vault.erasures.remove import remove_erased
from carnet_vault.gc import queries
from carnet_vault.objects.compare import compare_objects

BATCH: Final = 100
DEFAULT_GRACE_SECONDS: Final = 7 * 86_400
WAITING: Final = "orphan_objects_waiting"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Collector:
    """Removes what has been of no use for `grace_seconds`; `on_step` is told now and then that it goes on."""

    engine: Engine
    writer: Writer
    store: Store
    deployment: Deployment
    clock: Clock
    grace_seconds: int
    on_step: Callable[[], None] = lambda: None

    def collect(self) -> Counter[str]:
        """Remove everything that is due, and return how many of what.

        0. Objects and uploads of erased records, which have no grace.
        1. Uploads that nobody goes on with; an object that one of them became is left to step 5.
        2. What is left of removed documents but their manifests; personal capsules whose grant is over.
        3. Objects that were retired: of removed documents, or replaced by a reseal.
        4. Uploads in the store that no row knows.
        5. Objects that no row knows, once they have been so for as long as the grace.
        6. An event says what was done.

        Raises what the store and the writer raise; what is done then is done, and the next run goes on.
        """
        until = self.clock() - self.grace_seconds
        # 0
        counts = Counter(erased_objects=self._remove_erased())
        # 1
        counts["uploads"] = self._collect_uploads(until)
        # 2
        counts["documents"] = self._strip_documents(until)
        counts["personal_capsules"] = self._collect_personal(until)
        # 3
        counts["objects"] = self._collect_retired(until)
        # 4
        for pending in self._unknown_uploads(until):
            self.store.abort_upload(pending.name, pending.token)
            counts["unknown_uploads"] += 1
        # 5
        removed, waiting = self._collect_orphans()
        counts["orphan_objects"] = removed
        # 6
        if counts.total():
            self._write(partial(self._log, counts=Counter(counts)))
        counts[WAITING] = waiting
        return counts

    def survey(self) -> Counter[str]:
        """What `collect` would remove now. Changes nothing."""
        until = self.clock() - self.grace_seconds
        counts = Counter(uploads=sum(1 for _ in self._abandoned(until)))
        counts["unknown_uploads"] = sum(1 for _ in self._unknown_uploads(until))
        with reader(self.engine) as connection:
            counts["documents"] = queries.count_remains(connection, until=until)
            counts["personal_capsules"] = queries.count_personal(connection, until=until)
            counts["objects"] = queries.count_retired(connection, until=until)
            counts["erased_objects"] = count_erased(connection)
        for batch in _batches(self._rowless()):
            with reader(self.engine) as connection:
                due = queries.count_orphans(connection, batch, until=until)
            counts["orphan_objects"] += due
            counts[WAITING] += len(batch) - due
        return counts

    def _remove_erased(self) -> int:
        count = 0
        for removed in remove_erased(self.engine, self.writer, self.store, self.clock):
            count += removed
            self.on_step()
        return count

    def _collect_uploads(self, until: int) -> int:
        count = 0
        for batch in _batches(self._abandoned(until)):
            for upload in self._write(partial(queries.take_uploads, wanted=batch)):
                # An object that was finished stays: after a restore it may be a document's of which this database does
                # not know. It is an orphan now, and has its grace.
                self.store.abort_upload(upload.name, upload.token)
                count += 1
            self.on_step()
        return count

    def _strip_documents(self, until: int) -> int:
        count, last = 0, None
        while page := self._read(partial(queries.find_removed, until=until, after=last, limit=BATCH)):
            last, _ = page[-1]
            wanted = [removed for removed, is_left in page if is_left]
            if wanted:
                self._write(partial(queries.strip_documents, wanted=wanted))
            count += len(wanted)
            self.on_step()
        return count

    def _collect_personal(self, until: int) -> int:
        count, last = 0, None
        while page := self._read(partial(queries.find_shared, until=until, after=last, limit=BATCH)):
            last, _ = page[-1]
            wanted = [shared for shared, is_over in page if is_over]
            if wanted:
                count += self._write(partial(queries.delete_personal, wanted=wanted))
            self.on_step()
        return count

    def _collect_retired(self, until: int) -> int:
        count = 0
        while names := self._write(partial(queries.take_retired, until=until, limit=BATCH)):
            self._delete(names)
            count += len(names)
        return count

    def _collect_orphans(self) -> tuple[int, int]:
        removed = waiting = 0
        for batch in _batches(self._rowless()):
            now = self.clock()
            self._write(partial(queries.note_orphans, names=batch, now=now))
            names = self._write(partial(queries.take_orphans, names=batch, until=now - self.grace_seconds))
            self._delete(names)
            removed += len(names)
            waiting += len(batch) - len(names)
        return removed, waiting

    def _abandoned(self, until: int) -> Iterator[Upload]:
        """Uploads begun before the grace to which nothing was added since, finished or not."""
        stale = {pending.name for pending in self.store.stale_uploads(touched_before=until + 1)}
        for upload in self._read(partial(queries.old_uploads, until=until)):
            if upload.name in stale or not self._is_pending(upload):
                yield upload

    def _is_pending(self, upload: Upload) -> bool:
        try:
            self.store.arrived_parts(upload)
        except UploadNotFound:
            return False
        return True

    def _unknown_uploads(self, until: int) -> Iterator[PendingUpload]:
        for pending in self.store.stale_uploads(touched_before=until + 1):
            if not self._read(partial(queries.has_upload, name=pending.name)):
                yield pending

    def _rowless(self) -> Iterator[ObjectName]:
        for pair in compare_objects(self.engine, self.store):
            self.on_step()
            if pair.row_size is None and not (pair.has_upload or pair.is_erased) and pair.stored_size is not None:
                yield pair.name

    def _delete(self, names: Sequence[ObjectName]) -> None:
        for name in names:
            self.store.delete(name)
        self.on_step()

    def _log(self, connection: Connection, *, counts: Counter[str]) -> None:
        moment = Moment(connection, self.clock(), self.deployment)
        moment.log(NewEvent("admin.gc", detail={name: count for name, count in counts.items() if count}))

    def _read(self, query: Callable[[Connection], T]) -> T:
        with reader(self.engine) as connection:
            return query(connection)

    def _write(self, work: Callable[[Connection], T]) -> T:
        return self.writer.run(lambda _: self.clock(), lambda connection, _: work(connection))


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
