"""Handing over many patients: cut anywhere and run again; ends and lies of one bar none (attacks 24, 26, 29)."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from carnet.access import open_access
from carnet.errors import CarnetError, HomeError, RefusedError, UsageError, VerificationError
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_reading
from carnet.handover import HandoverReport, hand_over, reseal_own, take_over
from carnet.identity import fetch_own, renew_account_key
from carnet.keys import RecoverySecret
from carnet.progress import Progress, Step
from carnet.records import open_record
from carnet.revocation import begin_renewal, complete, revoke
from carnet.session import Session
from carnet.transport import ServerName
from carnet_keyservice.tables import sealed_keys
from carnet_protocol.encoding import format_canonical_json
from carnet_protocol.statements import Grant, Purpose, Role, Signed
from tests.support.client import ClientWorld, Wire, find_compartment, put_document, titles
from tests.support.cuts import Cut, quiet
from tests.support.people import DAY


def give(old: Session, successor: Session, secret: RecoverySecret) -> bytes:
    """The file that `old` writes for `successor`, when nothing is left out."""
    files: list[bytes] = []
    report = hand_over(old, fetch_own(successor).current, secret, store=files.append)
    assert report.skipped == []
    (file,) = files
    return file


@dataclass(slots=True)
class Practice:
    """Bob has a patient for each name, with one letter each; Carol is to take over from him."""

    world: ClientWorld
    bob: Session
    carol: Session
    secret: RecoverySecret
    patients: dict[str, Session]
    grants: dict[str, Signed[Grant]]
    folder: Path

    def restart(self, name: str) -> Session:
        """A command of Bob's or Carol's was cut; another one begins."""
        old: Session = getattr(self, name)
        old.close()
        self.world.sessions.remove(old)
        new = self.world.reopen(name)
        quiet(new)
        setattr(self, name, new)
        return new

    def attest_carol(self) -> None:
        self.world.attest(self.carol, succeeds=self.bob.identity)

    def end(self, name: str) -> None:
        alice = self.patients[name]
        assert revoke(alice, load_grants(alice, open_access(alice, alice.record)), self.grants[name]).is_everywhere

    def reads(self, reader: Session, name: str) -> list[str]:
        return titles(reader, open_access(reader, self.patients[name].record, self.grants[name].hash))

    def copies(self, name: str) -> set[object]:
        """To whose keys the letter's compartment is sealed under the grant."""
        with self.world.engines[ServerName.KEYSERVICE].connect() as connection:
            rows = connection.execute(
                select(sealed_keys.c.reader_statement).where(sealed_keys.c.grant == self.grants[name].hash.raw)
            )
            return set(rows.scalars())


@pytest.fixture
def practice(world: ClientWorld, tmp_path: Path) -> Practice:
    bob, carol = world.practitioner("bob"), world.person("carol", Role.PRACTITIONER)
    patients = {name: world.patient(name) for name in ("alice", "zoe", "yann")}
    grants: dict[str, Signed[Grant]] = {}
    for name, patient in patients.items():
        access = open_record(patient)
        put_document(patient, access, tmp_path, f"letter of {name}", compartment="general")
        general = find_compartment(access, "general")
        plan = plan_reading(
            patient, access, bob.identity, compartments=[general], seconds=DAY, purpose=Purpose.TREATMENT
        )
        grants[name] = make_grant(patient, access, plan)
    secret = bob.keyring.body.recovery_secret
    assert secret is not None
    for session in (bob, carol):
        quiet(session)
    return Practice(world, bob, carol, secret, patients, grants, tmp_path)


def cut_until_done(
    practice: Practice, who: str, job: Callable[[Session], HandoverReport]
) -> tuple[int, HandoverReport]:
    """Run `job` with request n, or its answer, and all after it lost, then again; for n = 1, 2, ... until none is."""
    for number in itertools.count(1):
        cut = Cut(practice.world, number, answer=number % 2 == 0)
        try:
            job(getattr(practice, who))
            was_cut = cut.count >= number
        except CarnetError:
            was_cut = True
        cut.mend()
        report = job(practice.restart(who))
        if not was_cut:
            return number, report
    raise AssertionError


