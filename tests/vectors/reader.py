"""A second reader of Carnet's formats: knows nothing of this project's packages, only of `protocol/spec/`.

    python reader.py verdicts data        the verdict of every vector: 0 where all are as expected
    python reader.py export DIR           verifies and opens an exported record: prints its documents

Comments name the page and section that a step comes from.
"""

import base64
import hashlib
import hmac
import json
import re
import sys
import unicodedata
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM1024P384PrivateKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mnemonic import Mnemonic
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_core_ed25519_is_valid_point
from nacl.exceptions import CryptoError

Given = dict[str, Any]
PrivateKey = MLKEM768X25519PrivateKey | MLKEM1024P384PrivateKey
# keys.md, "Suites": public key and `enc` of the KEM, content digest and commitment
HPKE: Final = {
    1: Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    2: Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM),
}
KEY_SIZE: Final = {1: 1216, 2: 1665}
ENC_SIZE: Final = {1: 1120, 2: 1665}
DIGEST_SIZE: Final = {1: 32, 2: 48}
MAX_TIME: Final = 253402300799
DAY: Final = 86400


class Refused(Exception):  # noqa: N818  a verdict, not a fault
    """The input is not what it must be."""


def need(claim: bool, why: str) -> None:
    """Refuse unless `claim` holds."""
    if not claim:
        raise Refused(why)


# keys.md, "Encodings"


def unb64(text: Any, size: int | None = None) -> bytes:
    """The bytes of an unpadded base64url text, `size` many if that is given."""
    need(
        isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_-]*", text) is not None and len(text) % 4 != 1, "base64url"
    )
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(b64(data) == text, "trailing bits")
    need(size is None or len(data) == size, "length")
    return data


