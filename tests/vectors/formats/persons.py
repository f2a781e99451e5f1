"""Scenarios of people and the directory: person, attestation, succession rules as a reader applies them."""

from collections.abc import Iterator
from typing import Any

from carnet_protocol.ids import AttestationId, Commitment
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Device, Identity, Removal, Role, Signed
from tests.vectors.people import (
    ALICE,
    BOB,
    BOBS_ATTESTATION,
    DAY,
    MALLORY,
    NOW,
    REGISTRAR,
    REVOCATION_LIST,
    Actor,
    make_signer,
)
from tests.vectors.scenario import Scenario

LAPTOP, TABLET = make_signer("alice's laptop"), make_signer("alice's tablet")


def make() -> Iterator[Scenario]:
    """Every scenario."""
    yield from _persons()
    yield from _attestations()


def _device(key: Signer, by: Signer, enrolled_by: Signed[Device] | None, at: int) -> Signed[Device]:
    body = Device(
        identity=ALICE.identity,
        device_key=key.public_key,
        enrolled_by=None if enrolled_by is None else enrolled_by.hash,
        sealed_name=bytes(104),
        issued_at=at,
    )
    return Signed.sign(body, by)


def _renew(by: Signer = ALICE.root, **changes: Any) -> Signed[Identity]:
    members: dict[str, Any] = {
        "serial": 1,
        "founding": ALICE.identity,
        "previous": ALICE.founding.hash,
        "recovery_commitment": Commitment(bytes(32)),
        "account_kem_key": BOB.founding.body.account_kem_key,
    }
    return Signed.sign(ALICE.founding.body.model_copy(update=members | changes), by)


def _person(
    name: str,
    device: Signed[Device],
    at: int,
    *,
    identities: list[Signed[Identity]] | None = None,
    devices: list[Signed[Device]] | None = None,
    removals: list[Signed[Removal]] | None = None,
    accepted: bool = False,
) -> Scenario:
    """Ask whether `device`, at the time `at`, spoke for Alice."""
    chain = identities or [ALICE.founding]
    given = {
        "identity": str(ALICE.identity),
        "identities": [signed.text for signed in chain],
        "devices": [signed.text for signed in devices or [ALICE.device]],
        "removals": [signed.text for signed in removals or []],
        "device": str(device.hash),
        "at": at,
    }
    output = {"device_key": str(device.body.device_key), "current": str(chain[-1].hash)} if accepted else None
    return Scenario("person", name, given, output)


def _persons() -> Iterator[Scenario]:
    phone = ALICE.device
    laptop = _device(LAPTOP, ALICE.phone, phone, NOW + 10)
    tablet = _device(TABLET, LAPTOP, laptop, NOW + 20)
    both, all_three = [phone, laptop], [phone, laptop, tablet]
    removal = Signed.sign(
        Removal(identity=ALICE.identity, device=phone.hash, since=NOW + 10, issued_at=NOW + 50), ALICE.root
    )
    new_root = make_signer("alice's new root")
    yield _person("phone", phone, NOW, accepted=True)
    yield _person("laptop-enrolled-by-phone", laptop, NOW + 30, devices=both, accepted=True)
    yield _person("renewed", phone, NOW, identities=[ALICE.founding, _renew()], accepted=True)
    yield _person(
        "new-root-enrols",
        _device(LAPTOP, new_root, None, NOW),
        NOW,
        identities=[ALICE.founding, _renew(root_key=new_root.public_key)],
        devices=[phone, _device(LAPTOP, new_root, None, NOW)],
        accepted=True,
    )
    yield from _generations(laptop)
    yield _person("removed-before-since", phone, NOW + 9, removals=[removal], accepted=True)
    yield _person("removed-at-since", phone, NOW + 10, removals=[removal])
    yield _person("enrolled-by-removed", laptop, NOW + 11, devices=both, removals=[removal])
    yield _person("enrolled-by-removed-earlier-time", laptop, NOW, devices=both, removals=[removal])
    yield _person("enrolled-two-steps-from-removed", tablet, NOW + 30, devices=all_three, removals=[removal])
    forged = Signed.sign(removal.body, LAPTOP)
    yield _person("removal-signed-by-device", phone, NOW, devices=both, removals=[forged])
    yield _person("unknown-device", laptop, NOW)
    yield _person("device-before-its-enroller", laptop, NOW, devices=[laptop, phone])
    yield _person(
        "device-signed-by-stranger",
        _device(LAPTOP, MALLORY.root, None, NOW),
        NOW,
        devices=[phone, _device(LAPTOP, MALLORY.root, None, NOW)],
    )
    yield _person("device-of-another", MALLORY.device, NOW, devices=[phone, MALLORY.device])
    yield _person("founding-of-another", phone, NOW, identities=[MALLORY.founding])
    yield _person("founding-forged", phone, NOW, identities=[Signed.sign(ALICE.founding.body, MALLORY.root)])
    yield _person("renewal-forged", phone, NOW, identities=[ALICE.founding, _renew(by=MALLORY.root)])
    yield _person("renewal-skips-serial", phone, NOW, identities=[ALICE.founding, _renew(serial=2)])
    yield _person("renewal-other-previous", phone, NOW, identities=[ALICE.founding, _renew(previous=BOB.founding.hash)])
    yield _person("renewal-changes-role", phone, NOW, identities=[ALICE.founding, _renew(role=Role.PRACTITIONER)])


