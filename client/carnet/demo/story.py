"""The whole story, played: chapters one after the other, then what was seen of each step."""

from collections.abc import Callable
from typing import Final

from carnet.demo.ending import REVOCATION, THEFT
from carnet.demo.opening import DEPOSIT, RECORD, STAGE
from carnet.demo.reading import CONSULTATION
from carnet.demo.searching import SEARCH
from carnet.demo.stage import Stage
from carnet.demo.step import Chapter, Outcome, Step, leave_out, play

CHAPTERS: Final[tuple[Chapter, ...]] = (STAGE, RECORD, DEPOSIT, CONSULTATION, REVOCATION, THEFT, SEARCH)


def play_story(
    stage: Stage,
    *,
    on_chapter: Callable[[Chapter], None],
    on_step: Callable[[Step], None],
    on_outcome: Callable[[Outcome], None],
) -> list[Outcome]:
    """Play every step in order. After one that failed, the others are not reached; that is a failure of theirs too."""
    outcomes: list[Outcome] = []
    is_broken = False
    for chapter in CHAPTERS:
        on_chapter(chapter)
        for step in chapter.steps:
            on_step(step)
            outcome = leave_out(step) if is_broken else play(step, stage)
            is_broken = is_broken or not outcome.is_ok
            on_outcome(outcome)
            outcomes.append(outcome)
    return outcomes
