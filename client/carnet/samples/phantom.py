"""A chest that nobody has, slice by slice from the apices of the lungs to the liver, as a CT scanner would show it.

Pixels are 12-bit values in 16 bits, little-endian, 1024 above Hounsfield's zero. Each tissue is a strip of noise made
once; a slice is painted by copying pieces of those strips, so that a gigabyte would take seconds and one slice of
memory.
"""

# ruff: noqa: PLR2004  where an organ begins and ends has no better name than its number

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

SIDE: Final = 512
SLICE_BYTES: Final = SIDE * SIDE * 2
PIXEL_MM: Final = 0.84
SLICE_MM: Final = 3.0
HOUNSFIELD_ZERO: Final = 1024

_MIDDLE: Final = SIDE // 2
_STRIP_PIXELS: Final = 1 << 14

# Value and noise; low bytes are chosen so that no noise carries into the high byte.
_TISSUES: Final = {
    "air": (30, 7),
    "lung": (150, 24),
    "ground glass": (660, 34),
    "fat": (926, 10),
    "soft": (1070, 12),
    "liver": (1122, 13),
    "blood": (1230, 14),
    "marrow": (1344, 22),
    "bone": (1740, 13),
    "table": (400, 20),
}


@dataclass(frozen=True, slots=True)
class _Ellipse:
    """A piece of `tissue` around a point right of and below the middle of the picture, in pixels."""

    tissue: str
    x: float
    y: float
    across: float
    down: float


def chest_slices(source: random.Random, count: int, nodule_mm: int) -> Iterator[bytes]:
    """The pixels of `count` slices, with a round nodule of `nodule_mm` in the upper lobe of the right lung."""
    strips = {tissue: _strip(source, value, noise) for tissue, (value, noise) in _TISSUES.items()}
    size = 1.2 + 0.1 * source.random()
    vessels = [(source.random(), source.random(), source.random()) for _ in range(120)]
    nodule_slice = round(count * 0.3)
    for number in range(count):
        depth = number / (count - 1)
        shapes = [*_trunk(depth), *_lungs(depth), *_vessels(depth, vessels), *_mediastinum(depth), *_bones(depth)]
        radius = _nodule_radius(nodule_mm, (number - nodule_slice) * SLICE_MM)
        if radius:
            shapes.append(_Ellipse("soft", -92, -22, radius / size, radius / size))
        yield _paint(shapes, strips, size, number)


def _strip(source: random.Random, value: int, noise: int) -> bytes:
    """Pixels of one tissue in a row."""
    normal = NormalDist(value & 0xFF, noise)
    low_bytes = bytes(min(255, max(0, round(normal.inv_cdf((step + 0.5) / 256)))) for step in range(256))
    strip = bytearray(2 * _STRIP_PIXELS)
    strip[0::2] = source.randbytes(_STRIP_PIXELS).translate(low_bytes)
    strip[1::2] = bytes([value >> 8]) * _STRIP_PIXELS
    return bytes(strip)


def _paint(shapes: list[_Ellipse], strips: dict[str, bytes], size: float, number: int) -> bytes:
    """Paint `shapes` in their order over air and the table, `size` times as large."""
    air, table = strips["air"], strips["table"]
    picture = bytearray(SLICE_BYTES)
    offset = number * 7919
    for start in range(0, SLICE_BYTES, SIDE * 2):
        offset = (offset + 10487) % (_STRIP_PIXELS - SIDE)
        picture[start : start + SIDE * 2] = air[2 * offset : 2 * (offset + SIDE)]
    table_row = _MIDDLE + round(140 * size)
    for row in range(table_row, table_row + 5):
        picture[row * SIDE * 2 + 64 : (row + 1) * SIDE * 2 - 64] = table[: SIDE * 2 - 128]
    for shape in shapes:
        strip, centre_x, centre_y = strips[shape.tissue], _MIDDLE + shape.x * size, _MIDDLE + shape.y * size
        across, down = shape.across * size, shape.down * size
        for row in range(max(0, math.ceil(centre_y - down)), min(SIDE - 1, math.floor(centre_y + down)) + 1):
            half = across * math.sqrt(max(0.0, 1 - ((row - centre_y) / down) ** 2))
            left, right = max(0, round(centre_x - half)), min(SIDE, round(centre_x + half))
            if left < right:
                offset = (offset + 10487) % (_STRIP_PIXELS - SIDE)
                start = 2 * (row * SIDE + left)
                picture[start : start + 2 * (right - left)] = strip[2 * offset : 2 * (offset + right - left)]
    return bytes(picture)


def _trunk(depth: float) -> Iterator[_Ellipse]:
    width, height = 168 + 10 * math.sin(3 * depth), 116 + 8 * depth
    yield _Ellipse("fat", 0, 8, width, height)
    yield _Ellipse("soft", 0, 8, width - 13, height - 12)


