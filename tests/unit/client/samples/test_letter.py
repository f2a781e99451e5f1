"""The discharge letter is a PDF of two pages that says what the bundle says."""

import re
from pathlib import Path

import pytest

from carnet.samples import make_letter
from carnet.samples.letterhead import french_date, french_number
from carnet.samples.story import derive_story


def shown_text(pdf: bytes) -> str:
    """The text that an uncompressed PDF draws, in order, without its line breaks."""
    strings = re.findall(rb"\(((?:\\.|[^\\)])*)\) Tj", pdf)
    octal = re.compile(rb"\\([0-7]{3})")
    parts = [octal.sub(lambda match: bytes([int(match[1], 8)]), string) for string in strings]
    return b" ".join(parts).replace(b"\\(", b"(").replace(b"\\)", b")").decode("cp1252")


@pytest.mark.parametrize("seed", range(12))
def test_letter_has_two_pages_whatever_the_seed(seed: int, tmp_path: Path) -> None:
    make_letter(tmp_path / "letter.pdf", seed=seed)
    pdf = (tmp_path / "letter.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-1.")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 2


def test_letter_tells_the_story(tmp_path: Path) -> None:
    make_letter(tmp_path / "letter.pdf", seed=3)
    story, text = derive_story(3), shown_text((tmp_path / "letter.pdf").read_bytes())
    assert story.patient.name in text
    assert french_date(story.discharge) in text
    assert f"Docteur {story.general_practitioner.name}" in text
    assert "imaginaires" in text
    creatinine = next(series for series in story.series if series.french == "Créatinine")
    assert french_number(dict(creatinine.values)[story.admission], 0) in text


def test_letter_lists_each_drug_of_the_discharge_once(tmp_path: Path) -> None:
    make_letter(tmp_path / "letter.pdf", seed=3)
    treatment = shown_text((tmp_path / "letter.pdf").read_bytes()).split("Traitement de sortie")[1]
    for drug in derive_story(3).prescriptions:
        superseded = drug.french in {"Bisoprolol 5 mg", "Metformine 1000 mg"}
        assert treatment.count(drug.french.replace(" mg", "\u00a0mg")) + treatment.count(drug.french) == (
            not superseded
        )


def test_streams_are_not_compressed(tmp_path: Path) -> None:
    make_letter(tmp_path / "letter.pdf", seed=3)
    assert b"FlateDecode" not in (tmp_path / "letter.pdf").read_bytes()


@pytest.mark.parametrize(("value", "decimals", "written"), [(5.0, 1, "5,0"), (118.0, 0, "118"), (4.42, 2, "4,42")])
def test_numbers_are_written_as_in_french(value: float, decimals: int, written: str) -> None:
    assert french_number(value, decimals) == written
