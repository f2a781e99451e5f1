"""Scenarios of sealed boxes: every kind of lock, each coordinate changed, each byte region damaged."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from carnet_protocol import tuples
from carnet_protocol.ids import CompartmentId, DocumentSalt, GrantId, StatementHash, derive_document_id
from carnet_protocol.sealed_box import BoxKind, format_header
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

_IDENTITY: Final = IdentityTuple(SUITE, RECORD, DOCUMENT, 1, LAB.identity)
_VERSION: Final = {
    "suite": 1,
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
_IN_COMPARTMENT: Final = WrapTuple(
    _IDENTITY, KeyRole.CONTENT, CompartmentLock(COMPARTMENT, COMPARTMENT_STATEMENT), SUITE, LOCK_STATEMENT
)
_FOR_BOB: Final = WrapTuple(
    _IDENTITY, KeyRole.CONTENT, PersonalLock(GRANT, BOB.identity, BOB.founding.hash), SUITE, LOCK_STATEMENT
)


def padded_text(text: str, size: int, length_bytes: int) -> bytes:
    """Length, UTF-8, zeros."""
    data = text.encode()
    return (len(data).to_bytes(length_bytes, "big") + data).ljust(size, b"\0")


def make_box(kind: BoxKind, seed: bytes, info: bytes, plaintext: bytes) -> bytes:
    """A sealed box with randomness named after its kind."""
    return format_header(kind, SUITE) + seal(kem_public_key(seed), info, plaintext, Stream(f"box {kind}"))


def make_capsule(wrap: WrapTuple, inner_seed: bytes) -> bytes:
    """A capsule of `KEY`."""
    inner = make_box(wrap.inner_kind(), inner_seed, wrap.inner_info(), KEY)
    return make_box(wrap.outer_kind(), LOCK_SEED, wrap.outer_info(), inner)


def _kinds() -> Iterator[tuple[BoxKind, bytes, bytes, bytes, dict[str, Any]]]:
    """Kind, private seed, info, plaintext and coordinates of one box of each kind."""
    inner = make_box(BoxKind.INNER_LOCK, COMPARTMENT_SEED, _IN_COMPARTMENT.inner_info(), KEY)
    personal = make_box(BoxKind.PERSONAL_INNER_LOCK, BOB.kem_seed, _FOR_BOB.inner_info(), KEY)
    lock = {"lock_statement": str(LOCK_STATEMENT)}
    yield BoxKind.INNER_LOCK, COMPARTMENT_SEED, _IN_COMPARTMENT.inner_info(), KEY, _VERSION | _COMPARTMENT
    yield BoxKind.OUTER_LOCK, LOCK_SEED, _IN_COMPARTMENT.outer_info(), inner, _VERSION | _COMPARTMENT | lock
    yield BoxKind.PERSONAL_INNER_LOCK, BOB.kem_seed, _FOR_BOB.inner_info(), KEY, _VERSION | _PERSONAL
    yield BoxKind.PERSONAL_OUTER_LOCK, LOCK_SEED, _FOR_BOB.outer_info(), personal, _VERSION | _PERSONAL | lock
    for grant, reader in ((None, ALICE), (GRANT, BOB)):
        info = tuples.sealed_compartment_key_info(
            SUITE, compartment_statement=COMPARTMENT_STATEMENT, grant=grant, reader_statement=reader.founding.hash
        )
        coordinates = {
            "compartment_statement": str(COMPARTMENT_STATEMENT),
            "grant": None if grant is None else str(grant),
            "reader_statement": str(reader.founding.hash),
        }
        yield BoxKind.SEALED_COMPARTMENT_KEY, reader.kem_seed, info, COMPARTMENT_SEED, coordinates
    epoch = {"record": str(RECORD), "compartment": str(COMPARTMENT), "epoch": 1}
    info = tuples.compartment_name_info(SUITE, record=RECORD, compartment=COMPARTMENT, epoch=1)
    yield BoxKind.COMPARTMENT_NAME, COMPARTMENT_SEED, info, padded_text("laboratoire", 128, 1), epoch
    info = tuples.readers_opening_info(SUITE, record=RECORD, compartment=COMPARTMENT, epoch=1)
    yield BoxKind.READERS_OPENING, ALICE.kem_seed, info, Stream("readers salt").take(32), epoch
    info = tuples.grant_note_info(SUITE, record=RECORD, grant_id=GRANT_ID.raw, grantee_statement=BOB.founding.hash)
    note = {"record": str(RECORD), "grant_id": str(GRANT_ID), "grantee_statement": str(BOB.founding.hash)}
    yield BoxKind.GRANT_NOTE, BOB.kem_seed, info, padded_text("Alice, née en 1980", 256, 2), note


def make() -> Iterator[Scenario]:
    """Every scenario of every kind."""
    seen: set[BoxKind] = set()
    for kind, seed, info, plaintext, coordinates in _kinds():
        name = kind.name.lower().replace("_", "-") + ("-of-reader" if kind in seen else "")
        seen.add(kind)
        box = b64(make_box(kind, seed, info, plaintext))
        given = {"kind": int(kind), "seed": b64(seed), "coordinates": coordinates, "box": box}
        yield Scenario("sealed-box", name, given, {"plaintext": b64(plaintext)})
        for damage, change in _DAMAGES.items():
            yield Scenario("sealed-box", f"{name}-{damage}", given | {"box": change(box)}, None)
        yield Scenario("sealed-box", f"{name}-other-key", given | {"seed": b64(bytes(32))}, None)
        for member, value in coordinates.items():
            moved = coordinates | {member: _another(member, value)}
            yield Scenario(
                "sealed-box", f"{name}-other-{member.replace('_', '-')}", given | {"coordinates": moved}, None
            )
    yield from _capsules()


def _capsules() -> Iterator[Scenario]:
    coordinates = _VERSION | _COMPARTMENT | {"lock_statement": str(LOCK_STATEMENT)}
    given = {
        "lock_seed": b64(LOCK_SEED),
        "compartment_seed": b64(COMPARTMENT_SEED),
        "coordinates": coordinates,
        "capsule": b64(make_capsule(_IN_COMPARTMENT, COMPARTMENT_SEED)),
    }
    yield Scenario("capsule", "content", given, {"key": b64(KEY)})
    yield Scenario("capsule", "role-metadata", given | {"coordinates": coordinates | {"role": "metadata"}}, None)
    yield Scenario("capsule", "other-compartment-key", given | {"compartment_seed": b64(bytes(32))}, None)
    yield Scenario("capsule", "other-lock", given | {"lock_seed": b64(bytes(32))}, None)
    unlocked = make_box(BoxKind.OUTER_LOCK, LOCK_SEED, _IN_COMPARTMENT.outer_info(), bytes(1176))
    yield Scenario("capsule", "inner-is-zeros", given | {"capsule": b64(unlocked)}, None)


_DAMAGES: Final[dict[str, Callable[[str], str]]] = {
    "magic": lambda box: flip(box, 0),
    "kind": lambda box: flip(box, 4),
    "format-version": lambda box: flip(box, 5),
    "suite": lambda box: flip(box, 6),
    "enc-ml-kem": lambda box: flip(box, 8),
    "enc-x25519": lambda box: flip(box, 8 + 1100),
    "ciphertext": lambda box: flip(box, 8 + 1120),
    "tag": flip,
    "cut": cut,
    "extended": extend,
    "empty": lambda _box: "",
}


def _another(member: str, value: Any) -> Any:
    if member == "suite":
        return 2
    if isinstance(value, int):
        return value + 1
    if member == "role":
        return "metadata"
    if value is None:
        return str(GRANT)
    return flip(value)
