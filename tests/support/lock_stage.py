"""Both servers as programs, with records whose locks rotate, put back to where they were so that each run can fail.

with LockStage.lay_out(tmp_path) as stage:
    begun = stage.keep("begun")
    stage.put_back(begun)                      # both programs run
    with point.set(stage.vault.pid):
        ...
    stage.require_all_open()

The key service is that of `rotation_stage.py`, with two shards and quick looks. People's homes are put back with the
servers: a client finds out a server that fell behind what it was told.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Self

from sqlalchemy import func, select

from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.grants import GrantPlan, make_grant, plan_depositing, plan_reading
from carnet.records import open_record
from carnet.session import Session
from carnet.transport import ServerName
from carnet_keyservice.rotation import accept as jobs
from carnet_keyservice.rotation.job import AS_BEGUN, Job, JobKind, JobParameters, JobState
from carnet_keyservice.rotation.queries import find_newest_job
from carnet_keyservice.tables import lock_seals
from carnet_protocol.ids import JobId, RecordId, StatementHash
from carnet_protocol.statements import Purpose
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_vault.fsck import Seen, check_contents, check_database, check_objects
from tests.support.client import find_compartment, put_document
from tests.support.cuts import quiet
from tests.support.live import LiveWorld
from tests.support.lock_rotation import LockTables
from tests.support.mortal import MortalVault, wait_for
from tests.support.rotation_stage import QuickKeyService, decide, require_clean, stands

GRANT_SECONDS: Final = 7 * 86_400
_DATABASE: Final = "database.sqlite"


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who opens every document called one of `titles`, each of which holds its title."""

    record: RecordId
    grant: StatementHash | None
    titles: tuple[str, ...]


