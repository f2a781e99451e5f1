"""How the recovery page looks: one sheet of A4, drawn from top to bottom. Pure: texts in, PDF bytes out.

Only the faces that every PDF reader brings along are used, so words can be read in any of them for decades. Words are
set in a typewriter face, where l, i and 1 differ.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from carnet.errors import CallerError
from carnet.qr import draw_qr
from carnet.recovery_texts import RENEW_COMMAND, RESTORE_COMMAND, Language, RecoveryTexts
from carnet.short_code import ShortCode


class RecoveryPageError(CallerError):
    """The page cannot be made so; the message says what to do instead. Nothing was written."""


@dataclass(frozen=True, slots=True)
class _Face:
    """A typeface in one size and colour; lengths are in points everywhere."""

    font: str
    size: float
    colour: Color

    def width_of(self, text: str) -> float:
        """How wide `text` is."""
        return float(stringWidth(text, self.font, self.size))

    def fitting(self, text: str, width: float) -> "_Face":
        """The face in a size in which `text` fits into `width`. Raises `RecoveryPageError` if nobody could read it."""
        size = min(self.size, self.size * width / max(self.width_of(text), 1))
        if size < _SMALLEST_SIZE:
            raise RecoveryPageError("a text is too long for a recovery page: shorten it")
        return replace(self, size=size)


_NAVY: Final = HexColor("#14344f")
_INK: Final = HexColor("#1c2630")
_GREY: Final = HexColor("#5d6975")
_RULE: Final = HexColor("#cfd7de")
_TINT: Final = HexColor("#f1f5f8")
_AMBER: Final = HexColor("#d9930d")
_AMBER_TINT: Final = HexColor("#fff5e0")
_AMBER_INK: Final = HexColor("#6b4700")

_BRAND: Final = _Face("Helvetica-Bold", 15, _NAVY)
_DATE: Final = _Face("Helvetica", 9, _GREY)
_TITLE: Final = _Face("Helvetica-Bold", 27, _NAVY)
_SUBTITLE: Final = _Face("Helvetica", 12.5, _GREY)
_WARNING: Final = _Face("Helvetica-Bold", 11.5, _AMBER_INK)
_SECTION: Final = _Face("Helvetica-Bold", 11.5, _NAVY)
_LABEL: Final = _Face("Helvetica-Bold", 9.5, _NAVY)
_SMALL: Final = _Face("Helvetica", 8.6, _GREY)
_WORD: Final = _Face("Courier-Bold", 13.5, _INK)
_CODE: Final = _Face("Courier-Bold", 14, _INK)
_PLAIN: Final = _Face("Courier", 9, _INK)
_SMALLEST_SIZE: Final = 5.5

_INTRO: Final = ParagraphStyle("intro", fontName="Helvetica", fontSize=11, leading=15.5, textColor=_INK)
_NOTE: Final = ParagraphStyle("note", fontName="Helvetica", fontSize=8.6, leading=11.4, textColor=_GREY)
_STEP: Final = ParagraphStyle(
    "step",
    fontName="Helvetica",
    fontSize=9.2,
    leading=12.2,
    textColor=_INK,
    leftIndent=12,
    bulletFontName="Helvetica-Bold",
    bulletFontSize=9.2,
    bulletColor=_NAVY,
)

_WIDTH, _HEIGHT = A4
_MARGIN: Final = 46.0
_RIGHT: Final = _WIDTH - _MARGIN
_CONTENT: Final = _WIDTH - 2 * _MARGIN
_BOTTOM: Final = 30.0
_GAP: Final = 13.0
_PADDING: Final = 14.0
_GUTTER: Final = 19.0

_WORD_ROWS: Final = 6
_WORD_COLUMNS: Final = 4
_WORD_ROW_HEIGHT: Final = 21.0
_QR_SIDE: Final = 132.0
_QR_BORDER: Final = 9.0
_CAPTION_HEIGHT: Final = 10.0
_IDENTITY_HEIGHT: Final = 178.0


class RecoverySheet:
    """One page, filled from top to bottom: each `draw_` begins where the one before ended."""

    def __init__(self, texts: RecoveryTexts, language: Language) -> None:
        self._texts = texts
        self._file = io.BytesIO()
        # Not compressed: the file is small even so, and anyone can look what it holds and what not.
        self._canvas = Canvas(self._file, pagesize=A4, pageCompression=0, invariant=1, lang=language)
        self._canvas.setTitle(f"Carnet: {texts.title}")
        self._canvas.setAuthor("Carnet")
        self._canvas.setCreator("Carnet")
        self._top = _HEIGHT - 40

    def pdf(self) -> bytes:
        """The finished file."""
        self._canvas.showPage()
        self._canvas.save()
        return self._file.getvalue()

    def draw_head(self, created_on: date) -> None:
        """Draw the mark, the title, what the page is for, and the warning."""
        canvas, texts = self._canvas, self._texts
        self._draw_mark(_MARGIN, self._top - 20)
        self._write("Carnet", _MARGIN + 25, self._top - 15.5, _BRAND)
        self._write_to(texts.format_made_on(created_on), _RIGHT, self._top - 14.5, _DATE)
        self._top -= 32
        canvas.setStrokeColor(_RULE)
        canvas.setLineWidth(0.7)
        canvas.line(_MARGIN, self._top, _RIGHT, self._top)
        self._write(texts.title, _MARGIN, self._top - 36, _TITLE)
        self._write(texts.subtitle, _MARGIN, self._top - 55, _SUBTITLE)
        self._top -= 67
        self._top -= self._paragraph(texts.intro, _INTRO, _MARGIN, self._top, width=_CONTENT) + 11
        self._draw_warning()

    def draw_words(self, words: Sequence[str]) -> None:
        """Draw the words in a frame, numbered down its columns."""
        canvas, texts = self._canvas, self._texts
        height = 36 + _WORD_ROWS * _WORD_ROW_HEIGHT
        line = self._top - 27
        self._top -= height
        canvas.setStrokeColor(_NAVY)
        canvas.setLineWidth(1.1)
        canvas.roundRect(_MARGIN, self._top, _CONTENT, height, 6, stroke=1, fill=0)
        self._write(texts.words_heading, _MARGIN + _PADDING, line + 8, _SECTION)
        self._write_to(texts.words_note, _RIGHT - _PADDING, line + 8.5, _SMALL)
        column = (_CONTENT - 2 * _PADDING) / _WORD_COLUMNS
        canvas.setStrokeColor(_RULE)
        canvas.setLineWidth(0.5)
        for index, word in enumerate(words):
            left = _MARGIN + _PADDING + index // _WORD_ROWS * column
            base = line - (index % _WORD_ROWS + 1) * _WORD_ROW_HEIGHT + 6
            self._write_to(str(index + 1), left + 13, base + 0.6, _SMALL)
            self._write(word, left + 19, base, _WORD)
            canvas.line(left + 19, base - 4.5, left + column - 12, base - 4.5)
        self._top -= _GAP

    def draw_identity(
        self, qr_text: str, identity_text: str, code: ShortCode, origins: Sequence[str], card_text: str
    ) -> None:
        """Draw the square, and beside it code, identity, servers and the key of their card.

        Raises `RecoveryPageError` where one has no place.
        """
        if not all(text.isascii() and text.isprintable() for text in (identity_text, *origins, card_text)):
            raise RecoveryPageError("a recovery page shows identity and servers in plain ASCII: use their ASCII form")
        canvas, texts = self._canvas, self._texts
        y = self._top - 19
        self._top -= _IDENTITY_HEIGHT
        canvas.setFillColor(_TINT)
        canvas.roundRect(_MARGIN, self._top, _CONTENT, _IDENTITY_HEIGHT, 6, stroke=0, fill=1)
        bottom = self._top + (_IDENTITY_HEIGHT - _QR_SIDE - _CAPTION_HEIGHT) / 2
        draw_qr(canvas, qr_text, left=_MARGIN + _QR_BORDER, bottom=bottom + _CAPTION_HEIGHT, side=_QR_SIDE)
        caption = _SMALL.fitting(texts.qr_note, _QR_SIDE)
        middle = _MARGIN + _QR_BORDER + _QR_SIDE / 2
        self._write(texts.qr_note, middle - caption.width_of(texts.qr_note) / 2, bottom - 1.5, caption)
        left = _MARGIN + _QR_BORDER + _QR_SIDE + 20
        width = _RIGHT - left - _PADDING
        digits = "   ".join(code.groups())
        self._write(texts.code_heading, left, y, _LABEL)
        self._write(digits, left, y - 19, _CODE.fitting(digits, width))
        y -= 25 + self._paragraph(texts.code_note, _NOTE, left, y - 25, width=width) + 17
        self._write(texts.identity_heading, left, y, _LABEL)
        self._write(identity_text, left, y - 13, _PLAIN.fitting(identity_text, width))
        y -= 30
        self._write(texts.servers_heading, left, y, _LABEL)
        for origin in origins:
            y -= 12
            self._write(origin, left, y, _PLAIN.fitting(origin, width))
        y -= 17
        self._write(texts.card_heading, left, y, _LABEL)
        self._write(card_text, left, y - 13, _PLAIN.fitting(card_text, width))
        y -= 13
        if y < self._top + 6:
            raise RecoveryPageError("a recovery page has no room for so many servers: name the two of the record")
        self._top -= _GAP

    def draw_advice(self) -> None:
        """Draw three columns: how to keep the page, how to use it, what to do when it is gone."""
        texts, width = self._texts, (_CONTENT - 2 * _GUTTER) / 3
        commands = {"restore": _set_command(RESTORE_COMMAND), "renew": _set_command(RENEW_COMMAND)}
        columns = (
            (texts.keep_heading, [(str(number), step) for number, step in enumerate(texts.keep, start=1)]),
            (texts.restore_heading, [(str(number), step) for number, step in enumerate(texts.restore, start=1)]),
            (texts.lost_heading, [("•", step) for step in texts.lost]),
        )
        for number, (heading, steps) in enumerate(columns):
            left, y = _MARGIN + number * (width + _GUTTER), self._top - 10
            self._write(heading, left, y, _SECTION.fitting(heading, width))
            y -= 7
            for bullet, step in steps:
                text = step.format_map(commands)
                y -= self._paragraph(text, _STEP, left, y, width=width, bullet=bullet) + 4.5
            if y < _BOTTOM:
                raise AssertionError("internal: the advice is longer than a recovery page")

    def _draw_mark(self, left: float, bottom: float) -> None:
        """Draw a closed booklet with a keyhole."""
        canvas = self._canvas
        canvas.setFillColor(_NAVY)
        canvas.roundRect(left, bottom, 17, 21, 2.5, stroke=0, fill=1)
        canvas.setStrokeColor(_TINT)
        canvas.setLineWidth(0.9)
        canvas.line(left + 3.4, bottom + 1.6, left + 3.4, bottom + 19.4)
        canvas.setFillColor(_AMBER_TINT)
        canvas.circle(left + 10.2, bottom + 12.4, 2.5, stroke=0, fill=1)
        path = canvas.beginPath()
        path.moveTo(left + 10.2, bottom + 13)
        path.lineTo(left + 12.4, bottom + 6)
        path.lineTo(left + 8, bottom + 6)
        path.close()
        canvas.drawPath(path, stroke=0, fill=1)

    def _draw_warning(self) -> None:
        canvas, height = self._canvas, 28.0
        self._top -= height
        canvas.setFillColor(_AMBER_TINT)
        canvas.rect(_MARGIN, self._top, _CONTENT, height, stroke=0, fill=1)
        canvas.setFillColor(_AMBER)
        canvas.rect(_MARGIN, self._top, 3.5, height, stroke=0, fill=1)
        text = self._texts.warning
        self._write(text, _MARGIN + _PADDING, self._top + 10, _WARNING.fitting(text, _CONTENT - 2 * _PADDING))
        self._top -= _GAP

    def _write(self, text: str, left: float, base: float, face: _Face) -> None:
        self._canvas.setFont(face.font, face.size)
        self._canvas.setFillColor(face.colour)
        self._canvas.drawString(left, base, text)

    def _write_to(self, text: str, right: float, base: float, face: _Face) -> None:
        self._write(text, right - face.width_of(text), base, face)

    def _paragraph(
        self, text: str, style: ParagraphStyle, left: float, top: float, *, width: float, bullet: str | None = None
    ) -> float:
        """Write `text` below `top` and return its height."""
        paragraph = Paragraph(text, style, bulletText=bullet)
        _, height = paragraph.wrap(width, _HEIGHT)
        paragraph.drawOn(self._canvas, left, top - height)
        return float(height)


def _set_command(command: str) -> str:
    """`command` in the typewriter face, in one piece: in two lines it is two commands to somebody in a hurry."""
    unbreakable = command.replace(" ", "\u00a0")
    return f'<font name="Courier" size="8.6">{unbreakable}</font>'
