"""What the vault does with statements about a record: moving, swapping, closing, removing; and every refusal."""

from collections.abc import Callable, Sequence

import pytest

from carnet_protocol.api import AccessView, Capsule, CapsulesPage, CapsuleSwap, PeopleUpdate, SealedKey
from carnet_protocol.api.statements import RecordUpdate
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.statements import Device, Permission, Removal, Signed
from carnet_protocol.tuples import KeyRole
from tests.support.parcels import Parcel, swap
from tests.support.people import DAY, NOW, OwnDevice
from tests.support.records import OwnCompartment, make_lock
from tests.support.vault import VaultStory, code, nothing_changes


def remade(story: VaultStory, parcel: Parcel, compartment: OwnCompartment) -> list[CapsuleSwap]:
    """Both capsules of `parcel` under the newest epoch of `compartment`."""
    return [
        swap(story.own.capsule(parcel.version, old.role, compartment, story.lock), old)
        for old in (parcel.content_capsule, parcel.metadata_capsule)
    ]


def brought(story: VaultStory) -> Parcel:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    return parcel


def standing(story: VaultStory, **query: object) -> list[Capsule]:
    answer = story.world.get(f"{story.path}/capsules", story.alice, **query)
    return [entry.capsule for entry in CapsulesPage.model_validate_json(answer.content).capsules]


def test_a_filing_moves_every_version_at_once(story: VaultStory) -> None:
    first = brought(story)
    second = story.parcel(after=first)
    assert story.bring(second).status_code == 200
    swaps = [*remade(story, first, story.private), *remade(story, second, story.private)]
    filing = story.own.file(first.document, story.private)
    answer = story.update(filing, capsules=swaps)
    assert answer.status_code == 200
    with nothing_changes(story):
        again = story.update(filing, capsules=swaps)
    assert again.content == answer.content
    assert {capsule.compartment.compartment for capsule in standing(story) if capsule.compartment} == {story.private.id}


@pytest.mark.parametrize("kept", [slice(0), slice(1), slice(2), slice(3)])
def test_a_filing_that_leaves_a_capsule_behind_is_refused(story: VaultStory, kept: slice) -> None:
    first = brought(story)
    second = story.parcel(after=first)
    assert story.bring(second).status_code == 200
    swaps = [*remade(story, first, story.private), *remade(story, second, story.private)][kept]
    with nothing_changes(story):
        answer = story.update(story.own.file(first.document, story.private), capsules=swaps)
    assert code(answer) == (409, "conflict")


def test_a_filing_of_a_document_that_is_not_there_is_refused(story: VaultStory) -> None:
    gone, unknown = brought(story), story.parcel()
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash)).status_code == 200
    with nothing_changes(story):
        for parcel in (gone, unknown):
            swaps = remade(story, parcel, story.private)
            answer = story.update(story.own.file(parcel.document, story.private), capsules=swaps)
            assert code(answer) == (404, "refused")


def test_capsules_go_to_another_compartment_only_with_a_filing(story: VaultStory) -> None:
    parcel = brought(story)
    with nothing_changes(story):
        assert code(story.update(capsules=remade(story, parcel, story.private))) == (409, "conflict")


def test_an_epoch_is_closed_once_no_capsule_needs_it(story: VaultStory) -> None:
    parcel = brought(story)
    assert story.update(story.own.next_epoch(story.general)).status_code == 200
    closing = story.own.close_epoch(story.general, epoch=1)
    with nothing_changes(story):
        assert code(story.update(closing)) == (409, "conflict")
    # In one request, too: the capsules are swapped before it is asked what they need.
    assert story.update(closing, capsules=remade(story, parcel, story.general)).status_code == 200


def test_removed_documents_keep_no_epoch_open(story: VaultStory) -> None:
    parcel = brought(story)
    assert story.update(story.own.next_epoch(story.general)).status_code == 200
    assert story.update(story.own.entomb(parcel.document, parcel.manifest.hash)).status_code == 200
    assert story.update(story.own.close_epoch(story.general, epoch=1)).status_code == 200


