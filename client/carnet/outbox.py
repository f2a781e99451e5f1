"""What is still to be sent: one statement for two servers survives a cut between them.

An entry is a list of requests, in order, each safe to repeat: the same bytes get the same answer. It is on disk before
the first is sent and gone after the last was accepted, so a command that was cut is finished by the next one.

A server that is away, or fails, holds up what waits for it and nothing else. What only restricts, a revocation, a
removal or an erasure, waits behind nothing, and is never forgotten without a word.
"""

import itertools
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from carnet.errors import (
    CarnetError,
    DataError,
    PartialError,
    RefusalError,
    TransportError,
    UnauthenticatedError,
    UnreachableError,
    VerificationError,
)
from carnet.receipts import verify_receipts
from carnet.state import LocalState
from carnet.transport import ServerClient, ServerName
from carnet_protocol.api import Accepted, DirectoryUpdate, ErasureUpdate, PeopleUpdate, RecordUpdate
from carnet_protocol.errors import ErrorCode, ProtocolError
from carnet_protocol.statements import Erasure, Receipt, Removal, Revocation, Signed
from carnet_protocol.wire import WireModel

_PREFIX: Final = "outbox-"
_PASSING: Final = frozenset(
    {
        ErrorCode.INTERNAL,
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.UNAVAILABLE,
        ErrorCode.CLOCK_BEHIND,
        ErrorCode.NO_SPACE,
    }
)
"""Refusals that say nothing about what was sent: once a server, or a clock, is well again, it is taken."""
Restriction = Revocation | Removal | Erasure
Update = PeopleUpdate | DirectoryUpdate | RecordUpdate | ErasureUpdate


class _StepFile(WireModel):
    server: Annotated[ServerName, Field(strict=False)]
    path: str
    body: Update


class _EntryFile(WireModel):
    format: Literal["carnet.outbox.v1"]
    steps: Annotated[tuple[_StepFile, ...], Field(strict=False)]


@dataclass(frozen=True, slots=True)
class Step:
    """A POST of `body` to `path` of `server`."""

    server: ServerName
    path: str
    body: Update


@dataclass(frozen=True, slots=True)
class Unsent:
    """What `flush` did not get through, and why; what a server refused for good is not kept.

    `restrictions` are the revocations, removals and erasures among it.
    """

    error: CarnetError
    is_kept: bool
    restrictions: tuple[Restriction, ...]


