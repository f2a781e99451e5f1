"""Nonces in memory: no request is answered twice by one process within its window.

The design makes a nonce a row of the transaction that it authorises, and for requests that write it is one
(`nonces.py`), which survives restarts and holds between processes. A read has no such transaction, and a commit for
every read would cost a disk flush for nothing that must survive: what a replayed read could do is show its answer once
more to whoever holds both the signed request and the connection's keys, which is whoever saw the first answer. So for
reads this memory is all there is: bounded, forgotten at a restart, one per process.
"""

import threading
from typing import Final

from carnet_protocol.limits import REQUEST_WINDOW_SECONDS
from carnet_protocol.requests import VerifiedRequest
from carnet_server.errors import UnauthenticatedError, UnavailableError

_GENERATION_SECONDS: Final = 2 * REQUEST_WINDOW_SECONDS + 1
MAX_REMEMBERED: Final = 250_000  # two thousand requests a second, for as long as one can be sent


class ReplayMemory:
    """Two generations of nonces: the younger takes new ones, the older is forgotten as a whole when it is past use."""

    def __init__(self, capacity: int = MAX_REMEMBERED) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        # Hashes are keyed at random per process: 64 bits of them are all that must differ, and a third of the memory.
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._began = 0

    def spend(self, request: VerifiedRequest, now: int) -> None:
        """Remember the nonce of `request`.

        Raises `UnauthenticatedError` if it is remembered already, and `UnavailableError` if memory is full: better no
        answer than one that may be a second one.
        """
        key = hash(request.key_id.raw + request.nonce.raw)
        with self._lock:
            age = now - self._began
            if age >= _GENERATION_SECONDS:
                self._old = self._young if age < 2 * _GENERATION_SECONDS else set()
                self._young = set()
                self._began = now
            if key in self._young or key in self._old:
                raise UnauthenticatedError("nonce_spent")
            if len(self._young) >= self._capacity:
                raise UnavailableError("replay_memory_full")
            self._young.add(key)
