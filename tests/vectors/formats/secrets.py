"""Scenarios of a person's own keys: recovery, device name, keyring, device pairing, readers; and the lock at rest."""

import hashlib
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from argon2.low_level import Type, hash_secret_raw
from mnemonic import Mnemonic

from carnet_protocol import labels
from carnet_protocol.encoding import format_canonical_json, hash_packed, pack
from carnet_protocol.ids import Commitment
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Device, Identity, Recovery, Signed
from carnet_protocol.suites import Suite
from tests.vectors.deterministic import Stream, derive, kem_public_key, seal, seal_secret
from tests.vectors.people import ALICE, BOB, MALLORY, NOW, RECORD, make_signer, seal_device_name
from tests.vectors.scenario import Scenario, b64, flip

_PASSPHRASE: Final = "cinq petits bateaux à voile"
_DEVICE_SECRET: Final = Stream("device secret").take(32)


def make() -> Iterator[Scenario]:
    """Every scenario."""
    yield from _recoveries()
    yield from _device_names()
    yield from _keyrings()
    yield from _pairings(Suite.X25519_MLKEM768, "")
    yield from _pairings(Suite.P384_MLKEM1024, "-suite-2")
    yield from _readers()
    yield from _locks_at_rest()


def _recoveries() -> Iterator[Scenario]:
    words = Mnemonic("english").to_mnemonic(ALICE.recovery_secret)
    given = {
        "words": words,
        "identity": str(ALICE.identity),
        "identities": [ALICE.founding.text],
        "recoveries": [ALICE.recovery.text],
    }
    yield Scenario("recovery", "founding", given, {"account_keys": [b64(ALICE.account_key)]})
    new_key = Stream("alice's second account key").take(32)
    slot_key = derive(ALICE.recovery_secret, labels.RECOVERY_SLOT_KEY)
    renewed = Signed.sign(
        ALICE.founding.body.model_copy(
            update={
                "serial": 1,
                "founding": ALICE.identity,
                "previous": ALICE.founding.hash,
                "account_kem_key": kem_public_key(derive(new_key, labels.ACCOUNT_KEM_SEED)),
            }
        ),
        ALICE.root,
    )
    second = _recovery(renewed, new_key, slot_key)
    chain = {"identities": [ALICE.founding.text, renewed.text], "recoveries": [ALICE.recovery.text, second.text]}
    yield Scenario("recovery", "renewed", given | chain, {"account_keys": [b64(new_key), b64(ALICE.account_key)]})
    yield Scenario(
        "recovery", "renewed-without-its-recovery", given | chain | {"recoveries": [ALICE.recovery.text]}, None
    )
    yield Scenario(
        "recovery", "words-of-another", given | {"words": Mnemonic("english").to_mnemonic(BOB.recovery_secret)}, None
    )
    first, _, rest = words.partition(" ")
    wrong = "zoo" if first != "zoo" else "abandon"
    yield Scenario("recovery", "one-wrong-word", given | {"words": f"{wrong} {rest}"}, None)
    yield Scenario("recovery", "one-word-short", given | {"words": rest}, None)
    forged = Signed.sign(ALICE.recovery.body, BOB.root)
    yield Scenario("recovery", "forged", given | {"recoveries": [forged.text]}, None)
    members = {"sealed_account_key": BOB.recovery.body.sealed_account_key}
    moved = Signed.sign(ALICE.recovery.body.model_copy(update=members), ALICE.root)
    yield Scenario("recovery", "slot-of-another", given | {"recoveries": [moved.text]}, None)
    other_key = Signed.sign(
        ALICE.founding.body.model_copy(update={"recovery_commitment": Commitment(bytes(32))}), ALICE.root
    )
    given = given | {"identity": str(other_key.hash), "identities": [other_key.text]}
    yield Scenario("recovery", "commitment-to-another-kit", given, None)


def _recovery(statement: Signed[Identity], account_key: bytes, slot_key: bytes) -> Signed[Recovery]:
    random = Stream(f"recovery {statement.body.serial}")
    slot = pack(labels.RECOVERY_SLOT, ALICE.identity.raw, statement.hash.raw)
    previous = pack(labels.RECOVERY_SLOT, ALICE.identity.raw, ALICE.founding.hash.raw)
    body = Recovery(
        identity=ALICE.identity,
        identity_statement=statement.hash,
        sealed_account_key=seal_secret(slot_key, account_key, slot, random),
        sealed_previous=seal_secret(
            derive(account_key, labels.PREVIOUS_ACCOUNT_KEY), ALICE.account_key, previous, random
        ),
        issued_at=NOW,
    )
    return Signed.sign(body, ALICE.root)


