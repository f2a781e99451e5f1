"""Rotation of the master key of many record locks, by two workers on PostgreSQL, while releases go on.

The key service and its workers are the real programs; the locks were put there by COPY. The bare loop that the rotation
is held against streams the same rows in one process, unseals, seals, and updates from `unnest`: no read back, no flip,
no log, and nobody served.
"""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from carnet_keyservice.locks.keys import derive_aad
from carnet_keyservice.master_keys import FileProvider
from carnet_keyservice.sealing import Secret, open_at_rest, seal_at_rest
from carnet_protocol.ids import RecordId
from carnet_protocol.tuples import KeyRole
from tests.benchmarks.row import Bound, Measurement, NotMeasuredError, Row
from tests.support.keyservice import KeyServiceStory
from tests.support.keyservice_process import KeyServiceProcess, working
from tests.support.many_locks import fill_locks
from tests.support.people import Dice
from tests.support.postgres import find_programs, running_postgres

LOCKS = int(os.environ.get("CARNET_BENCH_LOCKS", "1000000"))
BARE = LOCKS // 5
RELEASES_PER_SECOND = 100
QUIET_SECONDS = 20
HELD_RATE = 12_000
MIB = 1 << 20

ROWS = (
    Row("rotate-master", "master rotation of 1,000,000 record locks, 2 workers, serving", Bound.AT_MOST, 90, "s"),
    Row("rotate-bare", "its rate, against a bare loop that only re-seals", Bound.AT_LEAST, 0.1, "times"),
    Row("rotate-serving", "p99 of releases during it, held to 12,000/s, against none", Bound.AT_MOST, 1.5, "times"),
    Row("rotate-memory", "most memory of any process of it", Bound.AT_MOST, 150, "MiB"),
)


def measure(names: frozenset[str], folder: Path) -> Iterator[Measurement | tuple[str, NotMeasuredError]]:
    """Measures the rows called `names`."""
    if find_programs() is None:
        yield from ((name, NotMeasuredError("apt-get install postgresql")) for name in names)
        return
    root = folder / "master"
    root.mkdir()
    with running_postgres(is_durable=True) as cluster, cluster.fresh_database() as url:
        rates = "key_requests_per_second = 100000\nkey_burst = 100000\naddress_requests_per_second = 100000"
        settings = f"{rates}\naddress_burst = 100000"
        with KeyServiceProcess.lay_out(root, Dice("bench"), database_url=url, settings=settings) as process:
            process.start()
            story = KeyServiceStory.begin(process.world())
            fill_locks(url, FileProvider(root / "keys").load(1, b""), version=1, count=LOCKS)
            cluster.execute("CHECKPOINT")
            yield from _measure(names, process, story, url)


def _measure(
    names: frozenset[str], process: KeyServiceProcess, story: KeyServiceStory, url: str
) -> Iterator[Measurement]:
    quiet: list[float] = []
    if "rotate-serving" in names:
        with releasing(story) as quiet:
            time.sleep(QUIET_SECONDS)
    bare = bare_loop(url) if names & {"rotate-bare"} else 0.0
    with working(process, 2) as workers:
        start = time.perf_counter()
        if "rotate-serving" in names:
            with releasing(story) as busy:
                _rotate(process, "--rate", str(HELD_RATE))
            ratio = _p99(busy) / _p99(quiet)
            yield Measurement(
                "rotate-serving",
                ratio,
                f"{1000 * _p99(busy):.1f} ms of {len(busy)} against {1000 * _p99(quiet):.1f} of {len(quiet)}",
            )
        if names & {"rotate-master", "rotate-bare", "rotate-memory"}:
            start = time.perf_counter()
            with releasing(story) as busy:
                _rotate(process, "--rate", "1000000")
            seconds = time.perf_counter() - start
            if "rotate-master" in names:
                yield Measurement("rotate-master", seconds, f"{LOCKS / seconds:,.0f} a second, {len(busy)} releases")
            if "rotate-bare" in names:
                yield Measurement(
                    "rotate-bare", LOCKS / seconds / bare, f"{LOCKS / seconds:,.0f} against {bare:,.0f} a second"
                )
        if "rotate-memory" in names:
            program = process.program
            pids = [worker.pid for worker in workers] + ([] if program is None else [program.pid])
            most = max(_most_memory(pid) for pid in pids)
            yield Measurement("rotate-memory", most / MIB, f"of {len(pids)} processes, {LOCKS:,} locks")


def _rotate(process: KeyServiceProcess, *words: str) -> None:
    command = process.command("rotate", "master", "--grace", "0", "--json", *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise AssertionError(f"internal: the rotation failed: {done.stdout} {done.stderr}")


@contextmanager
def releasing(story: KeyServiceStory) -> Iterator[list[float]]:
    """Offer releases at a steady rate, by threads that each keep to their times; how long each took, from its time."""
    taken: list[float] = []
    ended = threading.Event()
    item = story.item(KeyRole.CONTENT)
    clients = 8
    wrong: list[Any] = []

    def work(turn: int) -> None:
        due = time.perf_counter() + turn / RELEASES_PER_SECOND
        while not ended.is_set():
            time.sleep(max(0.0, due - time.perf_counter()))
            answer = story.release(story.bob, story.grant, [item])
            if None in story.inner(answer):
                wrong.append(answer)
            taken.append(time.perf_counter() - due)
            due += clients / RELEASES_PER_SECOND

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield taken
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    if wrong:
        raise AssertionError("internal: a release failed")


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def bare_loop(url: str) -> float:
    """Locks a second of the loop that only unseals, seals and updates, in one process, on a part of the rows."""
    where = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    old, new = Secret(os.urandom(32)), Secret(os.urandom(32))
    with psycopg.connect(where) as connection, psycopg.connect(where) as writing:
        connection.execute("CREATE TABLE bare (record bytea PRIMARY KEY, sealed bytea NOT NULL)")
        rows = connection.execute("SELECT record FROM record_locks LIMIT %s", (BARE,)).fetchall()
        with connection.cursor().copy("COPY bare FROM STDIN") as copy:
            for (record,) in rows:
                aad = derive_aad(RecordId(record), 1, 1)
                copy.write_row((record, seal_at_rest(old, Secret(bytes(32)), aad=aad)))
        connection.commit()
        start = time.perf_counter()
        with connection.cursor("stream") as stream:
            stream.execute("SELECT record, sealed FROM bare")
            while batch := stream.fetchmany(1000):
                sealed = []
                for record, seal in batch:
                    seed = open_at_rest(old, seal, aad=derive_aad(RecordId(record), 1, 1))
                    sealed.append(seal_at_rest(new, seed, aad=derive_aad(RecordId(record), 1, 2)))
                writing.execute(
                    "UPDATE bare SET sealed = given.sealed FROM unnest(%s::bytea[], %s::bytea[])"
                    " AS given (record, sealed) WHERE bare.record = given.record",
                    ([record for record, _ in batch], sealed),
                )
                writing.commit()
        seconds = time.perf_counter() - start
        connection.commit()
        connection.execute("DROP TABLE bare")
    return len(rows) / seconds


def _most_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
