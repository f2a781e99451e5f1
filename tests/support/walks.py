"""Random walks of a state machine: so many, each of so many steps."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine


def run_walks(machine: type[RuleBasedStateMachine], *, most: int, steps: int) -> None:
    """Walk at the most `most` times; a failure prints its steps and the blob that repeats it."""
    check: Any = machine.TestCase()
    check.settings = settings(
        max_examples=most,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    check.runTest()