def test_a_renewal_that_is_cut_anywhere_is_run_again(practice: Practice) -> None:
    for number in itertools.count(1):
        renew_account_key(practice.bob, practice.secret)
        practice.world.attest(practice.bob)
        cut = Cut(practice.world, number, answer=number % 2 == 0)
        try:
            reseal_own(practice.bob)
            was_cut = cut.count >= number
        except CarnetError:
            was_cut = True
        cut.mend()
        bob = practice.restart("bob")
        report = reseal_own(bob)
        assert (report.done, report.skipped) == (3, [])
        for name in practice.patients:
            assert practice.copies(name) == {fetch_own(bob).current.hash}
            assert practice.reads(bob, name) == [f"letter of {name}"]
        if not was_cut:
            break
    assert number > 6


def test_a_handover_that_is_cut_anywhere_is_run_again(practice: Practice) -> None:
    successor = fetch_own(practice.carol).current
    files: list[bytes] = []
    number, report = cut_until_done(
        practice, "bob", lambda bob: hand_over(bob, successor, practice.secret, store=files.append)
    )
    assert (report.done, report.skipped) == (3, [])
    assert number > 6
    practice.attest_carol()
    number, report = cut_until_done(practice, "carol", lambda carol: take_over(carol, files[-1]))
    assert (report.done, report.already, report.skipped) == (3, 3, [])
    assert number > 4
    for name in practice.patients:
        assert practice.copies(name) == {successor.hash}
        assert practice.reads(practice.carol, name) == [f"letter of {name}"]


def test_the_file_is_on_disk_before_any_server_hears_of_the_succession(practice: Practice) -> None:
    """Whoever hands over does it once: a file that was lost would be lost for good."""

    def full(file: bytes) -> None:
        assert file
        raise HomeError("no space")

    with pytest.raises(HomeError):
        hand_over(practice.bob, fetch_own(practice.carol).current, practice.secret, store=full)
    assert practice.world.vault.paths("POST").count("/v1/directory") == 0
    assert practice.world.keyservice.paths("POST").count("/v1/directory") == 0


def test_handing_over_again_makes_the_same_succession_and_nobody_elses(practice: Practice) -> None:
    give(practice.bob, practice.carol, practice.secret)
    again = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    assert take_over(practice.carol, again) == HandoverReport(3, 0, [])
    dave = practice.world.person("dave", Role.PRACTITIONER)
    with pytest.raises(UsageError):
        give(practice.bob, dave, practice.secret)


def test_a_patient_who_ended_the_grant_meanwhile_bars_nobody(practice: Practice) -> None:
    handover = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    practice.end("zoe")
    report = take_over(practice.carol, handover)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert "ended" in report.skipped[0].reason
    assert practice.reads(practice.carol, "alice") == ["letter of alice"]
    with pytest.raises(RefusedError):
        practice.reads(practice.carol, "zoe")
    assert practice.copies("zoe") == set()


def test_a_patient_who_ends_the_grant_while_it_is_taken_over_bars_nobody(practice: Practice) -> None:
    handover = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    ended: list[str] = []

    def before(request: httpx2.Request) -> None:
        if request.url.path == "/v1/inbox/sealed-keys" and not ended:
            ended.append("zoe")
            practice.end("zoe")

    practice.world.keyservice.before = before
    report = take_over(practice.carol, handover)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert practice.reads(practice.carol, "yann") == ["letter of yann"]


def test_an_epoch_that_came_after_the_file_is_named(practice: Practice) -> None:
    handover = give(practice.bob, practice.carol, practice.secret)
    zoe = practice.patients["zoe"]
    begin_renewal(zoe, list(open_access(zoe, zoe.record).compartments))
    complete(zoe)
    practice.attest_carol()
    report = take_over(practice.carol, handover)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert "renewed keys since" in report.skipped[0].reason
    # As it is told
    again = give(practice.bob, practice.carol, practice.secret)
    assert take_over(practice.carol, again) == HandoverReport(1, 0, [])
    assert practice.reads(practice.carol, "zoe") == ["letter of zoe"]


