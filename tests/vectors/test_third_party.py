"""Other people's vectors, against the modules through which Carnet does its cryptography."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.bindings._rust import openssl

from carnet.errors import DecryptionError
from carnet.sealing import KemPrivateKey, PassphraseCost, derive_key, open_secret, stretch_passphrase
from carnet_keyservice.sealing import Secret, open_lock_key
from carnet_protocol.errors import SignatureError
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.signing import Signer, verify
from carnet_protocol.suites import Suite
from tests.vectors import deterministic

SHARED = Path(__file__).parents[3] / "shared" / "vectors"
WYCHEPROOF = SHARED / "wycheproof" / "testvectors_v1"


def _load(path: Path) -> Any:
    if not path.is_file():
        pytest.skip(f"the third-party vectors lie beside the project, in shared/vectors, and {path.name} is not there")
    return json.loads(path.read_text("utf-8"))


def _wycheproof(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in _load(WYCHEPROOF / name)["testGroups"]:
        for case in group["tests"]:
            yield group, case


def test_ed25519_of_wycheproof() -> None:
    count = 0
    for group, case in _wycheproof("ed25519_test.json"):
        key = Ed25519PublicKey(bytes.fromhex(group["publicKey"]["pk"]))
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        if case["result"] == "valid":
            verify(key, message, signature)
        else:
            with pytest.raises(SignatureError):
                verify(key, message, signature)
        count += 1
    assert count > 100


def test_ed25519_of_rfc_8032() -> None:
    """The first lines of the reference vectors: secret key, public key, message, signature."""
    with cryptography_vectors.open_vector_file("asymmetric/Ed25519/sign.input", "r") as file:
        lines = [next(file) for _ in range(256)]
    for line in lines:
        secret, public, message, signed, _ = line.split(":")
        signer = Signer(bytes.fromhex(secret)[:32])
        assert signer.public_key.raw.hex() == public
        assert signer.sign(bytes.fromhex(message)).hex() == signed[:128]


def test_xchacha20_poly1305_of_wycheproof() -> None:
    count = 0
    for group, case in _wycheproof("xchacha20_poly1305_test.json"):
        if group["ivSize"] != 192:
            continue
        sealed = bytes.fromhex(case["iv"] + case["ct"] + case["tag"])
        key, associated = bytes.fromhex(case["key"]), bytes.fromhex(case["aad"])
        if case["result"] == "valid":
            assert open_secret(key, sealed, context=associated).hex() == case["msg"]
        else:
            with pytest.raises(DecryptionError):
                open_secret(key, sealed, context=associated)
        count += 1
    assert count > 200


def test_hkdf_of_wycheproof() -> None:
    count = 0
    for _, case in _wycheproof("hkdf_sha256_test.json"):
        if case["salt"] or case["result"] != "valid" or not case["size"]:
            continue
        okm = derive_key(bytes.fromhex(case["ikm"]), bytes.fromhex(case["info"]), size=case["size"])
        assert okm.hex() == case["okm"]
        count += 1
    assert count >= 5


def test_argon2id_of_the_reference_program() -> None:
    """What Debian's `argon2 0123456789abcdef -id -t 3 -k 65536 -p 4 -l 32 -r` prints for `passphrase`."""
    cost = PassphraseCost(memory_kib=65_536, time_cost=3, parallelism=4)
    stretched = stretch_passphrase("passphrase", salt=b"0123456789abcdef", cost=cost)
    assert stretched.hex() == "b9a461ff4f5c6e7e47ef9d52360d51fee2b7fd5a66cc012958bffcd1c8c20a1b"


def test_x_wing_of_the_draft() -> None:
    cases = _load(SHARED / "xwing" / "spec" / "test-vectors.json")
    for case in cases:
        private_key = KemPrivateKey(bytes.fromhex(case["sk"]), Suite.X25519_MLKEM768)
        assert private_key.public_key.hex() == case["pk"]
        assert deterministic.kem_public_key(private_key.seed(), Suite.X25519_MLKEM768).hex() == case["pk"]
        shared, enc = deterministic._encapsulate(
            bytes.fromhex(case["pk"]), bytes.fromhex(case["eseed"]), Suite.X25519_MLKEM768
        )
        assert (shared.hex(), enc.hex()) == (case["ss"], case["ct"])
    assert cases


HPKE_OF = {
    (0x647A, 1, 3): (Suite.X25519_MLKEM768, "MLKEM768_X25519", "HKDF_SHA256", "CHACHA20_POLY1305"),
    (0x0051, 2, 2): (Suite.P384_MLKEM1024, "MLKEM1024_P384", "HKDF_SHA384", "AES_256_GCM"),
}


@pytest.mark.parametrize("which", HPKE_OF, ids=["suite 1", "suite 2"])
def test_hpke_of_the_working_group(which: tuple[int, int, int]) -> None:
    """Opened with the private key that client and key service expand from the seed."""
    suite, kem, kdf, aead = HPKE_OF[which]
    count = 0
    for case in _load(SHARED / "hpke-pq" / "test-vectors.json"):
        if (case["kem_id"], case["kdf_id"], case["aead_id"]) != which:
            continue
        hpke = openssl.hpke
        algorithms = hpke.Suite(getattr(hpke.KEM, kem), getattr(hpke.KDF, kdf), getattr(hpke.AEAD, aead))
        seed = bytes.fromhex(case["skRm"])
        private_key = KemPrivateKey(seed, suite)
        assert private_key.public_key.hex() == case["pkRm"]
        assert open_lock_key(Secret(seed), suite).public_key.hex() == case["pkRm"]
        assert deterministic.kem_public_key(seed, suite).hex() == case["pkRm"]
        first = case["encryptions"][0]
        plaintext = hpke._decrypt_with_aad(
            algorithms,
            bytes.fromhex(case["enc"] + first["ct"]),
            private_key._open(),
            bytes.fromhex(case["info"]),
            bytes.fromhex(first["aad"]),
        )
        assert plaintext.hex() == first["pt"]
        count += 1
    assert count


def test_the_encapsulation_of_the_working_group() -> None:
    """The generator of our own vectors gives the working group's shared secret, ciphertext and key schedule."""
    count = 0
    for case in _load(SHARED / "hpke-pq" / "test-vectors.json"):
        if case["kem_id"] != 0x0051:
            continue
        public_key, random = bytes.fromhex(case["pkRm"]), bytes.fromhex(case["ikmE"])
        shared, enc = deterministic._encapsulate(public_key, random, Suite.P384_MLKEM1024)
        assert (shared.hex(), enc.hex()) == (case["shared_secret"], case["enc"])
        key, nonce = deterministic._schedule(shared, bytes.fromhex(case["info"]), Suite.P384_MLKEM1024)
        assert (key.hex(), nonce.hex()) == (case["key"], case["base_nonce"])
        count += 1
    assert count