@dataclass(slots=True)
class LockStage:
    """Alice has four documents: Laura deposited one, Bob reads a compartment, Carol one document. Erin has one."""

    world: LiveWorld
    vault: MortalVault
    keyservice: QuickKeyService
    tables: LockTables
    readers: dict[str, Reader] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def lay_out(cls, root: Path) -> Iterator[Self]:
        """Everything laid out and told; both programs run."""
        with LiveWorld.running(root) as world:
            vault, keyservice = world.vault_program, world.keyservice_program
            assert vault is not None
            assert keyservice is not None
            vault.stop()
            keyservice.stop()
            made = cls(
                world,
                MortalVault(vault.root, vault.own, vault.dice, vault.port, vault.environment),
                QuickKeyService(keyservice.root, keyservice.own, keyservice.database_url),
                LockTables(world),
            )
            try:
                made.start()
                made.tell()
                yield made
            finally:
                for session in made.sessions.values():
                    session.close()
                made.end()
                made.vault.worlds.close()
                for wire in world.wires.values():
                    wire.client.close()
                for engine in world.engines.values():
                    engine.dispose()

    def tell(self) -> None:
        """What people did before."""
        world, folder = self.world, self.world.root
        alice, erin = world.patient("alice"), world.patient("erin")
        bob, carol, laura = (world.practitioner(name) for name in ("bob", "carol", "laura"))
        access = open_record(alice)
        general = find_compartment(access, "general")
        one = put_document(alice, access, folder, "one", compartment="general")
        put_document(alice, access, folder, "two", compartment="general")
        put_document(alice, access, folder, "secret", compartment="private")
        put_document(erin, open_record(erin), folder, "letter", compartment="general")

        def let_in(reader: Session, **scope: object) -> GrantPlan:
            seconds, purpose = GRANT_SECONDS, Purpose.TREATMENT
            return plan_reading(alice, access, reader.identity, seconds=seconds, purpose=purpose, **scope)  # type: ignore[arg-type]  # either scope

        bobs = make_grant(alice, access, let_in(bob, compartments=[general]))
        carols = make_grant(alice, access, let_in(carol, documents=[one]))
        plan = plan_depositing(
            alice, access, laura.identity, compartment=general, seconds=GRANT_SECONDS, purpose=Purpose.DIAGNOSTICS
        )
        lauras = make_grant(alice, access, plan)
        theirs = open_access(laura, alice.record, lauras.hash)
        put_document(laura, theirs, folder, "result", compartment="general")
        self.readers = {
            "alice": Reader(alice.record, None, ("one", "result", "secret", "two")),
            "erin": Reader(erin.record, None, ("letter",)),
            "bob": Reader(alice.record, bobs.hash, ("one", "result", "two")),
            "carol": Reader(alice.record, carols.hash, ("one",)),
        }
        self._reopen()

    def start(self) -> None:
        """Both programs, which are dead, run."""
        with ThreadPoolExecutor(2) as pool:
            for started in [pool.submit(self.vault.start), pool.submit(self.keyservice.start)]:
                started.result()

    def end(self) -> None:
        """Kill both."""
        self.vault.end()
        self.keyservice.end()

    def keep(self, name: str) -> Path:
        """End both programs and keep what there is of theirs and of people's, to be put back."""
        self.end()
        kept = self.world.root / "kept" / name
        shutil.rmtree(kept, ignore_errors=True)
        for root in (self.vault.root, self.keyservice.root):
            (kept / root.name).mkdir(parents=True)
            for path in root.glob(f"{_DATABASE}*"):
                shutil.copyfile(path, kept / root.name / path.name)
        shutil.copytree(self.world.root / "homes", kept / "homes")
        return kept

    def put_back(self, kept: Path) -> None:
        """Have everything as it was when it was kept, and both programs run."""
        self.end()
        for engine in self.world.engines.values():
            engine.dispose()
        for root in (self.vault.root, self.keyservice.root):
            for path in root.glob(f"{_DATABASE}*"):
                path.unlink()
            for path in (kept / root.name).iterdir():
                shutil.copyfile(path, root / path.name)
        for session in self.sessions.values():
            session.close()
        shutil.rmtree(self.world.root / "homes")
        shutil.copytree(kept / "homes", self.world.root / "homes")
        self.start()
        self._reopen()

    def _reopen(self) -> None:
        for session in self.world.sessions:
            session.close()
        self.world.sessions.clear()
        self.sessions = {name: self.world.reopen(name) for name in self.readers}
        for session in self.sessions.values():
            quiet(session)

    def begin(self, *, grace: int = 0) -> None:
        """Begin a rotation of all record locks, as the command does."""
        parameters = JobParameters(rate=1_000_000, workers=1, grace_seconds=grace)
        decide(
            self.keyservice,
            lambda moment: jobs.begin_job(moment, JobId.make(), JobKind.LOCKS, parameters, by=None),
        )

    def job(self) -> Job:
        """The newest job."""
        with reader(self.world.engines[ServerName.KEYSERVICE]) as connection:
            found = find_newest_job(connection)
        assert found is not None
        return found

    def go_on(self, is_over: Callable[[], bool]) -> None:
        """What an operator does while both programs run: look on, and resume the job if it stands still."""
        while True:
            wait_for(self.keyservice, lambda: is_over() or stands(self.job()))
            job = self.job()
            if job.state is not JobState.PAUSED:
                return
            decide(self.keyservice, partial(jobs.resume_job, kind=job.kind, pace=AS_BEGUN, by=None))

    def records(self) -> list[RecordId]:
        """The records."""
        return sorted({each.record for each in self.readers.values()})

    def seals(self, record: RecordId) -> dict[int, int]:
        """How many seals there are of each lock of `record`."""
        query = select(lock_seals.c.version, func.count().label("seals")).where(lock_seals.c.record == record)
        with reader(self.world.engines[ServerName.KEYSERVICE]) as connection:
            return {row.version: row.seals for row in connection.execute(query.group_by(lock_seals.c.version))}

    def require_all_open(self) -> None:
        """Everybody opens, to the last byte, all that is theirs, as their client does."""
        for name, own in self.readers.items():
            session = self.sessions[name]
            access = open_access(session, own.record, own.grant)
            listing = list_documents(session, access)
            assert not listing.problems, listing.problems
            assert tuple(sorted(each.metadata.title for each in listing.documents)) == own.titles
            for each in listing.documents:
                content = b"".join(open_document(session, access, each.id).stream())
                assert content == each.metadata.title.encode()

    def require_clean(self) -> None:
        """Assert that `fsck` finds nothing at either server, each lock opens, and nothing is under one that is retired.

        A server may be dead, and the other on its way: what is retired is looked for first.
        """
        for record in self.records():
            retired = {version for version, is_retired in self.tables.versions(record).items() if is_retired}
            assert not retired & self.tables.used(record).keys()
        require_clean(self.keyservice)
        own, engine = self.world.own, self.world.engines[ServerName.VAULT]
        store = self.vault.world().store
        with reader(engine) as connection:
            found = list(check_database(connection, Deployment.of(own.card, own.card.body.vault, own.vault.log_key)))
        found += check_objects(engine, store, Seen(), on_object=lambda: None)
        found += check_contents(engine, store, on_bytes=lambda _: None)
        assert found == []
        self.vault.worlds.close()