def changed(wire: Wire, path: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Let a server answer a GET for `path` with members that `change` has changed."""

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.method != "GET" or request.url.path != path or response.status_code != 200:
            return response
        members = json.loads(response.read())
        change(members)
        return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(members).encode()))

    wire.after = after


def test_a_key_service_that_shows_a_part_is_not_taken_at_its_word(practice: Practice) -> None:
    renew_account_key(practice.bob, practice.secret)
    practice.world.attest(practice.bob)
    changed(practice.world.keyservice, "/v1/inbox/access", lambda page: page["accesses"].pop())
    report = reseal_own(practice.bob)
    assert (report.done, len(report.skipped)) == (2, 1)
    changed(practice.world.keyservice, "/v1/inbox/access", lambda page: page["accesses"].clear())
    report = reseal_own(practice.bob)
    assert (report.done, {skipped.grant for skipped in report.skipped}) == (
        0,
        {grant.hash for grant in practice.grants.values()},
    )
    practice.world.keyservice.after = None
    assert reseal_own(practice.bob) == HandoverReport(3, 2, [])


@pytest.mark.parametrize("lie", ["lost", "other bytes", "an older copy"])
def test_what_is_not_given_back_lets_no_older_copy_go(practice: Practice, lie: str) -> None:
    handover = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    before = practice.copies("zoe")

    def change(page: dict[str, Any]) -> None:
        (key,) = [key for key in page["sealed_keys"] if key["grant"] == str(practice.grants["zoe"].hash)]
        if lie == "lost":
            page["sealed_keys"].remove(key)
        else:
            (other, *_) = [each for each in page["sealed_keys"] if each is not key]
            key["sealed" if lie == "other bytes" else "compartment_statement"] = other[
                "sealed" if lie == "other bytes" else "compartment_statement"
            ]

    changed(practice.world.keyservice, "/v1/inbox/sealed-keys", change)
    report = take_over(practice.carol, handover)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert before < practice.copies("zoe")
    practice.world.keyservice.after = None
    assert take_over(practice.carol, handover) == HandoverReport(3, 3, [])
    assert practice.copies("zoe") == {fetch_own(practice.carol).current.hash}


def test_a_broken_entry_of_the_file_is_named_and_never_sent(practice: Practice) -> None:
    handover = json.loads(give(practice.bob, practice.carol, practice.secret))
    practice.attest_carol()
    (zoes,) = [entry for entry in handover["records"] if entry["record"] == str(practice.patients["zoe"].record)]
    (other, *_) = [entry for entry in handover["records"] if entry is not zoes]
    zoes["sealed_keys"][0]["sealed"] = other["sealed_keys"][0]["sealed"]
    before = practice.copies("zoe")
    report = take_over(practice.carol, format_canonical_json(handover))
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert practice.copies("zoe") == before


def test_a_planted_key_is_sealed_to_nobody(practice: Practice) -> None:
    """The key service shows a compartment of its own making under a patient's grant, with a key that opens."""
    renew_account_key(practice.bob, practice.secret)
    practice.world.attest(practice.bob)
    names = {name: str(grant.hash) for name, grant in practice.grants.items()}

    def change(page: dict[str, Any]) -> None:
        views = {view["sealed_keys"][0]["grant"]: view for view in page["accesses"]}
        views[names["zoe"]]["compartments"] = views[names["yann"]]["compartments"]

    changed(practice.world.keyservice, "/v1/inbox/access", change)
    report = reseal_own(practice.bob)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])


def test_pages_that_lead_nowhere_are_refused(practice: Practice) -> None:
    for then in (str(min(grant.hash for grant in practice.grants.values())), "x"):
        changed(practice.world.keyservice, "/v1/inbox/access", lambda page, then=then: page.update(next=then))
        with pytest.raises(VerificationError):
            reseal_own(practice.bob)


def test_every_step_of_a_job_is_told(practice: Practice) -> None:
    told: list[Progress] = []
    handover = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    take_over(practice.carol, handover, on_step=told.append)
    steps = [step for step, _ in itertools.groupby(progress.step for progress in told)]
    assert steps == [Step.PATIENTS, Step.RESEAL, Step.READ_BACK]
    assert [progress.done for progress in told if progress.step is Step.PATIENTS] == [1, 2, 3]
    assert {progress.total for progress in told} == {3}
