"""Jobs of clients that people wait for: making all locks of a record anew, and taking over a practitioner's patients.

The clock runs from the command to its report: every request to both real servers, every lock, every file of the client.
Beside the seconds stands the processor time of this client and of the two servers, for what else a machine does only
adds to the seconds.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from carnet import slots
from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.grants import make_grant, plan_reading
from carnet.handover import hand_over, take_over
from carnet.identity import fetch_own
from carnet.inbox import load_inbox
from carnet.profiles import ProfileName, find_profile
from carnet.records import open_record
from carnet.revocation import begin_renewal, complete
from carnet.session import Session
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Purpose, Role
from tests.benchmarks.deployment import Ward, fill, reopen, running_ward, stretch_quickly
from tests.benchmarks.row import Bound, Measurement, NotMeasuredError, Row

DOCUMENTS = 1_000
PATIENTS = 500
ROUNDS = 3
ROOT = Path(__file__).resolve().parents[2]
OTHERS = "tests.benchmarks.others_at_work"

ROWS = (
    Row("relock-1000", "new epochs and locks for 1,000 documents, others at work in them", Bound.AT_MOST, 5.0, "s"),
    Row("succession-500", "a successor takes over 500 patients, both sides", Bound.AT_MOST, 5.0, "s"),
)


def measure(names: frozenset[str], folder: Path) -> Iterator[Measurement | tuple[str, NotMeasuredError]]:
    """Measures the rows called `names`."""
    with patch.object(slots, "stretch_passphrase", stretch_quickly), running_ward(folder / "ward-jobs") as ward:
        if "relock-1000" in names:
            yield measure_relock(ward)
        if "succession-500" in names:
            yield measure_succession(ward)


@dataclass(slots=True)
class Stopwatch:
    """Seconds and processor time of one round."""

    seconds: float
    client: float
    servers: tuple[float, ...]

    def __str__(self) -> str:
        vault, keyservice = self.servers
        return f"{self.seconds:.2f} s (processor: client {self.client:.2f}, vault {vault:.2f}, keys {keyservice:.2f})"


def timed(ward: Ward, work: Callable[[], None]) -> Stopwatch:
    """How long `work` took, and whose processor time it was."""
    before = (time.perf_counter(), _own_time(), _server_times(ward))
    work()
    seconds = time.perf_counter() - before[0]
    servers = tuple(after - began for after, began in zip(_server_times(ward), before[2], strict=True))
    return Stopwatch(seconds, _own_time() - before[1], servers)


def measure_relock(ward: Ward) -> Measurement:
    """Every compartment gets a new epoch, the record a new lock, each of the 2,000 capsules both locks anew.

    Alone, three times; then while a reader lists and opens and another client deposits, none of whom may see an error.
    The figure is the best with others at work.
    """
    alice, doctor = ward.patient("alice"), ward.doctor("doctor")
    access = open_record(alice)
    grant = _let_in(alice, doctor)
    fill(alice, access, ward.folder / "record", count=DOCUMENTS, size=1_000)

    def renew() -> None:
        with_nothing_known = reopen(alice)
        begin_renewal(with_nothing_known, list(access.compartments))
        report = complete(with_nothing_known)
        _check(report.remade >= 2 * DOCUMENTS and not report.skipped and not report.readers_left_out)
        with_nothing_known.close()

    alone = [timed(ward, renew) for _ in range(ROUNDS)]
    best = min(alone, key=lambda watch: watch.seconds)
    busy: list[Stopwatch] = []
    done: list[str] = []
    for _ in range(ROUNDS):
        with _others_at_work(doctor, alice, grant) as say_what_they_did:
            busy.append(timed(ward, renew))
        done.append(say_what_they_did())
    listing = list_documents(alice, open_access(alice, alice.record))
    _check(len(listing.documents) >= DOCUMENTS and not listing.problems)
    chosen = min(range(ROUNDS), key=lambda place: busy[place].seconds)
    return Measurement("relock-1000", busy[chosen].seconds, f"others {done[chosen]}; alone {best}")


@contextmanager
def _others_at_work(reader: Session, patient: Session, grant: StatementHash) -> Iterator[Callable[[], str]]:
    """Others in a process of their own; what they did, once the block is over. An error of theirs ends it all."""
    words = [sys.executable, "-m", OTHERS, str(reader.home.path), str(patient.home.path), str(grant)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdin is None or process.stdout is None:
        raise AssertionError("internal: a process without pipes")
    said: list[str] = []
    _check(process.stdout.readline() == "ready\n")
    try:
        yield lambda: said[0]
    finally:
        process.stdin.close()
        said.append(process.stdout.read().strip())
        _check(process.wait() == 0)


def measure_succession(ward: Ward) -> Measurement:
    """From the command that hands over to the last key that the key service took; then the successor opens them all."""
    with ThreadPoolExecutor(8) as pool:
        patients = list(pool.map(lambda number: ward.patient(f"patient {number}"), range(PATIENTS)))
        list(pool.map(open_record, patients))
        watches: list[Stopwatch] = []
        for turn in range(ROUNDS):
            old = ward.doctor(f"old doctor {turn}")
            list(pool.map(lambda patient, old=old: _let_in(patient, old), patients))
            watches.append(_succeed(ward, old, turn))
    best = min(watches, key=lambda watch: watch.seconds)
    return Measurement("succession-500", best.seconds, f"best of {ROUNDS}: {best}")


def _succeed(ward: Ward, old: Session, turn: int) -> Stopwatch:
    new = ward.person(f"new doctor {turn}", Role.PRACTITIONER)
    successor = fetch_own(new).current
    secret = old.keyring.body.recovery_secret
    if secret is None:
        raise AssertionError("internal: a practitioner without a kit")
    given: list[bytes] = []

    def give() -> None:
        report = hand_over(reopen(old), successor, secret, store=given.append)
        _check(report.done == PATIENTS and not report.skipped)

    def take() -> None:
        report = take_over(reopen(new), given[0])
        _check(report.done == PATIENTS and not report.skipped)

    first = timed(ward, give)
    ward.attest(new, name=f"new doctor {turn}", succeeds=old.identity)
    second = timed(ward, take)
    inbox = load_inbox(new)
    _check(len(inbox.grants) == PATIENTS)
    for received in inbox.grants:
        _check(all(part.keys for part in open_access(new, received.record, received.grant.hash).compartments.values()))
    return Stopwatch(
        first.seconds + second.seconds,
        first.client + second.client,
        tuple(one + other for one, other in zip(first.servers, second.servers, strict=True)),
    )


def _let_in(patient: Session, doctor: Session) -> StatementHash:
    """A grant as to a family doctor: four compartments, for a year."""
    profile = find_profile(ProfileName.GENERAL_PRACTITIONER)
    access = open_access(patient, patient.record)
    plan = plan_reading(
        patient,
        access,
        doctor.identity,
        compartments=[part.id for part in access.compartments.values() if part.name in profile.compartments],
        seconds=profile.seconds,
        purpose=Purpose.TREATMENT,
    )
    return make_grant(patient, access, plan).hash


def _own_time() -> float:
    """The processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _server_times(ward: Ward) -> tuple[float, ...]:
    return tuple(_tree_time(process.pid) for process in ward.servers.processes if process.pid is not None)


def _tree_time(pid: int) -> float:
    """The processor time of a process and of those that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_tree_time(int(child)) for child in children)


def _check(claim: bool) -> None:
    if not claim:
        raise AssertionError("internal: what was measured did not do its work")