def _lungs(depth: float) -> Iterator[_Ellipse]:
    """Both lungs; below, the domes of the diaphragm rise into them, and the right base is infected."""
    full = min(1.0, 0.36 + 0.75 * math.sqrt(depth))
    for side in (-1, 1):
        yield _Ellipse("lung", side * 72, 4, 63 * full, 91 * full)
    if 0.56 < depth < 0.8:
        spread = math.sin((depth - 0.56) / 0.24 * math.pi)
        yield _Ellipse("ground glass", -84, 48, 30 * spread, 26 * spread)
        yield _Ellipse("soft", -88, 54, 17 * spread, 15 * spread)
    for side, begin in ((-1, 0.7), (1, 0.78)):
        if depth > begin:
            dome = math.sqrt((depth - begin) / (1 - begin))
            yield _Ellipse("liver" if side < 0 else "soft", side * 70, -4, 58 * dome, 80 * dome)
    if depth > 0.62:
        fluid = (depth - 0.62) / 0.38
        for side in (-1, 1):
            yield _Ellipse("soft", side * 76, 88, 34 * fluid, 9 * fluid)


def _vessels(depth: float, vessels: list[tuple[float, float, float]]) -> Iterator[_Ellipse]:
    """Vessels spread from the roots of the lungs; each is cut in the slices around its own depth."""
    if depth > 0.86:
        return
    for turn, reach, level in vessels:
        distance = abs(depth - level * 0.9)
        if distance < 0.13:
            side = -1 if turn < 0.5 else 1
            angle = 4 * math.pi * turn
            far = (0.25 + 0.6 * reach) * (1 - 2 * distance)
            radius = (1 - reach) * 2.6 + 1
            yield _Ellipse(
                "soft", side * 72 + 50 * far * math.cos(angle), 4 + 74 * far * math.sin(angle), radius, radius
            )


def _mediastinum(depth: float) -> Iterator[_Ellipse]:
    yield _Ellipse("soft", 2, 4, 30 + 6 * depth, 66)
    yield _Ellipse("fat", 0, -56, 14, 16)
    if depth < 0.42:
        for x, radius in ((-20, 10.0), (24, 8.0)):
            yield _Ellipse("blood", x, -18, radius, radius + 2)
        yield _Ellipse("air", 0, 2, 9, 9.5)
    if 0.2 < depth < 0.34:
        yield _Ellipse("blood", 14, 4, 15, 40)
    if 0.4 <= depth < 0.52:
        spread = (depth - 0.4) / 0.12
        for side in (-1, 1):
            yield _Ellipse("blood", side * (18 + 26 * spread), 4, 13, 8)
            yield _Ellipse("air", side * (9 + 22 * spread), 18, 6.5 - 2 * spread, 6.5 - 2 * spread)
    if depth > 0.27:
        yield _Ellipse("blood", 25, 50, 12.5, 12.5)
    if 0.44 < depth < 0.9:
        heart = math.sin((depth - 0.44) / 0.46 * math.pi) ** 0.45
        yield _Ellipse("fat", 22, -26, 64 * heart, 52 * heart)
        yield _Ellipse("soft", 23, -25, 60 * heart, 47 * heart)
        yield _Ellipse("blood", 44, -14, 27 * heart, 26 * heart)
        yield _Ellipse("blood", -8, -36, 22 * heart, 23 * heart)
        yield _Ellipse("blood", 4, 8, 26 * heart, 13 * heart)


def _bones(depth: float) -> Iterator[_Ellipse]:
    yield _Ellipse("bone", 0, 76, 26, 20)
    yield _Ellipse("marrow", 0, 76, 23, 17)
    yield _Ellipse("bone", 0, 101, 17, 11)
    yield _Ellipse("soft", 0, 101, 10, 8)
    yield _Ellipse("bone", 0, 116, 4, 11)
    for side in (-1, 1):
        yield _Ellipse("bone", side * 26, 100, 15, 5)
        for number in range(9):
            # Ribs fall towards the front, so every slice cuts them a little further on.
            angle = math.radians(-68 + 18.5 * number + 18.5 * (depth * 9 % 1))
            x, y = side * (134 * math.cos(angle)), 8 + 95 * math.sin(angle)
            along, through = 11.0, 4.5
            across = through + (along - through) * abs(math.sin(angle))
            down = through + (along - through) * abs(math.cos(angle))
            yield _Ellipse("bone", x, y, across, down)
            yield _Ellipse("marrow", x, y, across - 2.5, down - 2.5)
        if depth < 0.45:
            yield _Ellipse("bone", side * 104, 86, 20, 4.5)
    if depth > 0.12:
        yield _Ellipse("bone", 0, -92, 23, 8)
        yield _Ellipse("marrow", 0, -92, 20, 5)


def _nodule_radius(diameter_mm: int, away_mm: float) -> float:
    """Radius in pixels of a ball of `diameter_mm` that is cut `away_mm` from its middle."""
    return math.sqrt(max(0.0, (diameter_mm / 2) ** 2 - away_mm**2)) / PIXEL_MM
