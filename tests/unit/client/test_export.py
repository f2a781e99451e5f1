"""Exporting a record, against both real servers: a folder that is whole, or a typed error and no folder."""

import json
import os
from pathlib import Path

import pytest

from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.export import export_record
from carnet.documents.metadata import DocumentKind
from carnet.errors import HomeError, UsageError
from carnet.records import open_record
from carnet.session import Session
from tests.support.client import ClientWorld, find_compartment, put_document


@pytest.fixture
def alice(world: ClientWorld, tmp_path: Path) -> Session:
    alice = world.patient("alice")
    put_document(alice, open_record(alice), tmp_path, "letter", compartment="general")
    return alice


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_export_appears_under_its_name_alone(alice: Session, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    report = export_record(alice, tmp_path / "out" / "record")
    assert (report.versions, report.problems) == (1, ())
    assert names(tmp_path / "out") == ["record"]
    assert names(tmp_path / "out" / "record") == ["documents", "index.json", "keys.json", "sealed", "statements.json"]
    (entry,) = json.loads((tmp_path / "out" / "record" / "index.json").read_bytes())["documents"]
    assert (entry["title"], entry["compartment_name"]) == ("letter", "general")
    with pytest.raises(UsageError, match="exists already"):
        export_record(alice, tmp_path / "out" / "record")


def test_documents_with_the_longest_titles_are_exported(alice: Session, tmp_path: Path) -> None:
    for count in (1, 2):
        title = "\U0001d49c" * (198 + count)
        source = tmp_path / f"{count}.txt"
        source.write_bytes(b"plain")
        new = NewVersion(
            source=source,
            compartment=find_compartment(open_record(alice), "general"),
            title=title,
            kind=DocumentKind(code="34108-1", display="Outpatient Note"),
            media_type="text/plain",
            author_name="Test",
        )
        deposit_small(alice, open_record(alice), [new])
    report = export_record(alice, tmp_path / "out")
    assert (report.versions, report.problems) == (3, ())


@pytest.mark.parametrize("name", ["letter.txt/record", "x" * 300])
def test_folder_that_cannot_be_made_is_told_by_its_name(alice: Session, tmp_path: Path, name: str) -> None:
    with pytest.raises(HomeError, match="cannot be written") as caught:
        export_record(alice, tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("file", ["leaves", "index.json"])
def test_full_disk_is_told_and_leaves_nothing(
    alice: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    (tmp_path / "out").mkdir()
    sync = os.fsync

    def fail(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == file:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HomeError, match="No space left on device"):
        export_record(alice, tmp_path / "out" / "record")
    assert names(tmp_path / "out") == []