def _device_names() -> Iterator[Scenario]:
    key = make_signer("alice's tablet")
    sealed = b64(seal_device_name(ALICE.account_key, ALICE.identity, key, "tablette", Stream("device name")))
    given = {
        "account_key": b64(ALICE.account_key),
        "identity": str(ALICE.identity),
        "device_key": str(key.public_key),
        "sealed_name": sealed,
    }
    yield Scenario("device-name", "good", given, {"name": "tablette"})
    yield Scenario("device-name", "flipped", given | {"sealed_name": flip(sealed)}, None)
    yield Scenario("device-name", "of-another-device", given | {"device_key": str(ALICE.phone.public_key)}, None)
    yield Scenario("device-name", "of-another-person", given | {"identity": str(BOB.identity)}, None)


def _keyrings() -> Iterator[Scenario]:
    def build(*, time_cost: int = 3, memory_kib: int = 65_536, parallelism: int = 1) -> dict[str, Any]:
        random = Stream("keyring")
        slot_id, salt = random.take(16), random.take(16)
        stretched = hash_secret_raw(
            unicodedata.normalize("NFC", _PASSPHRASE).encode(),
            salt,
            time_cost=time_cost,
            memory_cost=memory_kib,
            parallelism=parallelism,
            hash_len=32,
            type=Type.ID,
        )
        derived = derive(stretched + _DEVICE_SECRET, pack(labels.PASSPHRASE_SLOT_KEY, slot_id), 64)
        slot_data = pack(labels.KEYRING_SLOT, ALICE.identity.raw, slot_id, b"passphrase")
        slot = {
            "id": b64(slot_id),
            "kind": "passphrase",
            "created_at": NOW,
            "parameters": {
                "memory_kib": memory_kib,
                "parallelism": parallelism,
                "salt": b64(salt),
                "time_cost": time_cost,
            },
            "commitment": b64(derived[32:]),
            "sealed": b64(seal_secret(derived[:32], ALICE.account_key, slot_data, random)),
        }
        body_data = pack(labels.KEYRING_BODY, ALICE.identity.raw, 7)
        body = seal_secret(derive(ALICE.account_key, labels.KEYRING_BODY_KEY), b'{"example":1}', body_data, random)
        return {
            "body": b64(body),
            "format": "carnet.keyring.v1",
            "identity": str(ALICE.identity),
            "slots": [slot],
            "version": 7,
        }

    keyring = build()
    slot = keyring["slots"][0]
    given = {"keyring": keyring, "passphrase": _PASSPHRASE, "device_secret": b64(_DEVICE_SECRET)}
    output = {"account_key": b64(ALICE.account_key), "body": '{"example":1}'}
    yield Scenario("keyring", "good", given, output)
    decomposed = unicodedata.normalize("NFD", _PASSPHRASE)
    yield Scenario("keyring", "decomposed-passphrase", given | {"passphrase": decomposed}, output)
    yield Scenario("keyring", "wrong-passphrase", given | {"passphrase": _PASSPHRASE + " "}, None)
    yield Scenario("keyring", "wrong-device-secret", given | {"device_secret": b64(bytes(32))}, None)
    weak = {
        "time-cost-below-floor": build(time_cost=2),
        "memory-below-floor": build(memory_kib=32_768),
        "memory-above-ceiling": _with_parameters(keyring, memory_kib=1_048_577),
        "time-cost-above-ceiling": _with_parameters(keyring, time_cost=17),
        "parallelism-above-ceiling": _with_parameters(keyring, parallelism=17),
    }
    for name, other in weak.items():
        yield Scenario("keyring", name, given | {"keyring": other}, None)
    changes = {
        "slot-flipped": {"slots": [slot | {"sealed": flip(slot["sealed"])}]},
        "commitment-flipped": {"slots": [slot | {"commitment": flip(slot["commitment"])}]},
        "slot-id-changed": {"slots": [slot | {"id": b64(bytes(16))}]},
        "body-flipped": {"body": flip(keyring["body"])},
        "body-of-another-version": {"version": 6},
        "identity-of-another": {"identity": str(BOB.identity)},
        "format-2": {"format": "carnet.keyring.v2"},
        "no-slots": {"slots": []},
    }
    for name, change in changes.items():
        yield Scenario("keyring", name, given | {"keyring": keyring | change}, None)


def _with_parameters(keyring: dict[str, Any], **changes: int) -> dict[str, Any]:
    slot = keyring["slots"][0]
    return keyring | {"slots": [slot | {"parameters": slot["parameters"] | changes}]}


