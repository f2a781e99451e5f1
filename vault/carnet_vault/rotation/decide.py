"""How lock statements stand, and which swaps of outer locks are well-formed. Values in, verdict out."""

from collections.abc import Sequence
from itertools import starmap

from carnet_protocol.api import LockStanding, OuterLockSwap, SwapOutcome
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import Sha256Digest
from carnet_protocol.sealed_box import BoxKind, inner_size, parse_header
from carnet_server.errors import BadRequestError
from carnet_vault.capsules.decide import Place
from carnet_vault.locks.queries import LockRow


def decide_standing(lock: LockRow | None, *, highest: int, now: int) -> LockStanding:
    """How a lock statement that was shown stands; one that never was is not of this time."""
    if lock is not None and lock.version < highest:
        return LockStanding.SUPERSEDED
    if lock is None or now >= lock.expires:
        return LockStanding.NOT_NOW
    return LockStanding.CURRENT


def require_swaps(swaps: Sequence[OuterLockSwap]) -> None:
    """Refuse swaps that are malformed, whatever stands here.

    1. No two have one place.
    2. Each brings an outer lock of the kind of its place, of the suites that it says and of the exact size.

    Raises `BadRequestError`.
    """
    # 1
    if len({Place(swap.document, swap.version, swap.role, swap.grant) for swap in swaps}) != len(swaps):
        raise BadRequestError("place_twice")
    # 2
    for swap in swaps:
        kind = BoxKind.OUTER_LOCK if swap.grant is None else BoxKind.PERSONAL_OUTER_LOCK
        try:
            suite = parse_header(swap.sealed, kind, plaintext_size=inner_size(swap.inner_suite))
        except ProtocolError as error:
            raise BadRequestError("capsule_malformed") from error
        if suite != swap.outer_suite:
            raise BadRequestError("capsule_suite")


def explain_refused(swaps: Sequence[OuterLockSwap], standing: Sequence[Sha256Digest | None]) -> list[SwapOutcome]:
    """Why each of `swaps` was not made, by the digest of what stands in its place."""
    return list(starmap(_explain, zip(swaps, standing, strict=True)))


def _explain(swap: OuterLockSwap, standing: Sha256Digest | None) -> SwapOutcome:
    if standing is None:
        return SwapOutcome.GONE
    return SwapOutcome.REPEATED if standing == Sha256Digest.of(swap.sealed) else SwapOutcome.CONFLICT
