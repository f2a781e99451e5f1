"""Deposits over HTTP: what is accepted, and every refusal, after which nothing has changed."""

from collections.abc import Callable
from typing import Any

import pytest

from carnet_protocol.api import DepositReceipts, DocumentsPage, OpenedVersion
from carnet_protocol.ids import RecordId, Sha256Digest, UploadId
from carnet_protocol.statements import Manifest, Permission, Receipt, Signed
from carnet_protocol.suites import Suite
from carnet_vault.deposits import decide
from tests.support.parcels import METADATA_BYTES, Parcel, make_sealed
from tests.support.people import DAY, NOW, OwnDevice
from tests.support.records import make_lock
from tests.support.tables import count_rows
from tests.support.vault import VaultStory, code, nothing_changes

pytestmark = pytest.mark.parametrize("suite", Suite)


def altered(parcel: Parcel, signer: OwnDevice, **changes: object) -> Parcel:
    """`parcel` with other members in its manifest, signed by `signer`."""
    body = Manifest.model_validate({**parcel.manifest.body.model_dump(), **changes})
    return Parcel(
        version=parcel.version,
        manifest=Signed.sign(body, signer.signer),
        sealed=parcel.sealed,
        lock=parcel.lock,
        content_capsule=parcel.content_capsule,
        metadata_capsule=parcel.metadata_capsule,
    )


def test_a_laboratory_deposits_and_a_reader_opens(story: VaultStory) -> None:
    parcel = story.parcel()
    answer = story.bring(parcel)
    assert answer.status_code == 200, answer.text
    page = DocumentsPage.model_validate_json(story.list(story.bob, story.read_grant).content)
    assert [entry.manifest for entry in page.documents] == [parcel.manifest.text]
    assert page.deposit_grants == (story.deposit_grant.text,)
    view = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content)
    assert (view.content_capsule, view.entry.metadata_capsule) == (parcel.content_capsule, parcel.metadata_capsule)
    assert view.leaf_digests == parcel.sealed.leaf_digests
    assert story.world.get_bytes(view.url).content == parcel.sealed.ciphertext


def test_a_receipt_names_the_event_of_its_manifest(story: VaultStory) -> None:
    receipts = DepositReceipts.model_validate_json(story.bring(story.parcel(), story.parcel()).content).receipts
    parsed = [Signed.parse(text, Receipt) for text in receipts]
    for receipt in parsed:
        receipt.verify(story.world.own.vault.log_key.public_key)
    # Before the first manifest comes the lock statement that both brought.
    assert parsed[1].body.index == parsed[0].body.index + 1


def test_the_same_deposit_again_is_answered_as_before(story: VaultStory) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    first = story.commit((parcel, upload))
    with nothing_changes(story):
        again = story.commit((parcel, upload))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content


def test_a_deposit_can_be_repeated_when_only_its_object_was_finished(story: VaultStory) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    row = story.find_upload(upload)
    story.world.store.finish_upload(row.stored)
    assert story.commit((parcel, upload)).status_code == 200


def test_versions_of_one_document_come_in_one_request(story: VaultStory) -> None:
    first = story.parcel()
    second = story.parcel(after=first)
    assert story.bring(first, second).status_code == 200
    page = DocumentsPage.model_validate_json(story.list(story.bob, story.read_grant).content)
    assert [entry.manifest for entry in page.documents] == [second.manifest.text]


def test_the_patient_deposits_without_a_grant(story: VaultStory) -> None:
    parcel = story.parcel(author=story.alice, compartment=story.private)
    assert story.bring(parcel, by=story.alice).status_code == 200


def test_an_uploaded_object_belongs_to_one_version(story: VaultStory) -> None:
    sealed = make_sealed(story.world.dice)
    first, second = story.parcel(sealed=sealed), story.parcel(sealed=sealed)
    upload = story.upload(first)[0]
    with nothing_changes(story):
        assert code(story.commit((first, upload), (second, upload))) == (400, "bad_request")
    assert story.commit((first, upload)).status_code == 200
    with nothing_changes(story):
        assert code(story.commit((second, upload))) == (404, "refused")


def test_one_bad_deposit_of_several_refuses_them_all(story: VaultStory) -> None:
    good, bad = story.parcel(), story.parcel()
    uploads = story.upload(good, bad)
    broken = altered(bad, story.laura.device, metadata_digest=Sha256Digest(bytes(32)))
    with nothing_changes(story):
        assert code(story.commit((good, uploads[0]), (broken, uploads[1]))) == (400, "bad_request")


