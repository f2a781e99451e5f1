"""Who may erase a record, and who may keep it: thieves, strangers, other deployments, servers that lie, races."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from carnet.access import open_access
from carnet.erasure import erase_record
from carnet.errors import CarnetError, RefusalError, RefusedError, UnauthenticatedError
from carnet.identity import renew_account_key
from carnet.keys import RecoverySecret
from carnet.revocation import remove_lost_device
from carnet.session import Session
from carnet_protocol.api import Accepted, ErasureUpdate
from carnet_protocol.ids import RecordId
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Erasure, Signed
from tests.support.client import ClientWorld, put_document, titles
from tests.support.copies import ask_release, copy_servers, items_in_vault
from tests.support.people import DAY, Deployment, Dice
from tests.support.story import Story, with_body


def sign(story: Story, signer: Signer, *, own: Deployment | None = None, at: int | None = None) -> Signed[Erasure]:
    """An erasure of Alice's record by whoever holds `signer`."""
    servers = own or story.world.own
    body = Erasure(
        record=story.alice.record,
        vault=servers.vault.fingerprint,
        keyservice=servers.keyservice.fingerprint,
        issued_at=story.world.clock() if at is None else at,
    )
    return Signed.sign(body, signer)


def bring(session: Session, record: RecordId, signed: Signed[Erasure]) -> list[str]:
    """What each server answers, by the class of its refusal; an erasure that is taken is `Accepted`."""
    answers: list[str] = []
    for server in session.servers.values():
        try:
            server.post(f"/v1/records/{record}/erasure", ErasureUpdate(statements=(signed.text,)), Accepted)
            answers.append("Accepted")
        except RefusalError as error:
            answers.append(error.code.value)
    return answers


def test_a_stolen_device_erases_nothing(own_story: Story) -> None:
    story = own_story
    phone = story.pair("phone")
    keys = [phone.keyring.body.device_signer, story.alice.keyring.body.device_signer, Signer(bytes(32))]
    with story.unchanged():
        for key in keys:
            assert bring(phone, story.alice.record, sign(story, key)) == ["invalid_statement"] * 2
        with pytest.raises(CarnetError):
            erase_record(phone, RecoverySecret.make())
    assert titles(story.alice, story.access(story.alice)) == ["letter", "result", "secret"]


def test_nobody_else_erases_it_whatever_key_they_hold(own_story: Story) -> None:
    story = own_story
    right = sign(story, story.secrets["alice"].derive_root_signer())
    wrong = sign(story, story.secrets["bob"].derive_root_signer())
    with story.unchanged():
        for session in (story.bob, story.lab, story.mallory):
            for signed in (right, wrong):
                assert bring(session, story.alice.record, signed) == ["refused"] * 2
        assert bring(story.alice, story.alice.record, wrong) == ["invalid_statement"] * 2


def test_one_that_was_made_for_another_deployment_or_long_ago_erases_nothing(own_story: Story) -> None:
    story = own_story
    root = story.secrets["alice"].derive_root_signer()
    elsewhere = Deployment.make(Dice("elsewhere"))
    with story.unchanged():
        assert bring(story.alice, story.alice.record, sign(story, root, own=elsewhere)) == ["invalid_statement"] * 2
        old = sign(story, root, at=story.world.clock() - 7 * DAY - 1)
        assert bring(story.alice, story.alice.record, old) == ["invalid_statement"] * 2


def test_a_removed_device_does_not_even_bring_one(own_story: Story) -> None:
    story = own_story
    phone = story.pair("phone")

    story.world.clock.now += 60
    remove_lost_device(story.alice, phone.device, story.secrets["alice"], since=story.world.clock() - 30)
    signed = sign(story, story.secrets["alice"].derive_root_signer())
    with story.unchanged():
        assert bring(phone, story.alice.record, signed) == ["unauthenticated"] * 2


def _keep(request: httpx2.Request) -> httpx2.Response | None:
    """A server that never hears of an erasure, and says nothing."""
    if request.url.path.endswith("/erasure"):
        raise httpx2.ConnectError("away", request=request)
    return None