def _generations(laptop: Signed[Device]) -> Iterator[Scenario]:
    """A root key that was replaced, and what its holder still tries."""
    phone, new_root = ALICE.device, make_signer("alice's new root")
    renewed = _renew(root_key=new_root.public_key, issued_at=NOW + 40)
    chain = [ALICE.founding, renewed]
    tablet = _device(TABLET, new_root, None, NOW + 40)
    dated_back = _device(MALLORY.phone, ALICE.root, None, NOW)
    enrolled = _device(LAPTOP, MALLORY.phone, dated_back, NOW + 60)
    removal = Removal(identity=ALICE.identity, device=tablet.hash, since=NOW, issued_at=NOW + 50)
    by_old, by_new = Signed.sign(removal, ALICE.root), Signed.sign(removal, new_root)
    before = [phone, laptop]
    yield _person("before-its-root-was-replaced", phone, NOW + 39, identities=chain, accepted=True)
    yield _person("root-replaced", phone, NOW + 40, identities=chain)
    yield _person("root-of-its-enroller-replaced", laptop, NOW + 40, identities=chain, devices=before)
    yield _person("new-root-later", tablet, NOW + 99, identities=chain, devices=[*before, tablet], accepted=True)
    yield _person("old-root-dates-back", dated_back, NOW + 40, identities=chain, devices=[phone, dated_back, tablet])
    yield _person(
        "enrolled-by-old-root-s-device", enrolled, NOW, identities=chain, devices=[dated_back, tablet, enrolled]
    )
    yield _person("old-root-after-new", tablet, NOW + 40, identities=chain, devices=[tablet, phone])
    yield _person(
        "old-root-removes-new-device",
        tablet,
        NOW + 99,
        identities=chain,
        devices=[phone, tablet],
        removals=[by_old],
        accepted=True,
    )
    yield _person("new-root-removes", tablet, NOW, identities=chain, devices=[phone, tablet], removals=[by_new])
    yield _person(
        "old-removal-after-new",
        phone,
        NOW,
        identities=chain,
        devices=[phone, tablet],
        removals=[by_new, Signed.sign(removal.model_copy(update={"device": phone.hash}), ALICE.root)],
    )
    back = renewed.body.model_copy(
        update={"serial": 2, "previous": renewed.hash, "root_key": ALICE.root.public_key, "issued_at": NOW + 50}
    )
    yield _person("root-comes-back", tablet, NOW + 99, identities=[*chain, Signed.sign(back, new_root)])


def _attestation(
    name: str,
    *,
    at: int = NOW,
    statement: Any = BOBS_ATTESTATION,
    lists: list[Any] | None = None,
    subject: Actor = BOB,
    identities: list[Signed[Identity]] | None = None,
    accepted: bool = False,
) -> Scenario:
    """Ask whether the subject is a practitioner at the time `at`, with the newest keys given."""
    given = {
        "attestation": statement.text,
        "revocation_lists": [signed.text for signed in ([REVOCATION_LIST] if lists is None else lists)],
        "registrars": [str(REGISTRAR.public_key)],
        "subject": str(subject.identity),
        "identities": [signed.text for signed in identities or [subject.founding]],
        "at": at,
    }
    return Scenario("attestation", name, given, {} if accepted else None)


def _attestations() -> Iterator[Scenario]:
    body, list_body = BOBS_ATTESTATION.body, REVOCATION_LIST.body
    mallory = make_signer("mallory's registrar")
    revoked = Signed.sign(list_body.model_copy(update={"number": 2, "revoked": (body.id,)}), REGISTRAR)
    other = Signed.sign(list_body.model_copy(update={"revoked": (AttestationId(bytes(16)),)}), REGISTRAR)
    long_list = Signed.sign(list_body.model_copy(update={"next_update": NOW + 60 * DAY}), REGISTRAR)
    renewed = Signed.sign(
        BOB.founding.body.model_copy(update={"serial": 1, "founding": BOB.identity, "previous": BOB.founding.hash}),
        BOB.root,
    )
    yield _attestation("first-second", accepted=True)
    yield _attestation("last-second", at=NOW + 30 * DAY - 1, lists=[long_list], accepted=True)
    yield _attestation("another-is-revoked", lists=[other], accepted=True)
    yield _attestation("too-early", at=NOW - 1)
    yield _attestation("expired", at=NOW + 30 * DAY, lists=[long_list])
    yield _attestation("revoked", lists=[revoked])
    yield _attestation("revoked-in-the-newer-list", lists=[revoked, REVOCATION_LIST])
    yield _attestation("no-list", lists=[])
    yield _attestation("stale-list", at=NOW + 7 * DAY)
    yield _attestation("list-forged", lists=[Signed.sign(list_body, mallory)])
    yield _attestation(
        "list-of-another",
        lists=[Signed.sign(list_body.model_copy(update={"registrar": mallory.public_key.fingerprint()}), mallory)],
    )
    yield _attestation("forged", statement=Signed.sign(body, mallory))
    yield _attestation(
        "unknown-registrar",
        statement=Signed.sign(body.model_copy(update={"registrar": mallory.public_key.fingerprint()}), mallory),
    )
    yield _attestation("of-another-subject", subject=MALLORY)
    yield _attestation("of-older-keys", identities=[BOB.founding, renewed])
