"""An attacker's job: try every string of bytes that could be a key against everything sealed, over and over.

    attacker = Attacker()
    attacker.take_vault(root)
    attacker.take_keyservice(root)
    attacker.take_key("stolen", master_key)
    attacker.work()
    assert not attacker.read("content")

Whatever opens is searched for keys in its turn, until nothing new opens. What can be derived from a key is derived. A
sealed box is tried with every key pair whose public half was ever seen: nothing is sealed to another one, as
`tests/claims/test_seals.py` shows by trying all.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from carnet.sealing import KemPrivateKey, derive_key
from carnet_protocol import labels
from carnet_protocol.api import ReleaseRequest
from carnet_protocol.ids import RecordId
from carnet_protocol.statements import Compartment, Identity, Lock
from carnet_protocol.suites import WRITE_SUITE, Suite
from carnet_protocol.tuples import IdentityTuple
from tests.support.sealed import (
    Sealed,
    decode,
    in_keyservice,
    in_statements,
    in_vault,
    parse_statement,
    read_tables,
    seal_of_capsule,
)
from tests.support.traffic import Exchange, statements_in

_DERIVED = {
    "compartment-name": [labels.ACCOUNT_KEM_SEED],
    "device-name": [labels.DEVICE_NAME_KEY],
    "grant-note": [labels.ACCOUNT_KEM_SEED],
    "inner-lock": [labels.ACCOUNT_KEM_SEED],
    "outer-lock": [labels.ACCOUNT_KEM_SEED],
    "personal-inner-lock": [labels.ACCOUNT_KEM_SEED],
    "personal-outer-lock": [labels.ACCOUNT_KEM_SEED],
    "previous-account-key": [labels.PREVIOUS_ACCOUNT_KEY],
    "readers-opening": [labels.ACCOUNT_KEM_SEED],
    "recovery-slot": [labels.RECOVERY_SLOT_KEY],
    "sealed-compartment-key": [labels.ACCOUNT_KEM_SEED],
}
"""Derivations of the protocol that make a key for these seals; each is tried beside the key itself."""
_WORDS = re.compile(rb"[A-Za-z0-9_-]{43,}|[0-9a-fA-F]{64}")
_KEY_BYTES = 32
_LONGEST_BLOB = 512


@dataclass(slots=True)
class Attacker:
    """What somebody holds, and what it opens. `keys` says of each where it was found."""

    keys: dict[bytes, str] = field(default_factory=dict)
    sealed: list[Sealed] = field(default_factory=list)
    opened: list[tuple[Sealed, str, bytes]] = field(default_factory=list)
    tried: set[bytes] = field(default_factory=set)
    public_keys: set[bytes] = field(default_factory=set)

    def joined_by(self, where: str, *keys: bytes) -> "Attacker":
        """The same attacker, with what somebody else brings."""
        joined = Attacker(dict(self.keys), list(self.sealed), list(self.opened), set(self.tried), self.public_keys)
        for key in keys:
            joined.take_key(where, key)
        joined.work()
        return joined

    def take_vault(self, root: Path) -> None:
        """Take the vault's database, and its objects, out of the folder `root`."""
        tables = read_tables(root / "vault.sqlite")
        self.sealed += in_vault(tables, root / "objects")
        self._take_tables(tables)

    def take_keyservice(self, root: Path) -> None:
        """Take the key service's database out of the folder `root`."""
        tables = read_tables(root / "keyservice.sqlite")
        self.sealed += in_keyservice(tables)
        self._take_tables(tables)

    def take_bytes(self, where: str, data: bytes) -> None:
        """Take a log, a recorded body, or whatever else may hold a key."""
        self._search(where, data)

    def take_traffic(self, exchanges: Iterable[Exchange]) -> None:
        """Take what went by: bodies, the statements in them, capsules on their way to be released."""
        texts: list[str] = []
        for exchange in exchanges:
            for body in exchange.bodies():
                texts += statements_in(body)
                self._search("traffic", json.dumps(body).encode())
            if exchange.url.path.endswith("/releases"):
                self.sealed += _capsules_of(exchange)
        self.take_statements(dict.fromkeys(texts))

    def take_statements(self, texts: Iterable[str]) -> None:
        """Take statements: what is sealed in them, and the public keys that things are sealed to."""
        texts = list(texts)
        self.sealed += in_statements(texts)
        for body in (parse_statement(text).body for text in texts):
            match body:
                case Identity(account_kem_key=key) | Compartment(compartment_key=key) | Lock(lock_key=key):
                    self.public_keys.add(key)
                case _:
                    pass

    def take_key(self, where: str, key: bytes) -> None:
        """Take a key."""
        if len(key) == _KEY_BYTES:
            self.keys.setdefault(key, where)

    def work(self) -> None:
        """Try every key against everything sealed, until nothing new opens."""
        self.sealed = list({(sealed.seal, sealed.raw): sealed for sealed in self.sealed}.values())
        while fresh := [key for key in self.keys if key not in self.tried]:
            self.tried.update(fresh)
            waiting, self.sealed = self.sealed, []
            inner: list[Sealed] = []
            for sealed in waiting:
                inner += self._try(sealed, fresh)
            # What came out of an opened one has not seen the keys of before.
            for sealed in inner:
                self._try(sealed, list(self.tried))

    def _try(self, sealed: Sealed, keys: Iterable[bytes]) -> list[Sealed]:
        """Open `sealed` with one of `keys`, or keep it for later. Returns what was sealed inside of it."""
        for key in keys:
            for used in (key, *(_derive(key, label) for label in _DERIVED.get(sealed.seal, ()))):
                if sealed.is_box and not self._fits(used):
                    continue
                text = sealed.open(used)
                if text is not None:
                    self.opened.append((sealed, self.keys[key], text))
                    self._search(f"inside {sealed.place}", text)
                    inner = sealed.inside(text)
                    return [] if inner is None else [inner]
        self.sealed.append(sealed)
        return []

    def _fits(self, key: bytes) -> bool:
        return _public_key(key) in self.public_keys

    def read(self, *seals: str) -> list[bytes]:
        """The plaintexts that were opened under `seals`."""
        return [text for sealed, _, text in self.opened if sealed.seal in seals]

    def seals_opened(self) -> set[str]:
        """The names of the seals that were opened."""
        return {sealed.seal for sealed, _, _ in self.opened}

    def _take_tables(self, tables: dict[str, list[dict[str, Any]]]) -> None:
        self.take_statements(row["jws"] for row in tables["statements"])
        for name, rows in tables.items():
            for row in rows:
                for column, value in row.items():
                    if isinstance(value, str | bytes):
                        self._search(f"{name}.{column}", value.encode() if isinstance(value, str) else value)

    def _search(self, where: str, data: bytes) -> None:
        """Every 32 bytes in `data` that may be a key: whole, in a row of them, behind a nonce, or spelled out."""
        if len(data) <= _LONGEST_BLOB:
            starts = {*range(0, len(data), 8), len(data) - _KEY_BYTES}
            for start in starts if len(data) != _KEY_BYTES else {0}:
                piece = data[start : start + _KEY_BYTES]
                if start >= 0 and len(piece) == _KEY_BYTES and len(set(piece)) > 8:
                    self.take_key(where, piece)
        for word in _spelled(data):
            self.take_key(where, word)