def test_one_incomplete_upload_of_several_finishes_none(story: VaultStory) -> None:
    whole, missing = story.parcel(), story.parcel()
    upload = story.upload(whole)[0]
    begun = UploadId.parse(story.begin_uploads([missing.size]).json()["uploads"][0]["upload"])
    with nothing_changes(story):
        assert code(story.commit((whole, upload), (missing, begun))) == (409, "conflict")


def test_strangers_learn_nothing(story: VaultStory) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    mine = story.parcel(author=story.mallory, grant=story.deposit_grant)
    elsewhere = f"/v1/records/{RecordId(bytes(32))}/documents"
    with nothing_changes(story):
        answers = [
            story.commit((mine, upload), by=story.mallory),
            story.open(story.mallory, parcel),
            story.world.get(elsewhere, story.mallory),
            story.list(story.mallory, story.read_grant),
            story.list(story.laura, story.deposit_grant),
        ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}


def test_a_deposit_by_someone_else_than_its_author_is_refused(story: VaultStory) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    with nothing_changes(story):
        assert code(story.commit((parcel, upload), by=story.alice)) == (400, "invalid_statement")


def test_a_read_grant_deposits_nothing(story: VaultStory) -> None:
    with nothing_changes(story):
        assert code(story.begin_uploads([20_000], by=story.bob, grant=story.read_grant)) == (404, "refused")
    parcel = story.parcel(author=story.bob, grant=story.read_grant)
    with nothing_changes(story):
        assert code(story.commit((parcel, UploadId(bytes(16))), by=story.bob)) == (404, "refused")


@pytest.mark.parametrize("when", ["before", "expired", "revoked"])
def test_a_deposit_grant_counts_only_in_its_time(story: VaultStory, when: str) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    match when:
        case "before":
            later = story.own.grant(
                story.laura,
                story.attestations["l"],
                compartments=[story.general],
                permission=Permission.DEPOSIT,
                not_before=NOW + 60,
                expires=NOW + DAY,
            )
            assert story.update(later).status_code == 200
            parcel = story.parcel(grant=later)
        case "expired":
            story.world.clock.now = story.deposit_grant.body.expires
        case _:
            assert story.update(story.own.revoke(story.deposit_grant)).status_code == 200
    with nothing_changes(story):
        assert code(story.commit((parcel, upload))) == (404, "refused")


def test_a_grant_for_another_compartment_is_refused_like_an_unknown_one(story: VaultStory) -> None:
    parcel = story.parcel(compartment=story.private)
    upload = story.upload(parcel)[0]
    unknown = story.own.open_compartment()
    other = story.parcel(compartment=unknown)
    with nothing_changes(story):
        answers = [story.commit((parcel, upload)), story.commit((other, upload))]
    assert {code(answer) for answer in answers} == {(404, "refused")}


@pytest.mark.parametrize("created_at", [NOW - 61, NOW - 31 * DAY, NOW + 121])
def test_a_manifest_made_outside_of_its_time_is_refused(story: VaultStory, created_at: int) -> None:
    parcel = story.parcel(at=created_at)
    upload = story.upload(parcel)[0]
    with nothing_changes(story):
        assert code(story.commit((parcel, upload))) == (400, "invalid_statement")


def test_a_manifest_signed_by_another_key_is_refused(story: VaultStory) -> None:
    parcel = story.parcel()
    forged = altered(parcel, story.mallory.device)
    foreign = altered(parcel, story.mallory.device, device=story.mallory.device.hash)
    upload = story.upload(parcel)[0]
    with nothing_changes(story):
        assert code(story.commit((forged, upload))) == (400, "invalid_statement")
        assert code(story.commit((foreign, upload))) == (400, "invalid_statement")


def test_a_manifest_of_a_device_that_was_shut_out_is_refused(story: VaultStory) -> None:
    lost = story.laura.enrol()
    story.tell_of(story.laura)
    parcel = story.parcel(device=lost)
    upload = story.upload(parcel)[0]
    story.laura.remove(lost, since=NOW)
    story.tell_of(story.laura)
    with nothing_changes(story):
        assert code(story.commit((parcel, upload))) == (400, "invalid_statement")
        assert code(story.commit((parcel, upload), by=lost)) == (401, "unauthenticated")


