"""What stands between the servers, or a vault that lies, cannot make the key service remake what it should not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, update

from carnet.grant_book import load_grants
from carnet.revocation import complete_revocation, revoke
from carnet.transport import ServerName
from carnet_keyservice.errors import VaultAnswerError, VaultAwayError, VaultRefusedError
from carnet_keyservice.lock_rotation import LeftReason, RecordState, procedure
from carnet_keyservice.lock_rotation.remake import _leave as leave
from carnet_keyservice.vault import VaultClient
from carnet_protocol.answers import sign_answer
from carnet_protocol.ids import DocumentId
from carnet_protocol.requests import parse_request
from carnet_protocol.signing import Signer
from carnet_vault.tables import capsules
from tests.support.people import Dice
from tests.unit.lock_rotation.conftest import Story

Change = Callable[[str, dict[str, Any]], None]


@dataclass(slots=True)
class Between:
    """Somebody on the wire, who changes answers and signs them anew with `signer`, or leaves the signature."""

    story: Story
    change: Change
    signer: Signer | None
    seen: list[str] = field(default_factory=list)

    def __call__(self, request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        route = request.url.path.removeprefix("/v1/rotation/")
        if route == request.url.path or answer.status_code != 200:
            return answer
        self.seen.append(route)
        body = json.loads(answer.read())
        self.change(route, body)
        content = json.dumps(body).encode()
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        if self.signer is not None:
            asked = parse_request(
                method="POST",
                target=str(request.url),
                headers=[(name.lower(), value) for name, value in request.headers.raw],
            )
            headers |= sign_answer(
                asked, status=200, body=content, created=self.story.world.clock(), sign=self.signer.sign
            )
        return httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(content))


def lying(story: Story, change: Change) -> None:
    """From now on the vault itself answers other things: it signs them."""
    story.world.vault.after = Between(story, change, story.world.own.vault.key)


def nothing(route: str, body: dict[str, Any]) -> None:
    """Leave the answer as it is."""


def hide(route: str, body: dict[str, Any]) -> None:
    """Leave the first capsule out, or count one less."""
    if route == "capsules":
        body["capsules"] = body["capsules"][1:]


@pytest.fixture
def order(story: Story) -> Iterator[Any]:
    """A job; at the end everybody opens what is theirs, whatever happened in between."""
    yield story.rotation.order()
    story.world.vault.before = story.world.vault.after = None
    story.require_all_open()


STRANGERS = {
    "nobody's": Dice("stranger").signer(),
    "unsigned": None,
}


@pytest.mark.parametrize("signer", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("change", [hide, nothing])
def test_an_answer_that_the_vault_did_not_sign_is_not_believed(
    story: Story, order: Any, signer: Signer | None, change: Change
) -> None:
    between = Between(story, change, signer)
    story.world.vault.after = between
    with pytest.raises(VaultAnswerError):
        story.rotation.rotate([story.record], order)
    assert between.seen == ["locks"]
    assert story.rotation.used(story.record) == {1: 8}


def test_an_answer_signed_by_the_key_service_itself_is_not_the_vaults(story: Story, order: Any) -> None:
    story.world.vault.after = Between(story, nothing, story.world.own.keyservice.key)
    with pytest.raises(VaultAnswerError):
        story.rotation.rotate([story.record], order)


def test_an_answer_to_another_request_is_not_believed(story: Story, order: Any) -> None:
    """The empty page of before the job, signed by the vault, hides every capsule of after it."""
    kept: list[httpx2.Response] = []

    def keep(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        answer.read()
        if request.url.path == "/v1/rotation/capsules":
            kept.append(answer)
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=httpx2.ByteStream(answer.content))

    story.world.vault.after = keep
    story.rotation.rotator.vault.list_old_capsules([story.record], after=None, limit=500)
    (empty,) = kept
    assert json.loads(empty.content)["capsules"] == []

    def replay(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        chosen = empty if request.url.path == "/v1/rotation/capsules" else answer
        chosen.read()
        return httpx2.Response(chosen.status_code, headers=chosen.headers, stream=httpx2.ByteStream(chosen.content))

    story.world.vault.after = replay
    with pytest.raises(VaultAnswerError):
        story.rotation.rotate([story.record], order)
    assert story.rotation.used(story.record) == {1: 8}


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413])
def test_nothing_is_concluded_from_a_refusal(story: Story, order: Any, status: int) -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response | None:
        is_rotation = request.url.path == "/v1/rotation/capsules"
        return httpx2.Response(status, stream=httpx2.ByteStream(b"{}")) if is_rotation else None

    story.world.vault.before = refuse
    with pytest.raises(VaultRefusedError):
        story.rotation.rotate([story.record], order)
    assert story.rotation.versions(story.record) == {1: False, 2: False}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_vault_that_cannot_answer_now_is_asked_three_times(story: Story, order: Any, status: int) -> None:
    asked: list[str] = []

    def fail(request: httpx2.Request) -> httpx2.Response | None:
        if not request.url.path.startswith("/v1/rotation/"):
            return None
        asked.append(request.headers["signature-input"])
        return httpx2.Response(status, stream=httpx2.ByteStream(b""))

    story.world.vault.before = fail
    with pytest.raises(VaultAwayError):
        story.rotation.rotate([story.record], order)
    assert len(set(asked)) == len(asked) == 3  # each with a nonce of its own


def test_a_redirect_is_not_followed(story: Story, order: Any) -> None:
    def send_away(request: httpx2.Request) -> httpx2.Response:
        del request
        return httpx2.Response(307, headers={"location": "https://elsewhere.example/"}, stream=httpx2.ByteStream(b""))

    story.world.vault.before = send_away
    with pytest.raises(VaultRefusedError):
        story.rotation.rotate([story.record], order)


def test_a_vault_that_hides_capsules_but_counts_them_is_found_out(story: Story, order: Any) -> None:
    lying(story, hide)
    (rotated,) = story.rotation.rotate([story.record], order)
    assert rotated.state is RecordState.HIDDEN
    assert story.rotation.rotator.retire([rotated], order, grace_seconds=0) == []
    assert story.rotation.versions(story.record) == {1: False, 2: False}


def test_older_locks_are_not_retired_while_the_vault_counts_more_than_is_known_to_stay(
    story: Story, order: Any
) -> None:
    rotated = story.rotation.rotate([story.record], order)

    def count_more(route: str, body: dict[str, Any]) -> None:
        assert route == "counts"
        body["records"][0]["locks"].insert(0, {"version": 1, "capsules": 1, "personal_capsules": 0})

    lying(story, count_more)
    assert story.rotation.rotator.retire(rotated, order, grace_seconds=0) == rotated
    assert story.rotation.versions(story.record) == {1: False, 2: False}


def swap_two(route: str, body: dict[str, Any]) -> None:
    if route == "capsules" and len(body["capsules"]) > 1:
        one, other = (
            next(each["entry"]["capsule"] for each in body["capsules"] if each["entry"]["capsule"]["document"] == name)
            for name in sorted({each["entry"]["capsule"]["document"] for each in body["capsules"]})[:2]
        )
        one["sealed"], other["sealed"] = other["sealed"], one["sealed"]


def relabel(route: str, body: dict[str, Any]) -> None:
    if route == "capsules" and body["capsules"]:
        body["capsules"][0]["entry"]["capsule"]["document"] = str(DocumentId(bytes(32)))


def garble(route: str, body: dict[str, Any]) -> None:
    if route == "capsules" and body["capsules"]:
        text = body["capsules"][0]["entry"]["capsule"]["sealed"]
        body["capsules"][0]["entry"]["capsule"]["sealed"] = text[:100] + ("A" if text[100] != "A" else "B") + text[101:]


def cut(route: str, body: dict[str, Any]) -> None:
    if route == "capsules" and body["capsules"]:
        body["capsules"][0]["entry"]["capsule"]["sealed"] = ""


def blame_another_author(route: str, body: dict[str, Any]) -> None:
    if route == "capsules" and body["capsules"]:
        body["capsules"][0]["entry"]["author"] = "A" * 43


@pytest.mark.parametrize(
    ("change", "count"), [(swap_two, 2), (relabel, 1), (garble, 1), (cut, 1), (blame_another_author, 1)]
)
def test_what_does_not_open_is_named_and_holds_up_nothing(story: Story, order: Any, change: Change, count: int) -> None:
    lying(story, change)
    (rotated,) = story.rotation.rotate([story.record], order)
    assert {left.reason for left in rotated.left} == {LeftReason.DOES_NOT_OPEN}
    assert len(rotated.left) == count
    assert rotated.swapped == 8 - count


@pytest.mark.parametrize(
    ("member", "reason"),
    [("lock_statement", LeftReason.LOCK_UNKNOWN), ("compartment_statement", LeftReason.EPOCH_UNKNOWN)],
)
def test_what_names_a_statement_that_nobody_knows_stays(
    story: Story, order: Any, member: str, reason: LeftReason
) -> None:
    def change(route: str, body: dict[str, Any]) -> None:
        if route == "capsules" and body["capsules"]:
            capsule = body["capsules"][0]["entry"]["capsule"]
            place = capsule if member in capsule else capsule["compartment"]
            place[member] = "A" * 43

    lying(story, change)
    (rotated,) = story.rotation.rotate([story.record], order)
    assert [left.reason for left in rotated.left] == [reason]


def test_capsules_of_a_record_that_was_not_asked_for_stop_the_job(story: Story, order: Any) -> None:
    def change(route: str, body: dict[str, Any]) -> None:
        if route == "capsules":
            body["capsules"][0]["record"] = "A" * 43

    lying(story, change)
    with pytest.raises(VaultAnswerError):
        story.rotation.rotate([story.record], order)


def test_pages_that_lead_nowhere_stop_the_job(story: Story, order: Any) -> None:
    def change(route: str, body: dict[str, Any]) -> None:
        if route == "capsules":
            body["next"] = "again"

    lying(story, change)
    with pytest.raises((VaultAnswerError, VaultRefusedError)):
        story.rotation.rotate([story.record], order)


@pytest.mark.parametrize("route", ["locks", "swaps", "counts"])
def test_an_answer_about_other_records_stops_the_job(story: Story, order: Any, route: str) -> None:
    def change(asked: str, body: dict[str, Any]) -> None:
        if asked == route:
            body["locks" if route == "locks" else "records"][0]["record"] = "A" * 43

    lying(story, change)
    with pytest.raises(VaultAnswerError):
        story.rotation.rotate([story.record], order)


def test_a_vault_that_says_swapped_and_swaps_nothing_is_contended_at_last(story: Story, order: Any) -> None:
    def pretend(request: httpx2.Request) -> httpx2.Response | None:
        if request.url.path != "/v1/rotation/swaps":
            return None
        asked = json.loads(request.content)["records"]
        body = {
            "records": [
                {
                    "record": each["record"],
                    "standing": "current",
                    "outcomes": ["swapped"] * len(each["swaps"]),
                    "event": 1,
                }
                for each in asked
            ]
        }
        content = json.dumps(body).encode()
        signed = parse_request(
            method="POST",
            target=str(request.url),
            headers=[(name.lower(), value) for name, value in request.headers.raw],
        )
        headers = sign_answer(
            signed, status=200, body=content, created=story.world.clock(), sign=story.world.own.vault.key.sign
        )
        return httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(content))

    story.world.vault.before = pretend
    (rotated,) = story.rotation.rotate([story.record], order)
    assert rotated.state is RecordState.CONTENDED
    assert story.rotation.rotator.retire([rotated], order, grace_seconds=0) == []


@pytest.mark.parametrize("bound", ["MAX_SHOWN", "MAX_LEFT"])
def test_a_vault_that_shows_capsules_without_end_is_told_so(
    story: Story, order: Any, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """It would hold the job for ever, and fill the memory of whoever rotates."""
    monkeypatch.setattr(procedure, bound, 20)
    ask, pages = VaultClient.list_old_capsules, []

    def show_again(*asked: Any, **how: Any) -> Any:
        pages.append(pages[0] if pages else ask(*asked, **how))
        return pages[0].model_copy(update={"next": f"page {len(pages)}"})

    monkeypatch.setattr(VaultClient, "list_old_capsules", show_again)
    monkeypatch.setattr(procedure, "remake", lambda old, *_, **__: leave(old, LeftReason.EPOCH_CLOSED))
    with pytest.raises(VaultAnswerError, match="more capsules than records have"):
        story.rotation.rotate([story.record], order)
    assert [len(page.capsules) for page in pages] == [8, 8, 8]
    assert story.rotation.used(story.record) == {1: 8}


def test_no_key_stays_in_the_memory_of_whoever_rotated(story: Story, order: Any) -> None:
    """P12: an erased record's key is in no process; this one forgets each with its batch, also where that failed."""
    story.rotation.rotate([story.record], order)
    assert story.rotation.rotator.locks.keys.records() == []
    lying(story, lambda _, body: body.clear())
    with pytest.raises(VaultAnswerError):
        story.rotation.rotate([story.record])
    assert story.rotation.rotator.locks.keys.records() == []


