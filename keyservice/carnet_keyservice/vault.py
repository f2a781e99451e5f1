"""The vault, as the key service asks it (spec `api.md`, "Rotation of record locks").

Requests are signed with the server's key, answers checked against the vault's key in the service card before they are
parsed. Every request may be sent twice without harm, so where no answer came it is signed anew and sent again.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from carnet_keyservice.errors import VaultAnswerError, VaultAwayError, VaultError, VaultRefusedError
from carnet_protocol.answers import verify_answer
from carnet_protocol.api import (
    ErrorAnswer,
    LockCountsAnswer,
    LockCountsQuery,
    LocksShown,
    LocksUpdate,
    OldCapsulesPage,
    OldCapsulesQuery,
    RecordSwaps,
    SwapsAnswer,
    SwapsUpdate,
)
from carnet_protocol.errors import SignatureError
from carnet_protocol.ids import Ed25519PublicKey, RecordId
from carnet_protocol.limits import MAX_BODY_BYTES, MIB
from carnet_protocol.requests import KeyId, SignedRequest, parse_request, sign_request
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Server
from carnet_server.errors import SettingsError

MAX_ANSWER_BYTES: Final = 8 * MIB
_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 45.0
_IDLE_SECONDS: Final = 15.0  # the vault closes idle connections after 20 or more
_PAUSES_SECONDS: Final = (0.2, 1.0)
_JSON: Final = "application/json"
_HEADERS: Final = {"accept": _JSON, "accept-encoding": "identity", "user-agent": "carnet-keyservice"}

Answer = TypeVar("Answer", bound=BaseModel)


def open_vault_http(authority: Path | None) -> httpx2.Client:
    """Connections that trust `authority`, a PEM file, or this machine's authorities. Nothing is opened yet.

    Redirects are not followed, proxies and passwords of the machine not used. Raises `SettingsError`.
    """
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise SettingsError("vault_authority is not a PEM file of certificate authorities") from error
    return httpx2.Client(
        verify=context,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        limits=httpx2.Limits(keepalive_expiry=_IDLE_SECONDS),
        headers=_HEADERS,
    )


class VaultClient:
    """The vault of the service card. Safe in several threads, as its connections are."""

    def __init__(
        self,
        vault: Server,
        *,
        server_key: Signer,
        http: httpx2.Client,
        clock: Callable[[], int],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """A client that signs with `server_key`, the key service's in the card that has `vault`."""
        self._vault = vault
        self._public_key = Ed25519PublicKey(vault.key.raw)
        self._server_key = server_key
        self._key_id = KeyId(server_key.public_key.fingerprint().raw)
        self._http = http
        self._clock = clock
        self._sleep = sleep

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def show_locks(self, locks: Sequence[str]) -> LocksShown:
        """Show lock statements, one for each of several records. Raises a `VaultError`."""
        return self._ask("locks", LocksUpdate(locks=tuple(locks)), LocksShown)

    def list_old_capsules(self, records: Sequence[RecordId], *, after: str | None, limit: int) -> OldCapsulesPage:
        """A page of what is under older locks of `records`, which ascend. Raises a `VaultError`."""
        query = OldCapsulesQuery(records=tuple(records), after=after, limit=limit)
        return self._ask("capsules", query, OldCapsulesPage)

    def swap(self, records: Sequence[RecordSwaps]) -> SwapsAnswer:
        """Bring swaps in several records, which ascend. Raises a `VaultError`."""
        update = SwapsUpdate.model_construct(records=tuple(records))
        return self._ask("swaps", update, SwapsAnswer)

    def count_locks(self, records: Sequence[RecordId]) -> LockCountsAnswer:
        """Under which locks the capsules of `records` are. Raises a `VaultError`."""
        return self._ask("counts", LockCountsQuery(records=tuple(records)), LockCountsAnswer)

    def _ask(self, path: str, body: BaseModel, answer: type[Answer]) -> Answer:
        content = body.__pydantic_serializer__.to_json(body)
        if len(content) > MAX_BODY_BYTES:
            raise AssertionError("internal: a request body over the protocol's limit")
        for pause in (*_PAUSES_SECONDS, None):
            try:
                return self._attempt(f"{self._vault.origin}/v1/rotation/{path}", content, answer)
            except VaultAwayError:
                if pause is None:
                    raise
                self._sleep(pause)
        raise AssertionError("internal: the last attempt neither answered nor failed")

    def _attempt(self, target: str, content: bytes, answer: type[Answer]) -> Answer:
        signed = sign_request(
            method="POST",
            target=target,
            body=content,
            server=self._vault.fingerprint(),
            key_id=self._key_id,
            created=self._clock(),
            sign=self._server_key.sign,
        )
        request = httpx2.Request("POST", target, content=content, headers={**_HEADERS, "content-type": _JSON, **signed})
        status, headers, answered = self._exchange(request)
        if status != HTTPStatus.OK:
            raise _refusal(status, answered)
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in signed.items()]
        return self._check(parse_request(method="POST", target=target, headers=raw), headers, answered, answer)

    def _check(
        self, request: SignedRequest, headers: Sequence[tuple[bytes, bytes]], content: bytes, answer: type[Answer]
    ) -> Answer:
        """The answer in `content`, if the vault signed it as the one to `request`. Raises `VaultAnswerError`."""
        try:
            verify_answer(
                request,
                status=HTTPStatus.OK,
                headers=headers,
                body=content,
                public_key=self._public_key,
                now=self._clock(),
            )
        except SignatureError as error:
            raise VaultAnswerError(f"{error}: see what stands between the key service and the vault") from error
        try:
            return answer.model_validate_json(content)
        except ValidationError:
            raise VaultAnswerError("the vault answers in another form: run the same version of both servers") from None

    def _exchange(self, request: httpx2.Request) -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
        try:
            response = self._http.send(request, stream=True)
            try:
                return response.status_code, response.headers.raw, _read(response)
            finally:
                response.close()
        except httpx2.TransportError as error:
            raise VaultAwayError(f"the vault at {self._vault.origin} cannot be reached ({_cause(error)})") from error


def _read(response: httpx2.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in response.iter_raw():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise VaultAnswerError("the vault answers with more than any answer is long")
        parts.append(part)
    return b"".join(parts)


def _cause(error: httpx2.TransportError) -> str:
    """Whether it is its certificate, which an operator can do something about, or what the library calls it."""
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__ if cause is None else "its certificate is not trusted: see vault_authority"


def _refusal(status: int, content: bytes) -> VaultError:
    try:
        code = ErrorAnswer.model_validate_json(content).error.code.value
    except ValidationError:
        code = "without saying why"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        return VaultAwayError(f"the vault cannot answer now ({status}, {code})")
    return VaultRefusedError(f"the vault refuses ({status}, {code}): see its log, and the clocks of both servers")
