"""What a person waits for and what a server takes: both real servers here, with everything checked and logged."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from carnet.access import RecordAccess, open_access, release
from carnet.content import CommitmentKey, ContentKey, ContentSuites, seal_file
from carnet.documents.deposit import deposit_small
from carnet.documents.listing import list_documents, metadata_item
from carnet.documents.reading import open_document
from carnet.documents.spool import deposit_large
from carnet.grants import make_grant, plan_reading
from carnet.records import open_record
from carnet.session import Session
from carnet_protocol.api import ReleaseKind, ReleaseRequest
from carnet_protocol.requests import KeyId, sign_request
from carnet_protocol.statements import Purpose, Role
from carnet_protocol.suites import WRITE_SUITE
from tests.benchmarks.deployment import Ward, fill, new_version, reopen, running_ward
from tests.benchmarks.row import Bound, Measurement, NotMeasuredError, Row
from tests.benchmarks.two_locks import seal_documents
from tests.support.postgres import find_programs, running_postgres

GIB = 1 << 30
MIB = 1 << 20
RELEASES = 3_000
RECORDS = 40
ROOT = Path(__file__).resolve().parents[2]
RESIDENT = "tests.benchmarks.resident_service"

ROWS = (
    Row("list-200", "list 200 documents with a new client, keyring unlocked, p95", Bound.AT_MOST, 0.4, "s"),
    Row("open-100k", "open one 100 KB document, p50", Bound.AT_MOST, 0.030, "s"),
    Row("release-500", "release 500 documents in one batch, p50", Bound.AT_MOST, 0.120, "s"),
    Row("releases-sqlite", "single releases, 32 connections, random records, SQLite", Bound.AT_LEAST, 450, "/s"),
    Row("releases-postgres", "the same on PostgreSQL", Bound.AT_LEAST, 450, "/s"),
    Row("deposit-50k", "deposit 50 KB documents, 8 at a time", Bound.AT_LEAST, 100, "/s"),
    Row("open-record", "open a record (all keys, both servers), 8 at a time", Bound.AT_LEAST, 50, "/s"),
    Row("add-1g", "add 1 GiB through a local vault, against sealing it with fsync", Bound.AT_LEAST, 0.35, "times"),
    Row("get-1g", "get it back, against sealing it with fsync", Bound.AT_LEAST, 0.35, "times"),
    Row("memory-add", "memory while adding it, above `import carnet`", Bound.AT_MOST, 64, "MiB"),
    Row("memory-get", "memory while getting it, above `import carnet`", Bound.AT_MOST, 64, "MiB"),
    Row("two-locks-5000", "5,000 documents of 8 KiB under both locks, 2 processes, tmpfs", Bound.AT_MOST, 3.0, "s"),
)


def measure(names: frozenset[str], folder: Path) -> Iterator[Measurement | tuple[str, NotMeasuredError]]:
    """Measures the rows called `names`."""
    if "two-locks-5000" in names:
        yield measure_two_locks()
    on_sqlite = names - {"two-locks-5000", "releases-postgres"}
    if on_sqlite:
        with running_ward(folder / "ward") as ward:
            yield from _measure_ward(on_sqlite, ward)
    if "releases-postgres" in names:
        yield measure_on_postgres(folder)


def _measure_ward(names: frozenset[str], ward: Ward) -> Iterator[Measurement]:
    if "open-record" in names:
        yield measure_opening_records(ward)
    if names & {"list-200", "open-100k", "release-500"}:
        yield from _measure_reading(names, ward)
    if "deposit-50k" in names:
        yield measure_deposits(ward)
    if "releases-sqlite" in names:
        yield measure_releases("releases-sqlite", ward)
    if names & {"add-1g", "get-1g", "memory-add", "memory-get"}:
        yield from _measure_large(names, ward)


def _measure_reading(names: frozenset[str], ward: Ward) -> Iterator[Measurement]:
    alice = ward.patient("alice")
    access = open_record(alice)
    fill(alice, access, ward.folder / "few", count=200, size=8_000)
    if "list-200" in names:
        yield _times("list-200", 20, 0.95, lambda: _list_with_new_client(alice, 200))
    if "open-100k" in names:
        document = fill(alice, access, ward.folder / "one", count=1, size=100_000)[0]

        def open_it() -> None:
            content = b"".join(open_document(alice, access, document).stream())
            _check(len(content) == 100_000)

        yield _times("open-100k", 40, 0.5, open_it)
    if "release-500" in names:
        have = len(list_documents(alice, access).documents)
        fill(alice, access, ward.folder / "many", count=500 - have, size=1_000)
        items = [metadata_item(document.version) for document in list_documents(alice, access).documents]
        _check(len(items) == 500)

        def release_all() -> None:
            _check(all(inner is not None for inner in release(alice, access, ReleaseKind.LIST, items)))

        yield _times("release-500", 15, 0.5, release_all)


def _list_with_new_client(patient: Session, count: int) -> None:
    session = reopen(patient)
    listing = list_documents(session, open_access(session, session.record))
    _check(len(listing.documents) == count and not listing.problems)
    session.close()


def measure_opening_records(ward: Ward) -> Measurement:
    """Sessions are made before: their passphrases are stretched on purpose."""
    patients = [ward.person(f"patient {number}", Role.PATIENT) for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_record, patients[:8]))
        start = time.perf_counter()
        list(pool.map(open_record, patients[8:]))
        seconds = time.perf_counter() - start
    return Measurement("open-record", 56 / seconds, f"56 in {seconds:.2f} s")


def measure_deposits(ward: Ward) -> Measurement:
    """Eight clients of one patient, each with one document at a time; then with eight, which share round trips."""
    patient = ward.patient("depositor")
    access = open_record(patient)
    folder = ward.folder / "deposits"
    folder.mkdir()
    sources = [folder / f"{number}.bin" for number in range(640)]
    for source in sources:
        source.write_bytes(os.urandom(50_000))
    sessions = [reopen(patient) for _ in range(8)]
    accesses = [open_access(session, session.record) for session in sessions]

    def deposit(worker: int, some: list[Path], at_once: int) -> None:
        mine = some[worker::8]
        for first in range(0, len(mine), at_once):
            batch = [new_version(source, access) for source in mine[first : first + at_once]]
            deposit_small(sessions[worker], accesses[worker], batch)

    def rate(some: list[Path], at_once: int) -> float:
        with ThreadPoolExecutor(8) as pool:
            start = time.perf_counter()
            list(pool.map(lambda worker: deposit(worker, some, at_once), range(8)))
            return len(some) / (time.perf_counter() - start)

    singly, in_batches = rate(sources[:320], 1), rate(sources[320:], 8)
    return Measurement("deposit-50k", singly, f"320 one by one; in batches of eight {in_batches:.0f} a second")


def measure_releases(name: str, ward: Ward) -> Measurement:
    """One doctor, many records, one document each; requests signed before, sent by a process of its own."""
    doctor = ward.doctor("doctor")
    prepared = [_shared_record(ward, doctor, number) for number in range(RECORDS)]
    server = urlsplit(doctor.keyservice.origin)
    best, detail = 0.0, ""
    for _ in range(3):
        file = ward.folder / "requests"
        file.write_bytes(b"".join(_signed_release(doctor, *prepared[n % RECORDS]) for n in range(RELEASES)))
        command = [sys.executable, str(Path(__file__).with_name("load.py")), str(file), str(server.hostname)]
        done = subprocess.run([*command, str(server.port), "32"], capture_output=True, text=True, check=True)
        seconds, succeeded = done.stdout.split()
        _check(int(succeeded) == RELEASES)
        if RELEASES / float(seconds) > best:
            best, detail = RELEASES / float(seconds), f"{RELEASES} in {float(seconds):.2f} s, best of 3"
    return Measurement(name, best, detail)


def measure_on_postgres(folder: Path) -> Measurement | tuple[str, NotMeasuredError]:
    """The key service on a private cluster that flushes what it commits."""
    if find_programs() is None:
        return "releases-postgres", NotMeasuredError("apt-get install postgresql")
    with running_postgres(is_durable=True) as cluster, cluster.fresh_database() as url:
        with running_ward(folder / "ward-postgres", keyservice_database=url) as ward:
            return measure_releases("releases-postgres", ward)


def _shared_record(ward: Ward, doctor: Session, number: int) -> tuple[RecordAccess, ReleaseRequest]:
    patient = ward.patient(f"shared {number}")
    access = open_record(patient)
    fill(patient, access, ward.folder / "shared", count=1, size=1_000)
    plan = plan_reading(
        patient,
        access,
        doctor.identity,
        compartments=list(access.compartments),
        seconds=86_400,
        purpose=Purpose.TREATMENT,
        note="",
    )
    grant = make_grant(patient, access, plan)
    theirs = open_access(doctor, patient.record, grant.hash)
    item = metadata_item(list_documents(doctor, theirs).documents[0].version)
    return theirs, ReleaseRequest(grant=grant.hash, kind=ReleaseKind.LIST, items=(item,))


def _signed_release(doctor: Session, access: RecordAccess, request: ReleaseRequest) -> bytes:
    path = f"/v1/records/{access.record}/releases"
    body = request.model_dump_json().encode()
    headers = sign_request(
        method="POST",
        target=doctor.keyservice.origin + path,
        body=body,
        server=doctor.keyservice.fingerprint,
        key_id=KeyId(doctor.device.raw),
        created=int(time.time()),
        sign=doctor.keyring.body.device_signer.sign,
    )
    host = urlsplit(doctor.keyservice.origin).netloc
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", "content-type: application/json"]
    lines += [f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    message = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return len(message).to_bytes(4, "big") + message


def _measure_large(names: frozenset[str], ward: Ward) -> Iterator[Measurement]:
    source = ward.folder / "large.bin"
    with source.open("wb") as file:
        for _ in range(GIB // MIB):
            file.write(os.urandom(MIB))
    patient = ward.patient("large")
    access = open_record(patient)
    sealing = min(_seal_with_fsync(source) for _ in range(3))
    if names & {"add-1g", "get-1g"}:
        adding: list[float] = []
        for number in range(2):
            start = time.perf_counter()
            document = deposit_large(patient, access, new_version(source, access, number))
            adding.append(time.perf_counter() - start)
        getting: list[float] = []
        for _ in range(2):
            target = ward.folder / "got.bin"
            start = time.perf_counter()
            open_document(patient, access, document).save(target)
            getting.append(time.perf_counter() - start)
            target.unlink()
        detail = f"sealing with fsync {sealing:.2f} s"
        for name, seconds in (("add-1g", min(adding)), ("get-1g", min(getting))):
            if name in names:
                yield Measurement(name, sealing / seconds, f"{seconds:.2f} s, {detail}")
    for name in sorted(names & {"memory-add", "memory-get"}):
        work = name.removeprefix("memory-")
        command = [sys.executable, "-m", RESIDENT, work, str(patient.home.path), str(source)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        yield Measurement(name, int(done.stdout) / MIB, "")
    source.unlink()


def _seal_with_fsync(source: Path) -> float:
    target_path = source.with_suffix(".sealed")
    start = time.perf_counter()
    with target_path.open("w+b", buffering=0) as target:
        keys = (ContentKey.make(), CommitmentKey.make())
        seal_file(
            source,
            target,
            content_key=keys[0],
            context=b"carnet/benchmark",
            commitment_key=keys[1],
            suites=ContentSuites.of(WRITE_SUITE),
        )
        os.fsync(target.fileno())
    seconds = time.perf_counter() - start
    target_path.unlink()
    return seconds


def measure_two_locks() -> Measurement:
    """Two processes seal 2,500 documents each, content, metadata and four locks, into files on tmpfs."""
    shared_memory = Path("/dev/shm")  # noqa: S108  tmpfs is what the row asks for
    best = float("inf")
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(seal_documents, [10, 10], [str(shared_memory)] * 2))
        for _ in range(3):
            start = time.perf_counter()
            list(pool.map(seal_documents, [2_500, 2_500], [str(shared_memory)] * 2))
            best = min(best, time.perf_counter() - start)
    return Measurement("two-locks-5000", best, "best of 3")


def _times(name: str, rounds: int, quantile: float, run: Callable[[], None]) -> Measurement:
    run()
    seconds: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    detail = f"median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s of {rounds}"
    return Measurement(name, cuts[round(quantile * 100) - 1], detail)


def _check(claim: bool) -> None:
    if not claim:
        raise AssertionError("internal: what was measured did not do its work")
