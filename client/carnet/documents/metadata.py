"""What is said of a document, in a ciphertext of its own (spec `document.md`, "Metadata").

Every string in it comes from somebody else: it is shown as text, and decides nothing.
"""

import hmac
import unicodedata
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationError

from carnet.content import CommitmentKey, commit_metadata
from carnet.errors import VerificationError
from carnet_protocol.encoding import format_canonical_json, parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import FixedBytes
from carnet_protocol.limits import MAX_DOCUMENT_BYTES
from carnet_protocol.statements import Manifest
from carnet_protocol.suites import parse_suite
from carnet_protocol.wire import ShortText, WireModel

FORMAT: Final = "carnet.metadata.v1"
MAX_FILE_NAME_BYTES: Final = 255
_MOST_STEM_BYTES: Final = 120
"""Of a name made of a title: with its ending, and a number where it is taken, far from what any system allows."""
_MEDIA_TYPE: Final = r"^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$"


class CommitmentKeyText(FixedBytes):
    """The 32 random bytes that key the plaintext commitment, as they stand in the metadata."""

    __slots__ = ()

    def __repr__(self) -> str:
        """No secret."""
        return "CommitmentKeyText(****)"


def _check_date(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError("a date of care is YYYY-MM-DD")
    return text


def _check_file_name(name: str) -> str:
    if len(name.encode("utf-8")) > MAX_FILE_NAME_BYTES:
        raise ValueError("a file name has at most 255 bytes")
    if name in {".", ".."} or any(character in "/\\" or not character.isprintable() for character in name):
        raise ValueError("a file name names no path and holds no control character")
    return name


def _check_comment(text: str) -> str:
    if any(character != "\n" and not character.isprintable() for character in text):
        raise ValueError("a comment holds no control character but line ends")
    return text


class DocumentKind(WireModel):
    """A LOINC document type."""

    code: Annotated[str, Field(pattern=r"^[0-9]{1,7}-[0-9]$")]
    display: ShortText
    system: Literal["http://loinc.org"] = "http://loinc.org"


class Metadata(WireModel):
    """The metadata of one version. One that exists is within its rules."""

    format: Literal["carnet.metadata.v1"] = FORMAT
    title: ShortText
    kind: DocumentKind
    care_date: Annotated[str, AfterValidator(_check_date)] | None
    author_name: ShortText
    media_type: Annotated[str, Field(max_length=127, pattern=_MEDIA_TYPE)]
    size: Annotated[int, Field(ge=0, le=MAX_DOCUMENT_BYTES)]
    file_name: Annotated[str, Field(min_length=1), AfterValidator(_check_file_name)] | None
    comment: Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_check_comment)] | None
    commitment_key: CommitmentKeyText

    def formatted(self) -> bytes:
        """Canonical JSON."""
        return format_canonical_json(self.model_dump(mode="json"))


def parse_metadata(text: bytes) -> Metadata:
    """The metadata that `text` is the canonical JSON of. Raises `VerificationError`."""
    try:
        members = parse_canonical_json(text)
        metadata = Metadata.model_validate(members)
        if metadata.formatted() != text:
            raise _against_the_rules()
    except (MalformedError, ValidationError):
        raise _against_the_rules() from None  # pydantic's report would quote the metadata
    return metadata


def parse_committed(text: bytes, manifest: Manifest) -> Metadata:
    """The metadata that `text` is, if the author of `manifest` committed to it. Raises `VerificationError`.

    A reseal by the patient gives a new ciphertext; this says that its title, kind, date and the rest are still the
    author's.
    """
    metadata = parse_metadata(text)
    commitment = commit_metadata(parse_suite(manifest.suite), CommitmentKey(metadata.commitment_key.raw), text)
    if not hmac.compare_digest(commitment, manifest.metadata_commitment):
        raise VerificationError("a document's title and what else is said of it are not what its author signed")
    return metadata


def _against_the_rules() -> VerificationError:
    return VerificationError("a document's metadata is against the rules: its author's program is too new, or wrong")


def safe_file_name(title: str, media_type: str) -> str:
    """A file name for a document that brings none: its title in letters and digits, and an ending for its type."""
    kept = "".join(character if character.isalnum() else "-" for character in unicodedata.normalize("NFC", title))
    joined = "-".join(part for part in kept.split("-") if part)
    # Marks that combine with the letter before them were no letters; so a cut between characters parts nothing.
    words = joined.encode()[:_MOST_STEM_BYTES].decode(errors="ignore") or "document"
    if words.upper() in _DEVICES:
        words = f"document-{words}"
    return words + _ENDINGS.get(media_type, ".bin")


_DEVICES: Final = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{name}{number}" for name in ("COM", "LPT") for number in "0123456789¹²³"),
}
"""Names that are no files on some systems, whatever their ending."""
_ENDINGS: Final = {
    "application/dicom": ".dcm",
    "application/fhir+json": ".json",
    "application/json": ".json",
    "application/pdf": ".pdf",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "text/plain": ".txt",
    "text/xml": ".xml",
}
