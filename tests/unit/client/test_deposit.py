"""Depositing, against both real servers: what there is nothing to deposit of is told before anything is sent."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from carnet.access import RecordAccess
from carnet.content import LocalFileError
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.metadata import DocumentKind
from carnet.documents.spool import deposit_large
from carnet.errors import CallerError, UsageError
from carnet.records import open_record
from carnet.session import Session
from carnet_protocol.suites import Suite
from tests.support.client import ClientWorld, find_compartment, titles

pytestmark = pytest.mark.parametrize("suite", Suite)

Deposit = Callable[[Session, RecordAccess, list[NewVersion]], object]


def one_by_one(session: Session, access: RecordAccess, documents: list[NewVersion]) -> list[object]:
    return [deposit_large(session, access, new) for new in documents[-1:]]


def plan(access: RecordAccess, source: Path) -> NewVersion:
    return NewVersion(
        source=source,
        compartment=find_compartment(access, "general"),
        title=source.name,
        kind=DocumentKind(code="34108-1", display="Outpatient Note", system="http://loinc.org"),
        media_type="text/plain",
        author_name="Alice",
    )


@pytest.mark.parametrize("deposit", [deposit_small, one_by_one])
@pytest.mark.parametrize(("name", "kind"), [("empty", UsageError), ("none", LocalFileError)])
def test_file_without_content_is_told_before_anything_is_sent(
    world: ClientWorld, tmp_path: Path, deposit: Deposit, name: str, kind: type[CallerError]
) -> None:
    alice = world.patient("alice")
    access = open_record(alice)
    (tmp_path / "full").write_text("content")
    (tmp_path / "empty").touch()
    sent: list[str] = []

    def note(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        sent.append(request.url.path)
        return response

    world.vault.after = world.keyservice.after = note
    with pytest.raises(kind, match="is empty" if kind is UsageError else "No such file"):
        deposit(alice, access, [plan(access, tmp_path / "full"), plan(access, tmp_path / name)])
    assert sent == []
    assert titles(alice, access) == []


def test_it_is_told_how_much_is_deposited(world: ClientWorld, tmp_path: Path) -> None:
    alice = world.patient("alice")
    access = open_record(alice)
    for size in (1, 70_000):
        (tmp_path / str(size)).write_bytes(b"x" * size)
    told: list[int] = []
    ids = deposit_small(
        alice, access, [plan(access, tmp_path / name) for name in ("1", "70000")], on_deposited=told.append
    )
    assert (len(set(ids)), told) == (2, [70_001])