def test_a_swap_is_by_compare_and_set_and_can_be_repeated(story: VaultStory) -> None:
    parcel = brought(story)
    assert story.update(story.own.next_epoch(story.general)).status_code == 200
    swaps, rival = remade(story, parcel, story.general), remade(story, parcel, story.general)
    assert story.update(capsules=swaps).status_code == 200
    with nothing_changes(story):
        assert story.update(capsules=swaps).status_code == 200
        assert code(story.update(capsules=rival)) == (409, "conflict")
    assert standing(story) == [each.capsule for each in swaps]


SWAPS: dict[str, tuple[Callable[[VaultStory, Parcel], Sequence[CapsuleSwap]], tuple[int, str]]] = {
    "over nothing": (
        lambda story, parcel: [
            swap(story.own.capsule(parcel.version, KeyRole.CONTENT, story.general, story.lock), None)
        ],
        (409, "conflict"),
    ),
    "over another": (
        lambda story, parcel: [
            swap(
                story.own.capsule(parcel.version, KeyRole.CONTENT, story.general, story.lock),
                parcel.metadata_capsule,
            )
        ],
        (409, "conflict"),
    ),
    "the same place twice": (
        lambda story, parcel: remade(story, parcel, story.general) * 2,
        (400, "bad_request"),
    ),
    "cut": (
        lambda _, parcel: [
            swap(
                parcel.content_capsule.model_copy(update={"sealed": parcel.content_capsule.sealed[:-1]}),
                parcel.content_capsule,
            )
        ],
        (400, "bad_request"),
    ),
    "of an unknown document": (
        lambda story, _: remade(story, story.parcel(), story.general),
        (404, "refused"),
    ),
    "of an unknown version": (
        lambda story, parcel: remade(story, story.parcel(after=parcel), story.general),
        (404, "refused"),
    ),
    "under an unknown lock": (
        lambda story, parcel: [
            swap(
                story.own.capsule(
                    parcel.version,
                    KeyRole.CONTENT,
                    story.general,
                    make_lock(story.world.dice, story.world.own, story.record)[0],
                ),
                parcel.content_capsule,
            )
        ],
        (409, "stale"),
    ),
    "in an unknown compartment": (
        lambda story, parcel: remade(story, parcel, story.own.open_compartment()),
        (409, "conflict"),
    ),
    "under an epoch that nobody published": (
        lambda story, parcel: (story.own.next_epoch(story.general), remade(story, parcel, story.general))[1],
        (409, "stale"),
    ),
}


@pytest.mark.parametrize("what", SWAPS)
def test_swaps_against_the_rules_are_refused(story: VaultStory, what: str) -> None:
    parcel = brought(story)
    make, expected = SWAPS[what]
    with nothing_changes(story):
        assert code(story.update(capsules=make(story, parcel))) == expected


def test_one_bad_swap_refuses_all(story: VaultStory) -> None:
    first, second = brought(story), brought(story)
    bad = [swap(each.capsule, None) for each in remade(story, second, story.general)]
    with nothing_changes(story):
        answer = story.update(capsules=[*remade(story, first, story.general), *bad])
    assert code(answer) == (409, "conflict")


def test_only_the_patient_swaps(story: VaultStory) -> None:
    parcel = brought(story)
    with nothing_changes(story):
        for other in (story.laura, story.bob, story.mallory):
            answer = story.update(capsules=remade(story, parcel, story.general), by=other)
            assert code(answer) == (404, "refused")


def test_sealed_keys_are_not_for_the_vault(story: VaultStory) -> None:
    key = SealedKey(
        compartment_statement=story.general.newest.hash,
        grant=None,
        reader_statement=story.alice.current.hash,
        sealed=b"key",
    )
    body = RecordUpdate(statements=(), sealed_keys=(key,), capsules=())
    with nothing_changes(story):
        assert code(story.world.post(f"{story.path}/statements", story.alice, body)) == (400, "bad_request")


