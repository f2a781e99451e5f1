"""The recovery kit's page: twenty-four words on one sheet of A4, to be printed and kept (spec `keys.md`, "Recovery").

The page is made in memory and lands in one new file that its owner alone may read. Nothing else is written: no words
in the document's properties, no name of the person, no file elsewhere.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from carnet.recovery_sheet import RecoveryPageError, RecoverySheet
from carnet.recovery_texts import TEXTS, Language
from carnet.short_code import parse_short_code
from carnet.whole_file import write_new_file
from carnet.words import format_words, parse_words

__all__ = ["RecoveryPageError", "make_recovery_page"]


def make_recovery_page(
    path: Path,
    *,
    words: Sequence[str],
    qr_text: str,
    identity_text: str,
    short_code: str,
    origins: Sequence[str],
    card_text: str,
    created_on: date,
    language: Language = "en",
) -> None:
    """Write a page with the recovery `words` to the new file `path`, readable by its owner alone.

    `qr_text` is what the square holds; `identity_text` and `short_code` say whose page it is, `origins` where the
    record lies, `card_text` the fingerprint of the key that signs the service card of those servers. Raises
    `WordsError` or `MalformedError` for words or a code that could not be read back, `QrError` if the square cannot
    hold its text, and `RecoveryPageError` if a text does not fit, if there is a file at `path` already, or if it cannot
    be written.
    """
    if format_words(parse_words(" ".join(words))) != tuple(words):
        raise AssertionError("internal: a recovery page shows whole words")
    sheet = RecoverySheet(TEXTS[language], language)
    sheet.draw_head(created_on)
    sheet.draw_words(words)
    sheet.draw_identity(qr_text, identity_text, parse_short_code(short_code), origins, card_text)
    sheet.draw_advice()
    _write(path, sheet.pdf())


def _write(path: Path, data: bytes) -> None:
    """Put `data` into a new file at `path`. Raises `RecoveryPageError`."""
    try:
        write_new_file(path, data)
    except FileExistsError as error:
        raise RecoveryPageError(f"{path} is there already: name another file, or remove that one first") from error
    except OSError as error:
        raise RecoveryPageError(
            f"{path} cannot be written ({error.strerror}): name a folder of your own on this machine's disk"
        ) from error