@lru_cache(maxsize=16_384)
def _derive(key: bytes, label: bytes) -> bytes:
    return derive_key(key, label)


@lru_cache(maxsize=65_536)
def _public_key(key: bytes) -> bytes:
    return KemPrivateKey(key, WRITE_SUITE).public_key


def _spelled(data: bytes) -> Iterator[bytes]:
    """Keys in hexadecimal and base64url, also within the payload of a JWS."""
    for match in _WORDS.finditer(data):
        word = match[0].decode()
        if len(word) == 43:
            yield decode(word)
        elif re.fullmatch("[0-9a-fA-F]{64}", word):
            yield bytes.fromhex(word)
        elif word.startswith("eyJ"):
            yield from _in_json(word)


def _in_json(word: str) -> Iterator[bytes]:
    try:
        payload = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except ValueError:
        return
    for value in payload.values() if isinstance(payload, dict) else ():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and len(text) == 43:
                yield decode(text)


def _capsules_of(exchange: Exchange) -> Iterator[Sealed]:
    record = RecordId.parse(exchange.url.path.split("/")[3])
    for item in ReleaseRequest.model_validate_json(exchange.request).items:
        capsule = item.capsule
        identity = IdentityTuple(Suite(item.suite), record, capsule.document, capsule.version, item.author)
        yield seal_of_capsule(capsule.sealed, capsule.wrap_tuple(identity))