WRONG_PARTS: dict[str, Callable[[VaultStory, Parcel], dict[str, Any]]] = {
    "metadata of another": lambda story, _: {"metadata": make_sealed(story.world.dice).metadata},
    "metadata cut": lambda _, parcel: {"metadata": parcel.sealed.metadata[:-1]},
    "metadata extended": lambda _, parcel: {"metadata": parcel.sealed.metadata + b"\0"},
    "metadata empty": lambda *_: {"metadata": b""},
    "leaf list of another": lambda story, _: {"leaf_digests": make_sealed(story.world.dice).leaf_digests},
    "leaf list too long": lambda _, parcel: {"leaf_digests": parcel.sealed.leaf_digests * 2},
    "leaf list too short": lambda _, parcel: {"leaf_digests": parcel.sealed.leaf_digests[:-1]},
    "leaf list empty": lambda *_: {"leaf_digests": b""},
    "capsules swapped": lambda _, parcel: {
        "content_capsule": parcel.metadata_capsule,
        "metadata_capsule": parcel.content_capsule,
    },
    "capsule of another document": lambda story, _: {"content_capsule": story.parcel().content_capsule},
    "capsule of another version": lambda _, parcel: {
        "content_capsule": parcel.content_capsule.model_copy(update={"version": 2})
    },
    "capsule in another compartment": lambda story, parcel: {
        "metadata_capsule": story.own.capsule(parcel.version, parcel.metadata_capsule.role, story.private, parcel.lock)
    },
    "capsule under another lock": lambda story, _: {
        "lock": make_lock(story.world.dice, story.world.own, story.record)[0].text
    },
    "capsule cut": lambda _, parcel: {
        "content_capsule": parcel.content_capsule.model_copy(update={"sealed": parcel.content_capsule.sealed[:-1]})
    },
    "capsule of another kind": lambda _, parcel: {
        "content_capsule": parcel.content_capsule.model_copy(
            update={"sealed": b"CRNT\x01" + parcel.content_capsule.sealed[5:]}
        )
    },
    "capsule of another suite": lambda _, parcel: {
        "content_capsule": parcel.content_capsule.model_copy(
            update={
                "sealed": parcel.content_capsule.sealed[:6]
                + int(3 - parcel.content_capsule.outer_suite).to_bytes(2, "big")
                + parcel.content_capsule.sealed[8:]
            }
        )
    },
    "capsule that says another outer suite": lambda _, parcel: {
        "content_capsule": parcel.content_capsule.model_copy(
            update={"outer_suite": Suite(3 - parcel.content_capsule.outer_suite)}
        )
    },
    "capsule that says another inner suite": lambda _, parcel: {
        "content_capsule": parcel.content_capsule.model_copy(
            update={"inner_suite": Suite(3 - parcel.content_capsule.inner_suite)}
        )
    },
    "inner lock alone": lambda _, parcel: {
        "content_capsule": parcel.content_capsule.model_copy(update={"sealed": b"CRNT\x01\x01\0\x01" + bytes(1168)})
    },
}


@pytest.mark.parametrize("what", WRONG_PARTS)
def test_parts_that_do_not_fit_are_refused(story: VaultStory, what: str) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    deposit = parcel.deposit(upload).model_copy(update=WRONG_PARTS[what](story, parcel))
    with nothing_changes(story):
        assert code(story.commit_deposits(deposit)) == (400, "bad_request")


def test_metadata_beyond_the_limit_is_too_large(story: VaultStory) -> None:
    parcel = story.parcel(sealed=make_sealed(story.world.dice, metadata=64 * 1024 + 1))
    upload = story.upload(parcel)[0]
    with nothing_changes(story):
        assert code(story.commit((parcel, upload))) == (413, "too_large")


