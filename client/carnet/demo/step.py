"""Steps of the story, and what became of each.

A step is played by a function of the stage that returns what was seen, in a word. It went well if that is the word that
was expected; anything that is raised is a failure too, and ends the story.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from carnet.errors import CarnetError

if TYPE_CHECKING:
    from carnet.demo.stage import Stage

NOT_REACHED: Final = "not reached"


@dataclass(frozen=True, slots=True)
class Step:
    """What `who` does, in words, and what is expected to be seen."""

    who: str
    name: str
    expected: str
    play: "Callable[[Stage], str]"


@dataclass(frozen=True, slots=True)
class Chapter:
    """Some steps under a title, with a sentence or two that tell what happens."""

    title: str
    story: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step; `reason` says why it failed."""

    step: Step
    seconds: float
    seen: str
    reason: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether what was expected was seen."""
        return self.seen == self.step.expected

    def describe(self) -> dict[str, object]:
        """The step as JSON shows it."""
        members: dict[str, object] = {
            "name": self.step.name,
            "who": self.step.who,
            "seconds": round(self.seconds, 3),
            "expected": self.step.expected,
            "verdict": "ok" if self.is_ok else "failed",
        }
        return members if self.is_ok else {**members, "seen": self.seen, "reason": self.reason}


def play(step: Step, stage: "Stage", monotonic: Callable[[], float] = time.monotonic) -> Outcome:
    """Play `step` on `stage`."""
    begun = monotonic()
    try:
        seen, reason = step.play(stage), ""
    except CarnetError as error:
        seen, reason = type(error).__name__, str(error)
    return Outcome(step, monotonic() - begun, seen, reason)


def leave_out(step: Step) -> Outcome:
    """The outcome of a step that an earlier failure kept from being played."""
    return Outcome(step, 0.0, NOT_REACHED, "an earlier step failed")