def _pairings(suite: Suite, suffix: str) -> Iterator[Scenario]:
    pairing_secret = Stream("pairing secret").take(32)
    device = Signer(derive(pairing_secret, labels.PAIRING_DEVICE_SEED))
    kem_key = kem_public_key(derive(pairing_secret, labels.PAIRING_KEM_SEED), suite)
    request = format_canonical_json(
        {
            "format": "carnet.device-request.v1",
            "device_key": str(device.public_key),
            "kem_key": b64(kem_key),
            "suite": int(suite),
        }
    )
    account_key = {"key": b64(ALICE.account_key), "statement": str(ALICE.founding.hash), "suite": 1}
    request_hash = _sha256(request)
    card_key = str(make_signer("card key").public_key.fingerprint())

    def answer(
        *, account_keys: list[dict[str, Any]] | None = None, person: dict[str, list[str]] | None = None, **more: object
    ) -> str:
        text = format_canonical_json(
            {
                "format": "carnet.device-answer.v1",
                "account_keys": [account_key] if account_keys is None else account_keys,
                "card_key": card_key,
                "person": _bundle_with(device) if person is None else person,
            }
            | more
        )
        return b64(seal(kem_key, pack(labels.DEVICE_PAIRING, request_hash), text, Stream("pairing"), suite))

    sealed = answer()
    digits = f"{int.from_bytes(hash_packed(labels.SHORT_CODE, request_hash), 'big') % 10**30:030d}"
    given = {"pairing_secret": b64(pairing_secret), "request": request.decode(), "answer": sealed, "card_key": card_key}
    output = {
        "code": " ".join(digits[start : start + 5] for start in range(0, 30, 5)),
        "identity": str(ALICE.identity),
        "account_keys": [account_key],
    }
    yield Scenario("device-pairing", f"good{suffix}", given, output)
    other = request.replace(str(device.public_key).encode(), str(ALICE.phone.public_key).encode())
    changes: dict[str, dict[str, str]] = {
        "answer-flipped": {"answer": flip(sealed)},
        "answer-to-another-request": {"request": other.decode()},
        "other-pairing-secret": {"pairing_secret": b64(bytes(32))},
        "request-with-space": {"request": request.decode() + " "},
        "card-of-another-deployment": {"answer": answer(card_key=str(MALLORY.root.public_key.fingerprint()))},
        "device-not-enrolled": {"answer": answer(person=ALICE.bundle())},
        "account-key-of-another": {"answer": answer(account_keys=[account_key | {"key": b64(BOB.account_key)}])},
        "account-key-of-another-statement": {
            "answer": answer(account_keys=[account_key | {"statement": str(BOB.founding.hash)}])
        },
        "no-account-key": {"answer": answer(account_keys=[])},
        "member-unknown": {"answer": answer(zz=1)},
        "request-of-other-suite": {"request": request.decode().replace(f'"suite":{suite:d}', f'"suite":{3 - suite}')},
        "account-key-of-other-suite": {"answer": answer(account_keys=[account_key | {"suite": 2}])},
    }
    for name, change in changes.items():
        yield Scenario("device-pairing", name + suffix, given | change, None)


def _bundle_with(key: Signer) -> dict[str, list[str]]:
    """Alice's statements with one device more, enrolled by her phone."""
    body = Device(
        identity=ALICE.identity,
        device_key=key.public_key,
        enrolled_by=ALICE.device.hash,
        sealed_name=seal_device_name(ALICE.account_key, ALICE.identity, key, "tablette", Stream("paired device name")),
        issued_at=NOW,
    )
    bundle = ALICE.bundle()
    return bundle | {"devices": [*bundle["devices"], Signed.sign(body, ALICE.phone).text]}


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _readers() -> Iterator[Scenario]:
    salt = Stream("readers salt").take(32)
    grants, revocations = [bytes([1]) * 32, bytes([2]) * 32], [bytes([3]) * 32]
    commitment = hash_packed(labels.READERS_COMMITMENT, salt, b"".join(grants), b"".join(revocations))
    given = {
        "salt": b64(salt),
        "grants": [b64(grant) for grant in reversed(grants)],
        "revocations": [b64(revocation) for revocation in revocations],
    }
    yield Scenario("readers-commitment", "two-grants-one-revocation", given, {"commitment": b64(commitment)})
    nobody = hash_packed(labels.READERS_COMMITMENT, salt, b"", b"")
    yield Scenario(
        "readers-commitment", "nobody", given | {"grants": [], "revocations": []}, {"commitment": b64(nobody)}
    )


def _locks_at_rest() -> Iterator[Scenario]:
    master_key, seed = Stream("master key").take(32), Stream("lock seed").take(32)
    associated = pack(labels.RECORD_LOCK_AT_REST, RECORD.raw, 1, 1)
    sealed = b64(seal_secret(master_key, seed, associated, Stream("lock at rest")))
    given = {
        "master_key": b64(master_key),
        "master_version": 1,
        "record": str(RECORD),
        "lock_version": 1,
        "sealed": sealed,
    }
    yield Scenario("lock-at-rest", "good", given, {"seed": b64(seed)})
    changes: dict[str, dict[str, Any]] = {
        "other-master-key": {"master_key": b64(bytes(32))},
        "other-master-version": {"master_version": 2},
        "other-record": {"record": str(BOB.identity)},
        "other-lock-version": {"lock_version": 2},
        "flipped": {"sealed": flip(sealed)},
        "cut": {"sealed": sealed[:-4]},
    }
    for name, change in changes.items():
        yield Scenario("lock-at-rest", name, given | change, None)
