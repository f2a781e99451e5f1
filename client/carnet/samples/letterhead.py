"""The hospital's writing paper: letterhead, sidebar and footer, type styles, and a signature.

French is set as French printers do: typographic apostrophes, and no line break before high punctuation or a unit.
"""

# ruff: noqa: RUF001  French is written with typographic apostrophes

import re
from datetime import date
from typing import Final

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, TableStyle

from carnet.samples.story import HOSPITAL, NOTICE, TOWN, Story, seeded

_INK: Final = HexColor("#1d2733")
_BLUE: Final = HexColor("#1f4e79")
_SKY: Final = HexColor("#4f9ac9")
_GREY: Final = HexColor("#5f6b78")
_RULE: Final = HexColor("#c9d3dd")
_TINT: Final = HexColor("#eef3f8")
_PEN: Final = HexColor("#23356e")
_WIDTH, _HEIGHT = A4
_MARGIN: Final = 18 * mm
_SIDEBAR: Final = 41 * mm
_BOTTOM: Final = 19 * mm
PAGE_COUNT: Final = 2

BODY: Final = ParagraphStyle("body", fontName="Helvetica", fontSize=9.6, leading=13.4, textColor=_INK, spaceAfter=4)
RIGHT: Final = ParagraphStyle("right", parent=BODY, alignment=2)
END: Final = ParagraphStyle("end", parent=BODY, spaceBefore=6)
HEADING: Final = ParagraphStyle(
    "heading", parent=BODY, fontName="Helvetica-Bold", fontSize=9.8, textColor=_BLUE, spaceBefore=8, spaceAfter=3
)
BULLET: Final = ParagraphStyle("bullet", parent=BODY, leftIndent=9, bulletIndent=0, spaceAfter=1.6)
CELL: Final = ParagraphStyle("cell", parent=BODY, fontSize=8.5, leading=10.6, spaceAfter=0)
SIDE: Final = ParagraphStyle("side", parent=BODY, fontSize=7.3, leading=9.7, textColor=_GREY, spaceAfter=0)
SIDE_HEADING: Final = ParagraphStyle("side heading", parent=SIDE, fontName="Helvetica-Bold", textColor=_BLUE)

RULED: Final = TableStyle(
    [
        ("FONT", (0, 0), (-1, -1), "Helvetica", 8.5),
        ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 8.5),
        ("TEXTCOLOR", (0, 0), (-1, -1), _INK),
        ("BACKGROUND", (0, 0), (-1, 0), _TINT),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, _RULE),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("TOPPADDING", (0, 0), (-1, -1), 3),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
        ("LEFTPADDING", (0, 0), (-1, -1), 4),
    ]
)
BOX: Final = TableStyle(
    [
        ("BACKGROUND", (0, 0), (-1, -1), _TINT),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("TOPPADDING", (0, 0), (-1, -1), 5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
        ("LEFTPADDING", (0, 0), (-1, -1), 7),
    ]
)
_MONTHS: Final = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
    "décembre",
)  # fmt: skip


def french_date(day: date) -> str:
    """`day` as it stands in a French letter."""
    number = "1er" if day.day == 1 else str(day.day)
    return f"{number} {_MONTHS[day.month - 1]} {day.year}"


def french_number(value: float, decimals: int = 1) -> str:
    """`value` with a decimal comma."""
    return f"{value:.{decimals}f}".replace(".", ",")


def french_text(text: str, style: ParagraphStyle = BODY, bullet: str | None = None) -> Paragraph:
    """A paragraph of `text` that keeps punctuation and units on the line of the word before."""
    unbreakable = re.sub(r" (?=[:;%]|°C|(?:kg|mm|mmHg|mg)\b)", "\u00a0", text)
    return Paragraph(unbreakable, style, bulletText=bullet)


