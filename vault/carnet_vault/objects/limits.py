"""How long a URL is good and one transfer may take, so that streams end not long after the grant they began under."""

from dataclasses import dataclass
from typing import Final, Self

from carnet_protocol.limits import URL_LIFETIME_SECONDS
from carnet_server.grants.access import Access

TRANSFER_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class UrlWindow:
    """From when to when the URLs of one answer are good."""

    now: int
    ends: int

    @classmethod
    def of(cls, access: Access, *, now: int) -> Self:
        """Some minutes from `now`, and not beyond the grant of `access`, which is in force."""
        ends = now + URL_LIFETIME_SECONDS
        return cls(now, ends if access.grant is None else min(ends, access.grant.expires))

    @property
    def seconds(self) -> int:
        """How long they are good."""
        return self.ends - self.now
