"""P10: whatever patient, practitioners and rotations do in whatever order, each document opens to whom it should.

Random walks over both servers, with real clients: documents are put, deposited by others, moved and removed; grants are
made, expire, are revoked, and the revocation is completed, also by a command that is cut; record locks and the master
key are rotated, retired locks destroyed past the horizon. Each act may happen in the midst of a batch of a job, at any
call that it makes of its database or of the vault, before or after it was answered; there the program may be killed as
well, or the call fail. And a batch may happen in the midst of each act. After each step: each document opens to its
bytes for the patient and for whoever has a grant, everybody else is refused in the same words, `fsck` finds nothing at
either server, and no capsule that anybody needs is under a lock that is retired or an epoch that is closed.

Restores are not among the steps: P10 leaves them to an operator (`threat-model/limits.md`). A failure prints its steps.
With CARNET_EVERY_KILL=1 it walks forty times as far.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from hypothesis import event
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, integers, none, sampled_from
from sqlalchemy import ColumnElement, Select, Table, or_, select

from carnet import slots
from carnet.documents.listing import list_documents
from carnet.errors import CarnetError, RefusedError
from carnet.revocation import complete
from carnet.transport import ServerName
from carnet_keyservice.errors import RotationError
from carnet_keyservice.fsck import check_all
from carnet_keyservice.rotation import accept, queries
from carnet_keyservice.rotation import job as jobs
from carnet_keyservice.rotation.job import AS_BEGUN, UNDOABLE, Job, JobKind, JobState, Phase
from carnet_keyservice.tables import record_locks
from carnet_protocol.api import AccessView
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Permission
from carnet_server.deployment import Deployment
from carnet_server.tables import compartments
from carnet_vault.fsck import check_database
from carnet_vault.tables import capsules, locks, personal_capsules
from tests.support.client import ClientWorld
from tests.support.copies import ask_release
from tests.support.cuts import Cut
from tests.support.rotating_program import PLACES, Killed, RotatingProgram, fail, kill
from tests.support.walking_people import ACTS, BRIEF_SECONDS, Given, People
from tests.support.walks import run_walks

FAR: Final = bool(os.environ.get("CARNET_EVERY_KILL"))
GRACE_SECONDS: Final = 60
HORIZON_SECONDS: Final = BRIEF_SECONDS
MOST_CALLS: Final = 30

_UNDER: Final = capsules.c.lock_statement == locks.c.hash
_PERSONAL_UNDER: Final = personal_capsules.c.lock_statement == locks.c.hash
CRASHES: Final = {
    "vault crashes": [ServerName.VAULT],
    "key service crashes": [ServerName.KEYSERVICE],
    "both crash": [*ServerName],
}


class BothRotate(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(jobs, "SHARDS", 1)
        patch.setattr(queries, "SHARDS", 1)
        patch.setattr("carnet_keyservice.vault._PAUSES_SECONDS", ())
        patch.setattr("carnet.access._PAUSES_SECONDS", ())
        patch.setattr(slots, "stretch_passphrase", lambda passphrase, *, salt, cost: (salt * 32)[:32])  # noqa: ARG005  not the point here
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))

    @initialize()
    def begin_story(self) -> None:
        self.world = ClientWorld.make(self.folder, seed="both")
        self.world.start()
        self.stack.callback(self.world.stop)
        self.program = RotatingProgram(self.world)
        self.stack.callback(self.program.close)
        self.people = People.begin(self.world, self.folder)
        self.model = self.people.model

    @rule(what=sampled_from(ACTS), pick=integers(0, 7), at=none() | integers(1, MOST_CALLS))
    def somebody_acts(self, what: str, pick: int, at: int | None) -> None:
        """A person does something; with `at`, a batch of the job comes between its requests to the key service."""
        left = [at]

        def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
            left[0] = None if left[0] is None else left[0] - 1
            if left[0] == 0:
                event(f"a batch in the midst of {what}")
                before = self.program.unfinished()
                self.program.tick()
                self._note_end(before, has_failed=False)
            return response

        self.world.keyservice.after = after
        self.people.act(what, pick)
        self.world.keyservice.after = None

    @precondition(lambda self: self.model.to_complete)
    @rule(at=integers(1, 40), is_answered=booleans())
    def completing_is_cut(self, at: int, *, is_answered: bool) -> None:
        cut = Cut(self.world, at, answer=is_answered)
        with suppress(CarnetError):
            complete(self.people.alice)
            self.model.to_complete = False
        cut.mend()

    @rule(kind=sampled_from([JobKind.LOCKS, JobKind.LOCKS, JobKind.MASTER]))
    def begin(self, kind: JobKind) -> None:
        if self.program.unfinished() is not None:
            with pytest.raises(RotationError, match="has not ended"):
                self.program.begin(kind, grace_seconds=GRACE_SECONDS)
            return
        self.program.begin(kind, grace_seconds=GRACE_SECONDS)

    @precondition(lambda self: self.program.unfinished() is None)
    @rule()
    def begin_to_destroy(self) -> None:
        self.world.clock.now += HORIZON_SECONDS
        self.model.expire(self.world.clock())
        self.program.begin_destruction(horizon_seconds=HORIZON_SECONDS)

    @rule(
        what=sampled_from(["killed", "failed", *ACTS, "move", "complete"]),
        pick=integers(0, 7),
        place=sampled_from([*PLACES, "capsules", "swaps"]),
        at=sampled_from([1, 1, 2]),
        is_after=booleans(),
    )
    def step(self, *, what: str, pick: int, place: str, at: int, is_after: bool) -> None:
        """A job goes on, or one begins: a look of the conductor and a lane; in the midst of it something happens."""
        job = self.program.unfinished()
        if job is None:
            self.program.begin(JobKind.LOCKS, grace_seconds=GRACE_SECONDS)
        elif self.model.is_paused:
            self.operate("resume")
        elif job.phase is Phase.GRACE:  # what stands still has nothing in its midst
            self.world.clock.now += GRACE_SECONDS
            self.model.expire(self.world.clock())
        acts: dict[str, Callable[[str], object]] = {"killed": kill, "failed": fail}
        act = acts.get(what, lambda _: self.people.act(what, pick))
        self.program.turn.arm(place, at, is_after=is_after, act=act)
        before = self.program.unfinished()
        try:
            self.program.tick()
        except Killed:
            self.program.crash(ServerName.KEYSERVICE)
        has_failed = what == "failed" and bool(self.program.turn.happened)
        self.program.turn.left = 0
        if before is not None and self.program.turn.happened:
            event(f"{what} in the midst of {before.kind}, {before.phase}, {place}")
        self._note_end(before, has_failed=has_failed)

    @precondition(lambda self: self.program.unfinished() is not None)
    @rule(is_grace_over=booleans())
    def run(self, *, is_grace_over: bool) -> None:
        """As far as it goes without anybody."""
        before = self.program.unfinished()
        self.program.run()
        if is_grace_over:
            self.world.clock.now += GRACE_SECONDS
            self.model.expire(self.world.clock())
            self.program.run()
        self._note_end(before, has_failed=False)

    def _note_end(self, before: Job | None, *, has_failed: bool) -> None:
        now = self.program.unfinished()
        if now is not None and now.state is JobState.PAUSED and not self.model.is_paused:
            assert has_failed, now.problem
            self.model.is_paused = True
        if now is None:
            self.model.is_paused = False
            if before is not None:
                self._require_ended_well(before)

    def _require_ended_well(self, job: Job) -> None:
        """What a job says that it did, it did, whatever happened meanwhile."""
        ended = self.program.shop.read(lambda connection: queries.find_job(connection, job.id))
        assert ended is not None
        assert ended.report is not None
        assert self.program.shop.read(lambda connection: queries.count_skips(connection, job.id)) == {}
        if (ended.kind, ended.state) == (JobKind.LOCKS, JobState.FINISHED):
            with self.world.engines[ServerName.KEYSERVICE].connect() as connection:
                newer = record_locks.c.made > ended.begun
                new = {(row.record, row.version) for row in connection.execute(select(record_locks).where(newer))}
            assert self.needed_locks() <= new

    @rule(what=sampled_from(["pause", "resume", "abort", "vault crashes", "key service crashes", "both crash"]))
    def operate(self, what: str) -> None:
        """Somebody has the job stand still, go on or undo itself; or a server dies, and comes back."""
        job, decide = self.program.unfinished(), self.program.shop.decide
        if what in CRASHES:
            self.program.crash(*CRASHES[what])
        elif job is None:
            return
        elif what == "pause" and job.state is JobState.RUNNING:
            decide(lambda moment: accept.pause_job(moment, job, problem=None))
            self.model.is_paused = True
        elif what == "resume":
            decide(lambda moment: accept.resume_job(moment, job.kind, AS_BEGUN, by=None))
            self.model.is_paused = False
        elif what == "abort" and job.state is not JobState.ABORTING and job.phase not in UNDOABLE:
            with pytest.raises(RotationError, match="final"):
                decide(lambda moment: accept.abort_job(moment, by=None))
        elif what == "abort":
            decide(lambda moment: accept.abort_job(moment, by=None))
            self.model.is_paused = False

    # What is so after each step.

    def is_ready(self) -> bool:
        return hasattr(self, "model")

    @invariant()
    def each_document_opens_to_its_bytes_for_whom_it_should(self) -> None:
        if not self.is_ready():
            return
        assert self.people.contents(self.people.alice, self.people.own()) == self.model.everything()
        for given in self.model.given:
            reader, access = self.people.readers[given.reader], self.people.access(given)
            if given.grant.body.permission is Permission.READ:
                assert self.people.contents(reader, access) == self.model.seen_by(given)
            else:
                with pytest.raises(RefusedError):
                    list_documents(reader, access)

    @invariant()
    def whoever_has_no_grant_any_more_is_refused_in_the_same_words(self) -> None:
        if not self.is_ready():
            return
        for given in self.model.ended[-3:]:
            reader = self.people.readers[given.reader]
            assert ask_release(reader, self.people.alice.record, self.model.kept, grant=given.grant.hash) == {}
            for server in reader.servers.values():
                refused = [self.refusal(server, name) for name in (given.grant.hash, StatementHash(bytes(32)))]
                assert refused[0] == refused[1]

    def refusal(self, server: Any, grant: StatementHash) -> tuple[type, str]:
        with pytest.raises(RefusedError) as refused:
            server.get(f"/v1/records/{self.people.alice.record}/access", AccessView, query={"grant": str(grant)})
        return refused.type, str(refused.value)

    @invariant()
    def fsck_finds_nothing(self) -> None:
        if not self.is_ready():
            return
        own, shop = self.world.own, self.program.shop
        with self.world.engines[ServerName.KEYSERVICE].connect() as connection:
            assert list(check_all(connection, shop.deployment, shop.ring)) == []
        deployment = Deployment.of(own.card, own.card.body.vault, own.vault.log_key)
        with self.world.engines[ServerName.VAULT].connect() as connection:
            assert list(check_database(connection, deployment)) == []

    @invariant()
    def nothing_that_anybody_needs_is_under_a_retired_lock_or_a_closed_epoch(self) -> None:
        if not self.is_ready():
            return
        with self.world.engines[ServerName.KEYSERVICE].connect() as connection:
            rows = connection.execute(select(record_locks).where(record_locks.c.retired.is_not(None)))
            assert not self.needed_locks() & {(row.record, row.version) for row in rows}
            closed = select(compartments.c.hash).where(compartments.c.closed.is_not(None))
            left_behind = set(connection.execute(closed).scalars())
        with self.world.engines[ServerName.VAULT].connect() as connection:
            in_use = select(capsules.c.compartment_statement).where(self.is_kept(capsules))
            assert not left_behind & set(connection.execute(in_use).scalars())

    def needed_locks(self) -> set[tuple[Any, int]]:
        """What the capsules are under that open for somebody: of compartments, and of grants in force."""
        return self.locks_of_grants(self.model.given) | self._locks_of(
            select(locks).join(capsules, _UNDER).where(self.is_kept(capsules))
        )

    def is_kept(self, table: Table) -> ColumnElement[bool]:
        """Of capsules: whether their document was not removed. Those of others stay for a while, and open nothing."""
        is_there = table.c.document.in_(list(self.model.documents))
        return or_(table.c.record != self.people.alice.record, is_there)

    def locks_of_grants(self, given: list[Given]) -> set[tuple[Any, int]]:
        """What capsules of single documents are under that were made for these grants."""
        names = [each.grant.hash for each in given]
        query = select(locks).join(personal_capsules, _PERSONAL_UNDER).where(personal_capsules.c.grant.in_(names))
        return self._locks_of(query.where(self.is_kept(personal_capsules)))

    def _locks_of(self, query: Select[Any]) -> set[tuple[Any, int]]:
        with self.world.engines[ServerName.VAULT].connect() as connection:
            return {(row.record, row.version) for row in connection.execute(query)}

    def teardown(self) -> None:
        """The job comes to its end, another rotates all, what was retired is destroyed, and everything still opens."""
        try:
            if self.is_ready():
                self._end()
        finally:
            self.stack.close()

    def _end(self) -> None:
        if self.model.is_paused:
            self.operate("resume")
        self.run(is_grace_over=True)
        self.people.complete(1)
        self.begin(JobKind.LOCKS)
        self.run(is_grace_over=True)
        newest = self.needed_locks()
        assert not self.locks_of_grants(self.model.ended) & newest
        self.world.clock.now += 1
        self.begin_to_destroy()
        self.run(is_grace_over=False)
        assert self.program.unfinished() is None
        with self.world.engines[ServerName.KEYSERVICE].connect() as connection:
            rows = connection.execute(select(record_locks).order_by(record_locks.c.version)).all()
        assert {(row.record, row.version) for row in rows if row.destroyed is None} == newest
        self.each_document_opens_to_its_bytes_for_whom_it_should()
        self.whoever_has_no_grant_any_more_is_refused_in_the_same_words()
        self.fsck_finds_nothing()


def test_whatever_anybody_does_in_whatever_order_each_document_opens_to_whom_it_should() -> None:
    run_walks(BothRotate, most=120 if FAR else 6, steps=40 if FAR else 20)
