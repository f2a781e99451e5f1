"""Versions come in pages: all of them are asked for, and a vault that never ends is given up."""

from pathlib import Path
from typing import Any

import pytest

from carnet.access import RecordAccess, open_access
from carnet.documents import listing
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.listing import list_documents, list_versions
from carnet.documents.metadata import DocumentKind
from carnet.documents.removal import find_newest
from carnet.errors import VerificationError
from carnet.records import open_record
from carnet.session import Session
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Role
from tests.support.client import ClientWorld, find_compartment, put_document
from tests.support.story import lying


@pytest.fixture
def alice(world: ClientWorld) -> Session:
    return world.person("alice", Role.PATIENT)


@pytest.fixture
def access(alice: Session) -> RecordAccess:
    open_record(alice)
    return open_access(alice, alice.record)


def put_versions(alice: Session, access: RecordAccess, folder: Path, count: int) -> DocumentId:
    """A document that was corrected again and again."""
    document = put_document(alice, access, folder, "letter", compartment="general", content=b"1")
    for number in range(2, count + 1):
        source = folder / f"{number}.txt"
        source.write_bytes(str(number).encode())
        correction = NewVersion(
            source=source,
            compartment=find_compartment(access, "general"),
            title=f"letter {number}",
            kind=DocumentKind(code="34108-1", display="Outpatient Note"),
            media_type="text/plain",
            author_name="Alice",
            previous=list_documents(alice, access).documents[0].version.manifest,
        )
        deposit_small(alice, access, [correction])
    return document


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_versions_of_every_page_are_listed(
    alice: Session, access: RecordAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(listing, "MAX_PAGE", 2)
    document = put_versions(alice, access, tmp_path, count)
    found = list_versions(alice, access, document)
    assert [one.version.number for one in found.documents] == list(range(1, count + 1))
    assert found.problems == ()
    assert find_newest(alice, access, document).body.version == count


def test_a_vault_whose_pages_never_end_is_given_up(
    world: ClientWorld, alice: Session, access: RecordAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_PAGE", 1)
    document = put_versions(alice, access, tmp_path, 2)

    def again(answer: Any) -> Any:
        return answer | {"next": 1}

    with lying(world.vault, f"/documents/{document}", again), pytest.raises(VerificationError, match="again and again"):
        list_versions(alice, access, document)
