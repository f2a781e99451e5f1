"""Scenarios of sealed boxes: every kind of lock, each coordinate changed, each byte region damaged."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from carnet_protocol import tuples
from carnet_protocol.ids import CompartmentId, DocumentSalt, GrantId, StatementHash, derive_document_id
from carnet_protocol.sealed_box import BoxKind, format_header, inner_size
from carnet_protocol.suites import SIZES, Suite
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, PersonalLock, WrapTuple
from tests.vectors.deterministic import Stream, kem_public_key, seal
from tests.vectors.people import ALICE, BOB, LAB, RECORD, SUITE
from tests.vectors.scenario import Scenario, b64, cut, extend, flip

COMPARTMENT: Final = CompartmentId(bytes(range(16)))
COMPARTMENT_STATEMENT: Final = StatementHash(bytes([0xC0]) * 32)
LOCK_STATEMENT: Final = StatementHash(bytes([0x10]) * 32)
GRANT: Final = StatementHash(bytes([0x60]) * 32)
GRANT_ID: Final = GrantId(bytes(range(16, 32)))
DOCUMENT: Final = derive_document_id(RECORD, LAB.identity, DocumentSalt(bytes(32)))
COMPARTMENT_SEED: Final = Stream("compartment seed").take(32)
LOCK_SEED: Final = Stream("lock seed").take(32)
KEY: Final = Stream("content key").take(32)

_VERSION: Final = {
    "record": str(RECORD),
    "document": str(DOCUMENT),
    "version": 1,
    "author": str(LAB.identity),
    "role": "content",
}
_COMPARTMENT: Final = {"compartment": str(COMPARTMENT), "compartment_statement": str(COMPARTMENT_STATEMENT)}
_PERSONAL: Final = {
    "grant": str(GRANT),
    "grantee": str(BOB.identity),
    "grantee_statement": str(BOB.founding.hash),
}
_LOCK: Final = {"lock_statement": str(LOCK_STATEMENT)}
SUFFIXES: Final = {(1, 1): "", (2, 2): "-suite-2", (1, 2): "-suite-2-over-1", (2, 1): "-suite-1-over-2"}


def _wrap(inner_suite: Suite, outer_suite: Suite, *, personal: bool = False) -> WrapTuple:
    """The place of `KEY`: of one suite, or of both as after a rotation of the outer lock alone."""
    recipient: CompartmentLock | PersonalLock = CompartmentLock(COMPARTMENT, COMPARTMENT_STATEMENT)
    if personal:
        recipient = PersonalLock(GRANT, BOB.identity, BOB.founding.hash)
    identity = IdentityTuple(inner_suite, RECORD, DOCUMENT, 1, LAB.identity)
    return WrapTuple(identity, KeyRole.CONTENT, recipient, inner_suite, outer_suite, LOCK_STATEMENT)


def padded_text(text: str, size: int, length_bytes: int) -> bytes:
    """Length, UTF-8, zeros."""
    data = text.encode()
    return (len(data).to_bytes(length_bytes, "big") + data).ljust(size, b"\0")


def make_box(kind: BoxKind, seed: bytes, info: bytes, plaintext: bytes, suite: Suite = SUITE) -> bytes:
    """A sealed box with randomness named after its kind and suite."""
    random = Stream(f"box {kind}" if suite is SUITE else f"box {kind} of suite {suite}")
    return format_header(kind, suite) + seal(kem_public_key(seed, suite), info, plaintext, random, suite)


def make_capsule(wrap: WrapTuple, inner_seed: bytes) -> bytes:
    """A capsule of `KEY`."""
    inner = make_box(wrap.inner_kind(), inner_seed, wrap.inner_info(), KEY, wrap.inner_suite)
    return make_box(wrap.outer_kind(), LOCK_SEED, wrap.outer_info(), inner, wrap.outer_suite)


@dataclass(frozen=True, slots=True)
class _Box:
    """One box: kind and suite, private seed, info, plaintext and coordinates."""

    kind: BoxKind
    suite: Suite
    seed: bytes
    info: bytes
    plaintext: bytes
    coordinates: dict[str, Any]


def _locks(inner_suite: Suite, outer_suite: Suite) -> Iterator[_Box]:
    """The two locks, and the two personal ones."""
    for personal, inner_seed in ((False, COMPARTMENT_SEED), (True, BOB.kem_seed)):
        wrap = _wrap(inner_suite, outer_suite, personal=personal)
        inner = make_box(wrap.inner_kind(), inner_seed, wrap.inner_info(), KEY, inner_suite)
        coordinates = {"suite": int(inner_suite)} | _VERSION | (_PERSONAL if personal else _COMPARTMENT)
        if inner_suite is outer_suite:
            yield _Box(wrap.inner_kind(), inner_suite, inner_seed, wrap.inner_info(), KEY, coordinates)
        outer = coordinates | _LOCK | {"inner_suite": int(inner_suite)}
        yield _Box(wrap.outer_kind(), outer_suite, LOCK_SEED, wrap.outer_info(), inner, outer)


def _others(suite: Suite) -> Iterator[_Box]:
    """One box of each other kind."""
    for grant, reader in ((None, ALICE), (GRANT, BOB)):
        info = tuples.sealed_compartment_key_info(
            suite, compartment_statement=COMPARTMENT_STATEMENT, grant=grant, reader_statement=reader.founding.hash
        )
        coordinates = {
            "compartment_statement": str(COMPARTMENT_STATEMENT),
            "grant": None if grant is None else str(grant),
            "reader_statement": str(reader.founding.hash),
        }
        yield _Box(BoxKind.SEALED_COMPARTMENT_KEY, suite, reader.kem_seed, info, COMPARTMENT_SEED, coordinates)
    epoch = {"record": str(RECORD), "compartment": str(COMPARTMENT), "epoch": 1}
    info = tuples.compartment_name_info(suite, record=RECORD, compartment=COMPARTMENT, epoch=1)
    name = padded_text("laboratoire", 128, 1)
    yield _Box(BoxKind.COMPARTMENT_NAME, suite, COMPARTMENT_SEED, info, name, epoch)
    info = tuples.readers_opening_info(suite, record=RECORD, compartment=COMPARTMENT, epoch=1)
    yield _Box(BoxKind.READERS_OPENING, suite, ALICE.kem_seed, info, Stream("readers salt").take(32), epoch)
    info = tuples.grant_note_info(suite, record=RECORD, grant_id=GRANT_ID.raw, grantee_statement=BOB.founding.hash)
    note = {"record": str(RECORD), "grant_id": str(GRANT_ID), "grantee_statement": str(BOB.founding.hash)}
    yield _Box(BoxKind.GRANT_NOTE, suite, BOB.kem_seed, info, padded_text("Alice, née en 1980", 256, 2), note)


def make() -> Iterator[Scenario]:
    """Every scenario of every kind, in each suite; of outer locks also around an inner lock of the other suite."""
    for (inner, outer), suffix in SUFFIXES.items():
        boxes = [*_locks(Suite(inner), Suite(outer)), *(_others(Suite(inner)) if inner == outer else ())]
        seen: set[BoxKind] = set()
        for box in boxes:
            name = box.kind.name.lower().replace("_", "-") + ("-of-reader" if box.kind in seen else "") + suffix
            seen.add(box.kind)
            yield from _scenarios(name, box)
    yield from _capsules()


def _scenarios(name: str, box: _Box) -> Iterator[Scenario]:
    sealed = b64(make_box(box.kind, box.seed, box.info, box.plaintext, box.suite))
    given = {
        "kind": int(box.kind),
        "suite": int(box.suite),
        "seed": b64(box.seed),
        "coordinates": box.coordinates,
        "box": sealed,
    }
    yield Scenario("sealed-box", name, given, {"plaintext": b64(box.plaintext)})
    for damage, change in _DAMAGES[box.suite].items():
        yield Scenario("sealed-box", f"{name}-{damage}", given | {"box": change(sealed)}, None)
    yield Scenario("sealed-box", f"{name}-other-key", given | {"seed": b64(bytes(32))}, None)
    yield Scenario("sealed-box", f"{name}-key-of-other-suite", given | {"suite": 3 - box.suite}, None)
    for member, value in box.coordinates.items():
        moved = box.coordinates | {member: _another(member, value)}
        yield Scenario("sealed-box", f"{name}-other-{member.replace('_', '-')}", given | {"coordinates": moved}, None)


def _capsules() -> Iterator[Scenario]:
    for (inner, outer), suffix in SUFFIXES.items():
        wrap = _wrap(Suite(inner), Suite(outer))
        coordinates = {"suite": inner} | _VERSION | _COMPARTMENT | _LOCK | {"inner_suite": inner}
        given = {
            "lock_seed": b64(LOCK_SEED),
            "lock_suite": outer,
            "compartment_seed": b64(COMPARTMENT_SEED),
            "compartment_suite": inner,
            "coordinates": coordinates,
            "capsule": b64(make_capsule(wrap, COMPARTMENT_SEED)),
        }
        other_suite = coordinates | {"inner_suite": 3 - inner}
        bad: dict[str, dict[str, Any]] = {
            "role-metadata": {"coordinates": coordinates | {"role": "metadata"}},
            "other-compartment-key": {"compartment_seed": b64(bytes(32))},
            "other-lock": {"lock_seed": b64(bytes(32))},
            "lock-of-other-suite": {"lock_suite": 3 - outer},
            "compartment-of-other-suite": {"compartment_suite": 3 - inner},
            "other-inner-suite": {"compartment_suite": 3 - inner, "coordinates": other_suite},
        }
        yield Scenario("capsule", f"content{suffix}", given, {"key": b64(KEY)})
        for name, change in bad.items():
            yield Scenario("capsule", f"{name}{suffix}", given | change, None)
        zeros = bytes(inner_size(Suite(inner)))
        unlocked = make_box(BoxKind.OUTER_LOCK, LOCK_SEED, wrap.outer_info(), zeros, Suite(outer))
        yield Scenario("capsule", f"inner-is-zeros{suffix}", given | {"capsule": b64(unlocked)}, None)


def _at(position: int) -> Callable[[str], str]:
    return lambda box: flip(box, position)


def _renamed(suite: Suite) -> Callable[[str], str]:
    """The header of another suite over the box as it is: the lowest bits of its two bytes."""

    def change(box: str) -> str:
        raw = base64.urlsafe_b64decode(box + "=" * (-len(box) % 4))
        return b64(raw[:6] + int(3 - suite).to_bytes(2, "big") + raw[8:])

    return change


def _damages(suite: Suite, curve: str) -> dict[str, Callable[[str], str]]:
    enc = SIZES[suite].kem_enc
    return {
        "magic": _at(0),
        "kind": _at(4),
        "format-version": _at(5),
        "suite": _at(6),
        "header-of-other-suite": _renamed(suite),
        "enc-ml-kem": _at(8),
        f"enc-{curve}": _at(8 + enc - 20),
        "ciphertext": _at(8 + enc),
        "tag": flip,
        "cut": cut,
        "extended": extend,
        "empty": lambda _box: "",
    }


_DAMAGES: Final = {
    Suite.X25519_MLKEM768: _damages(Suite.X25519_MLKEM768, "x25519"),
    Suite.P384_MLKEM1024: _damages(Suite.P384_MLKEM1024, "p384"),
}


def _another(member: str, value: Any) -> Any:
    if member in {"suite", "inner_suite"}:
        return 3 - int(value)
    if isinstance(value, int):
        return value + 1
    if member == "role":
        return "metadata"
    if value is None:
        return str(GRANT)
    return flip(value)
