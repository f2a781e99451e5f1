"""Commands that are cut: one request, or its answer, is lost, and all that come after it.

cut = Cut(world, 7, answer=True)
with pytest.raises(CarnetError):
    move_document(...)
cut.mend()
"""

import httpx2

from carnet.session import Session
from tests.support.client import ClientWorld


class Cut:
    """Loses request `number`, counted over both servers, or its answer, and everything after it."""

    def __init__(self, world: ClientWorld, number: int, *, answer: bool) -> None:
        """Listen to both wires of `world` from now on."""
        self.count = 0
        self.number = number
        self.answer = answer
        self.wires = (world.vault, world.keyservice)
        for wire in self.wires:
            wire.before, wire.after = self._before, self._after

    def _before(self, request: httpx2.Request) -> None:
        self.count += 1
        if self.count > self.number or (self.count == self.number and not self.answer):
            raise httpx2.ConnectError("cut", request=request)

    def _after(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if self.count >= self.number and self.answer:
            raise httpx2.ReadError("cut", request=request)
        return response

    def mend(self) -> None:
        """Let everything through again."""
        for wire in self.wires:
            wire.before = wire.after = None


def quiet(session: Session) -> None:
    """Let `session` try again at once where it would wait."""
    for server in session.servers.values():
        server._sleep = lambda _: None
