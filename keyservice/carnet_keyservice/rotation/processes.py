"""Programs that run on this database, and which master keys each has loaded.

A version comes into use only once every program that runs has it in memory: else a release there would fail until its
key was put in place. A program that nobody saw for a while runs no more.
"""

from typing import Final

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from carnet_keyservice.ids import ProcessId
from carnet_keyservice.tables import process_keys, processes

WORKER: Final = "carnet-keyservice work"
"""What a worker is called here."""
LOST_SECONDS: Final = 15
"""A program that was not seen for so long, while a job is under way, is taken for dead."""
SEEN_SECONDS: Final = 3
"""A program shows itself at least so often while a job is under way."""
IDLE_SEEN_SECONDS: Final = 30
"""And so often while none is."""
IDLE_LOST_SECONDS: Final = 75
"""What was not seen for so long does not run, whether a job is under way or not."""


def enter(connection: Connection, process: ProcessId, program: str, *, now: int) -> None:
    """Note that `program` runs as `process`, and forget those that are long dead."""
    dead = select(processes.c.process).where(processes.c.seen_at < now - 86_400)
    connection.execute(delete(process_keys).where(process_keys.c.process.in_(dead)))
    connection.execute(delete(processes).where(processes.c.seen_at < now - 86_400))
    connection.execute(insert(processes), {"process": process, "program": program, "started_at": now, "seen_at": now})


def leave(connection: Connection, process: ProcessId) -> None:
    """Note that `process` ends."""
    connection.execute(delete(process_keys).where(process_keys.c.process == process))
    connection.execute(delete(processes).where(processes.c.process == process))


def show(connection: Connection, process: ProcessId, *, now: int) -> bool:
    """Note that `process` still runs; false where it was forgotten meanwhile."""
    done = connection.execute(update(processes).where(processes.c.process == process).values(seen_at=now))
    return done.rowcount == 1


def note_key(connection: Connection, process: ProcessId, version: int, *, problem: str | None) -> None:
    """Note that `process` loaded the master key `version`, or why it could not."""
    place = and_(process_keys.c.process == process, process_keys.c.master_key_version == version)
    changed = connection.execute(update(process_keys).where(place).values(problem=problem))
    if not changed.rowcount:
        connection.execute(
            insert(process_keys), {"process": process, "master_key_version": version, "problem": problem}
        )


def find_waiting(connection: Connection, version: int, *, begun_at: int, now: int) -> list[tuple[str, str | None]]:
    """The programs that run and have not loaded the master key `version`: which each is, and why not, if it said so.

    Until a program that was idle when the job began had time to show itself, it is waited for unseen. So long is also
    waited for one that said it has not got the key: its provider may be slow, and it says nothing meanwhile.
    """
    lost = LOST_SECONDS if now - begun_at >= LOST_SECONDS else IDLE_LOST_SECONDS
    rows = connection.execute(
        select(processes.c.program, process_keys.c.problem)
        .outerjoin(
            process_keys,
            and_(
                process_keys.c.process == processes.c.process,
                process_keys.c.master_key_version == version,
            ),
        )
        .where(
            or_(
                and_(processes.c.seen_at >= now - lost, process_keys.c.process.is_(None)),
                and_(processes.c.seen_at >= now - IDLE_LOST_SECONDS, process_keys.c.problem.is_not(None)),
            ),
        )
        .order_by(processes.c.started_at, processes.c.process)
    )
    return [(row.program, row.problem) for row in rows]


def has_workers(connection: Connection, *, now: int) -> bool:
    """Whether a worker runs, which does the jobs in place of programs that serve."""
    return WORKER in count_running(connection, now=now)


def count_running(connection: Connection, *, now: int) -> dict[str, int]:
    """How many of each program run."""
    rows = connection.execute(select(processes.c.program).where(processes.c.seen_at >= now - IDLE_LOST_SECONDS))
    counts: dict[str, int] = {}
    for program in rows.scalars():
        counts[program] = counts.get(program, 0) + 1
    return counts