def page_templates(story: Story, reference: str | None) -> list[PageTemplate]:
    """The first page with a sidebar, called "first", and the second, called "later"; both show `reference`."""
    top, left = _HEIGHT - 38 * mm, _MARGIN + _SIDEBAR
    side = Frame(_MARGIN, _BOTTOM, _SIDEBAR - 6 * mm, top - _BOTTOM, 0, 0, 0, 0, id="side")
    main = Frame(left, _BOTTOM, _WIDTH - left - _MARGIN, top - _BOTTOM, 0, 0, 0, 0, id="main")
    later = Frame(_MARGIN, _BOTTOM, _WIDTH - 2 * _MARGIN, _HEIGHT - 27 * mm - _BOTTOM, 0, 0, 0, 0, id="later")

    def draw_first(canvas: Canvas, _document: BaseDocTemplate) -> None:
        _draw_letterhead(canvas)
        canvas.setStrokeColor(_RULE)
        canvas.line(left - 4 * mm, _BOTTOM, left - 4 * mm, top)
        _draw_footer(canvas, reference)

    def draw_later(canvas: Canvas, _document: BaseDocTemplate) -> None:
        _draw_running_head(canvas, story)
        _draw_footer(canvas, reference)

    return [
        PageTemplate(id="first", frames=[side, main], onPage=draw_first),
        PageTemplate(id="later", frames=[later], onPage=draw_later),
    ]


def _draw_letterhead(canvas: Canvas) -> None:
    """Draw the hospital's mark, four petals, beside its name."""
    left, middle, petal = _MARGIN, _HEIGHT - 21 * mm, 3.6 * mm
    for number, (across, up) in enumerate(((0, 1), (1, 0), (0, -1), (-1, 0))):
        canvas.setFillColor(_BLUE if number % 2 else _SKY)
        canvas.circle(left + 7 * mm + across * petal, middle + up * petal, 3.1 * mm, stroke=0, fill=1)
    canvas.setFillColor(_BLUE)
    canvas.setFont("Helvetica-Bold", 15)
    canvas.drawString(left + 18 * mm, middle + 1.6 * mm, HOSPITAL)
    canvas.setFont("Helvetica", 8.6)
    canvas.setFillColor(_GREY)
    canvas.drawString(left + 18 * mm, middle - 3.6 * mm, f"1, avenue de l’Invention, {TOWN}   ·   01 99 00 40 00")
    canvas.setStrokeColor(_BLUE)
    canvas.setLineWidth(0.9)
    canvas.line(left, _HEIGHT - 32 * mm, _WIDTH - _MARGIN, _HEIGHT - 32 * mm)
    canvas.setLineWidth(0.5)


def _draw_running_head(canvas: Canvas, story: Story) -> None:
    patient = story.patient
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(_GREY)
    canvas.drawString(_MARGIN, _HEIGHT - 18 * mm, f"{patient.civility} {patient.name}, {patient.born:%d/%m/%Y}")
    canvas.drawRightString(_WIDTH - _MARGIN, _HEIGHT - 18 * mm, f"Sortie du {french_date(story.discharge)}")
    canvas.setStrokeColor(_RULE)
    canvas.line(_MARGIN, _HEIGHT - 20.5 * mm, _WIDTH - _MARGIN, _HEIGHT - 20.5 * mm)


def _draw_footer(canvas: Canvas, reference: str | None) -> None:
    canvas.setStrokeColor(_RULE)
    canvas.line(_MARGIN, 15.5 * mm, _WIDTH - _MARGIN, 15.5 * mm)
    canvas.setFillColor(_GREY)
    canvas.setFont("Helvetica", 7)
    canvas.drawString(_MARGIN, 12 * mm, NOTICE)
    canvas.drawRightString(_WIDTH - _MARGIN, 12 * mm, f"Page {canvas.getPageNumber()}/{PAGE_COUNT}")
    if reference is not None:
        canvas.setFont("Courier", 6)
        canvas.drawString(_MARGIN, 9 * mm, reference)


class Signature(Flowable):
    """A scribble at the right margin, another one for each `seed`."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.width, self.height = _WIDTH - 2 * _MARGIN, 12 * mm
        self._source = seeded("signature", seed)

    def draw(self) -> None:
        """Draw loops from left to right and a stroke below them."""
        canvas, source = self.canv, self._source
        canvas.setStrokeColor(_PEN)
        canvas.setLineWidth(1.1)
        canvas.setLineCap(1)
        path = canvas.beginPath()
        x, y = self.width - 40 * mm, 4 * mm
        path.moveTo(x, y)
        for _ in range(6):
            step = (3 + 3 * source.random()) * mm
            up, down = (6 + 5 * source.random()) * mm, (1 + 3 * source.random()) * mm
            path.curveTo(x + step * 0.2, y + up, x + step * 1.5, y + up, x + step, down)
            x, y = x + step, down
        path.curveTo(x - 10 * mm, 0, x - 25 * mm, 1 * mm, x + 6 * mm, (2 + 2 * source.random()) * mm)
        canvas.drawPath(path, stroke=1, fill=0)
