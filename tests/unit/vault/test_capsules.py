"""Capsules over HTTP: listed for the patient, and personal ones against their grants."""

import pytest

from carnet_protocol.api import Capsule, CapsulesPage
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Grant, Signed
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from tests.support.parcels import Parcel, swap
from tests.support.people import OwnDevice
from tests.support.tables import count_rows
from tests.support.vault import VaultStory, code, nothing_changes

pytestmark = pytest.mark.parametrize("suite", Suite)


def brought(story: VaultStory) -> Parcel:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    return parcel


def standing(story: VaultStory, **query: object) -> list[Capsule]:
    answer = story.world.get(f"{story.path}/capsules", story.alice, **query)
    return [entry.capsule for entry in CapsulesPage.model_validate_json(answer.content).capsules]


def test_capsules_are_listed_page_by_page(story: VaultStory) -> None:
    parcels = [brought(story) for _ in range(3)]
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[each.document for each in parcels])
    personal = [
        story.own.personal_capsule(parcel.version, role, grant, story.mallory, story.lock)
        for parcel in parcels
        for role in KeyRole
    ]
    assert story.update(grant, capsules=[swap(each, None) for each in personal]).status_code == 200
    found: list[Capsule] = []
    after: str | None = None
    while True:
        answer = story.world.get(f"{story.path}/capsules", story.alice, after=after, limit=5)
        page = CapsulesPage.model_validate_json(answer.content)
        found += [entry.capsule for entry in page.capsules]
        assert {entry.author for entry in page.capsules} == {story.laura.identity}
        after = page.next
        if after is None:
            break
    places = [(each.personal is not None, each.document, each.version, each.role) for each in found]
    assert places == sorted(places)
    shared = [capsule for parcel in parcels for capsule in (parcel.content_capsule, parcel.metadata_capsule)]
    assert sorted(map(repr, found)) == sorted(map(repr, [*shared, *personal]))


def test_personal_capsules_of_a_grant_that_is_over_are_not_listed(story: VaultStory) -> None:
    parcel = brought(story)
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[parcel.document])
    capsule = story.own.personal_capsule(parcel.version, KeyRole.METADATA, grant, story.mallory, story.lock)
    assert story.update(grant, capsules=[swap(capsule, None)]).status_code == 200
    assert capsule in standing(story)
    assert story.update(story.own.revoke(grant)).status_code == 200
    assert capsule not in standing(story)
    with nothing_changes(story):
        newer = story.own.personal_capsule(parcel.version, KeyRole.METADATA, grant, story.mallory, story.lock)
        assert code(story.update(capsules=[swap(newer, capsule)])) == (409, "conflict")
        assert code(story.update(capsules=[swap(newer, None)])) == (404, "refused")


def test_personal_capsules_against_their_grant_are_refused(story: VaultStory) -> None:
    parcel, other = brought(story), brought(story)
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[parcel.document])
    assert story.update(grant).status_code == 200
    make = story.own.personal_capsule
    to_bob = make(parcel.version, KeyRole.CONTENT, grant, story.bob, story.lock)
    of_other = make(other.version, KeyRole.CONTENT, grant, story.mallory, story.lock)
    of_compartments = make(parcel.version, KeyRole.CONTENT, story.read_grant, story.bob, story.lock)
    with nothing_changes(story):
        for capsule in (to_bob, of_other, of_compartments):
            assert code(story.update(capsules=[swap(capsule, None)])) == (404, "refused")
    old = make(parcel.version, KeyRole.CONTENT, grant, story.mallory, story.lock)
    assert old.personal is not None
    other_keys = old.personal.model_copy(update={"grantee_statement": StatementHash(bytes(32))})
    stranger = old.model_copy(update={"personal": other_keys})
    with nothing_changes(story):
        assert code(story.update(capsules=[swap(stranger, None)])) == (409, "stale")


@pytest.mark.parametrize("cursor", ["x", "A.1.content", f"{'A' * 43}.0.content", f"{'A' * 43}.1.other", "%00"])
def test_a_cursor_of_another_form_is_refused(story: VaultStory, cursor: str) -> None:
    answer = story.world.send("GET", f"{story.path}/capsules?after={cursor}", by=None)
    assert answer.status_code in {400, 401}
    if "%" not in cursor:
        assert code(story.world.get(f"{story.path}/capsules", story.alice, after=cursor)) == (400, "bad_request")