class Outbox:
    """The requests of one home that were begun and not finished."""

    __slots__ = ("_clock", "_servers", "_state")

    def __init__(self, state: LocalState, servers: Mapping[ServerName, ServerClient], clock: Callable[[], int]) -> None:
        """The outbox in `state`."""
        self._state = state
        self._servers = servers
        self._clock = clock

    def send(self, steps: Sequence[Step]) -> list[tuple[Signed[Receipt], ...]]:
        """Send `steps` in order. Returns the receipts of each.

        While surely no server has heard of anything, a failure forgets them all and is raised as it is. Once one may
        have, the rest is kept for `flush`, and a server that cannot be reached raises `PartialError`.
        """
        return self._deliver(self.keep(steps), steps, begun=False)

    def keep(self, steps: Sequence[Step]) -> str:
        """Keep `steps` until `deliver` or `flush` sends them. Returns the name of the entry."""
        name = f"{_PREFIX}{self._clock():012d}-{secrets.token_hex(8)}"
        self._store(name, steps)
        return name

    def deliver(self, name: str) -> list[tuple[Signed[Receipt], ...]]:
        """Send the entry `name`, and keep it until it is accepted. Returns the receipts of each step.

        Raises `PartialError` for a server that cannot take it now, or its refusal, which forgets the entry.
        """
        return self._deliver(name, self._load(name), begun=True)

    def flush(self, on_unsent: Callable[[Unsent], None]) -> None:
        """Send what earlier commands could not; `on_unsent` is told of each entry that did not get through.

        What waits for a server keeps its order. What only restricts goes ahead of it, unless nothing answers there.
        Raises `PartialError` at the end if anything goes on waiting.
        """
        away: set[ServerName] = set()
        awaited: dict[ServerName, CarnetError] = {}
        for name in self._state.names(_PREFIX):
            steps = self._load(name)
            restrictions = _find_restrictions(steps)
            try:
                left = self._deliver_until(name, steps, away if restrictions else awaited.keys())
                error = awaited[left[0].server] if left else None
            except RefusalError as refusal:
                on_unsent(Unsent(refusal, is_kept=False, restrictions=restrictions))
                continue
            except (TransportError, DataError) as failure:
                left, error = self._load(name), failure
                if isinstance(failure.__cause__, UnreachableError):
                    away.add(left[0].server)
            if error is not None:
                awaited = {step.server: error for step in left} | awaited
                on_unsent(Unsent(error, is_kept=True, restrictions=restrictions))
        if awaited:
            raise PartialError("not everything could be sent: the rest is kept here and sent with the next command")

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._state.names(_PREFIX)

    def _deliver_until(self, name: str, steps: Sequence[Step], held_up: Collection[ServerName]) -> Sequence[Step]:
        """Send those of `steps` that come before the first for a server of `held_up`. Returns those that are left."""
        ready = list(itertools.takewhile(lambda step: step.server not in held_up, steps))
        left = steps[len(ready) :]
        if ready:
            self._deliver(name, ready, begun=True, then=left)
        return left

    def _deliver(
        self, name: str, steps: Sequence[Step], *, begun: bool, then: Sequence[Step] = ()
    ) -> list[tuple[Signed[Receipt], ...]]:
        """Send `steps`; `then` are kept in their place. Raises as `deliver`."""
        receipts: list[tuple[Signed[Receipt], ...]] = []
        for position, step in enumerate(steps):
            server = self._servers[step.server]
            try:
                accepted = server.post(step.path, step.body, Accepted)
            except TransportError as error:
                is_unheard = (isinstance(error, UnreachableError) and not error.may_have_arrived) or isinstance(
                    error, UnauthenticatedError
                )
                if _is_final(error) or (is_unheard and not (begun or position)):
                    self._state.remove(name)
                    raise
                self._store(name, [*steps[position:], *then])
                raise _partial(server, error) from error
            receipts.append(verify_receipts(accepted.receipts, server, count=len(step.body.statements)))
        if then:
            self._store(name, then)
        else:
            self._state.remove(name)
        return receipts

    def _store(self, name: str, steps: Sequence[Step]) -> None:
        files = tuple(_StepFile(server=step.server, path=step.path, body=step.body) for step in steps)
        self._state.store(name, _EntryFile(format="carnet.outbox.v1", steps=files).model_dump(mode="json"))

    def _load(self, name: str) -> list[Step]:
        try:
            file = _EntryFile.model_validate(self._state.load(name))
        except ValidationError as error:
            raise VerificationError("something to be sent was left by a newer Carnet: update Carnet") from error
        return [Step(step.server, step.path, step.body) for step in file.steps]


def _is_final(error: TransportError) -> bool:
    """Whether the same bytes would be refused again."""
    return isinstance(error, RefusalError) and error.code not in _PASSING


def _partial(server: ServerClient, error: TransportError) -> PartialError:
    if isinstance(error, RefusalError):
        return PartialError(f"{error}; what it did not take is kept here and sent with the next command")
    return PartialError(f"the {server.name} may not have got this yet: it is kept here and sent with the next command")


def _find_restrictions(steps: Sequence[Step]) -> tuple[Restriction, ...]:
    """The revocations, removals and erasures in `steps`, each once."""
    texts = dict.fromkeys(text for step in steps for text in step.body.statements)
    found = [_parse_restriction(text) for text in texts]
    return tuple(body for body in found if body is not None)


def _parse_restriction(text: str) -> Restriction | None:
    with suppress(ProtocolError):
        return Signed.parse(text, Revocation).body
    with suppress(ProtocolError):
        return Signed.parse(text, Removal).body
    with suppress(ProtocolError):
        return Signed.parse(text, Erasure).body
    return None
