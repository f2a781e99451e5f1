"""QR codes for a terminal and for a printed page.

    >>> len(format_qr_text("carnet").splitlines())
    15

Pure: text in, text or marks on a given page out. What a code holds, and who may see it, is the caller's to decide.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

import segno

from carnet.errors import CallerError

if TYPE_CHECKING:
    # Loading it costs more than everything else here, and a terminal has no use for it.
    from reportlab.pdfgen.canvas import Canvas

QUIET_ZONE_MODULES: Final = 4
"""The light border that ISO/IEC 18004 asks for; part of every code made here."""

# Entries 16 and 231 of the 256 colours are black and white whatever the theme, so the code is dark on light everywhere.
_BLACK_ON_WHITE: Final = "\x1b[38;5;16;48;5;231m"
_RESET: Final = "\x1b[0m"
_HALF_BLOCKS: Final = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


class QrError(CallerError):
    """The text is longer than any QR code holds."""


def format_qr_text(payload: str) -> str:
    """Lines of half blocks for a terminal that show `payload`, quiet zone included.

    Each line sets and resets its colours, so it stands on dark and light backgrounds alike. Raises `QrError` when
    `payload` is too long.
    """
    rows = _matrix(payload)
    if len(rows) % 2:
        rows.append(bytes(len(rows)))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join(
        _BLACK_ON_WHITE + "".join(_HALF_BLOCKS[pair] for pair in zip(upper, lower, strict=True)) + _RESET
        for upper, lower in pairs
    )


def draw_qr(canvas: "Canvas", payload: str, *, left: float, bottom: float, side: float) -> None:
    """Draw a square that shows `payload`, quiet zone included, on `canvas`; lengths are in points.

    Raises `QrError` when `payload` is too long.
    """
    rows = _matrix(payload)
    module = side / len(rows)
    # One path for all modules: renderers then leave no hairlines where two of them touch.
    path = canvas.beginPath()
    for row_number, row in enumerate(rows, start=1):
        for start, end in _dark_runs(row):
            path.rect(left + start * module, bottom + side - row_number * module, (end - start) * module, module)
    canvas.saveState()
    canvas.setFillGray(1)
    canvas.rect(left, bottom, side, side, stroke=0, fill=1)
    canvas.setFillGray(0)
    canvas.drawPath(path, stroke=0, fill=1)
    canvas.restoreState()


def _matrix(payload: str) -> list[bytes]:
    """Rows of modules, 1 is dark, with the quiet zone around."""
    try:
        code = segno.make_qr(payload, error="m")
    except segno.DataOverflowError as error:
        raise QrError("the text is too long for a QR code: use the words or a file instead") from error
    return [bytes(row) for row in code.matrix_iter(border=QUIET_ZONE_MODULES)]


def _dark_runs(row: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of every run of dark modules in `row`."""
    position = 0
    for module, run in groupby(row):
        length = sum(1 for _ in run)
        if module:
            yield position, position + length
        position += length
