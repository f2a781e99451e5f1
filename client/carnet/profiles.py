"""Compartments and profiles in plain words: what a kind of reader usually needs, and where a document goes first.

A record begins with five compartments. A profile names some of them, a time and a purpose; it becomes a grant, which
the patient sees spelled out before signing. Nothing here binds anyone: names are the patient's to choose.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from carnet.errors import UsageError
from carnet_protocol.statements import Purpose

GENERAL: Final = "general"
MEDICATION: Final = "medication"
LABORATORY: Final = "laboratory"
IMAGING: Final = "imaging"
PRIVATE: Final = "private"

DEFAULT_COMPARTMENTS: Final = (GENERAL, MEDICATION, LABORATORY, IMAGING, PRIVATE)
"""The compartments of a new record, by name."""

HOUR: Final = 3600
DAY: Final = 86_400


@unique
class ProfileName(StrEnum):
    """The kinds of reader that have a profile."""

    GENERAL_PRACTITIONER = "general-practitioner"
    SPECIALIST = "specialist"
    PHARMACIST = "pharmacist"
    EMERGENCY = "emergency"
    CONSULTATION = "consultation"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a kind of reader usually needs: compartments, a time, a purpose; `words` say it to the patient."""

    name: ProfileName
    words: str
    compartments: tuple[str, ...]
    seconds: int
    purpose: Purpose


_PROFILES: Final = (
    Profile(
        ProfileName.GENERAL_PRACTITIONER,
        "Your family doctor: everything but what you keep private, for a year",
        (GENERAL, MEDICATION, LABORATORY, IMAGING),
        365 * DAY,
        Purpose.TREATMENT,
    ),
    Profile(
        ProfileName.SPECIALIST,
        "A specialist who treats you: letters, laboratory results and images, for three months",
        (GENERAL, LABORATORY, IMAGING),
        90 * DAY,
        Purpose.TREATMENT,
    ),
    Profile(
        ProfileName.PHARMACIST,
        "A pharmacist: your medication alone, for a month",
        (MEDICATION,),
        30 * DAY,
        Purpose.DISPENSING,
    ),
    Profile(
        ProfileName.EMERGENCY,
        "An emergency team: everything but what you keep private, for one day",
        (GENERAL, MEDICATION, LABORATORY, IMAGING),
        DAY,
        Purpose.EMERGENCY,
    ),
    Profile(
        ProfileName.CONSULTATION,
        "One consultation: letters, medication and laboratory results, for half an hour",
        (GENERAL, MEDICATION, LABORATORY),
        HOUR // 2,
        Purpose.CONSULTATION,
    ),
)
PROFILES: Final[dict[ProfileName, Profile]] = {profile.name: profile for profile in _PROFILES}
"""Every profile by its name."""

# LOINC document types (loinc.org), by the compartment in which such a document is first put.
_KINDS: Final[dict[str, str]] = {
    "11502-2": LABORATORY,  # Laboratory report
    "26436-6": LABORATORY,  # Laboratory studies
    "11526-1": LABORATORY,  # Pathology study
    "11525-3": IMAGING,  # US Pelvis Fetus for pregnancy
    "18748-4": IMAGING,  # Diagnostic imaging study
    "55113-5": IMAGING,  # Key images Document Radiology
    "11524-6": GENERAL,  # EKG study
    "57833-6": MEDICATION,  # Prescription for medication
    "56445-0": MEDICATION,  # Medication summary
    "60593-1": MEDICATION,  # Medication dispensed
    "29551-9": MEDICATION,  # Medication prescribed
    "10160-0": MEDICATION,  # History of medication use
    "34105-7": GENERAL,  # Hospital Discharge summary
    "60591-5": GENERAL,  # Patient summary
    "34108-1": GENERAL,  # Outpatient Note
    "11488-4": GENERAL,  # Consult note
    "18842-5": GENERAL,  # Discharge summary
    "57133-1": GENERAL,  # Referral note
    "11369-6": GENERAL,  # History of immunization
}


def find_profile(name: str) -> Profile:
    """The profile called `name`. Raises `UsageError`, naming those there are."""
    try:
        return PROFILES[ProfileName(name)]
    except ValueError as error:
        known = ", ".join(PROFILES)
        raise UsageError(f"there is no such profile: take one of {known}, or name compartments") from error


def default_compartment(loinc_code: str) -> str:
    """Name of the compartment in which a document of this kind is first put; `general` for an unknown kind."""
    return _KINDS.get(loinc_code, GENERAL)
