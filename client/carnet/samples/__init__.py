"""Sample documents, made on the spot: real files of the formats that hospitals send, about people who do not exist.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     letter = make_letter(Path(folder) / "letter.pdf", seed=1)
    ...     (letter.kind.code, letter.media_type)
    ('34105-7', 'application/pdf')

Every maker is deterministic: the same `seed` and `canary` give the same bytes, and documents of one seed tell one
story about one patient. Nothing here is for documents of real people.
"""

from carnet.samples.bundle import make_bundle
from carnet.samples.ct import make_ct
from carnet.samples.document import DocumentKind, SampleDocument, make_canary
from carnet.samples.ecg import make_ecg
from carnet.samples.letter import make_letter

__all__ = [
    "DocumentKind",
    "SampleDocument",
    "make_bundle",
    "make_canary",
    "make_ct",
    "make_ecg",
    "make_letter",
]
