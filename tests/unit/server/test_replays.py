"""Nonces of reads: each goes once while its request could still be sent."""

import pytest

from carnet_protocol.ids import Nonce
from carnet_protocol.limits import REQUEST_WINDOW_SECONDS
from carnet_protocol.requests import KeyId, VerifiedRequest
from carnet_server.errors import UnauthenticatedError, UnavailableError
from carnet_server.replays import ReplayMemory

NOW = 1_800_000_000


def request(number: int, key: int = 0) -> VerifiedRequest:
    return VerifiedRequest(KeyId(bytes([key]) * 32), NOW, Nonce(number.to_bytes(16, "big")))


def test_a_nonce_goes_once_for_each_key() -> None:
    memory = ReplayMemory()
    memory.spend(request(1), NOW)
    memory.spend(request(1, key=1), NOW)
    with pytest.raises(UnauthenticatedError):
        memory.spend(request(1), NOW)


@pytest.mark.parametrize("first", [0, 1, 60, 119, 120])
@pytest.mark.parametrize("later", [0, 1, REQUEST_WINDOW_SECONDS, 2 * REQUEST_WINDOW_SECONDS])
def test_a_nonce_is_remembered_for_as_long_as_its_request_can_be_sent(first: int, later: int) -> None:
    memory = ReplayMemory()
    memory.spend(request(0), NOW)
    memory.spend(request(1), NOW + first)
    for second in range(first, first + later, 7):
        memory.spend(request(1000 + second), NOW + second)
    with pytest.raises(UnauthenticatedError):
        memory.spend(request(1), NOW + first + later)


def test_nonces_are_forgotten_when_they_are_past_use() -> None:
    memory = ReplayMemory(capacity=2)
    for second in range(0, 2000, 100):
        memory.spend(request(second), NOW + second)
    assert len(memory._young) + len(memory._old) <= 4


def test_a_full_memory_refuses_rather_than_forgets() -> None:
    memory = ReplayMemory(capacity=2)
    memory.spend(request(1), NOW)
    memory.spend(request(2), NOW)
    with pytest.raises(UnavailableError):
        memory.spend(request(3), NOW)
    with pytest.raises(UnauthenticatedError):
        memory.spend(request(1), NOW)


def test_a_clock_that_steps_back_forgets_nothing() -> None:
    memory = ReplayMemory()
    memory.spend(request(1), NOW)
    memory.spend(request(2), NOW - 3600)
    for number in (1, 2):
        with pytest.raises(UnauthenticatedError):
            memory.spend(request(number), NOW - 1)