def shared_once(story: VaultStory, *, device: OwnDevice | None = None) -> tuple[Parcel, Signed[Grant]]:
    """A document for which Mallory has a single-document grant, with both personal capsules."""
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[parcel.document], device=device)
    personal = [
        swap(story.own.personal_capsule(parcel.version, role, grant, story.mallory, story.lock), None)
        for role in KeyRole
    ]
    assert story.update(grant, capsules=personal).status_code == 200
    return parcel, grant


def test_a_revocation_takes_the_personal_capsules_of_its_grant_along_and_no_others(story: VaultStory) -> None:
    _, ended = shared_once(story)
    parcel, kept = shared_once(story)
    revocation = story.own.revoke(ended)
    answer = story.update(revocation)
    assert answer.status_code == 200
    assert count_rows(story.world.engine, "personal_capsules") == 2
    assert story.open(story.mallory, parcel, kept).status_code == 200
    with nothing_changes(story):
        assert story.update(revocation).content == answer.content


def test_no_personal_capsule_comes_with_or_after_a_revocation(story: VaultStory) -> None:
    parcel, grant = shared_once(story)
    other = story.own.personal_capsule(parcel.version, KeyRole.METADATA, grant, story.mallory, story.lock)
    revocation = story.own.revoke(grant)
    with nothing_changes(story):
        assert code(story.update(revocation, capsules=[swap(other, None)])) == (404, "refused")
    assert story.update(revocation).status_code == 200
    with nothing_changes(story):
        assert code(story.update(capsules=[swap(other, None)])) == (404, "refused")


def test_a_removal_takes_the_personal_capsules_of_the_grants_that_fall_along(story: VaultStory) -> None:
    phone = story.alice.enrol()
    story.tell_of(story.alice)
    parcel, kept = shared_once(story)
    shared_once(story, device=phone)
    assert count_rows(story.world.engine, "personal_capsules") == 4
    story.alice.remove(phone, since=story.world.clock() - 60)
    story.tell_of(story.alice)
    assert count_rows(story.world.engine, "personal_capsules") == 2
    assert story.open(story.mallory, parcel, kept).status_code == 200


def test_the_capsules_of_one_document_can_be_asked_for(story: VaultStory) -> None:
    parcel, grant = shared_once(story)
    other, _ = shared_once(story)
    shown = standing(story, document=parcel.document)
    assert {capsule.document for capsule in shown} == {parcel.document}
    assert [capsule.personal and capsule.personal.grant for capsule in shown] == [None, None, grant.hash, grant.hash]
    first = story.world.get(f"{story.path}/capsules", story.alice, document=parcel.document, limit=1).json()
    rest = standing(story, document=parcel.document, after=first["next"])
    assert rest == shown[1:]
    assert standing(story, document=story.parcel().document) == []
    assert {capsule.document for capsule in standing(story)} == {parcel.document, other.document}


def test_personal_capsules_follow_a_succession_while_a_registrar_attests_it(story: VaultStory) -> None:
    parcel, grant = shared_once(story)
    old = next(capsule for capsule in standing(story) if capsule.personal is not None)
    registrar = story.world.own.registrar
    made = story.own.personal_capsule(parcel.version, old.role, grant, story.bob, story.lock)
    assert made.personal is not None
    # Named by the grant's grantee, and sealed to the keys of who took over.
    recipient = made.personal.model_copy(update={"grantee": story.mallory.identity})
    new = made.model_copy(update={"personal": recipient})
    for statements in (
        [],
        [story.mallory.hand_over_to(story.bob)],
        [registrar.attest(story.bob)],
    ):
        if statements:
            story.tell_directory(*statements)
        with nothing_changes(story):
            assert code(story.update(capsules=[swap(new, old)])) == (409, "stale")
    story.tell_directory(registrar.attest(story.bob, succeeds=story.mallory))
    with nothing_changes(story):
        assert code(story.update(capsules=[swap(made, old)])) == (404, "refused")
    assert story.update(capsules=[swap(new, old)]).status_code == 200
    assert new in standing(story)