def test_a_vault_that_knows_a_newer_lock_than_the_key_service_stops_the_record(story: Story, order: Any) -> None:
    """As after the key service's database was put back to an older copy."""

    def change(route: str, body: dict[str, Any]) -> None:
        if route == "locks":
            body["locks"][0] |= {"standing": "superseded", "highest": 9}

    lying(story, change)
    (rotated,) = story.rotation.rotate([story.record], order)
    assert rotated.state is RecordState.VAULT_AHEAD
    assert story.rotation.used(story.record) == {1: 8}


def test_an_old_copy_of_what_a_completed_revocation_left_is_not_put_under_a_newer_lock(story: Story) -> None:
    """P06: the vault kept what it had before; whoever was shut out kept the compartment's key of then."""
    with story.world.engines[ServerName.VAULT].connect() as connection:
        before = connection.execute(capsules.select()).mappings().all()
    book = load_grants(story.alice, story.access(story.alice))
    assert revoke(story.alice, book, story.read).is_everywhere
    complete_revocation(story.alice, story.read)
    closed = [row for row in before if row["compartment"] == story.general]
    with story.world.engines[ServerName.VAULT].begin() as connection:
        now = connection.execute(capsules.select()).mappings().all()
        for row in closed:
            place = [capsules.c[name] == row[name] for name in ("record", "document", "version", "role")]
            connection.execute(update(capsules).where(*place).values(dict(row)))
    (rotated,) = story.rotation.rotate([story.record])
    assert len(rotated.left) == len(closed) == 4
    assert {left.reason for left in rotated.left} == {LeftReason.EPOCH_CLOSED}
    with story.world.engines[ServerName.VAULT].begin() as connection:
        connection.execute(delete(capsules))
        connection.execute(capsules.insert(), [dict(row) for row in now])
    story.rotation.rotate([story.record])
    assert story.titles(story.alice) == ["one", "secret", "two"]
