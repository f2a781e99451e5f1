"""How long work tells where it is."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Step(StrEnum):
    """The steps of long work, in words for a person."""

    NEW_LOCK = "making a new record lock"
    NEW_KEYS = "making new compartment keys"
    RELOCK = "remaking locks"
    CLOSE = "closing old epochs"
    RETIRE = "retiring the old record lock"
    REENCRYPT = "encrypting anew"
    ERASE = "telling both servers"
    PATIENTS = "opening what patients gave"
    RESEAL = "giving keys that are sealed anew"
    READ_BACK = "reading them back"


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` items of a step; `total` is None while nobody knows it."""

    step: Step
    done: int
    total: int | None


OnStep = Callable[[Progress], None]
"""Told of every step, from the thread that works."""


def ignore_progress(progress: Progress) -> None:
    """For callers who do not want to know."""
    del progress
