"""The tracing: a PNG that decodes, paper with ink on it, and leads that obey their equations."""

import struct
import zlib
from pathlib import Path

import pytest

from carnet.samples import make_ecg
from carnet.samples.ecg import _Tracing
from carnet.samples.ink import InkedPaper


def read_chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG file, checked for length and sum."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, offset = [], 8
    while offset < len(png):
        length, kind = struct.unpack_from(">L4s", png, offset)
        body = png[offset + 8 : offset + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack_from(">L", png, offset + 8 + length)[0]
        chunks.append((kind, body))
        offset += 12 + length
    return chunks


def test_png_decodes_to_rows_of_palette_entries(tmp_path: Path) -> None:
    make_ecg(tmp_path / "ecg.png", seed=3)
    chunks = read_chunks((tmp_path / "ecg.png").read_bytes())
    assert [kind for kind, _ in chunks] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">LLBBBBB", chunks[0][1])
    assert (width, height, depth, colour, rest) == (1620, 888, 8, 3, [0, 0, 0])
    assert len(chunks[1][1]) == 3 * 256
    rows = zlib.decompress(chunks[2][1])
    assert len(rows) == height * (width + 1)
    assert set(rows[:: width + 1]) == {0}


def test_comment_precedes_the_pixels(tmp_path: Path) -> None:
    make_ecg(tmp_path / "ecg.png", seed=3, canary=b"c" * 64)
    chunks = read_chunks((tmp_path / "ecg.png").read_bytes())
    assert chunks[2] == (b"tEXt", b"Comment\0" + b"c" * 64)


def test_paper_carries_a_plausible_amount_of_ink(tmp_path: Path) -> None:
    make_ecg(tmp_path / "ecg.png", seed=3)
    rows = zlib.decompress(dict(read_chunks((tmp_path / "ecg.png").read_bytes()))[b"IDAT"])
    inked = sum(pixel > 3 for pixel in rows)
    assert 0.01 < inked / len(rows) < 0.05


@pytest.mark.parametrize("time", [0.0, 0.31, 1.7, 4.44, 9.99])
def test_limb_leads_obey_einthoven_and_goldberger(time: float) -> None:
    tracing = _Tracing(3, 72)
    lead = {name: tracing._clean(name, time) for name in ("I", "II", "III", "aVR", "aVL", "aVF")}
    assert lead["I"] + lead["III"] == pytest.approx(lead["II"])
    assert lead["aVR"] + lead["aVL"] + lead["aVF"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("beats_per_minute", [60, 72, 90])
def test_heart_beats_as_often_as_the_header_says(beats_per_minute: int) -> None:
    beats = [beat for beat in _Tracing(3, beats_per_minute)._beats if 0 <= beat < 10]
    assert len(beats) == pytest.approx(beats_per_minute / 6, abs=1)


def test_a_line_covers_its_thickness_and_no_more() -> None:
    paper = InkedPaper(width=20, height=20, square=6, grid_top=100, grid_bottom=100)
    paper.draw_line([(5, 10), (15, 10)], 3)
    inked = {(offset % 20, offset // 20) for offset, pixel in enumerate(paper._pixels) if pixel}
    assert {(x, y) for x in range(5, 16) for y in (9, 10, 11)} <= inked
    assert all(3 <= x <= 17 and 8 <= y <= 12 for x, y in inked)


def test_a_line_off_the_paper_is_cut_at_the_edge() -> None:
    paper = InkedPaper(width=10, height=10, square=6, grid_top=100, grid_bottom=100)
    paper.draw_line([(-30, 5), (30, 5)], 1)
    assert len(paper._pixels) == 100
    assert sum(pixel > 0 for pixel in paper._pixels) == 10
