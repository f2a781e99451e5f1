"""Answers: JSON of a model, or one constant refusal per code.

Every way in which a request can fail ends here, also those of the framework: unknown paths, other methods, parameters
that do not fit. All have the same form, and those with one code the same bytes.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from carnet_protocol.errors import ErrorCode
from carnet_server.errors import ANSWERS, RefusalError

JSON_TYPE: Final = "application/json"
REFUSAL_STATE: Final = "carnet_refusal"
_BODIES: Final = {
    code: json.dumps({"error": {"code": code.value, "message": answer.message}}, separators=(",", ":")).encode()
    for code, answer in ANSWERS.items()
}
_HEADERS: Final[Mapping[ErrorCode, Mapping[str, str]]] = {
    ErrorCode.UNAUTHENTICATED: {"www-authenticate": "Signature"},
    ErrorCode.RATE_LIMITED: {"retry-after": "1"},
    ErrorCode.UNAVAILABLE: {"retry-after": "1"},
}


def answer_with(model: BaseModel, status: int = HTTPStatus.OK) -> Response:
    """The answer that holds `model`, which has checked itself when it was made."""
    return Response(model.__pydantic_serializer__.to_json(model), status, media_type=JSON_TYPE)


def answer_refusal(code: ErrorCode) -> Response:
    """The one answer for `code`."""
    return Response(_BODIES[code], ANSWERS[code].status, dict(_HEADERS.get(code, {})), JSON_TYPE)


def format_refusal(code: ErrorCode) -> bytes:
    """The answer for `code` as bytes of HTTP/1.1, for a connection that had no request to answer."""
    answer, body = ANSWERS[code], _BODIES[code]
    status = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
    head = f"{status}content-type: {JSON_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode("ascii") + body


def install_handlers(app: FastAPI) -> None:
    """Make every refusal of the application and of the framework an answer of this module."""
    app.add_exception_handler(RefusalError, _handle_refusal)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(HTTPException, _handle_http)


def note(request: Request, code: ErrorCode, *, reason: str, error: BaseException | None = None) -> None:
    """Leave code and reason of a refusal for the log."""
    request.scope.setdefault("state", {})[REFUSAL_STATE] = (code, reason, error)


async def _handle_refusal(request: Request, error: Exception) -> Response:
    if not isinstance(error, RefusalError):
        raise error
    note(request, error.code, reason=error.reason, error=error.__cause__)
    return answer_refusal(error.code)


async def _handle_validation(request: Request, error: Exception) -> Response:
    del error
    note(request, ErrorCode.BAD_REQUEST, reason="parameters")
    return answer_refusal(ErrorCode.BAD_REQUEST)


async def _handle_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    match status:
        case HTTPStatus.NOT_FOUND:
            code = ErrorCode.REFUSED
        case HTTPStatus.METHOD_NOT_ALLOWED:
            code = ErrorCode.METHOD_NOT_ALLOWED
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            code = ErrorCode.TOO_LARGE
        case _ if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            code = ErrorCode.BAD_REQUEST
        case _:
            code = ErrorCode.INTERNAL
    note(request, code, reason="framework")
    return answer_refusal(code)