def test_a_lock_statement_makes_older_ones_stale(story: VaultStory) -> None:
    parcel = brought(story)
    newer, _ = make_lock(story.world.dice, story.world.own, story.record, version=2)
    first = story.show_lock(newer)
    assert first.status_code == 200
    with nothing_changes(story):
        assert story.show_lock(newer).content == first.content
        assert code(story.update(capsules=remade(story, parcel, story.general))) == (409, "stale")
    under_the_newer = [
        swap(story.own.capsule(parcel.version, old.role, story.general, newer), old)
        for old in (parcel.content_capsule, parcel.metadata_capsule)
    ]
    assert story.update(capsules=under_the_newer).status_code == 200


def test_lock_statements_against_the_rules_are_refused(story: VaultStory) -> None:
    dice, own = story.world.dice, story.world.own
    brought(story)
    forged = Signed.sign(story.lock.body.model_copy(update={"version": 2}), own.vault.key)
    elsewhere = make_lock(dice, own, RecordId(bytes(32)))[0]
    expired = make_lock(dice, own, story.record, version=2, at=NOW - 30 * DAY)[0]
    early = make_lock(dice, own, story.record, version=2, at=NOW + 121)[0]
    with nothing_changes(story):
        assert [code(story.show_lock(lock)) for lock in (forged, elsewhere, expired, early)] == [
            (400, "invalid_statement"),
            (400, "invalid_statement"),
            (409, "stale"),
            (409, "stale"),
        ]
        body = f'{{"lock": "{story.lock.text}"}}'.encode()
        assert code(story.world.post(f"{story.path}/locks", story.bob, body)) == (404, "refused")


def test_a_document_is_removed_by_its_author_or_the_patient(story: VaultStory) -> None:
    first, second = brought(story), brought(story)
    lauras = story.own.entomb(first.document, first.manifest.hash, by=story.laura)
    assert story.update(lauras, by=story.laura).status_code == 200
    alices = story.own.entomb(second.document, second.manifest.hash)
    assert story.update(alices).status_code == 200
    assert story.list(story.alice).json()["documents"] == []
    with nothing_changes(story):
        assert story.update(alices).status_code == 200
    # The other one may say so as well; nothing more happens.
    assert story.update(story.own.entomb(first.document, first.manifest.hash)).status_code == 200


@pytest.mark.parametrize("end", ["revocation", "attestation", "time"])
def test_a_document_is_removed_by_the_patient_alone_once_its_author_may_not_deposit(
    story: VaultStory, end: str
) -> None:
    parcel = brought(story)
    match end:
        case "revocation":
            assert story.update(story.own.revoke(story.deposit_grant)).status_code == 200
        case "attestation":
            story.tell_directory(story.world.own.registrar.publish_list(story.attestations["l"]))
        case _:
            story.world.clock.now = story.deposit_grant.body.expires
    now = story.world.clock()
    lauras = story.own.entomb(parcel.document, parcel.manifest.hash, by=story.laura, at=now)
    with nothing_changes(story):
        assert code(story.update(lauras, by=story.laura)) == (404, "refused")
    assert story.update(story.own.entomb(parcel.document, parcel.manifest.hash, at=now)).status_code == 200


def test_a_tombstone_by_anyone_else_or_of_an_older_head_is_refused(story: VaultStory) -> None:
    first = brought(story)
    second = story.parcel(after=first)
    assert story.bring(second).status_code == 200
    grant = story.own.grant(
        story.mallory, story.attestations["m"], compartments=[story.general], permission=Permission.DEPOSIT
    )
    assert story.update(grant).status_code == 200
    mallorys = story.own.entomb(first.document, second.manifest.hash, by=story.mallory)
    old = story.own.entomb(first.document, first.manifest.hash, by=story.laura)
    unknown = story.own.entomb(story.parcel().document, StatementHash(bytes(32)), by=story.laura)
    with nothing_changes(story):
        answers = [
            story.update(mallorys, by=story.mallory),
            story.update(old, by=story.laura),
            story.update(unknown, by=story.laura),
        ]
        assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
        assert code(story.update(story.own.entomb(first.document, first.manifest.hash))) == (409, "conflict")