def b64(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def canonical(value: Any) -> bytes:
    """Canonical JSON."""
    check_value(value, 16)
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise Refused("lone surrogate") from error


def check_value(value: Any, depth: int) -> None:
    """Refuse what has no canonical form."""
    need(depth > 0, "too deep")
    if isinstance(value, dict):
        for name, item in value.items():
            need(name.isascii(), "a member name")
            check_value(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            check_value(item, depth - 1)
    elif isinstance(value, int) and not isinstance(value, bool):
        need(abs(value) <= 2**53 - 1, "a large integer")
    else:
        need(value is None or isinstance(value, bool | str), "a float")


def uncanonical(data: bytes) -> Given:
    """The object of which `data` is the canonical JSON."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise Refused("not JSON") from error
    need(isinstance(value, dict), "no object")
    need(canonical(value) == data, "another spelling")
    return dict(value)


def pack(label: str, *fields: bytes | int) -> bytes:
    """Injective encoding."""
    out = len(label).to_bytes(2, "big") + label.encode()
    for field in fields:
        data = field.to_bytes(8, "big") if isinstance(field, int) else field
        out += len(data).to_bytes(4, "big") + data
    return out


def H(label: str, *fields: bytes | int) -> bytes:  # noqa: N802  the specification's name
    """SHA-256 of pack."""
    return hashlib.sha256(pack(label, *fields)).digest()


def hkdf(secret: bytes, info: bytes, size: int = 32) -> bytes:
    """HKDF-SHA256, empty salt."""
    return HKDF(algorithm=hashes.SHA256(), length=size, salt=None, info=info).derive(secret)


def short_code(data: bytes) -> str:
    """keys.md, "Ids"."""
    digits = f"{int.from_bytes(H('carnet/v1/short-code', data), 'big') % 10**30:030d}"
    return " ".join(re.findall(".{5}", digits))


def open_secret(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """XChaCha20-Poly1305 behind its nonce."""
    need(len(sealed) >= 40, "a short secret")
    try:
        return bytes(crypto_aead_xchacha20poly1305_ietf_decrypt(sealed[24:], associated, sealed[:24], key))
    except CryptoError as error:
        raise Refused("a secret does not open") from error


def key_pair(seed: bytes, suite: int) -> tuple[PrivateKey, bytes]:
    """keys.md, "Suites": a seed's private key, and the bytes of its public key."""
    expanded = hashlib.shake_256(seed).digest(96 if suite == 1 else 112)
    if suite == 1:
        small, x25519 = (
            MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
            X25519PrivateKey.from_private_bytes(expanded[64:]),
        )
        public = small.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return MLKEM768X25519PrivateKey(small, x25519), public
    try:
        p384 = derive_private_key(int.from_bytes(expanded[64:], "big"), SECP384R1())
    except ValueError as error:
        raise Refused("a seed that gives no scalar") from error
    large = MLKEM1024PrivateKey.from_seed_bytes(expanded[:64])
    point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return MLKEM1024P384PrivateKey(large, p384), large.public_key().public_bytes_raw() + point


def public_key(seed: bytes, suite: int) -> bytes:
    """The public key of a seed."""
    return key_pair(seed, suite)[1]


def open_hpke(seed: bytes, suite: int, sealed: bytes, info: bytes) -> bytes:
    """HPKE base mode, single shot."""
    try:
        return HPKE[suite].decrypt(sealed, key_pair(seed, suite)[0], info)
    except (InvalidTag, ValueError) as error:
        raise Refused("a box does not open") from error


# statements.md

HASH, ID16 = "hash", "id16"
FIELDS: Final[dict[str, dict[str, str]]] = {
    "identity": {
        "suite": "suite", "role": "patient practitioner", "serial": "int0", "founding": "hash?", "previous": "hash?",
        "root_key": "key", "account_kem_key": "kem", "recovery_commitment": HASH, "issued_at": "time",
    },
    "device": {
        "identity": HASH, "device_key": "key", "enrolled_by": "hash?", "sealed_name": "b104", "issued_at": "time",
    },
    "removal": {"identity": HASH, "device": HASH, "since": "time", "issued_at": "time"},
    "recovery": {
        "identity": HASH, "identity_statement": HASH, "sealed_account_key": "b72", "sealed_previous": "b72?",
        "issued_at": "time",
    },
    "attestation": {
        "id": ID16, "registrar": HASH, "subject": HASH, "subject_statement": HASH, "succeeds": "hash?", "name": "text",
        "profession": "physician nurse midwife dentist pharmacist therapist laboratory hospital other",
        "organisation": "text", "not_before": "time", "expires": "time",
    },
    "revocation-list": {
        "registrar": HASH, "number": "int1", "issued_at": "time", "next_update": "time", "revoked": "ids1000",
    },
    "succession": {"predecessor": HASH, "successor": HASH, "successor_statement": HASH, "issued_at": "time"},
    "compartment": {
        "record": HASH, "compartment": ID16, "epoch": "int1", "previous": "hash?", "suite": "suite",
        "compartment_key": "kem", "sealed_name": "name", "readers_commitment": HASH, "sealed_opening": "box32",
        "keyservice": HASH, "device": HASH, "issued_at": "time",
    },
    "closing": {
        "record": HASH, "compartment": ID16, "epoch": "int1", "compartment_statement": HASH, "device": HASH,
        "issued_at": "time",
    },
    "lock": {
        "record": HASH, "version": "int1", "suite": "suite", "lock_key": "kem", "previous": "hash?",
        "keyservice": HASH, "issued_at": "time", "expires": "time",
    },
    "filing": {
        "record": HASH, "document": HASH, "serial": "int1", "previous": "hash?", "compartment": ID16, "device": HASH,
        "issued_at": "time",
    },
    "erasure": {"record": HASH, "vault": HASH, "keyservice": HASH, "issued_at": "time"},
    "manifest": {
        "suite": "suite", "record": HASH, "document": HASH, "document_salt": HASH, "version": "int1", "author": HASH,
        "device": HASH, "grant": "hash?", "previous": "hash?", "digest": "digest", "ciphertext_size": "size",
        "metadata_digest": HASH, "plaintext_commitment": "digest", "metadata_commitment": "digest",
        "created_at": "time",
    },
    "tombstone": {
        "record": HASH, "document": HASH, "manifest": HASH, "by": HASH, "device": HASH,
        "reason": "misfiled error patient-request", "issued_at": "time",
    },
    "reseal": {
        "record": HASH, "manifest": HASH, "serial": "int1", "previous": "hash?", "suite": "suite", "digest": "digest",
        "ciphertext_size": "size", "metadata_digest": HASH, "device": HASH, "issued_at": "time",
    },
    "grant": {
        "record": HASH, "id": ID16, "grantee": HASH, "grantee_statement": HASH, "attestation": HASH,
        "permission": "read deposit", "compartments": "ids256", "documents": "hashes256", "not_before": "time",
        "expires": "time",
        "purpose": "treatment consultation emergency diagnostics dispensing second-opinion administration",
        "sealed_note": "box256", "vault": HASH, "keyservice": HASH, "device": HASH, "issued_at": "time",
    },
    "revocation": {"record": HASH, "grant_id": ID16, "grant": HASH, "device": HASH, "issued_at": "time"},
    "service-card": {
        "card_key": "key", "serial": "int1", "name": "text", "vault": "server", "keyservice": "server",
        "registrars": "keys", "witnesses": "witnesses", "suite_floor": "code", "write_suite": "code",
        "issued_at": "time",
    },
    "receipt": {"server": HASH, "index": "int0", "time": "time", "leaf": HASH},
    "rotation-report": {
        "keyservice": HASH, "job": ID16, "rotates": "master locks suite destruction",
        "outcome": "finished aborted", "by": "hash?",
        "begun_at": "time", "ended_at": "time", "old_version": "int1?", "new_version": "int1?", "total": "int0",
        "done": "counts", "skipped": "counts", "old_references": "int0",
    },
    "destruction": {
        "keyservice": HASH, "officer": HASH, "destroys": "master-key record-locks", "version": "int1?",
        "retired_before": "time?", "issued_at": "time", "expires": "time",
    },
}  # fmt: skip


def check_field(value: Any, form: str) -> None:
    """statements.md, "Form" and the types."""
    if form.endswith("?"):
        if value is not None:
            check_field(value, form[:-1])
    elif form in {HASH, "key"} or form == ID16:
        data = unb64(value, 16 if form == ID16 else 32)
        need(form != "key" or crypto_core_ed25519_is_valid_point(data), "a key that is no point of the group")
    elif re.fullmatch("b[0-9]+", form):
        unb64(value, int(form[1:]))
    elif re.fullmatch("box[0-9]+", form):  # sealed to a key that the statement does not name, of any suite
        need(len(unb64(value)) in {box_size(suite, int(form[3:])) for suite in ENC_SIZE}, "a box")
    elif form in {"int0", "int1", "time", "suite", "code", "size"}:
        low = {"int0": 0, "int1": 1, "time": 0, "suite": 1, "code": 1, "size": 16472}[form]
        high = {"time": MAX_TIME, "suite": 2, "code": 65535}.get(form, 2**53 - 1)
        need(isinstance(value, int) and not isinstance(value, bool) and low <= value <= high, "an integer")
    elif form == "text":
        need(isinstance(value, str) and 1 <= len(value) <= 200 and is_shown(value), "a text")
    elif re.fullmatch("(ids|hashes)[0-9]+", form):
        size, most = (16 if form.startswith("ids") else 32), int(re.sub("[a-z]", "", form))
        need(isinstance(value, list) and len(value) <= most, "a list")
        ids = [unb64(item, size) for item in value]
        need(ids == sorted(set(ids)), "a list that does not ascend")
    elif form == "counts":
        need(isinstance(value, list) and len(value) <= 16, "a list")
        for item in value:
            need(isinstance(item, dict) and set(item) == {"name", "count"}, "a count")
            check_field(item["name"], "text")
            check_field(item["count"], "int0")
    elif form in {"server", "witnesses", "keys"}:
        check_servers(value, form)
    else:
        need(value in form.split(), "a word")


def is_shown(text: str) -> bool:
    """Printable, and no space at an end."""
    return text.isprintable() and text == text.strip()


def check_servers(value: Any, form: str) -> None:
    """statements.md, "Deployment"."""
    if form == "keys":
        need(isinstance(value, list) and 1 <= len(value) <= 16, "a list of keys")
        for key in value:
            check_field(key, "key")
    elif form == "witnesses":
        need(isinstance(value, list) and len(value) <= 16, "a list of witnesses")
        for witness in value:
            need(set(witness) == {"key", "name", "origin"}, "a witness")
            check_field(witness["key"], "key")
            check_field(witness["name"], "text")
            check_origin(witness["origin"])
    else:
        need(isinstance(value, dict) and set(value) == {"key", "log_key", "origin"}, "a server")
        check_field(value["key"], "key")
        check_field(value["log_key"], "key")
        check_origin(value["origin"])


def check_origin(origin: Any) -> None:
    """scheme://host or scheme://host:port; http on loopback alone."""
    need(isinstance(origin, str), "an origin")
    parts = urlsplit(origin)
    port = f":{parts.port}" if parts.port else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    need(bool(host) and origin == f"{parts.scheme}://{host}{port}" and parts.scheme in {"http", "https"}, "an origin")
    need(parts.scheme == "https" or parts.hostname in {"127.0.0.1", "::1", "localhost"}, "plain http")


def resolve(form: str, body: Given) -> str:
    """The form of a field whose size is that of the statement's suite."""
    if form == "kem":
        return f"b{KEY_SIZE[body['suite']]}"
    if form == "digest":
        return f"b{DIGEST_SIZE[body['suite']]}"
    return f"b{box_size(body['suite'], 128)}" if form == "name" else form


def parse_statement(text: str, kind: str) -> Given:
    """The payload of a statement of `kind`, its signature not yet checked."""
    need(text.isascii() and len(text) <= 65536, "too long")
    parts = text.split(".")
    need(len(parts) == 3, "three segments")
    need(parts[0] == b64(canonical({"alg": "Ed25519", "typ": f"carnet.{kind}.v1"})), "another header")
    unb64(parts[2], 64)
    body = uncanonical(unb64(parts[1]))
    need(set(body) == set(FIELDS[kind]), "members")
    if "suite" in FIELDS[kind]:
        check_field(body["suite"], "suite")
    for name, form in FIELDS[kind].items():
        check_field(body[name], resolve(form, body))
    check_rules(kind, body)
    return body


def check_rules(kind: str, body: Given) -> None:
    """What a kind says beyond its fields' types."""
    if kind == "identity":
        first = body["serial"] == 0
        need(first == (body["founding"] is None) == (body["previous"] is None), "serial and founding")
    if kind in {"compartment", "filing", "reseal", "manifest"}:
        number = body[{"compartment": "epoch", "manifest": "version"}.get(kind, "serial")]
        need((number == 1) == (body["previous"] is None), "the first alone has none before")
    if kind == "manifest":
        made = H("carnet/v1/document-id", *(unb64(body[name]) for name in ("record", "author", "document_salt")))
        need(b64(made) == body["document"], "another document id")
        need((body["grant"] is None) == (body["record"] == body["author"]), "the patient alone has no grant")
        need(body["version"] <= 10000, "version")
    window = {
        "attestation": ("not_before", "expires", 90 * DAY),
        "revocation-list": ("issued_at", "next_update", 90 * DAY),
        "lock": ("issued_at", "expires", 30 * DAY),
        "destruction": ("issued_at", "expires", 7 * DAY),
        "grant": ("not_before", "expires", 366 * DAY * (10 if body.get("permission") == "deposit" else 1)),
    }.get(kind)
    if window is not None:
        need(0 < body[window[1]] - body[window[0]] <= window[2], "a window")
    if kind == "grant":
        need(bool(body["compartments"]) != bool(body["documents"]), "a scope")
        need(body["permission"] == "read" or len(body["compartments"]) == 1, "a deposit grant's scope")
        need(body["grantee"] != body["record"], "a grant to oneself")
    if kind == "attestation":
        need(body["succeeds"] != body["subject"], "a successor of oneself")
    if kind == "succession":
        need(body["predecessor"] != body["successor"], "a successor of oneself")
    if kind == "destruction":
        need((body["version"] is None) == (body["destroys"] == "record-locks"), "what is destroyed")
        need((body["version"] is None) != (body["retired_before"] is None), "what is destroyed")
    if kind == "service-card":
        keys = [body["card_key"], *body["registrars"], *(witness["key"] for witness in body["witnesses"])]
        keys += [body[server][name] for server in ("vault", "keyservice") for name in ("key", "log_key")]
        need(len(set(keys)) == len(keys), "one key twice")
        need(body["write_suite"] >= body["suite_floor"], "written below the floor")


def verify_statement(text: str, key: bytes) -> None:
    """Check the signature."""
    signing_input, _, signature = text.rpartition(".")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(unb64(signature, 64), signing_input.encode())
    except InvalidSignature as error:
        raise Refused("a signature") from error


def statement_hash(text: str) -> str:
    """A statement's name."""
    return b64(hashlib.sha256(text.rpartition(".")[0].encode()).digest())


class Person:
    """statements.md, "People": identities, devices and removals in order."""

    def __init__(self, identity: str, identities: list[str], devices: list[str], removals: list[str]) -> None:
        chain = [parse_statement(text, "identity") for text in identities]
        need(
            bool(chain) and statement_hash(identities[0]) == identity and chain[0]["serial"] == 0, "founding statement"
        )
        verify_statement(identities[0], unb64(chain[0]["root_key"]))
        for number in range(1, len(chain)):
            before, body = chain[number - 1], chain[number]
            need(body["founding"] == identity and body["previous"] == statement_hash(identities[number - 1]), "chain")
            need(body["serial"] == before["serial"] + 1 and body["role"] == before["role"], "chain")
            verify_statement(identities[number], unb64(before["root_key"]))
        self.chain, self.current = chain, statement_hash(identities[-1])
        self.statements = dict(zip(map(statement_hash, identities), chain, strict=True))
        # The generations: each root key once, and when it was replaced
        roots, replaced = [chain[0]["root_key"]], []
        for body in chain[1:]:
            if body["root_key"] != roots[-1]:
                replaced.append(body["issued_at"])
                roots.append(body["root_key"])
        need(len(set(roots)) == len(roots), "a root key comes back")
        self.devices: dict[str, Given] = {}
        self.void: dict[str, int] = {}
        self.removed_at: dict[str, int] = {}
        generations: dict[str, int] = {}
        newest = 0
        for text in devices:
            body, name = parse_statement(text, "device"), statement_hash(text)
            need(body["identity"] == identity, "another's device")
            if body["enrolled_by"] is None:
                newest = generations[name] = signing_generation(text, roots, newest)
            else:
                need(body["enrolled_by"] in self.devices, "an unknown enroller")
                verify_statement(text, unb64(self.devices[body["enrolled_by"]]["device_key"]))
                generations[name] = generations[body["enrolled_by"]]
            self.devices[name] = body
            if generations[name] < len(replaced):
                self.void[name] = self.removed_at[name] = replaced[generations[name]]
        newest = 0
        for text in removals:
            body = parse_statement(text, "removal")
            need(body["identity"] == identity, "another's removal")
            newest = signing_generation(text, roots, newest)
            if generations.get(body["device"], newest) <= newest:
                self.shut_out(body["device"], body["since"], body["issued_at"])
        for name, body in self.devices.items():
            enroller = body["enrolled_by"]
            if enroller in self.void and body["issued_at"] >= self.void[enroller]:
                self.shut_out(name, 0, self.removed_at[enroller])

    def shut_out(self, device: str, since: int, at: int) -> None:
        """Note a removal; of several the earliest times count."""
        self.void[device] = min(since, self.void.get(device, since))
        self.removed_at[device] = min(at, self.removed_at.get(device, at))

    def device_key(self, device: str, at: int) -> bytes:
        """The key of a device that spoke for the person at that time."""
        need(device in self.devices and at < self.void.get(device, MAX_TIME + 1), "a device that counts for nothing")
        return unb64(self.devices[device]["device_key"])

    def unremoved_key(self, device: str, at: int) -> bytes:
        """The key for a link of a chain, a filing or a reseal: what was signed before the removal itself stays."""
        need(device in self.devices, "an unknown device")
        is_void = at >= self.void.get(device, MAX_TIME + 1) and at >= self.removed_at[device]
        need(not is_void, "a device that was removed")
        return unb64(self.devices[device]["device_key"])


def signing_generation(text: str, roots: list[str], first: int) -> int:
    """Which root key signed, none before `first`."""
    for generation in range(first, len(roots)):
        try:
            verify_statement(text, unb64(roots[generation]))
        except Refused:
            continue
        return generation
    raise Refused("signed by no root key, or out of order")


def verify_by_any(text: str, keys: list[bytes]) -> None:
    """Check the signature by one of `keys`."""
    for key in keys:
        try:
            return verify_statement(text, key)
        except Refused:
            continue
    raise Refused("signed by none of these")


def check_attestation(given: Given) -> Given:
    """statements.md, "Directory"."""
    person = Person(given["subject"], given["identities"], [], [])
    body = parse_statement(given["attestation"], "attestation")
    keys = {b64(H("carnet/v1/key-fingerprint", unb64(key))): unb64(key) for key in given["registrars"]}
    need(body["registrar"] in keys, "an unknown registrar")
    verify_statement(given["attestation"], keys[body["registrar"]])
    need(body["subject"] == given["subject"] and body["subject_statement"] == person.current, "other keys")
    need(body["not_before"] <= given["at"] < body["expires"], "not in force")
    lists = [(parse_statement(text, "revocation-list"), text) for text in given["revocation_lists"]]
    mine = [pair for pair in lists if pair[0]["registrar"] == body["registrar"]]
    need(bool(mine), "no list")
    newest, text = max(mine, key=lambda pair: pair[0]["number"])
    verify_statement(text, keys[body["registrar"]])
    need(given["at"] < newest["next_update"] and body["id"] not in newest["revoked"], "revoked or stale")
    return {}


# keys.md, "Sealed boxes"

PLAIN: Final = {1: 32, 3: 32, 4: 32, 6: 128, 7: 32, 8: 256}


def box_size(suite: int, plaintext: int) -> int:
    """Bytes of a box around `plaintext` bytes."""
    return 8 + ENC_SIZE[suite] + plaintext + 16


def identity_tuple(at: Given) -> bytes:
    """keys.md, "What is bound where"."""
    need(at["suite"] in {1, 2}, "an unknown suite")
    names = ("suite", "record", "document", "version", "author")
    values = [at[name] if isinstance(at[name], int) else unb64(at[name], 32) for name in names]
    return pack("carnet/v1/identity-tuple", *values)


def box_info(kind: int, header: bytes, at: Given) -> bytes:
    """The `info` of a box of each kind."""

    def raw(name: str) -> bytes:
        return b"" if at[name] is None else unb64(at[name])

    if kind in {1, 2}:
        fields: list[bytes | int] = [
            identity_tuple(at),
            at["role"].encode(),
            raw("compartment"),
            raw("compartment_statement"),
        ]
        fields += [raw("lock_statement")] if kind == 2 else []
        return pack("carnet/v1/inner-lock" if kind == 1 else "carnet/v1/outer-lock", header, *fields)
    if kind in {4, 5}:
        fields = [identity_tuple(at), at["role"].encode(), raw("grant"), raw("grantee"), raw("grantee_statement")]
        fields += [raw("lock_statement")] if kind == 5 else []
        return pack("carnet/v1/personal-inner-lock" if kind == 4 else "carnet/v1/personal-outer-lock", header, *fields)
    if kind == 3:
        label, fields = "sealed-compartment-key", [raw("compartment_statement"), raw("grant"), raw("reader_statement")]
    elif kind == 8:
        label, fields = "grant-note", [raw("record"), raw("grant_id"), raw("grantee_statement")]
    else:
        label = "compartment-name" if kind == 6 else "readers-opening"
        fields = [raw("record"), raw("compartment"), at["epoch"]]
    return pack(f"carnet/v1/{label}", header, *fields)


def open_box(kind: int, seed: bytes, suite: int, box: bytes, at: Given) -> bytes:
    """Check the header in the order given, then open with the key of `seed`, which is one of `suite`."""
    need(len(box) >= 8 and box[:4] == b"CRNT", "magic")
    need(box[4] == kind and box[5] == 1, "kind or version")
    need(int.from_bytes(box[6:8], "big") == suite, "another suite than that of the key")
    plain = PLAIN[kind] if kind in PLAIN else box_size(at["inner_suite"], 32) if at["inner_suite"] in ENC_SIZE else -1
    need(len(box) == box_size(suite, plain), "length")
    return open_hpke(seed, suite, box[8:], box_info(kind, box[:8], at))


# document.md


def padded_size(size: int) -> int:
    """document.md, "Padding"."""
    need(0 <= size <= 64 * 2**30, "too large")
    return padme(size, 16384)


def padme(size: int, floor: int) -> int:
    """Padmé with a floor."""
    if size <= floor:
        return floor
    exponent = size.bit_length() - 1
    mask = (1 << (exponent - (exponent.bit_length() - 1 + 1))) - 1
    return (size + mask) & ~mask


def D(suite: int, data: bytes) -> bytes:  # noqa: N802  the specification's name
    """document.md, "Digest"."""
    return blake3(data).digest() if suite == 1 else hashlib.sha384(data).digest()


def K(suite: int, key: bytes, data: bytes) -> bytes:  # noqa: N802  the specification's name
    """document.md, "Commitments"."""
    return blake3(data, key=key).digest() if suite == 1 else hmac.digest(key, data, "sha384")


def leaf_list(suite: int, ciphertext: bytes) -> bytes:
    """document.md, "Digest"."""
    chunks, rest = divmod(len(ciphertext) - 56, 16400)
    need(chunks >= 0 and rest >= 16, "an impossible size")
    count = max(1, -(-(chunks * 16384 + rest - 16) // 2**20))
    edges = [0, *(56 + number * 1049600 for number in range(1, count)), len(ciphertext)]
    return b"".join(D(suite, b"\0" + ciphertext[edges[i] : edges[i + 1]]) for i in range(count))


def content_digest(suite: int, size: int, leaves: bytes) -> bytes:
    """The root over the leaf list."""
    return D(suite, b"\1" + size.to_bytes(8, "big") + leaves)


def plaintext_commitment(suite: int, key: bytes, plaintext: bytes) -> bytes:
    """document.md, "Commitments"."""
    leaves = [plaintext[start : start + 2**20] for start in range(0, len(plaintext), 2**20)] or [b""]
    hashed = b"".join(K(suite, key, b"\0" + leaf) for leaf in leaves)
    return K(suite, key, b"\1" + len(plaintext).to_bytes(8, "big") + hashed)


def metadata_commitment(suite: int, key: bytes, metadata: bytes) -> bytes:
    """document.md, "Commitments"."""
    return K(suite, key, b"\2" + metadata)


def decrypt(key: bytes, context: bytes, ciphertext: bytes) -> bytes:
    """Cobblestone-256."""
    try:
        decryptor = Cobblestone256Decryptor(key, context)
        return decryptor.update(ciphertext) + decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise Refused("a ciphertext does not open") from error


METADATA: Final = {
    "format", "title", "kind", "care_date", "author_name", "media_type", "size", "file_name", "comment",
    "commitment_key",
}  # fmt: skip


def parse_metadata(data: bytes, suite: int, commitment: str) -> Given:
    """document.md, "Metadata"."""
    length = int.from_bytes(data[:4], "big")
    need(4 + length <= len(data) == max(1024, padme(4 + length, 1024)), "the metadata's size")
    need(not any(data[4 + length :]), "the metadata's padding")
    body = uncanonical(data[4 : 4 + length])
    need(set(body) == METADATA and body["format"] == "carnet.metadata.v1", "the metadata's members")
    for name in ("title", "author_name"):
        check_field(body[name], "text")
    kind = body["kind"]
    need(isinstance(kind, dict) and set(kind) == {"code", "display", "system"}, "kind")
    need(kind["system"] == "http://loinc.org" and isinstance(kind["code"], str), "kind")
    check_field(kind["display"], "text")
    if body["care_date"] is not None:
        try:
            need(date.fromisoformat(body["care_date"]).isoformat() == body["care_date"], "date")
        except (TypeError, ValueError) as error:
            raise Refused("date") from error
    need(isinstance(body["media_type"], str) and body["media_type"].count("/") == 1, "media type")
    need(isinstance(body["size"], int) and not isinstance(body["size"], bool) and body["size"] >= 0, "size")
    if body["file_name"] is not None:
        name = body["file_name"]
        need(isinstance(name, str) and 1 <= len(name.encode()) <= 255 and name not in {".", ".."}, "file name")
        need(name.isprintable() and "/" not in name and "\\" not in name, "file name")
    need(body["comment"] is None or (isinstance(body["comment"], str) and len(body["comment"]) <= 2000), "comment")
    committed = metadata_commitment(suite, unb64(body["commitment_key"], 32), data[4 : 4 + length])
    need(b64(committed) == commitment, "the author's commitment to the metadata")
    return body


def open_version(person: Person, given: Given, reseal: Given | None = None) -> tuple[Given, bytes, Given]:
    """document.md, "Reading", steps 1, 2, 5, 7 and 8: the manifest, the content, the metadata."""
    manifest = parse_statement(given["manifest"], "manifest")
    asked = {"record": given["record"], "document": given["document"], "version": given["version"]}
    need({name: manifest[name] for name in asked} == asked, "another version")
    verify_statement(given["manifest"], person.device_key(manifest["device"], manifest["created_at"]))
    now = manifest if reseal is None else reseal
    metadata, ciphertext = unb64(given["metadata"]), unb64(given["ciphertext"])
    need(b64(hashlib.sha256(metadata).digest()) == now["metadata_digest"], "the metadata's digest")
    bound = identity_tuple(manifest)
    key = unb64(given["metadata_key"], 32)
    padded_metadata = decrypt(key, pack("carnet/v1/metadata-context", bound), metadata)
    body = parse_metadata(padded_metadata, manifest["suite"], manifest["metadata_commitment"])
    padded = padded_size(body["size"])
    size = 56 + padded + 16 * (padded // 16384 + 1)
    need(size == len(ciphertext) == now["ciphertext_size"], "the ciphertext's size")
    leaves = unb64(given["leaf_list"])
    need(b64(content_digest(now["suite"], size, leaves)) == now["digest"], "the leaf list")
    need(leaf_list(now["suite"], ciphertext) == leaves, "a leaf")
    plaintext = decrypt(unb64(given["content_key"], 32), pack("carnet/v1/content-context", bound), ciphertext)
    need(not any(plaintext[body["size"] :]), "the padding")
    plaintext = plaintext[: body["size"]]
    committed = plaintext_commitment(manifest["suite"], unb64(body["commitment_key"]), plaintext)
    need(b64(committed) == manifest["plaintext_commitment"], "the author's commitment")
    return manifest, plaintext, body


# The verdict of each format of vectors


def verdict_sealed_box(given: Given) -> Given:
    seed, box = unb64(given["seed"]), unb64(given["box"])
    return {"plaintext": b64(open_box(given["kind"], seed, given["suite"], box, given["coordinates"]))}


def verdict_capsule(given: Given) -> Given:
    at, inner_suite, outer_suite = given["coordinates"], given["compartment_suite"], given["lock_suite"]
    need(at["inner_suite"] == inner_suite, "another suite than that of the compartment key")
    inner = open_box(2, unb64(given["lock_seed"]), outer_suite, unb64(given["capsule"]), at)
    return {"key": b64(open_box(1, unb64(given["compartment_seed"]), inner_suite, inner, at))}


def verdict_version(given: Given) -> Given:
    author = parse_statement(given["manifest"], "manifest")["author"]
    bundle = given["person"]
    person = Person(author, bundle["identities"], bundle["devices"], bundle["removals"])
    reseal = None
    if given["reseal"] is not None:
        reseal = check_reseal(given["reseal"], given["manifest"], person)
    _, content, metadata = open_version(person, given, reseal)
    return {"content": b64(content), "metadata": metadata}


def verdict_person(given: Given) -> Given:
    person = Person(given["identity"], given["identities"], given["devices"], given["removals"])
    return {"device_key": b64(person.device_key(given["device"], given["at"])), "current": person.current}


def verdict_statement(given: Given) -> Given:
    parse_statement(given["statement"], given["kind"])
    verify_statement(given["statement"], unb64(given["key"], 32))
    return {"hash": statement_hash(given["statement"])}


def verdict_pack(given: Given) -> Given:
    fields = [int(f["integer"]) if "integer" in f else bytes.fromhex(f["hex"]) for f in given["fields"]]
    packed = pack(given["label"], *fields)
    return {"packed_hex": packed.hex(), "sha256_hex": hashlib.sha256(packed).hexdigest()}


def verdict_recovery(given: Given) -> Given:
    """keys.md, "Recovery"."""
    words = Mnemonic("english")
    need(len(given["words"].split()) == 24 and words.check(given["words"]), "words")
    secret = bytes(words.to_entropy(given["words"]))
    person = Person(given["identity"], given["identities"], [], [])
    root = Ed25519PrivateKey.from_private_bytes(hkdf(secret, b"carnet/v1/recovery/root-seed"))
    root_key = root.public_key().public_bytes_raw()
    slot_key = hkdf(secret, b"carnet/v1/recovery/slot-key")
    newest = person.chain[-1]
    need(b64(root_key) == newest["root_key"], "another root key")
    need(b64(H("carnet/v1/recovery-commitment", slot_key)) == newest["recovery_commitment"], "another kit")
    recoveries: dict[str, Given] = {}
    for text in given["recoveries"]:
        body = parse_statement(text, "recovery")
        need(body["identity"] == given["identity"] and body["identity_statement"] in person.statements, "another's")
        verify_statement(text, unb64(person.statements[body["identity_statement"]]["root_key"]))
        recoveries[body["identity_statement"]] = body
    identity, name = unb64(given["identity"]), person.current
    need(name in recoveries, "no recovery for the newest statement")
    slot = pack("carnet/v1/recovery/slot", identity, unb64(name))
    key = open_secret(slot_key, unb64(recoveries[name]["sealed_account_key"]), slot)
    keys = [key]
    while True:
        seed = hkdf(key, b"carnet/v1/account/kem-seed")
        need(
            b64(public_key(seed, person.statements[name]["suite"])) == person.statements[name]["account_kem_key"],
            "another account key",
        )
        previous = person.statements[name]["previous"]
        if previous is None or name not in recoveries or recoveries[name]["sealed_previous"] is None:
            return {"account_keys": [b64(item) for item in keys]}
        slot = pack("carnet/v1/recovery/slot", identity, unb64(previous))
        sealed = unb64(recoveries[name]["sealed_previous"])
        key = open_secret(hkdf(key, b"carnet/v1/account/previous"), sealed, slot)
        keys.append(key)
        name = previous


def unpad_text(data: bytes, length_size: int) -> str:
    """keys.md: length, UTF-8, zeros."""
    end = length_size + int.from_bytes(data[:length_size], "big")
    need(end <= len(data) and not any(data[end:]), "padding of a text")
    return data[length_size:end].decode()


def verdict_device_name(given: Given) -> Given:
    associated = pack("carnet/v1/device-name", unb64(given["identity"]), unb64(given["device_key"]))
    key = hkdf(unb64(given["account_key"]), b"carnet/v1/device-name-key")
    return {"name": unpad_text(open_secret(key, unb64(given["sealed_name"]), associated), 1)}


def verdict_keyring(given: Given) -> Given:
    """keys.md, "Keyring file"."""
    ring = given["keyring"]
    need(set(ring) == {"body", "format", "identity", "slots", "version"}, "members")
    need(ring["format"] == "carnet.keyring.v1" and len(ring["slots"]) >= 1, "format or slots")
    slot = ring["slots"][0]
    cost = slot["parameters"]
    need(65536 <= cost["memory_kib"] <= 1048576 and 3 <= cost["time_cost"] <= 16, "cost")
    need(1 <= cost["parallelism"] <= 16, "cost")
    stretched = hash_secret_raw(
        unicodedata.normalize("NFC", given["passphrase"]).encode(),
        unb64(cost["salt"]),
        time_cost=cost["time_cost"],
        memory_cost=cost["memory_kib"],
        parallelism=cost["parallelism"],
        hash_len=32,
        type=Type.ID,
    )
    slot_id, identity = unb64(slot["id"], 16), unb64(ring["identity"], 32)
    info = pack("carnet/v1/keyring/passphrase-slot-key", slot_id)
    derived = hkdf(stretched + unb64(given["device_secret"]), info, 64)
    need(hmac.compare_digest(derived[32:], unb64(slot["commitment"])), "commitment")
    associated = pack("carnet/v1/keyring/slot", identity, slot_id, slot["kind"].encode())
    account_key = open_secret(derived[:32], unb64(slot["sealed"]), associated)
    body_key = hkdf(account_key, b"carnet/v1/keyring/body-key")
    body = open_secret(body_key, unb64(ring["body"]), pack("carnet/v1/keyring/body", identity, ring["version"]))
    return {"account_key": b64(account_key), "body": body.decode()}


def verdict_device_pairing(given: Given) -> Given:
    """keys.md, "A second device"."""
    secret = unb64(given["pairing_secret"], 32)
    device = Ed25519PrivateKey.from_private_bytes(hkdf(secret, b"carnet/v1/device-pairing/device-seed"))
    device_key = device.public_key().public_bytes_raw()
    seed = hkdf(secret, b"carnet/v1/device-pairing/kem-seed")
    request = uncanonical(given["request"].encode())
    need(set(request) == {"device_key", "format", "kem_key", "suite"}, "members")
    need(request["format"] == "carnet.device-request.v1", "format")
    suite = request["suite"]
    check_field(suite, "suite")
    kem_key = b64(public_key(seed, suite))
    need((request["device_key"], request["kem_key"]) == (b64(device_key), kem_key), "another request")
    digest = hashlib.sha256(given["request"].encode()).digest()
    answer = uncanonical(open_hpke(seed, suite, unb64(given["answer"]), pack("carnet/v1/device-pairing", digest)))
    need(set(answer) == {"account_keys", "card_key", "format", "person"}, "members")
    need(answer["card_key"] == given["card_key"], "another deployment's card")
    need(answer["format"] == "carnet.device-answer.v1" and bool(answer["account_keys"]), "an empty answer")
    bundle = answer["person"]
    identity = statement_hash(bundle["identities"][0])
    person = Person(identity, bundle["identities"], bundle["devices"], bundle["removals"])
    mine = [name for name, body in person.devices.items() if body["device_key"] == b64(device_key)]
    need(bool(mine) and mine[0] not in person.void, "this device is not enrolled")
    for entry in answer["account_keys"]:
        need(entry["statement"] in person.statements, "another's statement")
        statement = person.statements[entry["statement"]]
        need(entry["suite"] == statement["suite"], "another suite")
        made = public_key(hkdf(unb64(entry["key"], 32), b"carnet/v1/account/kem-seed"), entry["suite"])
        need(b64(made) == statement["account_kem_key"], "another's account key")
    need(answer["account_keys"][-1]["statement"] == person.current, "the newest account key")
    return {"code": short_code(digest), "identity": identity, "account_keys": answer["account_keys"]}


def verdict_readers(given: Given) -> Given:
    grants, revocations = (b"".join(sorted(unb64(name) for name in given[key])) for key in ("grants", "revocations"))
    return {"commitment": b64(H("carnet/v1/readers-commitment", unb64(given["salt"]), grants, revocations))}


def verdict_lock_at_rest(given: Given) -> Given:
    place = (unb64(given["record"]), given["lock_version"], given["master_version"])
    associated = pack("carnet/v1/at-rest/record-lock", *place)
    return {"seed": b64(open_secret(unb64(given["master_key"]), unb64(given["sealed"]), associated))}


REQUEST: Final = re.compile(
    r'carnet=(\("@method" "@target-uri" "content-digest" "carnet-server"\);created=(0|[1-9][0-9]*);'
    r'keyid="([A-Za-z0-9_-]{43})";alg="ed25519";nonce="([A-Za-z0-9_-]{22})";tag="carnet-request-v1")'
)


def verdict_request(given: Given) -> Given:
    """api.md, "Signed requests"."""
    headers = given["headers"]
    need(set(headers) == {"carnet-server", "content-digest", "signature-input", "signature"}, "headers")
    matched = REQUEST.fullmatch(headers["signature-input"])
    signature = re.fullmatch(r"carnet=:([A-Za-z0-9+/]{86}==):", headers["signature"])
    need(matched is not None and signature is not None, "a spelling")
    assert matched is not None and signature is not None  # noqa: PT018  said above
    parameters, created, key_id, nonce = matched.groups()
    unb64(key_id, 32)
    unb64(nonce, 16)
    need(headers["carnet-server"] == given["server"], "another server")
    digest = base64.b64encode(hashlib.sha256(given["body"].encode()).digest()).decode()
    need(headers["content-digest"] == f"sha-256=:{digest}:", "another body")
    need(abs(int(created) - given["now"]) <= 60, "another time")
    base = (
        f'"@method": {given["method"]}\n"@target-uri": {given["target"]}\n'
        f'"content-digest": {headers["content-digest"]}\n"carnet-server": {headers["carnet-server"]}\n'
        f'"@signature-params": {parameters}'
    )
    try:
        key = Ed25519PublicKey.from_public_bytes(unb64(given["key"]))
        key.verify(base64.b64decode(signature[1]), base.encode())
    except InvalidSignature as error:
        raise Refused("a signature") from error
    return {"key_id": key_id, "nonce": nonce}


ANSWER: Final = re.compile(
    r'carnet=(\("@status" "content-digest" "@method";req "@target-uri";req "content-digest";req "carnet-server";req\);'
    r'created=(0|[1-9][0-9]*);keyid="([A-Za-z0-9_-]{43})";alg="ed25519";nonce="([A-Za-z0-9_-]{22})";'
    r'tag="carnet-answer-v1")'
)


def verdict_answer(given: Given) -> Given:
    """api.md, "Signed answers"."""
    headers, asked = given["headers"], given["request"]
    need(set(headers) == {"content-digest", "signature-input", "signature"}, "headers")
    matched = ANSWER.fullmatch(headers["signature-input"])
    signature = re.fullmatch(r"carnet=:([A-Za-z0-9+/]{86}==):", headers["signature"])
    need(matched is not None and signature is not None, "a spelling")
    assert matched is not None and signature is not None  # noqa: PT018  said above
    parameters, created, key_id, nonce = matched.groups()
    need(key_id == asked["carnet-server"], "another server")
    need(nonce == asked["nonce"], "another request")
    digest = base64.b64encode(hashlib.sha256(given["body"].encode()).digest()).decode()
    need(headers["content-digest"] == f"sha-256=:{digest}:", "another body")
    need(abs(int(created) - given["now"]) <= 60, "another time")
    base = (
        f'"@status": {given["status"]}\n"content-digest": {headers["content-digest"]}\n'
        f'"@method";req: {asked["method"]}\n"@target-uri";req: {asked["target"]}\n'
        f'"content-digest";req: {asked["content-digest"]}\n"carnet-server";req: {asked["carnet-server"]}\n'
        f'"@signature-params": {parameters}'
    )
    try:
        key = Ed25519PublicKey.from_public_bytes(unb64(given["key"]))
        key.verify(base64.b64decode(signature[1]), base.encode())
    except InvalidSignature as error:
        raise Refused("a signature") from error
    return {"status": given["status"]}


def verdict_event(given: Given) -> Given:
    """log.md."""
    body, salt = unb64(given["body"]), unb64(given["salt"], 32)
    uncanonical(body)
    commitment = H("carnet/v1/event-commitment", salt, body)
    leaf = pack("carnet/v1/event-leaf", unb64(given["server"]), given["index"], given["time"], commitment)
    leaf_hash = b64(hashlib.sha256(b"\0" + leaf).digest())
    receipt = parse_statement(given["receipt"], "receipt")
    verify_statement(given["receipt"], unb64(given["log_key"]))
    need(receipt == {name: given[name] for name in ("server", "index", "time")} | {"leaf": leaf_hash}, "another event")
    return {"leaf_hex": leaf.hex(), "leaf_hash": leaf_hash}


def verdict_digest(given: Given) -> Given:
    suite, size = given["suite"], given["ciphertext_size"]
    leaves = leaf_list(suite, shake(size))
    return {"leaf_list": b64(leaves), "digest": b64(content_digest(suite, size, leaves))}


def verdict_document_id(given: Given) -> Given:
    made = H("carnet/v1/document-id", *(unb64(given[name]) for name in ("record", "author", "document_salt")))
    return {"document": b64(made)}


def verdict_canonical_json(given: Given) -> Given:
    uncanonical(bytes.fromhex(given["hex"]))
    return {}


def shake(size: int) -> bytes:
    """The first bytes of SHAKE256 of nothing."""
    return hashlib.shake_256(b"").digest(size)


VERDICTS: Final[dict[str, Callable[[Given], Given]]] = {
    "answer": verdict_answer,
    "attestation": check_attestation,
    "base64url": lambda given: {"hex": unb64(given["text"]).hex()},
    "canonical-json": verdict_canonical_json,
    "capsule": verdict_capsule,
    "content-digest": verdict_digest,
    "device-name": verdict_device_name,
    "device-pairing": verdict_device_pairing,
    "document-id": verdict_document_id,
    "event": verdict_event,
    "fingerprint": lambda given: {"fingerprint": b64(H("carnet/v1/key-fingerprint", unb64(given["key"])))},
    "keyring": verdict_keyring,
    "lock-at-rest": verdict_lock_at_rest,
    "pack": verdict_pack,
    "padding": lambda given: {"padded": padded_size(given["size"])},
    "person": verdict_person,
    "metadata-commitment": lambda given: {
        "commitment": b64(metadata_commitment(given["suite"], unb64(given["key"]), given["metadata"].encode()))
    },
    "plaintext-commitment": lambda given: {
        "commitment": b64(plaintext_commitment(given["suite"], unb64(given["key"]), shake(given["size"])))
    },
    "readers-commitment": verdict_readers,
    "recovery": verdict_recovery,
    "request": verdict_request,
    "sealed-box": verdict_sealed_box,
    "short-code": lambda given: {"code": short_code(unb64(given["identity"]))},
    "statement": verdict_statement,
    "version": verdict_version,
}


def read_vectors(folder: Path) -> list[str]:
    """What is not as expected: one line each."""
    failures: list[str] = []
    for path in sorted(folder.glob("*/*.json")):
        vector = json.loads(path.read_text("ascii"))
        try:
            found: Given | None = VERDICTS[vector["format"]](vector["input"])
        except Refused:
            found = None
        if found != vector.get("output"):
            failures.append(f"{path.parent.name}/{path.name}: expected {vector['expected']}")
    return failures


def read_export(folder: Path) -> list[str]:
    """document.md, "Export": a line for each version, after every check that needs no server."""
    index = uncanonical((folder / "index.json").read_bytes())
    statements = uncanonical((folder / "statements.json").read_bytes())
    keys = uncanonical((folder / "keys.json").read_bytes())
    need(index["format"] == "carnet.export.v1" and keys["format"] == "carnet.export-keys.v1", "format")
    need(statements["format"] == "carnet.export-statements.v1", "format")
    people = {
        name: Person(name, bundle["identities"], bundle["devices"], bundle["removals"])
        for name, bundle in statements["people"].items()
    }
    patient = people[index["record"]]
    grants: dict[str, Given] = {}
    for text in statements["grants"]:
        body = parse_statement(text, "grant")
        try:
            verify_statement(text, patient.device_key(body["device"], body["issued_at"]))
        except Refused:
            continue  # it counts for nothing, and what relies on it is refused
        grants[statement_hash(text)] = body
    successions: list[Given] = []
    for text in statements["successions"]:
        body = parse_statement(text, "succession")
        verify_by_any(text, [unb64(identity["root_key"]) for identity in people[body["predecessor"]].chain])
        successions.append(body)
    for text in statements["compartments"]:
        body = parse_statement(text, "compartment")
        verify_statement(text, unb64(patient.devices[body["device"]]["device_key"]))
    lines: list[str] = []
    for entry in index["documents"]:
        place = folder / entry["sealed"]
        need(folder.resolve() in place.resolve().parents, "a path that leads elsewhere")
        author = people[entry["author"]]
        reseal = read_reseal(place, patient)
        given = {
            "record": index["record"],
            "document": entry["document"],
            "version": entry["version"],
            "manifest": (place / "manifest.jws").read_text("ascii"),
            "metadata": b64((place / "metadata").read_bytes()),
            "leaf_list": b64((place / "leaves").read_bytes()),
            "ciphertext": b64((place / "content").read_bytes()),
        } | keys["documents"][f"{entry['document']}.{entry['version']}"]
        manifest, content, metadata = open_version(author, given, reseal)
        check_right(manifest, grants, successions)
        exported = (folder / entry["path"]).read_bytes()
        need(exported == content and b64(hashlib.sha256(exported).digest()) == entry["sha256"], "another file")
        need(metadata["title"] == entry["title"] and metadata["size"] == entry["size"], "another index")
        lines.append(f"{entry['document'][:8]}.{entry['version']}  {len(content):>10}  {metadata['title']}")
    return lines


def read_reseal(place: Path, patient: Person) -> Given | None:
    """document.md, "Reading", step 4."""
    if not (place / "reseal.jws").is_file():
        return None
    return check_reseal((place / "reseal.jws").read_text("ascii"), (place / "manifest.jws").read_text("ascii"), patient)


def check_reseal(text: str, manifest: str, patient: Person) -> Given:
    """A reseal of `manifest` by `patient`."""
    body, author = parse_statement(text, "reseal"), parse_statement(manifest, "manifest")
    verify_statement(text, patient.unremoved_key(body["device"], body["issued_at"]))
    need(body["manifest"] == statement_hash(manifest), "another manifest's reseal")
    need(body["record"] == author["record"] and body["suite"] >= author["suite"], "an older suite than the manifest's")
    return body


def check_right(manifest: Given, grants: dict[str, Given], successions: list[Given]) -> None:
    """document.md, "Reading", step 2."""
    if manifest["grant"] is None:
        return
    need(manifest["grant"] in grants, "no deposit grant")
    grant = grants[manifest["grant"]]
    holders = {grant["grantee"]} | {
        body["successor"]
        for body in successions
        if body["predecessor"] == grant["grantee"] and body["issued_at"] <= manifest["created_at"]
    }
    need(grant["permission"] == "deposit" and manifest["author"] in holders, "no right to deposit")
    need(grant["not_before"] <= manifest["created_at"] < grant["expires"], "deposited outside of the grant")


def main(arguments: list[str]) -> int:
    """`verdicts FOLDER` or `export FOLDER`."""
    if len(arguments) != 2 or arguments[0] not in {"verdicts", "export"}:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    folder = Path(arguments[1])
    if arguments[0] == "verdicts":
        failures = read_vectors(folder)
        sys.stdout.write("".join(f"{line}\n" for line in failures) or "every verdict is as expected\n")
        return 1 if failures else 0
    try:
        lines = read_export(folder)
    except (Refused, KeyError, OSError) as error:
        sys.stdout.write(f"refused: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
