"""Ids: fixed lengths, one text form, no confusion between kinds."""

import pytest
from pydantic import BaseModel, ValidationError

from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import (
    CompartmentId,
    DocumentSalt,
    FixedBytes,
    GrantId,
    IdentityHash,
    RecordId,
    StatementHash,
    derive_document_id,
    derive_event_commitment,
    pack_event_leaf,
)
from tests.unit.protocol.samples import COMPARTMENT, FINGERPRINT, PATIENT, RECORD, SALT


@pytest.mark.parametrize("size", [0, 15, 17, 31, 33, 64])
@pytest.mark.parametrize("kind", [GrantId, StatementHash])
def test_other_lengths_are_refused(kind: type[FixedBytes], size: int) -> None:
    with pytest.raises(MalformedError):
        kind(bytes(size))


def test_text_form_round_trip_and_other_spellings() -> None:
    text = str(COMPARTMENT)
    assert CompartmentId.parse(text) == COMPARTMENT
    for other in (text + "=", text[:-1], text + "A", text[:-1] + "h", "+" + text[1:]):
        with pytest.raises(MalformedError):
            CompartmentId.parse(other)


def test_ids_of_two_kinds_are_never_equal() -> None:
    assert IdentityHash(bytes(32)) != StatementHash(bytes(32))
    assert len({GrantId(bytes(16)), CompartmentId(bytes(16))}) == 2


def test_ids_are_frozen() -> None:
    with pytest.raises(AttributeError):
        COMPARTMENT.raw = bytes(16)


def test_a_record_is_named_after_its_patient() -> None:
    assert RecordId.of(PATIENT).patient() == PATIENT


def test_a_document_id_depends_on_record_author_and_salt() -> None:
    other_record, other_author, other_salt = RecordId(bytes(32)), IdentityHash(bytes(32)), DocumentSalt(bytes(32))
    made = {
        derive_document_id(RECORD, PATIENT, SALT),
        derive_document_id(other_record, PATIENT, SALT),
        derive_document_id(RECORD, other_author, SALT),
        derive_document_id(RECORD, PATIENT, other_salt),
    }
    assert len(made) == 4


def test_an_event_leaf_commits_to_all_of_its_event() -> None:
    commitment = derive_event_commitment(bytes(32), b"{}")
    other = derive_event_commitment(bytes(31) + b"\1", b"{}")
    leaves = {
        pack_event_leaf(FINGERPRINT, 0, 5, commitment),
        pack_event_leaf(FINGERPRINT, 1, 5, commitment),
        pack_event_leaf(FINGERPRINT, 0, 6, commitment),
        pack_event_leaf(FINGERPRINT, 0, 5, other),
    }
    assert len(leaves) == 4


class _Holder(BaseModel):
    id: GrantId


def test_models_read_and_write_the_text_form() -> None:
    holder = _Holder.model_validate({"id": "AAAAAAAAAAAAAAAAAAAAAA"})
    assert holder.model_dump(mode="json") == {"id": "AAAAAAAAAAAAAAAAAAAAAA"}
    for wrong in (b"\0" * 16, 0, None, "A" * 43, CompartmentId(bytes(16))):
        with pytest.raises(ValidationError):
            _Holder.model_validate({"id": wrong})
