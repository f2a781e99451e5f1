"""P11: every key is sealed with a hybrid post-quantum KEM; nothing is sealed to a classical key alone."""

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carnet.sealing import seal_message
from carnet.transport import ServerName
from carnet_protocol.sealed_box import BoxKind
from carnet_protocol.statements import Compartment, Identity, Lock
from carnet_protocol.suites import SIZES, Suite
from tests.support import proofs
from tests.support.sealed import Sealed, decode, parse_statement, read_tables
from tests.support.story_keys import Keys
from tests.support.surfaces import KINDS, surface
from tests.support.traffic import objects_in, payload_of, statements_in
from tests.support.whole_story import WholeStory

X_WING = SIZES[Suite.X25519_MLKEM768]
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


def test_every_public_key_at_rest_that_seals_anything_is_x_wing(whole: WholeStory) -> None:
    found: dict[str, int] = {}
    for server in ("vault", "keyservice"):
        tables = read_tables(whole.root / f"{server}.sqlite")
        for row in tables["statements"]:
            match parse_statement(row["jws"]).body:
                case Identity(account_kem_key=key, suite=suite):
                    kind = "account"
                case Compartment(compartment_key=key, suite=suite):
                    kind = "compartment"
                case Lock(lock_key=key, suite=suite):
                    kind = "lock"
                case _:
                    continue
            assert suite == Suite.X25519_MLKEM768
            _check_x_wing(key)
            found[kind] = found.get(kind, 0) + 1
        for row in tables.get("record_locks", []):
            _check_x_wing(row["lock_key"])
    assert set(found) == {"account", "compartment", "lock"}


def test_every_public_key_that_was_sent_signs_or_is_x_wing(whole: WholeStory) -> None:
    """Members that hold keys are told by their names; 32 bytes are Ed25519, which seals nothing."""
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
        ("account_kem_key", X_WING.kem_public_key),
        ("compartment_key", X_WING.kem_public_key),
        ("lock_key", X_WING.kem_public_key),
        ("kem_key", X_WING.kem_public_key),
        ("root_key", 32),
        ("device_key", 32),
        ("public_key", 32),  # an officer's
    }


@pytest.mark.parametrize("server", list(ServerName))
@pytest.mark.parametrize("kind", KINDS)
def test_no_classical_key_is_anywhere(whole: WholeStory, server: ServerName, kind: str) -> None:
    data = surface(whole, server, kind)
    for name, key in CLASSICAL.items():
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        prefix = der[: _PREFIXES[name]]
        assert prefix not in data, name
        assert prefix in data + der


def test_every_sealed_box_is_of_the_hybrid_suite(sealed: dict[str, list[Sealed]], keys: Keys) -> None:
    """Kind, suite and length of each box on disk: nothing is shorter than both halves of the KEM's output."""
    assert keys
    kinds: set[int] = set()
    for one in (one for group in sealed.values() for one in group if one.is_box):
        if one.seal == "device-pairing":
            assert len(one.raw) > X_WING.kem_enc
            continue
        assert one.raw[:4] == b"CRNT"
        assert int.from_bytes(one.raw[6:8], "big") == Suite.X25519_MLKEM768
        assert len(one.raw) > 8 + X_WING.kem_enc
        kinds.add(one.raw[4])
    assert kinds == set(BoxKind)


@pytest.mark.parametrize("wrong", ["ML-KEM", "X25519"])
def test_one_half_of_a_key_opens_nothing(wrong: str) -> None:
    seed, other = bytes(range(32)), bytes(32)
    right = _key_pair(seed, seed)
    public_key = right[0].public_key().public_bytes_raw() + right[1].public_key().public_bytes_raw()
    box = seal_message(b"a compartment key", public_key, info=b"test")
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    assert suite.decrypt(box, hpke.MLKEM768X25519PrivateKey(*right), info=b"test") == b"a compartment key"
    half = _key_pair(other, seed) if wrong == "ML-KEM" else _key_pair(seed, other)
    with pytest.raises(InvalidTag):
        suite.decrypt(box, hpke.MLKEM768X25519PrivateKey(*half), info=b"test")


def test_classical_kems_are_named_nowhere_in_the_source() -> None:
    """X25519 is imported where X-Wing is put together, with ML-KEM beside it, and nowhere else."""
    root = Path(__file__).parents[2]
    users: set[str] = set()
    for component in ("protocol", "client", "vault", "keyservice", "storage"):
        for path in (root / component).rglob("*.py"):
            text = path.read_text("utf-8")
            assert "asymmetric.rsa" not in text
            assert "asymmetric import rsa" not in text
            assert "SealedBox" not in text
            if "x25519" in text or "nacl.public" in text:
                assert "mlkem" in text, path
                users.add(path.relative_to(root).as_posix())
    assert users == {"client/carnet/sealing.py", "keyservice/carnet_keyservice/sealing.py"}


def _check_x_wing(key: bytes) -> None:
    assert len(key) == X_WING.kem_public_key
    assert seal_message(b"", key, info=b"")[: X_WING.kem_enc]
    # Twelve bits a coefficient, each below the modulus of ML-KEM: random bytes are not.
    coefficients = [
        value
        for start in range(0, 1_152, 3)
        for value in (
            key[start] | (key[start + 1] & 15) << 8,
            key[start + 1] >> 4 | key[start + 2] << 4,
        )
    ]
    assert max(coefficients) < 3_329


def _key_pair(mlkem_seed: bytes, x25519_seed: bytes) -> tuple[MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    mlkem = hashlib.shake_256(mlkem_seed).digest(96)[:64]
    classical = hashlib.shake_256(x25519_seed).digest(96)[64:]
    return MLKEM768PrivateKey.from_seed_bytes(mlkem), x25519.X25519PrivateKey.from_private_bytes(classical)
