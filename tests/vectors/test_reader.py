"""`reader.py`, which knows only the specification, gives every vector its verdict and opens an exported record."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from carnet.access import open_access
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.export import export_record
from carnet.documents.listing import list_versions
from carnet.documents.metadata import DocumentKind
from carnet.documents.reseal import reseal_version
from carnet.handover import hand_over, take_over
from carnet.identity import fetch_own
from carnet_protocol.encoding import format_canonical_json
from tests.support.client import ClientWorld, put_document
from tests.support.story import Story
from tests.vectors.scenario import DATA

READER = Path(__file__).with_name("reader.py")


def _read(word: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(READER), word, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_reader_imports_nothing_of_carnet() -> None:
    tree = ast.parse(READER.read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert len(names) > 10
    assert not [name for name in names if name.startswith(("carnet", "tests"))]


def test_the_reader_gives_every_vector_its_verdict() -> None:
    done = _read("verdicts", DATA)
    assert (done.stdout, done.returncode) == ("every verdict is as expected\n", 0)


def test_the_reader_notices_a_vector_with_the_wrong_verdict(tmp_path: Path) -> None:
    folder = tmp_path / "statement"
    folder.mkdir()
    text = (DATA / "statement" / "grant.json").read_text("ascii")
    (folder / "good.json").write_text(text, "ascii")
    assert _read("verdicts", tmp_path).returncode == 0
    (folder / "bad.json").write_text(text.replace('"kind": "grant"', '"kind": "revocation"'), "ascii")
    assert _read("verdicts", tmp_path).returncode == 1


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alice's record, with a correction and a version encrypted anew, in a plain folder."""
    folder = tmp_path_factory.mktemp("export")
    world = ClientWorld.make(folder)
    world.start()
    story = Story.make(world, folder)
    access = story.access(story.alice)
    source = folder / "corrected.txt"
    source.write_bytes(bytes(range(256)) * 5_000)
    new = NewVersion(
        source=source,
        compartment=story.compartment("general"),
        title="letter, corrected",
        kind=DocumentKind(code="34108-1", display="Outpatient Note"),
        media_type="application/octet-stream",
        author_name="Alice",
        previous=list_versions(story.alice, access, story.letter).documents[-1].version.manifest,
    )
    deposit_small(story.alice, access, [new])
    reseal_version(story.alice, access, story.result, version=1)
    files: list[bytes] = []
    hand_over(story.lab, fetch_own(story.mallory).current, story.secrets["lab"], store=files.append)
    world.clock.now += 60
    world.attest(story.mallory, succeeds=story.lab.identity)
    take_over(story.mallory, files[0])
    theirs = open_access(story.mallory, story.alice.record, story.deposit_grant.hash)
    put_document(story.mallory, theirs, folder, "of the successor", compartment="laboratory")
    export_record(story.alice, folder / "exported")
    world.stop()
    return folder / "exported"


def test_the_reader_refuses_the_deposit_of_a_successor_without_the_succession(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    path = copy / "statements.json"
    members = json.loads(path.read_bytes())
    assert len(members["successions"]) == 1
    members["successions"] = []
    path.write_bytes(format_canonical_json(members))
    done = _read("export", copy)
    assert done.returncode == 1
    assert "no right to deposit" in done.stdout


def test_the_reader_opens_an_exported_record(exported: Path) -> None:
    done = _read("export", exported)
    assert done.returncode == 0, done.stdout + done.stderr
    titles = sorted(line.split("  ")[-1].strip() for line in done.stdout.splitlines())
    assert titles == ["letter", "letter, corrected", "of the successor", "result", "secret"]


@pytest.mark.parametrize(
    "pattern",
    ["sealed/*/content", "sealed/*/leaves", "sealed/*/metadata", "sealed/*/*.jws", "documents/*", "keys.json"],
)
def test_the_reader_refuses_a_changed_export(exported: Path, tmp_path: Path, pattern: str) -> None:
    for number, original in enumerate(sorted(exported.glob(pattern))):
        copy = tmp_path / str(number)
        shutil.copytree(exported, copy)
        path = copy / original.relative_to(exported)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
        assert _read("export", copy).returncode == 1, original
