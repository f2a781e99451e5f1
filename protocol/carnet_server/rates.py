"""Limits of rate: token buckets in memory, one per key or address, in a table of bounded size."""

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from carnet_server.errors import RateLimitedError

MAX_BUCKETS: Final = 50_000
_IPV6_SUBSCRIBER_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a second in the long run, and at most `burst` at once."""

    per_second: float
    burst: int


class TokenBuckets:
    """Buckets by key. The least recently used one is forgotten first, which a full bucket survives unharmed."""

    def __init__(self, rate: Rate, clock: Callable[[], float], capacity: int = MAX_BUCKETS) -> None:
        self._rate = rate
        self._clock = clock
        self._capacity = capacity
        self._lock = threading.Lock()
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, tokens: int = 1) -> None:
        """Take `tokens` from the bucket of `key`. Raises `RateLimitedError` if there is none.

        What is taken beyond the last is owed: a request that costs more than a full bucket goes through, and the next
        one waits for longer.
        """
        with self._lock:
            left, now = self._level(key)
            if left < 1:
                raise RateLimitedError("rate_exceeded")
            self._buckets[key] = (left - tokens, now)
            self._buckets.move_to_end(key)
            if len(self._buckets) > self._capacity:
                self._buckets.popitem(last=False)

    def require(self, key: Hashable) -> None:
        """Refuse if the bucket of `key` is empty, taking nothing. Raises `RateLimitedError`."""
        if self.is_empty(key):
            raise RateLimitedError("rate_exceeded")

    def is_empty(self, key: Hashable) -> bool:
        """Whether the bucket of `key` has not one token left."""
        with self._lock:
            left, _ = self._level(key)
            return left < 1

    def _level(self, key: Hashable) -> tuple[float, float]:
        now = self._clock()
        held, since = self._buckets.get(key, (float(self._rate.burst), now))
        return min(float(self._rate.burst), held + (now - since) * self._rate.per_second), now


def subscriber(address: str) -> str:
    """Whom an address stands for: itself, or the /64 network that one IPv6 subscriber has to choose from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SUBSCRIBER_BITS), strict=False))
