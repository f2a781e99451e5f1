"""What is still to be sent: one statement for two servers survives a cut between them.

An entry is a list of requests, in order, each safe to repeat: the same bytes get the same answer. It is on disk before
the first is sent and gone after the last was accepted, so a command that was cut is finished by the next one.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from carnet.errors import (
    NoSpaceError,
    PartialError,
    RateLimitedError,
    RefusalError,
    TransportError,
    UnavailableError,
    UnreachableError,
    VerificationError,
)
from carnet.receipts import verify_receipts
from carnet.state import LocalState
from carnet.transport import ServerClient, ServerName
from carnet_protocol.api import Accepted, DirectoryUpdate, PeopleUpdate, RecordUpdate
from carnet_protocol.statements import Receipt, Signed
from carnet_protocol.wire import WireModel

_PREFIX: Final = "outbox-"
_PASSING: Final = (UnavailableError, RateLimitedError, NoSpaceError)
Update = PeopleUpdate | DirectoryUpdate | RecordUpdate


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

        Raises `PartialError` for a server that cannot be reached, or its refusal, which forgets the entry.
        """
        return self._deliver(name, self._load(name), begun=True)

    def flush(self) -> list[RefusalError]:
        """Send what earlier commands could not. Returns the refusals, whose entries are forgotten.

        Raises `PartialError` while a server cannot be reached.
        """
        refusals: list[RefusalError] = []
        for name in self._state.names(_PREFIX):
            try:
                self._deliver(name, self._load(name), begun=True)
            except RefusalError as error:
                refusals.append(error)
        return refusals

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._state.names(_PREFIX)

    def _deliver(self, name: str, steps: Sequence[Step], *, begun: bool) -> list[tuple[Signed[Receipt], ...]]:
        receipts: list[tuple[Signed[Receipt], ...]] = []
        for position, step in enumerate(steps):
            server = self._servers[step.server]
            try:
                accepted = server.post(step.path, step.body, Accepted)
            except TransportError as error:
                is_final = isinstance(error, RefusalError) and not isinstance(error, _PASSING)
                is_unheard = isinstance(error, UnreachableError) and not error.may_have_arrived
                if is_final or (is_unheard and not (begun or position)):
                    self._state.remove(name)
                    raise
                self._store(name, steps[position:])
                raise PartialError(
                    f"the {server.name} may not have got this yet: it is kept here and sent with the next command"
                ) from error
            receipts.append(verify_receipts(accepted.receipts, server, count=len(step.body.statements)))
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
