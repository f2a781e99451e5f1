"""What is bound where: no two places share an `info`."""

import dataclasses
import itertools

import pytest

from carnet_protocol.errors import MalformedError, UnsupportedSuiteError
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.sealed_box import BoxKind, box_size, capsule_size, format_header, inner_size, parse_header
from carnet_protocol.suites import Suite, parse_suite
from carnet_protocol.tuples import (
    CompartmentLock,
    IdentityTuple,
    KeyRole,
    PersonalLock,
    WrapTuple,
    compartment_name_info,
    grant_note_info,
    readers_opening_info,
    sealed_compartment_key_info,
)
from tests.unit.protocol.samples import COMPARTMENT, DOCTOR, DOCUMENT, HASH, PATIENT, RECORD, SUITE

OTHER_HASH = StatementHash(bytes([8]) * 32)
IDENTITY = IdentityTuple(SUITE, RECORD, DOCUMENT, 1, PATIENT)
LOCK = CompartmentLock(COMPARTMENT, HASH)
WRAP = WrapTuple(IDENTITY, KeyRole.CONTENT, LOCK, SUITE, SUITE, OTHER_HASH)
PERSONAL = dataclasses.replace(WRAP, recipient=PersonalLock(HASH, DOCTOR, OTHER_HASH))

OTHER_IDENTITIES = [
    dataclasses.replace(IDENTITY, record=RecordId(bytes(32))),
    dataclasses.replace(IDENTITY, document=DocumentId(bytes(32))),
    dataclasses.replace(IDENTITY, version=2),
    dataclasses.replace(IDENTITY, author=IdentityHash(bytes(32))),
]


def test_every_field_of_the_identity_tuple_is_bound_in_both_contexts() -> None:
    tuples = [IDENTITY, *OTHER_IDENTITIES]
    contexts = [context for one in tuples for context in (one.content_context(), one.metadata_context(), one.packed())]
    assert len(set(contexts)) == 3 * len(tuples)


@pytest.mark.parametrize("version", [0, -1, 10_001])
def test_no_version_outside_the_limits(version: int) -> None:
    with pytest.raises(MalformedError):
        dataclasses.replace(IDENTITY, version=version)


def test_every_field_of_the_wrap_tuple_is_bound_in_both_locks() -> None:
    others = [
        *(dataclasses.replace(WRAP, identity=identity) for identity in OTHER_IDENTITIES),
        dataclasses.replace(WRAP, role=KeyRole.METADATA),
        dataclasses.replace(WRAP, recipient=CompartmentLock(CompartmentId(bytes(16)), HASH)),
        dataclasses.replace(WRAP, recipient=CompartmentLock(COMPARTMENT, OTHER_HASH)),
        PERSONAL,
        dataclasses.replace(WRAP, recipient=PersonalLock(OTHER_HASH, DOCTOR, OTHER_HASH)),
        dataclasses.replace(WRAP, recipient=PersonalLock(HASH, PATIENT, OTHER_HASH)),
        dataclasses.replace(WRAP, recipient=PersonalLock(HASH, DOCTOR, HASH)),
    ]
    infos = [info for one in [WRAP, *others] for info in (one.inner_info(), one.outer_info())]
    assert len(set(infos)) == len(infos)
    (other,) = set(Suite) - {SUITE}
    for changed in ({"lock_statement": HASH}, {"outer_suite": other}):
        relocked = dataclasses.replace(WRAP, **changed)
        assert relocked.inner_info() == WRAP.inner_info()
        assert relocked.outer_info() != WRAP.outer_info()
    assert dataclasses.replace(WRAP, inner_suite=other).inner_info() != WRAP.inner_info()


def test_kinds_of_the_locks() -> None:
    assert (WRAP.inner_kind(), WRAP.outer_kind()) == (BoxKind.INNER_LOCK, BoxKind.OUTER_LOCK)
    assert (PERSONAL.inner_kind(), PERSONAL.outer_kind()) == (BoxKind.PERSONAL_INNER_LOCK, BoxKind.PERSONAL_OUTER_LOCK)


def test_other_infos_bind_each_of_their_coordinates() -> None:
    infos = [
        sealed_compartment_key_info(SUITE, compartment_statement=one, grant=grant, reader_statement=reader)
        for one, grant, reader in itertools.product((HASH, OTHER_HASH), (None, HASH, OTHER_HASH), (HASH, OTHER_HASH))
    ]
    for make in (compartment_name_info, readers_opening_info):
        infos += [
            make(SUITE, record=record, compartment=compartment, epoch=epoch)
            for record, compartment, epoch in itertools.product(
                (RECORD, RecordId(bytes(32))), (COMPARTMENT, CompartmentId(bytes(16))), (1, 2)
            )
        ]
    infos += [
        grant_note_info(SUITE, record=record, grant_id=grant, grantee_statement=statement)
        for record, grant, statement in itertools.product(
            (RECORD, RecordId(bytes(32))), (bytes(16), bytes([1]) * 16), (HASH, OTHER_HASH)
        )
    ]
    assert len(set(infos)) == len(infos)


@pytest.mark.parametrize(
    ("inner", "outer", "sizes"),
    [(1, 1, (1176, 2320)), (2, 2, (1721, 3410)), (1, 2, (1176, 2865)), (2, 1, (1721, 2865))],
)
def test_sizes_of_the_two_locks(inner: int, outer: int, sizes: tuple[int, int]) -> None:
    """Those of the table in the spec, the mixed ones among them."""
    found = inner_size(Suite(inner)), capsule_size(inner_suite=Suite(inner), outer_suite=Suite(outer))
    assert found == sizes


@pytest.mark.parametrize("kind", list(BoxKind))
def test_a_header_is_parsed_only_as_what_it_is(kind: BoxKind) -> None:
    box = format_header(kind, SUITE) + bytes(box_size(SUITE, 32) - 8)
    assert parse_header(box, kind, plaintext_size=32) is SUITE
    for other in BoxKind:
        if other is not kind:
            with pytest.raises(MalformedError):
                parse_header(box, other, plaintext_size=32)
    for wrong in (b"", box[:7], box[:-1], box + b"\0", b"X" + box[1:], box[:5] + b"\2" + box[6:]):
        with pytest.raises(MalformedError):
            parse_header(wrong, kind, plaintext_size=32)
    for number in (0, 3, 255):
        with pytest.raises(UnsupportedSuiteError):
            parse_header(box[:7] + bytes([number]) + box[8:], kind, plaintext_size=32)
    for suite in set(Suite) - {SUITE}:
        with pytest.raises(MalformedError):
            parse_header(box[:7] + bytes([suite]) + box[8:], kind, plaintext_size=32)


def test_a_suite_below_the_floor_is_refused() -> None:
    with pytest.raises(UnsupportedSuiteError):
        parse_suite(1, frozenset())
    assert parse_suite(1) is Suite.X25519_MLKEM768
