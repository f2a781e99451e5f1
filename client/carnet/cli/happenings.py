"""What happened to a record, said as its patient would say it.

Both servers write down each statement that they accept, so what both say is one line; and what somebody did several
times within a minute is one line that says how often. Pure: events in, lines out. Nothing is left away: what has no
words here is named as the server names it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from carnet.events import EventBody, SeenEvent
from carnet.short_ids import shorten

BOTH: Final = "both"
_MOST_NAMED: Final = 3
_MINUTE: Final = 60

WORDS: Final = {
    "statement.identity": "renewed the keys",
    "statement.device": "added a device",
    "statement.removal": "shut a device out",
    "statement.recovery": "laid the keys away for the recovery words",
    "statement.compartment": "made a part of the record, or gave it new keys",
    "statement.closing": "closed old keys of a part",
    "statement.grant": "let somebody in",
    "statement.revocation": "ended a grant",
    "statement.filing": "moved a document",
    "statement.tombstone": "removed a document",
    "statement.manifest": "deposited a document",
    "statement.reseal": "encrypted a document anew",
    "statement.erasure": "erased the record",
    "statement.lock": "confirmed the record lock",
    "statement.attestation": "attested a practitioner",
    "statement.revocation-list": "took attestations back",
    "statement.succession": "named a successor",
    "release.list": "read titles",
    "release.open": "opened",
    "fetch.list": "fetched the list",
    "fetch.open": "fetched",
    "lock.made": "made a record lock",
    "lock.retired": "retired a record lock",
    "lock.destroyed": "destroyed retired record locks",
    "capsules.rotated": "put documents under the newest record lock",
    "grant.voided": "lost a grant with a device that was shut out",
}
"""What each kind of event is called where nothing more is known of it."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One line: when it began, which servers say so, who did what, and how often."""

    time: int
    where: str
    who: str
    what: str
    count: int = 1

    @property
    def text(self) -> str:
        """What was done, and how often if more than once."""
        return self.what if self.count == 1 else f"{self.what} ({self.count} times)"


@dataclass(frozen=True, slots=True)
class Known:
    """What the ids in events mean to the patient, by their text."""

    name_of: Callable[[str], str]
    """The name of a person."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Titles of documents, by document and by manifest."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """What was done to a part of the record, by the statement that did it."""
    grantees: Mapping[str, str] = field(default_factory=dict)
    """Names of those who were let in, by the hash of the grant."""


def tell(events: Sequence[SeenEvent], known: Known) -> list[Happening]:
    """The lines for `events`, oldest first."""
    told: list[Happening] = []
    at: dict[tuple[str, str], tuple[int, SeenEvent]] = {}
    for event in sorted(events, key=lambda one: (one.time, one.server, one.index)):
        body = event.body
        key = (body.kind, str(body.statement))
        if body.statement is not None and key in at and at[key][1].server is not event.server:
            position, _ = at.pop(key)
            told[position] = replace(told[position], where=BOTH)
            continue
        at[key] = (len(told), event)
        who = f"the {event.server.value}" if body.by is None else known.name_of(body.by)
        told.append(Happening(event.time, event.server.value, who, _say(body, known)))
    return _fold(told)


def _fold(told: Sequence[Happening]) -> list[Happening]:
    """`told` with neighbours that say the same of the same minute made one."""
    folded: list[Happening] = []
    for one in told:
        last = folded[-1] if folded else None
        if last is not None and replace(last, count=1) == replace(one, time=last.time) and _is_same_minute(last, one):
            folded[-1] = replace(last, count=last.count + 1)
        else:
            folded.append(one)
    return folded


def _is_same_minute(one: Happening, other: Happening) -> bool:
    return one.time // _MINUTE == other.time // _MINUTE


def _say(body: EventBody, known: Known) -> str:
    statement = str(body.statement)
    grantee, title = known.grantees.get(str(body.grant)), known.titles.get(statement)
    closer = {
        "statement.identity": "registered" if statement == body.by else None,
        "statement.compartment": known.parts.get(statement),
        "statement.manifest": title and f"deposited: {title}",
        "statement.grant": grantee and f"let in: {grantee}",
        "statement.revocation": grantee and f"ended the grant to {grantee}",
        "grant.voided": grantee and f"lost the grant to {grantee} with a device that was shut out",
    }
    return closer.get(body.kind) or WORDS.get(body.kind, body.kind) + _name_documents(body, known)


def _name_documents(body: EventBody, known: Known) -> str:
    named = list(dict.fromkeys(str(one.document) for one in body.documents or ()))
    if not named:
        return ""
    first = ", ".join(known.titles.get(name, shorten(name)) for name in named[:_MOST_NAMED])
    more = len(named) - _MOST_NAMED
    return f": {first}" + (f" and {more} more" if more > 0 else "")
