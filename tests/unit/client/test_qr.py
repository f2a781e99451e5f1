"""QR codes: what the terminal shows and what the page draws is the code that segno made, border included."""

import io
import re
import subprocess
import sys

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from carnet.qr import QUIET_ZONE_MODULES, QrError, draw_qr, format_qr_text

COLOURS = "\x1b[38;5;16;48;5;231m"
RESET = "\x1b[0m"
MODULES = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}


def read_terminal(text: str) -> list[list[int]]:
    """The modules that `text` shows, row by row."""
    rows: list[list[int]] = []
    for line in text.split("\n"):
        assert line.startswith(COLOURS)
        assert line.endswith(RESET)
        pairs = [MODULES[character] for character in line[len(COLOURS) : -len(RESET)]]
        rows += [[upper for upper, _ in pairs], [lower for _, lower in pairs]]
    return rows


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=120).filter(lambda text: text.isprintable()))
def test_terminal_shows_the_code(payload: str) -> None:
    expected = [list(row) for row in segno.make_qr(payload, error="m").matrix_iter(border=4)]
    shown = read_terminal(format_qr_text(payload))
    assert shown[: len(expected)] == expected
    assert not any(any(row) for row in shown[len(expected) :])


def test_terminal_keeps_the_quiet_zone() -> None:
    rows = read_terminal(format_qr_text("carnet"))
    assert QUIET_ZONE_MODULES == 4
    assert not any(any(row) for row in rows[:4] + rows[-4:])
    assert not any(any(row[:4]) or any(row[-4:]) for row in rows)
    assert rows[4][4:11] == [1] * 7


def test_terminal_sets_both_colours_on_every_line() -> None:
    for line in format_qr_text("carnet").split("\n"):
        assert line.startswith(COLOURS)
        assert line.endswith(RESET)
        assert line.count("\x1b") == 2


def test_page_draws_the_code() -> None:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pageCompression=0)
    draw_qr(canvas, "carnet", left=100, bottom=200, side=290)
    canvas.save()
    expected = [list(row) for row in segno.make_qr("carnet", error="m").matrix_iter(border=4)]
    module = 290 / len(expected)
    drawn = [[0] * len(expected) for _ in expected]
    for rectangle in re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re", buffer.getvalue()):
        x, y, width, height = map(float, rectangle)
        if width == 290:
            continue  # the white ground
        row = len(expected) - 1 - round((y - 200) / module)
        start = round((x - 100) / module)
        assert height == pytest.approx(module, abs=0.001)
        for column in range(start, start + round(width / module)):
            drawn[row][column] += 1
    assert drawn == expected


@pytest.mark.parametrize("length", [2332, 5000])
def test_too_long_a_text_is_refused(length: int) -> None:
    with pytest.raises(QrError):
        format_qr_text("x" * length)
    with pytest.raises(QrError):
        draw_qr(Canvas(io.BytesIO()), "x" * length, left=0, bottom=0, side=100)


def test_the_longest_text_that_fits_is_shown() -> None:
    assert len(read_terminal(format_qr_text("x" * 2331))) == 186


def test_a_terminal_code_needs_no_page_library() -> None:
    program = "import sys, carnet.qr; carnet.qr.format_qr_text('x'); sys.exit('reportlab' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
