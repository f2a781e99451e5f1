"""Token buckets: what goes through, what is refilled, what is forgotten."""

import pytest

from carnet_server.errors import RateLimitedError
from carnet_server.rates import Rate, TokenBuckets, subscriber


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def take_all(buckets: TokenBuckets, key: str) -> int:
    taken = 0
    while True:
        try:
            buckets.take(key)
        except RateLimitedError:
            return taken
        taken += 1


def test_a_burst_goes_through_and_then_nothing() -> None:
    buckets = TokenBuckets(Rate(per_second=1, burst=5), Seconds())
    assert take_all(buckets, "alice") == 5


def test_tokens_come_back_with_time_and_never_more_than_the_burst() -> None:
    clock = Seconds()
    buckets = TokenBuckets(Rate(per_second=2, burst=5), clock)
    take_all(buckets, "alice")
    clock.now = 1.5
    assert take_all(buckets, "alice") == 3
    clock.now = 1000
    assert take_all(buckets, "alice") == 5


def test_one_key_does_not_use_up_another_ones_tokens() -> None:
    buckets = TokenBuckets(Rate(per_second=1, burst=2), Seconds())
    take_all(buckets, "mallory")
    assert take_all(buckets, "alice") == 2


def test_require_refuses_an_empty_bucket_and_takes_nothing_from_a_full_one() -> None:
    buckets = TokenBuckets(Rate(per_second=1, burst=2), Seconds())
    for _ in range(10):
        buckets.require("alice")
    assert take_all(buckets, "alice") == 2
    with pytest.raises(RateLimitedError):
        buckets.require("alice")


def test_a_refused_request_costs_nothing() -> None:
    clock = Seconds()
    buckets = TokenBuckets(Rate(per_second=1, burst=1), clock)
    for _ in range(50):
        take_all(buckets, "alice")
    clock.now = 1
    assert take_all(buckets, "alice") == 1


def test_what_costs_more_than_is_left_goes_through_once_and_is_owed() -> None:
    clock = Seconds()
    buckets = TokenBuckets(Rate(per_second=1, burst=5), clock)
    buckets.take("alice", 12)
    clock.now = 7.5
    assert take_all(buckets, "alice") == 0
    clock.now = 8
    assert take_all(buckets, "alice") == 1


def test_the_table_is_bounded_and_forgets_who_was_quiet_longest() -> None:
    buckets = TokenBuckets(Rate(per_second=0.001, burst=1), Seconds(), capacity=3)
    for name in ("alice", "bob", "carol"):
        buckets.take(name)
    buckets.take("dave")
    assert len(buckets._buckets) == 3
    assert take_all(buckets, "bob") == 0


@pytest.mark.parametrize(
    ("address", "stands_for"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_an_address_stands_for_a_subscriber(address: str, stands_for: str) -> None:
    assert subscriber(address) == stands_for