def _claim(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """A server that says whatever it likes of an erasure."""
    if request.url.path.endswith("/erasure"):
        return with_body(httpx2.Response(200, headers=response.headers), b'{"receipts":["a.b.c"]}')
    return response


def test_a_vault_that_keeps_everything_opens_nothing_at_the_honest_key_service(
    own_story: Story, tmp_path: Path
) -> None:
    story = own_story
    items = list(items_in_vault(copy_servers(story.world, tmp_path / "vault"), story.alice.record))
    story.world.vault.before = _keep
    erase_record(story.alice, story.secrets["alice"])
    for session, grant in ((story.bob, story.read_grant.hash), (story.alice, None)):
        assert ask_release(session, story.alice.record, items, grant=grant) == {}


def test_a_key_service_that_keeps_everything_gets_nothing_at_the_honest_vault(own_story: Story) -> None:
    story = own_story
    story.world.keyservice.before = _keep
    erase_record(story.alice, story.secrets["alice"])
    story.world.keyservice.before = None
    for session, grant in ((story.bob, story.read_grant.hash), (story.alice, None)):
        query = "" if grant is None else f"?grant={grant}"
        with pytest.raises(RefusedError):
            session.vault.get(f"/v1/records/{story.alice.record}/documents{query}", Accepted)


@pytest.mark.parametrize("liar", ["vault", "keyservice"])
def test_a_server_that_only_says_that_it_erased_is_caught_by_its_receipt(own_story: Story, liar: str) -> None:
    story = own_story
    getattr(story.world, liar).after = _claim
    report = erase_record(story.alice, story.secrets["alice"])
    assert isinstance(getattr(report, liar), CarnetError)
    assert not report.is_everywhere


def test_an_erasure_against_everything_at_once_has_one_order(own_story: Story, tmp_path: Path) -> None:
    """A deposit, a reader, the patient and the erasure together: each was before it and is gone, or is refused."""
    story = own_story
    deposit = story.access(story.lab)
    reader = open_access(story.bob, story.alice.record, story.read_grant.hash)

    def late_deposit() -> None:
        put_document(story.lab, deposit, tmp_path, "late", compartment="laboratory")

    def read() -> None:
        for _ in range(3):
            titles(story.bob, reader)

    def erase() -> None:
        assert erase_record(story.alice, story.secrets["alice"]).is_everywhere

    with ThreadPoolExecutor(max_workers=3) as pool:
        done = [pool.submit(_outcome, work) for work in (late_deposit, read, erase)]
    assert [each.result() for each in done][2] is None
    for outcome in [each.result() for each in done][:2]:
        assert outcome is None or isinstance(outcome, RefusedError | AssertionError)
    _nothing_is_left(story.world, story.alice.record)


def _outcome(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except (CarnetError, AssertionError) as error:
        return error
    return None


def _nothing_is_left(world: ClientWorld, record: RecordId) -> None:
    for engine in world.engines.values():
        with engine.connect() as connection:
            kinds = connection.exec_driver_sql("SELECT DISTINCT kind FROM statements").scalars().all()
        assert set(kinds).isdisjoint({"grant", "manifest", "compartment", "lock", "filing", "tombstone", "reseal"}), (
            record
        )
    assert [path for path in (world.root / "objects" / "objects").rglob("*") if path.is_file()] == []


def test_a_device_of_a_root_key_that_was_replaced_is_out_and_its_words_erase_nothing(own_story: Story) -> None:

    story = own_story
    tablet = story.pair("tablet")
    renewed = RecoverySecret.make()
    renew_account_key(tablet, story.secrets["alice"], new_kit=renewed)
    old = sign(story, story.secrets["alice"].derive_root_signer())
    with story.unchanged():
        assert bring(tablet, story.alice.record, old) == ["invalid_statement"] * 2
        with pytest.raises(UnauthenticatedError):
            story.alice.vault.get(f"/v1/records/{story.alice.record}/grants", Accepted)
    assert bring(tablet, story.alice.record, sign(story, renewed.derive_root_signer())) == ["Accepted"] * 2