def test_the_metadata_of_all_versions_fits_into_one_answer(story: VaultStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MAX_DOCUMENT_METADATA_BYTES", 2 * METADATA_BYTES)
    first = story.parcel()
    second = story.parcel(after=first)
    third = story.parcel(after=second)
    assert story.bring(first).status_code == 200
    uploads = story.upload(second, third)
    with nothing_changes(story):
        together = story.commit((second, uploads[0]), (third, uploads[1]))
        assert code(together) == (413, "too_large")
    assert story.commit((second, uploads[0])).status_code == 200


def test_capsules_under_a_superseded_epoch_are_stale(story: VaultStory) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    assert story.update(story.own.next_epoch(story.general)).status_code == 200
    with nothing_changes(story):
        assert code(story.commit((parcel, upload))) == (409, "stale")


def test_a_lock_statement_that_is_not_current_is_stale(story: VaultStory) -> None:
    dice, own = story.world.dice, story.world.own
    newer = make_lock(dice, own, story.record, version=2)[0]
    assert story.show_lock(newer).status_code == 200
    expired = make_lock(dice, own, story.record, version=2, at=NOW - 30 * DAY)[0]
    early = make_lock(dice, own, story.record, version=2, at=NOW + 121)[0]
    for lock in (story.lock, expired, early):
        parcel = story.parcel(lock=lock)
        upload = story.upload(parcel)[0]
        with nothing_changes(story):
            assert code(story.commit((parcel, upload))) == (409, "stale")


def test_a_lock_statement_that_is_not_the_key_services_is_refused(story: VaultStory) -> None:
    own = story.world.own
    forged = Signed.sign(story.lock.body, own.vault.key)
    elsewhere = make_lock(story.world.dice, own, RecordId(bytes(32)))[0]
    for lock in (forged, elsewhere):
        parcel = story.parcel(lock=lock)
        upload = story.upload(parcel)[0]
        with nothing_changes(story):
            assert code(story.commit((parcel, upload))) == (400, "invalid_statement")


def test_heads_move_by_compare_and_set(story: VaultStory) -> None:
    first = story.parcel()
    assert story.bring(first).status_code == 200
    second, rival = story.parcel(after=first), story.parcel(after=first)
    assert story.bring(second).status_code == 200
    skipping = story.parcel(after=story.parcel(after=second))
    uploads = story.upload(rival, skipping)
    with nothing_changes(story):
        assert code(story.commit((rival, uploads[0]))) == (409, "conflict")
        assert code(story.commit((skipping, uploads[1]))) == (409, "conflict")


def test_version_2_of_an_unknown_document_is_a_conflict_as_is_another_version_1(story: VaultStory) -> None:
    known = story.parcel()
    assert story.bring(known).status_code == 200
    orphan = story.parcel(after=story.parcel())
    other = altered(
        known, story.laura.device, plaintext_commitment=bytes(len(known.manifest.body.plaintext_commitment))
    )
    uploads = story.upload(orphan, other)
    with nothing_changes(story):
        assert code(story.commit((orphan, uploads[0]))) == (409, "conflict")
        assert code(story.commit((other, uploads[1]))) == (409, "conflict")


def test_an_upload_that_does_not_bring_the_object_is_refused(story: VaultStory) -> None:
    parcel = story.parcel()
    larger = story.parcel(sealed=make_sealed(story.world.dice, padded=32 * 1024))
    alices = story.parcel(author=story.alice)
    of_another_size, of_another = story.upload(larger)[0], story.upload(alices, by=story.alice)[0]
    begun = UploadId.parse(story.begin_uploads([parcel.size]).json()["uploads"][0]["upload"])
    with nothing_changes(story):
        assert code(story.commit((parcel, UploadId(bytes(16))))) == (404, "refused")
        assert code(story.commit((parcel, of_another))) == (404, "refused")
        assert code(story.commit((parcel, of_another_size))) == (409, "conflict")
        assert code(story.commit((parcel, begun))) == (409, "conflict")


def test_an_author_sees_their_own_manifests_whatever_became_of_them(story: VaultStory) -> None:
    first, other = story.parcel(), story.parcel()
    second = story.parcel(after=first)
    alices = story.parcel(author=story.alice)
    assert story.bring(first, second, other).status_code == 200
    assert story.bring(alices, by=story.alice).status_code == 200
    assert story.update(story.own.entomb(other.document, other.manifest.hash)).status_code == 200
    path, grant = f"{story.path}/deposits", story.deposit_grant.hash
    wanted = sorted((first, second, other), key=lambda parcel: (parcel.document, parcel.number))
    found: list[str] = []
    after: str | None = None
    while True:
        page = story.world.get(path, story.laura, grant=grant, after=after, limit=2).json()
        found += page["manifests"]
        after = page["next"]
        if after is None:
            break
    assert found == [parcel.manifest.text for parcel in wanted]
    assert story.world.get(path, story.alice).json()["manifests"] == [alices.manifest.text]
    with nothing_changes(story):
        assert code(story.world.get(path, story.bob, grant=story.read_grant.hash)) == (404, "refused")
        assert code(story.world.get(path, story.laura, grant=grant, after="x.1")) == (400, "bad_request")


def test_what_was_deposited_leaves_no_upload_behind(story: VaultStory) -> None:
    assert story.bring(story.parcel(), story.parcel()).status_code == 200
    assert count_rows(story.world.engine, "uploads") == 0
    assert list((story.world.root / "objects" / "uploads").iterdir()) == []
