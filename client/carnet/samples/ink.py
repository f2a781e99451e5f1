"""Ink on squared paper: an image with smooth lines and plain lettering, written as PNG (ISO/IEC 15948).

Each pixel is one byte: two bits say what the paper shows there, six how much ink lies on it. All 256 combinations are
the palette, so drawing needs no colours and the file no more than a byte a pixel.
"""

import math
import zlib
from itertools import pairwise
from typing import Final

_INK_LEVELS: Final = 63
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PALETTE_COLOUR: Final = 3

Point = tuple[float, float]
Colour = tuple[int, int, int]

# Strokes on a grid of four by six, each a row of points x y; capitals are six high, small letters four.
_LETTERING: Final = {
    " ": "", "/": "0046", ".": "2021", ":": "2122 2425", "-": "0343", "+": "2125 0343",
    "A": "002640 1232", "B": "00063645443303 3342413000", "C": "4536160501103041", "D": "00062644422000",
    "E": "40000646 0333", "F": "000646 0333", "G": "45361605011030414323", "H": "0006 4046 0343",
    "I": "1030 1636 2026", "J": "4641301001", "K": "0006 4603 1440", "L": "060040", "M": "0006234640",
    "N": "00064046", "O": "100105163645413010", "P": "00063645443303", "Q": "100105163645413010 2240",
    "R": "00063645443303 2340", "S": "453616050413334241301001", "T": "0646 2620", "U": "060110304146",
    "V": "062046", "W": "0610233046", "X": "0046 0640", "Y": "062346 2320", "Z": "06460040",
    "0": "100105163645413010", "1": "152620 1030", "2": "05163645440040", "3": "0516364544334241301001 1333",
    "4": "30360242", "5": "460603334241301001", "6": "36150301103041423303", "7": "064610",
    "8": "13040516364544331302011030414233", "9": "10314345361605041343",
    "a": "14344340 421201103041", "m": "0004142320 23344340", "s": "4414031232413000",
}  # fmt: skip


class InkedPaper:
    """Paper of `width` by `height` pixels with a grid: fine lines every `square` pixels, strong ones every fifth.

    The grid fills the rectangle from `grid_top` to `grid_bottom`; outside the paper is blank.
    """

    def __init__(self, *, width: int, height: int, square: int, grid_top: int, grid_bottom: int) -> None:
        self.width, self.height = width, height
        strong = bytes(2 if x % (5 * square) == 0 else 1 if x % square == 0 else 0 for x in range(width))
        lines = {0: strong, 1: bytes(max(shade, 1) for shade in strong), 2: b"\x02" * width}
        self._pixels = bytearray()
        for y in range(height):
            if not grid_top <= y <= grid_bottom:
                self._pixels += bytes(width)
            else:
                down = y - grid_top
                self._pixels += lines[2 if down % (5 * square) == 0 else 1 if down % square == 0 else 0]

    def draw_line(self, points: list[Point], thickness: float) -> None:
        """Draw the line through `points`; where it crosses ink, the darker of the two stays."""
        for start, end in pairwise(points):
            self._draw_segment(start, end, thickness / 2)

    def draw_text(self, text: str, left: float, baseline: float, size: float) -> None:
        """Write `text` with capitals of `size` pixels: A to Z, digits, and the few other signs that a tracing needs."""
        step = size / 6
        for character in text:
            for stroke in _LETTERING[character].split():
                across_up = zip(stroke[::2], stroke[1::2], strict=True)
                points = [(left + int(across) * step, baseline - int(up) * step) for across, up in across_up]
                self.draw_line(points, max(1.3, size / 8))
            left += 5.6 * step

    def png(self, *, paper: Colour, fine: Colour, strong: Colour, ink: Colour, comment: str | None) -> bytes:
        """The PNG file with these colours; `comment` stands in it uncompressed."""
        palette = bytearray()
        for level in range(_INK_LEVELS + 1):
            for ground in (paper, fine, strong, strong):
                palette += bytes(
                    round(below + (above - below) * level / _INK_LEVELS)
                    for below, above in zip(ground, ink, strict=True)
                )
        rows = b"".join(
            b"\0" + self._pixels[start : start + self.width] for start in range(0, len(self._pixels), self.width)
        )
        header = self.width.to_bytes(4, "big") + self.height.to_bytes(4, "big") + bytes([8, _PALETTE_COLOUR, 0, 0, 0])
        chunks = [_chunk(b"IHDR", header), _chunk(b"PLTE", bytes(palette))]
        if comment is not None:
            chunks.append(_chunk(b"tEXt", b"Comment\0" + comment.encode("latin-1")))
        chunks += [_chunk(b"IDAT", zlib.compress(rows, 6)), _chunk(b"IEND", b"")]
        return _SIGNATURE + b"".join(chunks)

    def _draw_segment(self, start: Point, end: Point, radius: float) -> None:
        """Ink every pixel near the segment by how much of it lies within `radius`."""
        (x0, y0), (x1, y1) = start, end
        along_x, along_y = x1 - x0, y1 - y0
        length_squared = along_x * along_x + along_y * along_y or 1.0
        reach = radius + 0.5
        pixels, width = self._pixels, self.width
        left, right = max(0, math.ceil(min(x0, x1) - reach)), min(width - 1, math.floor(max(x0, x1) + reach))
        top, bottom = max(0, math.ceil(min(y0, y1) - reach)), min(self.height - 1, math.floor(max(y0, y1) + reach))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                share = min(1.0, max(0.0, ((x - x0) * along_x + (y - y0) * along_y) / length_squared))
                ink = reach - math.hypot(x - x0 - share * along_x, y - y0 - share * along_y)
                if ink > 0:
                    offset = y * width + x
                    level = round(min(1.0, ink) * _INK_LEVELS)
                    if level > pixels[offset] >> 2:
                        pixels[offset] = pixels[offset] & 3 | level << 2


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
