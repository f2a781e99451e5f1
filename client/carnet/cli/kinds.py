"""Kinds of documents in plain words, each a LOINC document type."""

import re
from typing import Final

from carnet.documents.metadata import DocumentKind
from carnet.errors import UsageError

_CODE: Final = re.compile(r"[0-9]{1,7}-[0-9]")

KINDS: Final[dict[str, DocumentKind]] = {
    "note": DocumentKind(code="34109-9", display="Note"),
    "letter": DocumentKind(code="34105-7", display="Hospital Discharge summary"),
    "referral": DocumentKind(code="57133-1", display="Referral note"),
    "consultation": DocumentKind(code="11488-4", display="Consult note"),
    "summary": DocumentKind(code="60591-5", display="Patient summary Document"),
    "laboratory": DocumentKind(code="11502-2", display="Laboratory report"),
    "pathology": DocumentKind(code="11526-1", display="Pathology study"),
    "imaging": DocumentKind(code="18748-4", display="Diagnostic imaging study"),
    "ecg": DocumentKind(code="11524-6", display="EKG study"),
    "prescription": DocumentKind(code="57833-6", display="Prescription for medication"),
    "medication": DocumentKind(code="56445-0", display="Medication summary"),
    "vaccination": DocumentKind(code="11369-6", display="History of Immunization"),
}
"""The kinds that have a word."""


def parse_kind(text: str) -> DocumentKind:
    """The kind that `text` names: one of the words, or a LOINC code with words of one's own, as in `34133-9 Summary`.

    Raises `UsageError`.
    """
    known = KINDS.get(text.strip().lower())
    if known is not None:
        return known
    code, _, display = text.strip().partition(" ")
    if _CODE.fullmatch(code):
        by_code = {kind.code: kind for kind in KINDS.values()}
        if display:
            return DocumentKind(code=code, display=display.strip())
        if code in by_code:
            return by_code[code]
    raise UsageError(f'a kind is one of {", ".join(KINDS)}, or a LOINC code and its name, as in "34133-9 Summary"')
