"""Rotation of record locks between both real servers, by two processes, against the cryptography that it must do."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from carnet.records import open_record
from carnet_keyservice.sealing import LockKey, LockPublicKey, Secret
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.sealed_box import inner_size
from carnet_protocol.suites import WRITE_SUITE
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, WrapTuple
from tests.benchmarks.deployment import fill, running_ward
from tests.benchmarks.row import Bound, Measurement, NotMeasuredError, Row
from tests.support.postgres import find_programs, running_postgres

RECORDS = 40
DOCUMENTS = 50
PROCESSES = 2
ROOT = Path(__file__).resolve().parents[2]

ROWS = (
    Row("rotate-locks", "rotate record locks, 2 processes, against their HPKE alone", Bound.AT_LEAST, 0.25, "times"),
    Row("rotate-documents", "documents of it a second, two capsules each", Bound.AT_LEAST, 1500, "a second"),
    Row("rotate-postgres", "the same with both servers on PostgreSQL", Bound.AT_LEAST, 0.20, "times"),
)


def measure(names: frozenset[str], folder: Path) -> Iterator[Measurement | tuple[str, NotMeasuredError]]:
    """Measures the rows called `names`."""
    if names & {"rotate-locks", "rotate-documents"}:
        rotated, alone = _race(folder / "locks")
        if "rotate-locks" in names:
            yield _compare("rotate-locks", rotated, alone)
        if "rotate-documents" in names:
            yield Measurement("rotate-documents", rotated, "both servers on SQLite, on the same processors")
    if "rotate-postgres" in names:
        if find_programs() is None:
            yield "rotate-postgres", NotMeasuredError("apt-get install postgresql")
            return
        with running_postgres(is_durable=True) as cluster, ExitStack() as databases:
            vault, keyservice = (databases.enter_context(cluster.fresh_database()) for _ in range(2))
            rotated, alone = _race(folder / "locks-postgres", vault=vault, keyservice=keyservice)
            yield _compare("rotate-postgres", rotated, alone)


def _compare(name: str, rotated: float, alone: float) -> Measurement:
    return Measurement(name, rotated / alone, f"{rotated:.0f} documents/s against {alone:.0f}, best of 3")


def _race(folder: Path, *, vault: str | None = None, keyservice: str | None = None) -> tuple[float, float]:
    """Documents a second of both servers, and of their HPKE alone: of the best round of three."""
    folder.mkdir()
    with running_ward(folder, keyservice_database=keyservice, vault_database=vault) as ward:
        for number in range(RECORDS):
            patient = ward.patient(f"patient {number}")
            fill(patient, open_record(patient), folder / "in", count=DOCUMENTS, size=64)
        settings = ward.deployment.folder.settings("keyservice")
        rates = [(_rotate(settings), _rate_of_hpke()) for _ in range(3)]
    return max(rates, key=lambda pair: pair[0] / pair[1])


def _rotate(settings: Path) -> float:
    """Documents a second, by workers that begin together."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.rotating", str(settings), str(turn), str(PROCESSES)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for turn in range(PROCESSES)
    ]
    for worker in workers:
        if worker.stdout is None or worker.stdout.readline() != "ready\n":
            raise AssertionError("internal: a worker does not begin")
    start = time.perf_counter()
    for worker in workers:
        if worker.stdin is not None:
            worker.stdin.write("\n")
            worker.stdin.flush()
    said = [worker.communicate()[0].split() for worker in workers]
    seconds = max(float(words[1]) for words in said)
    if sum(int(words[0]) for words in said) != 2 * RECORDS * DOCUMENTS or time.perf_counter() - start < seconds:
        raise AssertionError("internal: what was measured did not do its work")
    return RECORDS * DOCUMENTS / seconds


def _rate_of_hpke() -> float:
    """Documents a second where the outer locks of two capsules each are opened, sealed, opened again: nothing else."""
    count = RECORDS * DOCUMENTS // PROCESSES
    with ProcessPoolExecutor(PROCESSES) as pool:
        list(pool.map(_remake_locks, [1] * PROCESSES))
        start = time.perf_counter()
        list(pool.map(_remake_locks, [2 * count] * PROCESSES))
        return RECORDS * DOCUMENTS / (time.perf_counter() - start)


def _remake_locks(count: int) -> None:
    key = LockKey(Secret(os.urandom(32)), WRITE_SUITE)
    public_key = LockPublicKey(key.public_key, WRITE_SUITE)
    identity = IdentityTuple(WRITE_SUITE, RecordId(bytes(32)), DocumentId(bytes(32)), 1, IdentityHash(bytes(32)))
    recipient = CompartmentLock(CompartmentId(bytes(CompartmentId.SIZE)), StatementHash(bytes(32)))
    wrap = WrapTuple(identity, KeyRole.CONTENT, recipient, WRITE_SUITE, WRITE_SUITE, StatementHash(bytes(32)))
    sealed = public_key.seal_outer_lock(wrap, bytes(inner_size(WRITE_SUITE)))
    for _ in range(count):
        inner = key.open_outer_lock(wrap, sealed)
        key.open_outer_lock(wrap, public_key.seal_outer_lock(wrap, inner))
