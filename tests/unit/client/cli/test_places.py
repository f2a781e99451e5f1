"""A name out of a document leads nowhere but into the folder that a person named."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.cli.places import check_place, choose_place, file_name, free_place, is_harmless
from carnet.documents.metadata import CommitmentKeyText, DocumentKind, Metadata
from carnet.errors import UsageError


def make_metadata(name: str | None, title: str = "Chest CT") -> Metadata:
    return Metadata(
        title=title,
        kind=DocumentKind(code="18748-4", display="Diagnostic imaging study"),
        care_date=None,
        author_name="Alice",
        media_type="application/dicom",
        size=0,
        file_name=name,
        comment=None,
        commitment_key=CommitmentKeyText(bytes(32)),
    )


@pytest.mark.parametrize("name", ["scan.dcm", "Lettre de liaison (2).pdf", "résultats.json", "a", "scan.tar.gz"])
def test_plain_name_is_taken(name: str) -> None:
    assert is_harmless(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "c:x",
        ".bashrc",
        "-rf",
        " x",
        "x ",
        "x.",
        "con",
        "NUL.txt",
        "lpt1.pdf",
        "a\nb",
        "a\x1b[2J",
        "a\u202eb",
        "a\u0000b",
        "e\u0301",
        "x" * 201,
        'a"b',
        "a|b",
        "a*",
    ],
)
def test_other_name_is_not(name: str) -> None:
    assert not is_harmless(name)


@given(st.text(max_size=300))
def test_a_harmless_name_stays_in_its_folder(name: str) -> None:
    folder = Path("/target")
    if is_harmless(name):
        assert (folder / name).parent == folder
        assert (folder / name).name == name


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=80).filter(
        lambda text: text.isprintable() and text == text.strip()
    )
)
def test_name_made_of_any_title_is_harmless(title: str) -> None:
    assert is_harmless(file_name(make_metadata(None, title=title)))


@pytest.mark.parametrize(
    "letter", ["x", "é", "e\u0301", "ﬁ", "漢", "\U0001d49c", "각", "\u1112\u119e\u11ab", "ท\u0e34"]
)
@pytest.mark.parametrize("length", [1, 39, 40, 41, 80, 200])
def test_name_made_of_a_long_title_fits_every_system(tmp_path: Path, letter: str, length: int) -> None:
    title = (letter * length)[:200]
    name = file_name(make_metadata(None, title=title))
    assert is_harmless(name)
    (tmp_path / name).write_bytes(b"")
    stem = name.removesuffix(".dcm")
    assert 117 <= len(stem.encode()) <= 120 or length < 120
    assert set(stem) <= {*unicodedata.normalize("NFC", title), "-"}


@pytest.mark.parametrize("name", [".bashrc", "-rf", "con", "a*"])
def test_harmful_name_is_replaced_by_one_of_the_title(name: str) -> None:
    assert file_name(make_metadata(name)) == "Chest-CT.dcm"


def test_folder_gets_a_file_of_the_name(tmp_path: Path) -> None:
    assert choose_place(tmp_path, make_metadata("scan.dcm"), may_overwrite=False) == tmp_path / "scan.dcm"
    assert choose_place(tmp_path / "mine", make_metadata("scan.dcm"), may_overwrite=False) == tmp_path / "mine"


def test_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        choose_place(tmp_path, make_metadata("scan.dcm"), may_overwrite=False)
    assert choose_place(tmp_path, make_metadata("scan.dcm"), may_overwrite=True) == tmp_path / "scan.dcm"


@pytest.mark.parametrize("may_overwrite", [False, True])
def test_link_is_never_followed(tmp_path: Path, may_overwrite: bool) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        check_place(tmp_path / "link", may_overwrite=may_overwrite)


def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        check_place(tmp_path / "none" / "file", may_overwrite=True)


def test_taken_name_gets_a_number(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_text("")
    (tmp_path / "scan-2.dcm").symlink_to("nowhere")
    assert free_place(tmp_path, "scan.dcm") == tmp_path / "scan-3.dcm"
