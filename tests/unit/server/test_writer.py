"""Group commit: what is answered is committed, and what raised left nothing."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import IntegrityError

from carnet_server import writer as writer_module
from carnet_server.errors import BusyError, CommitError, RefusedError, UnauthenticatedError, UnavailableError
from carnet_server.writer import MAX_BATCH, BatchCount, Writer
from tests.support.tiny_server.tables import notes
from tests.support.tiny_server.works import Gate, run, run_as_one_batch, submit, write, written


@pytest.fixture
def counts() -> list[BatchCount]:
    return []


@pytest.fixture
def writer(engine: Engine, counts: list[BatchCount]) -> Iterator[Writer]:
    with Writer(engine, observe=counts.append) as started:
        yield started


def test_a_work_is_committed_when_run_returns(writer: Writer, engine: Engine) -> None:
    assert run(writer, write(1)) == 1
    assert written(engine) == [1]


def test_works_that_wait_are_committed_together(writer: Writer, engine: Engine, counts: list[BatchCount]) -> None:
    assert run_as_one_batch(writer, [write(number) for number in range(8)]) == list(range(8))
    assert written(engine) == list(range(8))
    writer.stop()
    assert [count.works for count in counts] == [1, 8]


def test_a_batch_is_bounded(writer: Writer, counts: list[BatchCount]) -> None:
    run_as_one_batch(writer, [write(number) for number in range(MAX_BATCH + 2)])
    writer.stop()
    assert [count.works for count in counts] == [1, MAX_BATCH, 2]


def test_a_work_that_raises_leaves_nothing_and_its_batch_is_committed(writer: Writer, engine: Engine) -> None:
    def fail(connection: Connection) -> None:
        write(100)(connection)
        raise RefusedError("no_grant")

    outcomes = run_as_one_batch(writer, [write(1), fail, write(2)])
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], RefusedError)
    assert outcomes[2] == 2
    assert written(engine) == [1, 2]


def test_a_work_whose_statement_fails_leaves_nothing_and_its_batch_is_committed(writer: Writer, engine: Engine) -> None:
    def collide(connection: Connection) -> None:
        write(100)(connection)
        write(1)(connection)

    outcomes = run_as_one_batch(writer, [write(1), collide, write(2)])
    assert [type(outcome) for outcome in outcomes] == [int, IntegrityError, int]
    assert written(engine) == [1, 2]


def test_a_later_work_of_the_batch_sees_what_an_earlier_one_wrote_and_not_what_failed(writer: Writer) -> None:
    def fail(connection: Connection) -> None:
        write(2)(connection)
        raise RefusedError("no_grant")

    def look(connection: Connection) -> list[int]:
        return list(connection.execute(select(notes.c.written_at)).scalars())

    assert run_as_one_batch(writer, [write(1), fail, look])[2] == [1]


def test_a_reader_never_sees_half_a_batch(writer: Writer, engine: Engine) -> None:
    seen: list[list[int]] = []

    def look_from_outside(connection: Connection) -> None:
        del connection
        seen.append(written(engine))

    run_as_one_batch(writer, [write(1), look_from_outside, write(2)])
    assert seen == [[]]
    assert written(engine) == [1, 2]


def test_a_full_queue_is_a_typed_refusal(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_QUEUED", 2)
    gate = Gate()
    with Writer(sqlite_engine) as writer, ThreadPoolExecutor(3) as pool:
        first = pool.submit(run, writer, gate)
        gate.wait_until_begun()
        waiting = [pool.submit(run, writer, write(number)) for number in range(2)]
        while writer.queued() < 2:
            pass
        with pytest.raises(BusyError):
            run(writer, write(9))
        gate.open()
        first.result()
        assert [future.result() for future in waiting] == [0, 1]
    assert written(sqlite_engine) == [0, 1]


def test_stop_finishes_what_is_queued_and_takes_nothing_more(sqlite_engine: Engine) -> None:
    writer, gate = Writer(sqlite_engine), Gate()
    writer.start()
    with ThreadPoolExecutor(6) as pool:
        pool.submit(run, writer, gate)
        gate.wait_until_begun()
        waiting = [pool.submit(run, writer, write(number)) for number in range(3)]
        while writer.queued() < 3:
            pass
        stopping = pool.submit(writer.stop)
        while writer.is_alive():
            pass
        with pytest.raises(UnavailableError):
            run(writer, write(9))
        gate.open()
        stopping.result()
        assert sorted(future.result() for future in waiting) == [0, 1, 2]
    assert written(sqlite_engine) == [0, 1, 2]
    writer.stop()


def test_a_writer_that_was_not_started_takes_nothing(sqlite_engine: Engine) -> None:
    writer = Writer(sqlite_engine)
    assert not writer.is_alive()
    with pytest.raises(UnavailableError):
        run(writer, write(1))


def test_a_work_that_waits_for_another_work_is_refused_instead_of_waiting_for_ever(writer: Writer) -> None:
    with pytest.raises(AssertionError, match="internal"):
        run(writer, lambda _: run(writer, write(1)))
    assert run(writer, write(2)) == 2


# Admission


def test_a_work_is_told_what_its_admission_gave(writer: Writer) -> None:
    assert writer.run(lambda _: 1_800_000_000, lambda _, now: now) == 1_800_000_000


def test_a_work_that_is_not_let_in_is_not_run_and_its_batch_is_committed(writer: Writer, engine: Engine) -> None:
    def refuse(connection: Connection) -> int:
        del connection
        raise UnauthenticatedError("nonce_spent")

    with ThreadPoolExecutor(3) as pool:
        gate = Gate()
        pool.submit(run, writer, gate)
        gate.wait_until_begun()
        refused = pool.submit(writer.run, refuse, lambda connection, _: write(1)(connection))
        accepted = pool.submit(run, writer, write(2))
        gate.open()
        assert isinstance(refused.exception(), UnauthenticatedError)
        assert accepted.result() == 2
    assert written(engine) == [2]


def test_what_an_admission_wrote_stays_where_the_work_is_refused(writer: Writer, engine: Engine) -> None:
    def refuse(connection: Connection, now: int) -> None:
        write(2)(connection)
        raise RefusedError("no_grant")

    with pytest.raises(RefusedError):
        writer.run(write(1), refuse)
    assert written(engine) == [1]


def test_an_admission_that_fails_unexpectedly_fails_the_batch_and_the_writer_goes_on(
    writer: Writer, engine: Engine
) -> None:
    def fail(connection: Connection) -> int:
        raise KeyError("unexpected")

    with pytest.raises(CommitError):
        writer.run(fail, lambda connection, _: write(1)(connection))
    assert run(writer, write(2)) == 2
    assert written(engine) == [2]


# submit


def test_submit_answers_a_task_of_an_event_loop(writer: Writer, engine: Engine) -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*(submit(writer, write(number)) for number in range(20)))

    assert asyncio.run(main()) == list(range(20))
    assert written(engine) == list(range(20))


def test_submit_raises_what_the_work_raised(writer: Writer, engine: Engine) -> None:
    def fail(connection: Connection) -> None:
        write(1)(connection)
        raise RefusedError("no_grant")

    with pytest.raises(RefusedError):
        asyncio.run(submit(writer, fail))
    assert written(engine) == []


def test_a_work_whose_task_was_cancelled_before_its_turn_is_left_out(writer: Writer, engine: Engine) -> None:
    async def main() -> None:
        gate = Gate()
        first = asyncio.create_task(submit(writer, gate))
        await asyncio.to_thread(gate.wait_until_begun)
        given_up = asyncio.create_task(submit(writer, write(1)))
        kept = asyncio.create_task(submit(writer, write(2)))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        gate.open()
        assert await kept == 2
        await first

    asyncio.run(main())
    assert written(engine) == [2]


def test_a_loop_that_ended_does_not_hold_up_the_others(writer: Writer, engine: Engine) -> None:
    gate = Gate()

    async def leave() -> None:
        task = asyncio.create_task(submit(writer, write(1)))
        await asyncio.sleep(0)
        assert not task.done()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, writer, gate)
        gate.wait_until_begun()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave())
        loop.close()
        after = pool.submit(run, writer, write(2))
        gate.open()
        first.result()
        assert after.result() == 2
    assert written(engine) == [1, 2]
