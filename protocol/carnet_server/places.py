"""How many requests a server has at hand at once, and how many of them one address.

    place = Place(at_work, waiting, address)
    place.work()
    ...
    place.leave()

A request is at work from its head to its answer, but for the time in which its body is on its way: then it waits, and
is counted apart. So slow senders keep nobody out whose request is there; and those of one address keep out no other
address. A hospital is behind one address, hence a fraction of all places and not a handful.
"""

from collections import Counter
from typing import Final

from carnet_server.errors import BusyError

ADDRESS_FRACTION: Final = 4
"""One address takes at most one place of so many."""


class Places:
    """So many places, of which one address takes a fraction. For one event loop."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._by_address: Counter[str] = Counter()
        self._taken = 0

    def take(self, address: str) -> None:
        """Take a place for `address`. Raises `BusyError` if there is none."""
        if self._taken >= self._count:
            raise BusyError("too_many_requests_at_once")
        if self._by_address[address] >= max(1, self._count // ADDRESS_FRACTION):
            raise BusyError("too_many_from_one_address")
        self._by_address[address] += 1
        self._taken += 1

    def give_back(self, address: str) -> None:
        """Give back a place that was taken for `address`."""
        self._taken -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class Place:
    """The place of one request: at work, waiting for its body, or none."""

    def __init__(self, at_work: Places, waiting: Places, address: str) -> None:
        self._at_work = at_work
        self._waiting = waiting
        self._address = address
        self._held: Places | None = None

    def work(self) -> None:
        """Be at work from now on. Raises `BusyError`; then the request has the place that it had."""
        self._move(self._at_work)

    def wait(self) -> None:
        """Wait for the body from now on. Raises `BusyError`; then the request has the place that it had."""
        self._move(self._waiting)

    def leave(self) -> None:
        """Give back whatever place there is."""
        if self._held is not None:
            self._held.give_back(self._address)
            self._held = None

    def _move(self, to: Places) -> None:
        if self._held is to:
            return
        to.take(self._address)
        self.leave()
        self._held = to
