"""The life of a master key, as NIST SP 800-57 Part 1 Revision 5, section 7, has it.

    pre-activation --> active <--> suspended --> deactivated --> destroyed

A key that is *active* seals and opens. One that is *suspended* was the active one before a flip that may still be
undone. A *deactivated* key is what DESIGN.md calls retired: it opens for rotation and restore, and seals nothing. A
*compromised* key is one that somebody else may hold: it opens what is not re-sealed yet, and never comes back.
"""

from enum import StrEnum, unique
from typing import Final

from carnet_keyservice.errors import TransitionError


@unique
class KeyState(StrEnum):
    """The states of SP 800-57; *destroyed* is the end."""

    PRE_ACTIVATION = "pre-activation"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


TRANSITIONS: Final[dict[KeyState, frozenset[KeyState]]] = {
    KeyState.PRE_ACTIVATION: frozenset({KeyState.ACTIVE, KeyState.COMPROMISED, KeyState.DESTROYED}),
    KeyState.ACTIVE: frozenset({KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED}),
    KeyState.SUSPENDED: frozenset({KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED}),
    KeyState.DEACTIVATED: frozenset({KeyState.COMPROMISED, KeyState.DESTROYED}),
    KeyState.COMPROMISED: frozenset({KeyState.DESTROYED}),
    KeyState.DESTROYED: frozenset(),
}
"""What may follow what. Nothing is destroyed from active or suspended, and nothing leaves destroyed."""

OPENING: Final = frozenset(KeyState) - {KeyState.DESTROYED}
"""States in which a key still opens what was sealed under it."""
RELEASING: Final = frozenset({KeyState.ACTIVE, KeyState.SUSPENDED})
"""States in which it does so for a release."""


def require_transition(now: KeyState, then: KeyState) -> None:
    """Refuse a change of state that SP 800-57 does not know. Raises `TransitionError`."""
    if then not in TRANSITIONS[now]:
        raise TransitionError(f"a master key that is {now} does not become {then}")
