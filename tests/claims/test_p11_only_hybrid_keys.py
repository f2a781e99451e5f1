"""P11: every key is sealed with a hybrid post-quantum KEM; nothing is sealed to a classical key alone."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carnet.sealing import seal_message
from carnet.transport import ServerName
from carnet_protocol.sealed_box import BoxKind
from carnet_protocol.statements import Compartment, Identity, Lock
from carnet_protocol.suites import SIZES, Suite
from tests.support import proofs
from tests.support.sealed import decode, parse_statement, read_tables
from tests.support.story_keys import find_keys, find_sealed
from tests.support.surfaces import KINDS, surface
from tests.support.traffic import objects_in, payload_of, statements_in
from tests.support.whole_story import WholeStory, tell

CLASSICAL: dict[str, x25519.X25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey] = {
    "X25519": x25519.X25519PrivateKey.generate().public_key(),
    "RSA": rsa.generate_private_key(public_exponent=65_537, key_size=2_048).public_key(),
    "P-256": ec.generate_private_key(ec.SECP256R1()).public_key(),
}
_PREFIXES = {"X25519": 12, "RSA": 24, "P-256": 26}
"""Bytes of a DER public key that say its algorithm, and no more."""


@pytest.mark.parametrize("name", proofs.scenarios("P11", "control: classical KEM"))
def test_p11_is_proven_from_the_inventory(name: str) -> None:
    proofs.check(name)


@pytest.fixture(scope="module")
def in_suite_2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeStory]:
    """The whole story once more, in a deployment that writes suite 2 and reads nothing below."""
    yield from tell(tmp_path_factory.mktemp("suite-2"), Suite.P384_MLKEM1024)


@pytest.fixture(params=Suite)
def suite(request: pytest.FixtureRequest) -> Suite:
    """The suite in which the story is told."""
    return Suite(request.param)


@pytest.fixture
def told(suite: Suite, request: pytest.FixtureRequest) -> WholeStory:
    """The whole story, in `suite`."""
    story: WholeStory = request.getfixturevalue("whole" if suite == 1 else "in_suite_2")
    return story


def test_every_public_key_at_rest_that_seals_anything_is_hybrid(told: WholeStory, suite: Suite) -> None:
    whole = told
    found: dict[str, int] = {}
    for server in ("vault", "keyservice"):
        tables = read_tables(whole.root / f"{server}.sqlite")
        for row in tables["statements"]:
            match parse_statement(row["jws"]).body:
                case Identity(account_kem_key=key, suite=written):
                    kind = "account"
                case Compartment(compartment_key=key, suite=written):
                    kind = "compartment"
                case Lock(lock_key=key, suite=written):
                    kind = "lock"
                case _:
                    continue
            assert written == suite
            _check_hybrid(key, suite)
            found[kind] = found.get(kind, 0) + 1
        for row in tables.get("record_locks", []):
            _check_hybrid(row["lock_key"], suite)
    assert set(found) == {"account", "compartment", "lock"}


def test_every_public_key_that_was_sent_signs_or_is_hybrid(told: WholeStory, suite: Suite) -> None:
    """Members that hold keys are told by their names; 32 bytes are Ed25519, which seals nothing."""
    whole, size = told, SIZES[suite].kem_public_key
    kinds: set[tuple[str, int]] = set()
    for exchange in whole.exchanges:
        for body in exchange.bodies():
            payloads = [payload_of(text)[1] for text in statements_in(body)]
            for value in [*objects_in(body), *(inner for payload in payloads for inner in objects_in(payload))]:
                kinds |= {
                    (name, len(decode(text)))
                    for name, text in value.items()
                    if isinstance(text, str) and name.endswith("key") and not name.startswith("sealed")
                }
    request = json.loads(whole.pairing_request.text)
    kinds |= {(name, len(decode(request[name]))) for name in ("kem_key", "device_key")}
    assert kinds == {
        ("account_kem_key", size),
        ("compartment_key", size),
        ("lock_key", size),
        ("kem_key", size),
        ("root_key", 32),
        ("device_key", 32),
        ("public_key", 32),  # an officer's
    }


@pytest.mark.parametrize("server", list(ServerName))
@pytest.mark.parametrize("kind", KINDS)
def test_no_classical_key_is_anywhere(told: WholeStory, server: ServerName, kind: str) -> None:
    data = surface(told, server, kind)
    for name, key in CLASSICAL.items():
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        prefix = der[: _PREFIXES[name]]
        assert prefix not in data, name
        assert prefix in data + der


def test_every_sealed_box_is_of_the_hybrid_suite(told: WholeStory, suite: Suite) -> None:
    """Kind, suite and length of each box on disk: nothing is shorter than both halves of the KEM's output.

    Every one of them opens with a key of the story, so that none was overlooked.
    """
    sealed = find_sealed(told)
    assert find_keys(told, sealed)
    kinds: set[int] = set()
    for one in (one for group in sealed.values() for one in group if one.is_box):
        if one.seal == "device-pairing":
            assert len(one.raw) > SIZES[suite].kem_enc
            continue
        assert one.raw[:4] == b"CRNT"
        assert int.from_bytes(one.raw[6:8], "big") == suite
        assert len(one.raw) > 8 + SIZES[suite].kem_enc
        kinds.add(one.raw[4])
    assert kinds == set(BoxKind)


@pytest.mark.parametrize("wrong", ["ML-KEM", "curve"])
def test_one_half_of_a_key_opens_nothing(suite: Suite, wrong: str) -> None:
    seed, other = bytes(range(32)), bytes(32)
    right, public_key = _key_pair(suite, seed, seed)
    box = seal_message(b"a compartment key", public_key, suite=suite, info=b"test")
    algorithms = {
        1: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
        2: hpke.Suite(hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM),
    }[suite]
    assert algorithms.decrypt(box, right, info=b"test") == b"a compartment key"
    half, _ = _key_pair(suite, other, seed) if wrong == "ML-KEM" else _key_pair(suite, seed, other)
    with pytest.raises(InvalidTag):
        algorithms.decrypt(box, half, info=b"test")


def test_classical_kems_are_named_nowhere_in_the_source() -> None:
    """X25519 and P-384 are imported where they are put together with ML-KEM, and nowhere else."""
    root = Path(__file__).parents[2]
    users: set[str] = set()
    for component in ("protocol", "client", "vault", "keyservice", "storage"):
        for path in (root / component).rglob("*.py"):
            text = path.read_text("utf-8")
            assert "asymmetric.rsa" not in text
            assert "asymmetric import rsa" not in text
            assert "SealedBox" not in text
            if "x25519" in text or "nacl.public" in text or re.search(r"asymmetric(\.| import )ec\b|SECP", text):
                assert "mlkem" in text, path
                users.add(path.relative_to(root).as_posix())
    assert users == {"client/carnet/sealing.py", "keyservice/carnet_keyservice/sealing.py"}


def _check_hybrid(key: bytes, suite: Suite) -> None:
    assert len(key) == SIZES[suite].kem_public_key
    assert seal_message(b"", key, suite=suite, info=b"")[: SIZES[suite].kem_enc]
    # Twelve bits a coefficient, each below the modulus of ML-KEM: random bytes are not.
    coefficients = [
        value
        for start in range(0, 1_152 if suite == 1 else 1_536, 3)
        for value in (
            key[start] | (key[start + 1] & 15) << 8,
            key[start + 1] >> 4 | key[start + 2] << 4,
        )
    ]
    assert max(coefficients) < 3_329


def _key_pair(
    suite: Suite, mlkem_seed: bytes, curve_seed: bytes
) -> tuple[hpke.MLKEM768X25519PrivateKey | hpke.MLKEM1024P384PrivateKey, bytes]:
    """A private key whose halves are of two seeds, and its public key."""
    mlkem = hashlib.shake_256(mlkem_seed).digest(64)
    if suite == 1:
        small = MLKEM768PrivateKey.from_seed_bytes(mlkem)
        curve = x25519.X25519PrivateKey.from_private_bytes(hashlib.shake_256(curve_seed).digest(96)[64:])
        public = small.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        return hpke.MLKEM768X25519PrivateKey(small, curve), public
    large = MLKEM1024PrivateKey.from_seed_bytes(mlkem)
    scalar = int.from_bytes(hashlib.shake_256(curve_seed).digest(112)[64:], "big")
    p384 = ec.derive_private_key(scalar, ec.SECP384R1())
    point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hpke.MLKEM1024P384PrivateKey(large, p384), large.public_key().public_bytes_raw() + point
