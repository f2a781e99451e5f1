"""The story that the documents of one seed tell: a patient, two doctors, a hospital stay, prescriptions and results.

Everybody and every place is invented, and says so: the family names mean "fictitious", the numbers are of ranges that
the French authorities keep for tests and films, the town does not exist.
"""

import random
import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

Sex = Literal["female", "male"]

_FAMILY_NAMES: Final = ("FICTIF", "SPECIMEN", "EXEMPLE", "MODELE", "IMAGINAIRE", "ROMANESQUE")
_GIVEN_NAMES: Final[dict[Sex, tuple[str, ...]]] = {
    "female": ("Madeleine", "Solange", "Denise", "Paulette", "Ginette"),
    "male": ("Lucien", "Fernand", "Gaston", "Marcel", "Octave"),
}
_GENERAL_PRACTITIONERS: Final = ("Aude LINVENTEE", "Basile LEROMAN", "Clara DUCONTE")
_CARDIOLOGISTS: Final = ("Iris DEFICTION", "Hugo LIMAGINE", "Nora DUMODELE")

HOSPITAL: Final = "Centre hospitalier de Saint-Exemple"
WARD: Final = "Service de cardiologie"
TOWN: Final = "99990 Saint-Exemple"
NOTICE: Final = "Document de démonstration : personnes, lieux et résultats sont imaginaires."


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist; `number` is a national number of a test range."""

    given: str
    family: str
    number: str

    @property
    def name(self) -> str:
        """Given name and family name."""
        return f"{self.given} {self.family}"


@dataclass(frozen=True, slots=True)
class Patient(Person):
    """The patient of the story."""

    sex: Sex
    born: date

    @property
    def civility(self) -> str:
        """How a French letter addresses the patient."""
        return "Madame" if self.sex == "female" else "Monsieur"


@dataclass(frozen=True, slots=True)
class Series:
    """Results of one laboratory test over time; `low` and `high` are its reference range."""

    loinc: str
    display: str
    french: str
    unit: str
    ucum: str
    decimals: int
    low: float
    high: float
    values: tuple[tuple[date, float], ...]

    def flag(self, value: float) -> Literal["", "L", "H"]:
        """Whether `value` lies below or above the reference range."""
        if value < self.low:
            return "L"
        return "H" if value > self.high else ""


@dataclass(frozen=True, slots=True)
class Prescription:
    """A drug ordered by one doctor from `start` until `end`: `times_a_day` doses of `dose` `dose_unit`."""

    atc: str
    substance: str
    french: str
    dose: float
    dose_unit: str
    times_a_day: int
    instruction: str
    by_hospital: bool
    start: date
    end: date
    is_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """What the documents of one seed have in common."""

    patient: Patient
    general_practitioner: Person
    cardiologist: Person
    admission: date
    discharge: date
    series: tuple[Series, ...]
    prescriptions: tuple[Prescription, ...]
    ejection_fraction: int
    heart_rate: int
    nodule_mm: int
    weight_in: float
    weight_out: float


def seeded(purpose: str, seed: int) -> random.Random:
    """A generator of its own for each `purpose`, so that a change in one document leaves the others alone."""
    return random.Random(f"carnet sample/{purpose}/{seed}")  # noqa: S311  no secret: samples must be repeatable


def derive_uuid(purpose: str, seed: int) -> uuid.UUID:
    """The UUID that a document of `seed` uses for `purpose`."""
    return uuid.UUID(bytes=seeded(f"uuid/{purpose}", seed).randbytes(16), version=4)


def derive_story(seed: int) -> Story:
    """The story of `seed`."""
    source = seeded("story", seed)
    sex: Sex = "female" if source.getrandbits(1) else "male"
    born = date(1941 + source.randrange(16), 1 + source.randrange(12), 1 + source.randrange(28))
    admission = date(2026, 9, 1) + timedelta(days=source.randrange(21))
    discharge = admission + timedelta(days=6 + source.randrange(3))
    weight = 68 + source.randrange(20) + source.randrange(10) / 10
    return Story(
        patient=Patient(
            given=_pick(source, _GIVEN_NAMES[sex]),
            family=_pick(source, _FAMILY_NAMES),
            number=_test_national_number(source, sex, born),
            sex=sex,
            born=born,
        ),
        general_practitioner=_doctor(source, _GENERAL_PRACTITIONERS),
        cardiologist=_doctor(source, _CARDIOLOGISTS),
        admission=admission,
        discharge=discharge,
        series=_series(source, admission, discharge),
        prescriptions=_prescriptions(admission, discharge),
        ejection_fraction=38 + source.randrange(8),
        heart_rate=64 + source.randrange(24),
        nodule_mm=5 + source.randrange(3),
        weight_in=weight,
        weight_out=round(weight - 4 - source.randrange(20) / 10, 1),
    )


def _pick(source: random.Random, names: tuple[str, ...]) -> str:
    return names[source.randrange(len(names))]


def _doctor(source: random.Random, names: tuple[str, ...]) -> Person:
    given, family = _pick(source, names).split(" ")
    # Numbers of test cards of the health professionals' register begin with 8997.
    return Person(given=given, family=family, number=f"8997{source.randrange(10**7):07d}")


def _test_national_number(source: random.Random, sex: Sex, born: date) -> str:
    """A number of the national form with a correct key, born in the country 999, which does not exist."""
    body = f"{2 if sex == 'female' else 1}{born:%y%m}99999{source.randrange(1000):03d}"
    return f"{body}{97 - int(body) % 97:02d}"


def _series(source: random.Random, admission: date, discharge: date) -> tuple[Series, ...]:
    winter, spring = admission - timedelta(days=203), admission - timedelta(days=104)
    # The last two are four days apart, by two laboratories: an examination repeated for nothing.
    follow_up, repeated = discharge + timedelta(days=10), discharge + timedelta(days=14)

    def around(decimals: int, spread: float, *points: tuple[date, float]) -> tuple[tuple[date, float], ...]:
        return tuple((day, round(value + (source.random() * 2 - 1) * spread, decimals)) for day, value in points)

    return (
        Series(
            "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "Hémoglobine glyquée (HbA1c)", "%", "%", 1, 4.0, 6.0,
            around(1, 0.2, (winter, 8.4), (spring, 8.0), (admission, 7.7)),
        ),
        Series(
            "14682-9", "Creatinine [Moles/volume] in Serum or Plasma", "Créatinine", "µmol/L", "umol/L", 0, 59, 104,
            around(0, 4, (winter, 99), (spring, 103), (admission, 148), (discharge, 121), (follow_up, 114),
                   (repeated, 113)),
        ),
        Series(
            "2823-3", "Potassium [Moles/volume] in Serum or Plasma", "Potassium", "mmol/L", "mmol/L", 1, 3.5, 5.1,
            around(1, 0.1, (winter, 4.3), (spring, 4.5), (admission, 5.4), (discharge, 4.6), (follow_up, 4.8),
                   (repeated, 4.8)),
        ),
        Series(
            "718-7", "Hemoglobin [Mass/volume] in Blood", "Hémoglobine", "g/dL", "g/dL", 1, 12.0, 16.5,
            around(1, 0.2, (spring, 12.9), (admission, 11.8), (discharge, 12.2)),
        ),
        Series(
            "789-8", "Erythrocytes [#/volume] in Blood by Automated count", "Érythrocytes", "T/L", "10*12/L", 2,
            4.0, 5.7,
            around(2, 0.05, (spring, 4.42), (admission, 4.08), (discharge, 4.17)),
        ),
        Series(
            "4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", "Hématocrite", "%", "%", 1,
            36.0, 50.0,
            around(1, 0.3, (spring, 39.1), (admission, 36.4), (discharge, 37.2)),
        ),
        Series(
            "6690-2", "Leukocytes [#/volume] in Blood by Automated count", "Leucocytes", "G/L", "10*9/L", 1, 4.0, 10.0,
            around(1, 0.3, (spring, 6.8), (admission, 13.6), (discharge, 8.1)),
        ),
        Series(
            "777-3", "Platelets [#/volume] in Blood by Automated count", "Plaquettes", "G/L", "10*9/L", 0, 150, 400,
            around(0, 8, (spring, 236), (admission, 318), (discharge, 287)),
        ),
    )  # fmt: skip


def _prescriptions(admission: date, discharge: date) -> tuple[Prescription, ...]:
    """What the two doctors ordered. Nobody stopped the first bisoprolol: two run at once, as a reader must notice."""
    renewal, autumn = admission - timedelta(days=75), discharge + timedelta(days=90)
    until = renewal + timedelta(days=180)
    return (
        Prescription("C07AB07", "bisoprolol", "Bisoprolol 5 mg", 5, "mg", 1, "1 comprimé le matin",
                     by_hospital=False, start=renewal, end=until),
        Prescription("C07AB07", "bisoprolol", "Bisoprolol 2,5 mg", 2.5, "mg", 1, "1 comprimé le matin",
                     by_hospital=True, start=discharge, end=autumn),
        Prescription("C09AA05", "ramipril", "Ramipril 5 mg", 5, "mg", 1, "1 comprimé le soir",
                     by_hospital=False, start=renewal, end=until),
        Prescription("A10BA02", "metformin", "Metformine 1000 mg", 1000, "mg", 2,
                     "1 comprimé matin et soir, au cours du repas",
                     by_hospital=False, start=renewal, end=until, is_stopped=True),
        Prescription("A10BA02", "metformin", "Metformine 500 mg", 500, "mg", 2,
                     "1 comprimé matin et soir, au cours du repas",
                     by_hospital=True, start=discharge, end=autumn),
        Prescription("C03CA01", "furosemide", "Furosémide 40 mg", 40, "mg", 1, "1 comprimé le matin",
                     by_hospital=True, start=discharge, end=autumn),
        Prescription("A10BK01", "dapagliflozin", "Dapagliflozine 10 mg", 10, "mg", 1, "1 comprimé le matin",
                     by_hospital=True, start=discharge, end=autumn),
        Prescription("C10AA05", "atorvastatin", "Atorvastatine 40 mg", 40, "mg", 1, "1 comprimé le soir",
                     by_hospital=False, start=renewal, end=until),
        Prescription("J01CR02", "amoxicillin and beta-lactamase inhibitor",
                     "Amoxicilline-acide clavulanique 1 g/125 mg", 1, "g", 3,
                     "1 sachet trois fois par jour, puis arrêt",
                     by_hospital=True, start=discharge, end=discharge + timedelta(days=3)),
    )  # fmt: skip
