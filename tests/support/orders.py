"""Orders of officers to destroy keys of a key service: of people who exist nowhere but in a test.

orders = enrol_and_order(shop.decide, shop.deployment.fingerprint, now=shop.clock(), version=1)
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from carnet_protocol.ids import Fingerprint
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Destruction, Signed
from carnet_server.deployment import Moment
from carnet_server.officers.accept import enrol_officer
from tests.support.people import DAY, Dice

TWO: Final = ("first", "second")
Decide = Callable[[Callable[[Moment], Any]], object]
"""Does something in the writer's transaction of a key service."""


def officer(name: str) -> Signer:
    """The key of the officer called `name`."""
    return Dice(name).signer()


def sign_order(
    name: str, keyservice: Fingerprint, *, now: int, version: int | None = None, retired_before: int | None = None
) -> Signed[Destruction]:
    """The order of the officer called `name` to destroy a master key, or retired record locks; good for a day."""
    signer = officer(name)
    body = Destruction(
        keyservice=keyservice,
        officer=signer.public_key.fingerprint(),
        destroys="record-locks" if version is None else "master-key",
        version=version,
        retired_before=retired_before,
        issued_at=now,
        expires=now + DAY,
    )
    return Signed.sign(body, signer)


def enrol_and_order(
    decide: Decide,
    keyservice: Fingerprint,
    *,
    now: int,
    by: Sequence[str] = TWO,
    version: int | None = None,
    retired_before: int | None = None,
) -> list[Signed[Destruction]]:
    """The orders of these officers, who are enrolled at the machine if they are not in force."""
    for name in by:
        decide(partial(enrol_officer, public_key=officer(name).public_key, by=None))
    return [sign_order(name, keyservice, now=now, version=version, retired_before=retired_before) for name in by]
