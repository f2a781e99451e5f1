"""What a file says about itself, and what it cannot make the command say."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.cli.guesses import clean_title, guess, read_dicom_tags
from carnet.cli.kinds import KINDS, parse_kind
from carnet.errors import UsageError
from carnet.profiles import default_compartment
from carnet.samples import make_bundle, make_letter
from carnet.samples.dicom import encode_file_head


def test_letter_is_a_pdf_with_the_title_of_its_name(tmp_path: Path) -> None:
    make_letter(tmp_path / "lettre_de_liaison-2026-09-15.pdf", seed=1)
    found = guess(tmp_path / "lettre_de_liaison-2026-09-15.pdf")
    assert (found.media_type, found.title, found.care_date) == ("application/pdf", "Lettre de liaison", "2026-09-15")
    assert found.kind == KINDS["letter"]


def test_bundle_is_fhir_with_its_own_title_and_date(tmp_path: Path) -> None:
    sample = make_bundle(tmp_path / "x.json", seed=1)
    found = guess(sample.path)
    assert found.media_type == "application/fhir+json"
    assert found.title == sample.title
    assert found.care_date == sample.care_date.isoformat()


@pytest.mark.parametrize(
    ("resource", "kind"),
    [({"resourceType": "DiagnosticReport"}, "laboratory"), ({"resourceType": "Immunization"}, "vaccination")],
)
def test_kind_of_a_fhir_resource(tmp_path: Path, resource: dict[str, str], kind: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps(resource))
    assert guess(tmp_path / "x.json").kind == KINDS[kind]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"resourceType"',
        b'{"resourceType": "Bundle", "entry": [1, {"resource": 2}], "title": 3, "date": ["x"]}',
        b'{"resourceType": ' + b"[" * 5000,
        b"\x00" * 128 + b"DICM" + b"\xff" * 400,
        b"%PDF-" + b"\x1b[2J" * 10,
    ],
)
def test_broken_file_is_guessed_without_a_complaint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scan.bin").write_bytes(content)
    found = guess(tmp_path / "scan.bin")
    assert found.title == "Scan"
    assert found.care_date is None


def test_tags_of_a_dicom_file_are_read() -> None:
    head = encode_file_head(
        {
            "SOPClassUID": "1.2.3",
            "SOPInstanceUID": "1.2.4",
            "StudyDate": "20260909",
            "Modality": "CT",
            "StudyDescription": "Scanner du thorax",
        }
    )
    tags = read_dicom_tags(head)
    assert tags[0x0008, 0x0020] == "20260909"
    assert tags[0x0008, 0x0060] == "CT"
    assert tags[0x0008, 0x1030] == "Scanner du thorax"


@given(st.binary(max_size=400))
def test_tags_of_anything_are_read_without_a_complaint(tail: bytes) -> None:
    read_dicom_tags(bytes(128) + b"DICM" + tail)


@given(st.text(max_size=400))
def test_title_is_always_one(text: str) -> None:
    title = clean_title(text)
    assert 1 <= len(title) <= 200
    assert title.isprintable()
    assert title == title.strip()


def test_every_kind_has_a_place() -> None:
    assert {default_compartment(kind.code) for kind in KINDS.values()} <= {
        "general",
        "medication",
        "laboratory",
        "imaging",
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [("letter", "34105-7"), ("ECG", "11524-6"), ("11502-2", "11502-2"), ("34133-9 Summary", "34133-9")],
)
def test_kind_is_a_word_or_a_code(text: str, code: str) -> None:
    assert parse_kind(text).code == code


@pytest.mark.parametrize("text", ["", "xyz", "34133-9", "1-", "12345678-9 Too long", "letter please"])
def test_other_kind_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="laboratory"):
        parse_kind(text)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("lettre-de-liaison.pdf", "Lettre de liaison"),
        ("2026-09-15-lettre-de-liaison.pdf", "Lettre de liaison"),
        ("chest X-ray.png", "Chest X-ray"),
        ("chest_x-ray_2026-09-15.png", "Chest x-ray"),
        ("2026-09-15.pdf", "2026-09-15"),
        ("---.pdf", "---"),
    ],
)
def test_title_is_the_name_in_words(tmp_path: Path, name: str, title: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert guess(tmp_path / name).title == title
