"""The tracing of an electrocardiogram as a PNG image: twelve leads on squared paper, and a rhythm strip.

The limb leads obey Einthoven's and Goldberger's equations, for two of the six are drawn freely and the others derived.
"""

import math
from pathlib import Path
from typing import Final

from carnet.samples.document import DocumentKind, SampleDocument, canary_text
from carnet.samples.ink import InkedPaper, Point
from carnet.samples.story import Story, derive_story, seeded

KIND: Final = DocumentKind("11524-6", "EKG study")
MEDIA_TYPE: Final = "image/png"

_PIXELS_PER_MM: Final = 6
_MM_PER_SECOND: Final = 25
_MM_PER_MILLIVOLT: Final = 10
_PAPER_MM: Final = (270, 148)
_GRID_MM: Final = (20, 140)
_ROW_MM: Final = 30
_LEFT_MM: Final = 13
_STRIP_SECONDS: Final = 10.0
_SAMPLES_PER_SECOND: Final = _PIXELS_PER_MM * _MM_PER_SECOND * 2

# Seconds after the R peak and width of the waves P, Q, R, S, T; then their heights in millivolts, lead by lead.
_WAVES: Final = ((-0.165, 0.022), (-0.027, 0.008), (0.0, 0.0105), (0.03, 0.0095), (0.285, 0.047))
_HEIGHTS: Final = {
    "I": (0.08, -0.06, 0.72, -0.12, 0.2),
    "II": (0.14, -0.08, 1.05, -0.2, 0.3),
    "V1": (0.06, 0.0, 0.22, -0.85, -0.06),
    "V2": (0.07, 0.0, 0.38, -1.1, 0.42),
    "V3": (0.08, 0.0, 0.75, -0.8, 0.48),
    "V4": (0.09, -0.05, 1.2, -0.45, 0.42),
    "V5": (0.09, -0.08, 1.15, -0.22, 0.34),
    "V6": (0.09, -0.08, 0.92, -0.1, 0.27),
}
_LIMBS: Final = {
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
"""Shares of I and II in the derived leads."""

_ROWS: Final = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",))


def make_ecg(path: Path, *, seed: int, canary: bytes | None = None) -> SampleDocument:
    """Write the tracing of `seed` to `path`, with `canary` as the image's comment when there is one."""
    story = derive_story(seed)
    width, height = (side * _PIXELS_PER_MM for side in _PAPER_MM)
    grid_top, grid_bottom = (edge * _PIXELS_PER_MM for edge in _GRID_MM)
    paper = InkedPaper(width=width, height=height, square=_PIXELS_PER_MM, grid_top=grid_top, grid_bottom=grid_bottom)
    _write_header(paper, story)
    tracing = _Tracing(seed, story.heart_rate)
    for number, leads in enumerate(_ROWS):
        _draw_row(paper, tracing, leads, baseline=(_GRID_MM[0] + number * _ROW_MM + 18) * _PIXELS_PER_MM)
    image = paper.png(
        paper=(255, 253, 250),
        fine=(252, 226, 221),
        strong=(244, 182, 174),
        ink=(22, 26, 48),
        comment=canary_text(canary),
    )
    path.write_bytes(image)
    return SampleDocument(
        path=path,
        title="ECG de repos",
        kind=KIND,
        media_type=MEDIA_TYPE,
        care_date=story.discharge,
        description=f"Tracé de {story.patient.name}, douze dérivations, {story.heart_rate} par minute",
    )


class _Tracing:
    """The voltage of every lead during ten seconds of one heart."""

    def __init__(self, seed: int, beats_per_minute: int) -> None:
        source = seeded("ecg", seed)
        self._gain = 0.9 + 0.2 * source.random()
        self._noise = [source.random() - source.random() for _ in range(4096)]
        self._beats: list[float] = []
        time = -1.0 + source.random() * 0.6
        while time < _STRIP_SECONDS + 1:
            self._beats.append(time)
            # Breathing speeds the heart up and slows it down a little.
            time += 60 / beats_per_minute * (1 + 0.025 * math.sin(1.6 * time) + 0.01 * (source.random() - 0.5))

    def millivolts(self, lead: str, time: float) -> float:
        """The voltage of `lead` at `time` seconds, with the drift and noise of a real recording."""
        sample = round(time * _SAMPLES_PER_SECOND)
        noise = 0.012 * self._noise[(sample + 997 * len(lead) + 131 * ord(lead[-1])) % len(self._noise)]
        drift = 0.025 * math.sin(1.5 * time + ord(lead[-1]))
        return self._gain * self._clean(lead, time) + drift + noise

    def _clean(self, lead: str, time: float) -> float:
        if lead in _LIMBS:
            first, second = _LIMBS[lead]
            return first * self._clean("I", time) + second * self._clean("II", time)
        voltage = 0.0
        for beat in self._beats:
            since = time - beat
            if -0.3 < since < 0.5:  # noqa: PLR2004  beyond, all waves are flat
                for (delay, width), height in zip(_WAVES, _HEIGHTS[lead], strict=True):
                    voltage += height * math.exp(-((since - delay) ** 2) / (2 * width * width))
        return voltage


def _write_header(paper: InkedPaper, story: Story) -> None:
    patient, mm = story.patient, _PIXELS_PER_MM
    sex = "F" if patient.sex == "female" else "M"
    paper.draw_text(f"{patient.family} {patient.given.upper()}", 5 * mm, 8 * mm, 3.2 * mm)
    paper.draw_text(f"{patient.born:%d/%m/%Y}   {sex}   DOCUMENT FICTIF", 5 * mm, 14 * mm, 2.2 * mm)
    paper.draw_text(f"ECG 12 DERIVATIONS   {story.discharge:%d/%m/%Y} 08:12", 158 * mm, 8 * mm, 2.2 * mm)
    measures = f"FC {story.heart_rate} BPM   PR 164 ms   QRS 92 ms   QT 388 ms"
    paper.draw_text(measures, 158 * mm, 14 * mm, 2.2 * mm)
    paper.draw_text("25 mm/s   10 mm/mV", 5 * mm, 145.5 * mm, 2.2 * mm)


def _draw_row(paper: InkedPaper, tracing: _Tracing, leads: tuple[str, ...], baseline: float) -> None:
    """Draw the calibration pulse and then `leads`, each for its share of the ten seconds."""
    mm, millivolt = _PIXELS_PER_MM, _PIXELS_PER_MM * _MM_PER_MILLIVOLT
    pulse: list[Point] = [(4, 0), (5.5, 0), (5.5, 1), (9, 1), (9, 0), (10.5, 0)]
    paper.draw_line([(across * mm, baseline - up * millivolt) for across, up in pulse], 1.7)
    seconds = _STRIP_SECONDS / len(leads)
    for number, lead in enumerate(leads):
        left = _LEFT_MM * mm + number * seconds * _MM_PER_SECOND * mm
        count = round(seconds * _SAMPLES_PER_SECOND)
        points = []
        for sample in range(count + 1):
            elapsed = sample / _SAMPLES_PER_SECOND
            voltage = tracing.millivolts(lead, number * seconds + elapsed)
            points.append((left + elapsed * _MM_PER_SECOND * mm, baseline - voltage * millivolt))
        paper.draw_line(points, 1.9)
        paper.draw_text(lead, left + 1.5 * mm, baseline - 13.5 * mm, 2.6 * mm)
        if number:
            paper.draw_line([(left, baseline - 5 * mm), (left, baseline + 5 * mm)], 1.2)