def test_nothing_follows_a_tombstone(story: VaultStory) -> None:
    parcel = brought(story)
    assert story.update(story.own.entomb(parcel.document, parcel.manifest.hash)).status_code == 200
    second, unknown = story.parcel(after=parcel), story.parcel(after=story.parcel())
    uploads = story.upload(second, unknown)
    with nothing_changes(story):
        answers = [story.commit((second, uploads[0])), story.commit((unknown, uploads[1]))]
        assert {(answer.status_code, answer.content) for answer in answers} == {(409, answers[0].content)}
        assert code(story.update(capsules=remade(story, parcel, story.general))) == (404, "refused")


# Epochs, which the key service decides about


def test_an_epoch_of_a_device_that_was_shut_out_is_mirrored_for_a_device_in_force(story: VaultStory) -> None:
    phone = enrolled(story)
    epoch = story.own.next_epoch(story.general, device=phone)
    removed(story, phone)
    with nothing_changes(story):
        assert code(story.update(epoch, by=phone))[0] == 401
    assert story.update(epoch).status_code == 200
    assert epoch.text in shown_epochs(story)


def test_an_epoch_is_mirrored_however_late(story: VaultStory) -> None:
    epoch = story.own.next_epoch(story.general)
    story.world.clock.now += 100 * DAY
    assert story.update(epoch).status_code == 200


def test_an_epoch_from_the_future_or_of_nobodys_device_is_not_mirrored(story: VaultStory) -> None:
    stranger = story.bob.enrol()
    own = OwnCompartment(story.general.id, list(story.general.epochs), list(story.general.keys))
    with nothing_changes(story):
        assert code(story.update(story.own.next_epoch(own, device=stranger))) == (400, "invalid_statement")
    own = OwnCompartment(story.general.id, list(story.general.epochs), list(story.general.keys))
    with nothing_changes(story):
        assert code(story.update(story.own.next_epoch(own, at=NOW + DAY))) == (400, "invalid_statement")


def test_epochs_that_a_shut_out_device_gave_the_vault_alone_give_way(story: VaultStory) -> None:
    phone = enrolled(story)
    fork = OwnCompartment(story.general.id, list(story.general.epochs), list(story.general.keys))
    thiefs = [story.own.next_epoch(fork, device=phone), story.own.next_epoch(fork, device=phone)]
    assert story.update(*thiefs, by=phone).status_code == 200
    own = story.own.next_epoch(story.general)
    with nothing_changes(story):
        assert code(story.update(own)) == (409, "conflict")
    removed(story, phone)
    assert story.update(own).status_code == 200
    assert own.text in shown_epochs(story)
    assert not {epoch.text for epoch in thiefs} & shown_epochs(story)
    assert story.update(story.own.next_epoch(story.general)).status_code == 200


def test_no_epoch_gives_way_that_a_device_in_force_made_or_built_on(story: VaultStory) -> None:
    phone = enrolled(story)
    fork = OwnCompartment(story.general.id, list(story.general.epochs), list(story.general.keys))
    assert story.update(story.own.next_epoch(story.general, device=phone), by=phone).status_code == 200
    assert story.update(story.own.next_epoch(story.general)).status_code == 200
    removed(story, phone)
    with nothing_changes(story):
        assert code(story.update(story.own.next_epoch(fork))) == (409, "conflict")


def enrolled(story: VaultStory) -> OwnDevice:
    phone = story.alice.enrol(by=story.alice.device)
    tell(story, phone.statement)
    return phone


def removed(story: VaultStory, device: OwnDevice) -> None:
    tell(story, story.alice.remove(device, since=NOW))


def tell(story: VaultStory, *signed: Signed[Device] | Signed[Removal]) -> None:
    update = PeopleUpdate(statements=tuple(one.text for one in signed))
    assert story.world.post("/v1/people", None, update).status_code == 200


def shown_epochs(story: VaultStory) -> set[str]:
    answer = story.world.get(f"{story.path}/access", story.alice)
    return set(AccessView.model_validate_json(answer.content).compartments)
