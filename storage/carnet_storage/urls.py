"""Transfer URLs under the vault's own origin: made and verified here, served by the vault.

    PUT {origin}/v1/objects/{name}?upload=…&part=…&offset=…&size=…&expires=…&signature=…
    GET {origin}/v1/objects/{name}?expires=…&signature=…

The signature is HMAC-SHA-256 under a random secret of the deployment over the method and every value that the URL
states, so a URL is good for one part of one upload, or for one object, for its stated length and until its stated
second. Whoever holds a URL may use it; that is what it is for. No I/O, no clock: `now` is passed in.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from carnet_storage.errors import InvalidName, UrlRefused
from carnet_storage.names import ObjectName
from carnet_storage.port import MAX_URL_SECONDS
from carnet_storage.uploads import Upload

OBJECTS_PATH: Final = "/v1/objects/"
MIN_SECRET_BYTES: Final = 32

_LABEL: Final = "carnet-storage/transfer-url/v1"
_MAX_QUERY_CHARACTERS: Final = 512
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,15})"
_SIGNATURE: Final = r"(?P<signature>[A-Za-z0-9_-]{43})"
_PUT_QUERY: Final = re.compile(
    rf"upload=(?P<token>[A-Za-z0-9_-]{{22}})&part=(?P<part>{_NUMBER})&offset=(?P<offset>{_NUMBER})"
    rf"&size=(?P<size>{_NUMBER})&expires=(?P<expires>{_NUMBER})&signature={_SIGNATURE}",
    re.ASCII,
)
_GET_QUERY: Final = re.compile(rf"expires=(?P<expires>{_NUMBER})&signature={_SIGNATURE}", re.ASCII)


class UrlSecret:
    """The secret of a deployment under which its transfer URLs are signed; `reveal` is the only way out."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise AssertionError(f"internal: the secret of transfer URLs has at least {MIN_SECRET_BYTES} random bytes")
        self._secret = bytes(secret)

    def __repr__(self) -> str:
        return "UrlSecret(****)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("internal: a secret is not pickled")

    def reveal(self) -> bytes:
        """Returns the secret bytes."""
        return self._secret


@dataclass(frozen=True, slots=True)
class PutPermit:
    """What a verified PUT URL permits: to send `size_bytes` at `offset` as `part` of one upload."""

    name: ObjectName
    token: str
    part: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TransferUrls:
    """Makes and verifies the URLs of one deployment, reached at `origin` (scheme, host, port, no slash after)."""

    origin: str
    secret: UrlSecret

    def put_url(self, upload: Upload, part: int, *, now: int, ttl_seconds: int) -> str:
        """Returns the URL for `part` of `upload`, good from `now` for `ttl_seconds`. Raises `InvalidUpload`."""
        permit = PutPermit(
            name=upload.name,
            token=upload.token,
            part=part,
            offset=upload.part_offset(part),
            size_bytes=upload.part_size(part),
        )
        query = _format_put(permit, expires=expiry(now=now, ttl_seconds=ttl_seconds))
        return f"{self._location(upload.name)}?{query}&signature={self._sign('PUT', upload.name, query)}"

    def get_url(self, name: ObjectName, *, now: int, ttl_seconds: int) -> str:
        """Returns the URL for reading `name`, good from `now` for `ttl_seconds`."""
        query = f"expires={expiry(now=now, ttl_seconds=ttl_seconds)}"
        return f"{self._location(name)}?{query}&signature={self._sign('GET', name, query)}"

    def authorize_put(self, name: str, query: str, *, content_length: int | None, now: int) -> PutPermit:
        """Verifies a PUT and returns what it permits.

        `name` and `query` are the path's last segment and the query string as they were sent, undecoded;
        `content_length` is what the request's header announces, None without one. Raises `UrlRefused`.
        """
        # 1. Only the one spelling that put_url writes, of bounded length.
        match = _PUT_QUERY.fullmatch(query) if len(query) <= _MAX_QUERY_CHARACTERS else None
        if match is None:
            raise UrlRefused("malformed")
        permit = PutPermit(
            name=_parse_name(name),
            token=match["token"],
            part=int(match["part"]),
            offset=int(match["offset"]),
            size_bytes=int(match["size"]),
        )
        # 2. The length that is announced is the length that was signed; a request that announces none is refused.
        if content_length != permit.size_bytes:
            raise UrlRefused("length")
        # 3. The signature, over everything above.
        self._verify("PUT", permit.name, query, signature=match["signature"])
        # 4. The time, from the signed query.
        _check_not_expired(int(match["expires"]), now=now)
        return permit

    def authorize_get(self, name: str, query: str, *, now: int) -> ObjectName:
        """Verifies a GET and returns the name that may be read; see `authorize_put`. Raises `UrlRefused`."""
        match = _GET_QUERY.fullmatch(query) if len(query) <= _MAX_QUERY_CHARACTERS else None
        if match is None:
            raise UrlRefused("malformed")
        object_name = _parse_name(name)
        self._verify("GET", object_name, query, signature=match["signature"])
        _check_not_expired(int(match["expires"]), now=now)
        return object_name

    def _location(self, name: ObjectName) -> str:
        return f"{self.origin}{OBJECTS_PATH}{name}"

    def _verify(self, method: str, name: ObjectName, query: str, *, signature: str) -> None:
        signed_query = query.removesuffix(f"&signature={signature}")
        if not hmac.compare_digest(self._sign(method, name, signed_query), signature):
            raise UrlRefused("signature")

    def _sign(self, method: str, name: ObjectName, query: str) -> str:
        # None of the four can hold a line feed, so no two requests have the same text.
        text = f"{_LABEL}\n{method}\n{name}\n{query}"
        digest = hmac.new(self.secret.reveal(), text.encode("ascii"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def expiry(*, now: int, ttl_seconds: int) -> int:
    """Returns the second from which a URL given out at `now` is refused."""
    if not 1 <= ttl_seconds <= MAX_URL_SECONDS:
        raise AssertionError(f"internal: a transfer URL lives 1 to {MAX_URL_SECONDS} seconds")
    return now + ttl_seconds


def _format_put(permit: PutPermit, *, expires: int) -> str:
    return f"upload={permit.token}&part={permit.part}&offset={permit.offset}&size={permit.size_bytes}&expires={expires}"


def _parse_name(text: str) -> ObjectName:
    try:
        return ObjectName(text)
    except InvalidName as error:
        raise UrlRefused("malformed") from error


def _check_not_expired(expires: int, *, now: int) -> None:
    if now >= expires:
        raise UrlRefused("expired")
