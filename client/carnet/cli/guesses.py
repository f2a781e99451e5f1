"""What a file says about itself: media type, kind, title, date of care. Guesses, for `carnet add`; options decide.

Only a file's beginning is looked at, and small FHIR files whole. What cannot be read is not guessed; nothing raises but
the file system.
"""

import json
import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from carnet.cli.kinds import KINDS
from carnet.documents.metadata import DocumentKind

_HEAD_BYTES: Final = 64 * 1024
_PATIENT_GROUP: Final = 0x0010
_MOST_JSON_BYTES: Final = 8 * 1024 * 1024
_DATE: Final = re.compile(r"(?<!\d)(19\d\d|20\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")
_MAGIC: Final = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"PK\x03\x04", "application/zip"),
)
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
_FHIR_KINDS: Final = {
    "DiagnosticReport": "laboratory",
    "Observation": "laboratory",
    "MedicationRequest": "prescription",
    "MedicationStatement": "medication",
    "Immunization": "vaccination",
    "ImagingStudy": "imaging",
    "ServiceRequest": "referral",
}
_WORDS: Final = (
    ("imaging", ("scan", "ct", "mri", "irm", "xray", "x-ray", "radio", "echo", "ultrasound", "scanner")),
    ("ecg", ("ecg", "ekg")),
    ("laboratory", ("lab", "labo", "laboratory", "blood", "analyse", "analyses", "bilan")),
    ("prescription", ("prescription", "ordonnance", "rezept", "rx")),
    ("vaccination", ("vaccin", "vaccine", "vaccination", "impfung")),
    ("letter", ("letter", "lettre", "brief", "arztbrief", "discharge", "sortie")),
)


@dataclass(frozen=True, slots=True)
class Guess:
    """What a file is taken for."""

    media_type: str
    kind: DocumentKind
    title: str
    care_date: str | None


def guess(path: Path) -> Guess:
    """What the file at `path` says about itself. Raises `OSError` if it cannot be read."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    media_type = _guess_media_type(path, head)
    title, day = _title_of_name(path), _find_date(path.stem)
    kind = KINDS[_kind_of_name(path)]
    if media_type == "application/dicom":
        tags = read_dicom_tags(head)
        title = tags.get((0x0008, 0x1030)) or title
        day = _find_date(tags.get((0x0008, 0x0020), "")) or day
        kind = KINDS["ecg"] if tags.get((0x0008, 0x0060)) == "ECG" else KINDS["imaging"]
    elif media_type == "application/fhir+json" and path.stat().st_size <= _MOST_JSON_BYTES:
        resource = _load_json(path)
        title = _first_text(resource, "title") or title
        day = _find_date(_first_text(resource, "date") or "") or day
        kind = KINDS[_FHIR_KINDS.get(str(resource.get("resourceType")), "summary")]
    return Guess(media_type, kind, clean_title(title), day)


def clean_title(text: str) -> str:
    """`text` as a title may be: printable, one space between words, at most 200 characters, never empty."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:200].strip() or "Document"


def read_dicom_tags(head: bytes) -> dict[tuple[int, int], str]:
    """The short texts among the first data elements of a DICOM file, explicit little endian, by group and element."""
    return dict(_dicom_elements(head)) if head[128:132] == b"DICM" else {}


def _dicom_elements(head: bytes) -> Iterator[tuple[tuple[int, int], str]]:
    position = 132
    while position + 8 <= len(head):
        group, element = (int.from_bytes(head[position + at : position + at + 2], "little") for at in (0, 2))
        representation = head[position + 4 : position + 6]
        if not representation.isalpha():
            return
        is_long = representation in {b"OB", b"OW", b"OF", b"SQ", b"UT", b"UN", b"OD", b"OL", b"UC", b"UR"}
        start = position + (12 if is_long else 8)
        length = int.from_bytes(head[start - (4 if is_long else 2) : start], "little")
        if group > _PATIENT_GROUP or length > len(head) - start:  # past what is of use, or of unknown length
            return
        if representation in {b"LO", b"SH", b"DA", b"CS"}:
            text = head[start : start + length].decode("utf-8", errors="replace").strip(" \x00")
            yield (group, element), text
        position = start + length


def _guess_media_type(path: Path, head: bytes) -> str:
    if head[128:132] == b"DICM":
        return "application/dicom"
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{") and b'"resourceType"' in head:
        return "application/fhir+json"
    if start.startswith(b"<") and b"ClinicalDocument" in head:
        return "text/xml"
    by_name = (mimetypes.guess_type(path.name)[0] or "").lower()
    return by_name if _MEDIA_TYPE.fullmatch(by_name) else "application/octet-stream"


def _load_json(path: Path) -> dict[str, object]:
    try:
        resource = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return resource if isinstance(resource, dict) else {}


def _first_text(resource: dict[str, object], name: str) -> str | None:
    """The text `name` of a FHIR resource, or of the first resource in a bundle that has one."""
    candidates: list[object] = [resource]
    entries = resource.get("entry")
    if isinstance(entries, list):
        candidates += [entry.get("resource") for entry in entries if isinstance(entry, dict)]
    for candidate in candidates:
        if isinstance(candidate, dict) and isinstance(text := candidate.get(name), str):
            return text
    return None


def _title_of_name(path: Path) -> str:
    stem = _DATE.sub("", path.stem)
    # Hyphens stand for spaces where a name has no other: "lettre-de-liaison", but not "Chest X-ray".
    gaps = r"[_\s]+" if re.search(r"[_\s]", stem) else "-+"
    words = re.sub(gaps, " ", stem).strip(" -.")
    return words[:1].upper() + words[1:] if words else path.stem


def _kind_of_name(path: Path) -> str:
    words = set(re.split(r"[^a-z]+", path.stem.lower()))
    return next((kind for kind, signs in _WORDS if words & set(signs)), "note")


def _find_date(text: str) -> str | None:
    match = _DATE.search(text)
    try:
        return None if match is None else date(int(match[1]), int(match[2]), int(match[3])).isoformat()
    except ValueError:
        return None
