"""Routes that state who may call them, how large a body they read, what they answer and how they refuse.

    router = Router()


    @router.signed(
        "POST", "/v1/records/{record}/releases",
        kinds=DEVICES, body=ReleaseRequest, body_limit_bytes=MAX_BODY_BYTES,
        answer=ReleaseAnswer, errors=(ErrorCode.REFUSED, ErrorCode.STALE),
    )
    async def release(call: SignedCall[ReleaseRequest], record: RecordId) -> ReleaseAnswer:
        return await call.submit(lambda connection, now: decide_release(connection, now, record, call.body))

What the decorator states is what is enforced, and what OpenAPI says. FastAPI reads path and query parameters from the
handler's signature; the body it never sees: authentication reads it, bounded, once the head has been verified.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from carnet_protocol.errors import ErrorCode
from carnet_server.answers import JSON_TYPE, answer_with
from carnet_server.body import body_gate
from carnet_server.calls import OpenCall, SignedCall, StreamCall
from carnet_server.chassis import Chassis
from carnet_server.errors import BadRequestError, RefusalError, UnsupportedMediaTypeError
from carnet_server.principals import PrincipalKind
from carnet_server.strict_json import parse_body

Method = Literal["DELETE", "GET", "POST", "PUT"]
P = ParamSpec("P")
B = TypeVar("B", bound=BaseModel | None)
A = TypeVar("A", bound=BaseModel | Response | None)

DEVICES: Final = frozenset({PrincipalKind.DEVICE})
ROOTS: Final = frozenset({PrincipalKind.ROOT})
OFFICERS: Final = frozenset({PrincipalKind.OFFICER})
SERVERS: Final = frozenset({PrincipalKind.SERVER})

# What any route may answer, stated or not.
COMMON_ERRORS: Final = frozenset(
    {
        ErrorCode.BAD_REQUEST,
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.TOO_LARGE,
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.INTERNAL,
        ErrorCode.UNAVAILABLE,
        ErrorCode.CLOCK_BEHIND,
        ErrorCode.NO_SPACE,
    }
)
_REQUEST: Final = "carnet_request"
_LONG_BODY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """What a route states of itself.

    `kinds` is empty for a route that is open to anyone; `body` is a model or NoneType; `answer` a model, a class of
    Starlette's responses, or NoneType. `count_statements` says how many a body brings where anyone may bring them.
    """

    method: Method
    path: str
    kinds: frozenset[PrincipalKind]
    body: type[Any]
    body_limit_bytes: int
    is_stream: bool
    answer: type[Any]
    errors: tuple[ErrorCode, ...]
    count_statements: Callable[[Any], int] | None = None

    def all_errors(self) -> frozenset[ErrorCode]:
        """Every code that the route may answer with."""
        common = COMMON_ERRORS if self.kinds else COMMON_ERRORS - {ErrorCode.UNAUTHENTICATED}
        return common | frozenset(self.errors)


class Router:
    """A list of routes, added to an application when it is wired."""

    def __init__(self) -> None:
        self._routes: list[tuple[Terms, Callable[..., Any]]] = []

    def signed(
        self,
        method: Method,
        path: str,
        *,
        kinds: frozenset[PrincipalKind],
        body: type[B],
        body_limit_bytes: int,
        answer: type[A],
        errors: tuple[ErrorCode, ...],
    ) -> Callable[
        [Callable[Concatenate[SignedCall[B], P], Awaitable[A] | A]],
        Callable[Concatenate[SignedCall[B], P], Awaitable[A] | A],
    ]:
        """A route for signed requests by a key of one of `kinds`. `body` is a model, or NoneType with a limit of 0.

        A route for the other server is for nobody else, and what it answers is signed.
        """
        if not kinds:
            raise AssertionError("internal: a signed route names the kinds of keys that it takes")
        if PrincipalKind.SERVER in kinds and kinds != SERVERS:
            raise AssertionError("internal: a route for the other server is for nobody else")
        terms = Terms(
            method=method,
            path=path,
            kinds=kinds,
            body=body,
            body_limit_bytes=body_limit_bytes,
            is_stream=False,
            answer=answer,
            errors=errors,
        )
        return self._remember(terms)

    def open(
        self,
        method: Method,
        path: str,
        *,
        body: type[B],
        body_limit_bytes: int,
        answer: type[A],
        errors: tuple[ErrorCode, ...],
        count_statements: Callable[[B], int] | None = None,
    ) -> Callable[
        [Callable[Concatenate[OpenCall[B], P], Awaitable[A] | A]],
        Callable[Concatenate[OpenCall[B], P], Awaitable[A] | A],
    ]:
        """A route for anyone: its requests carry no signature, and count against their address.

        So do, apart from them, the statements in a body that brings some.
        """
        terms = Terms(
            method=method,
            path=path,
            kinds=frozenset(),
            body=body,
            body_limit_bytes=body_limit_bytes,
            is_stream=False,
            answer=answer,
            errors=errors,
            count_statements=count_statements,
        )
        return self._remember(terms)

    def stream(
        self,
        method: Method,
        path: str,
        *,
        body_limit_bytes: int,
        answer: type[A],
        errors: tuple[ErrorCode, ...],
    ) -> Callable[
        [Callable[Concatenate[StreamCall, P], Awaitable[A] | A]], Callable[Concatenate[StreamCall, P], Awaitable[A] | A]
    ]:
        """A route for anyone who holds its URL, whose body or answer is bytes that the handler moves itself.

        The URL is what lets in, so refused requests alone count against their address.
        """
        terms = Terms(
            method=method,
            path=path,
            kinds=frozenset(),
            body=NoneType,
            body_limit_bytes=body_limit_bytes,
            is_stream=True,
            answer=answer,
            errors=errors,
        )
        return self._remember(terms)

    def add_to(self, app: FastAPI, chassis: Chassis) -> list[Terms]:
        """Add the routes to `app`, answered with the parts of `chassis`; return what they state, for OpenAPI."""
        for terms, handler in self._routes:
            app.add_api_route(
                terms.path,
                _make_endpoint(terms, handler, chassis),
                methods=[terms.method],
                name=handler.__name__,
                operation_id=handler.__name__,
                description=inspect.getdoc(handler),
                response_model=None,
            )
        return [terms for terms, _ in self._routes]

    def _remember(self, terms: Terms) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        if (terms.body is NoneType) != (terms.body_limit_bytes == 0) and not terms.is_stream:
            raise AssertionError("internal: a route reads a body if and only if it states a limit for it")

        def remember(handler: Callable[..., Any]) -> Callable[..., Any]:
            self._routes.append((terms, handler))
            return handler

        return remember


def _make_endpoint(terms: Terms, handler: Callable[..., Any], chassis: Chassis) -> Callable[..., Any]:
    """The function that FastAPI calls: the handler's parameters but the first, which becomes the request."""
    _, *parameters = inspect.signature(handler).parameters.values()
    hints = typing.get_type_hints(handler, include_extras=True)
    query_names = frozenset(parameter.name for parameter in parameters) - _path_names(terms.path)
    is_async = inspect.iscoroutinefunction(handler)
    allowed = terms.all_errors()

    async def endpoint(**arguments: Any) -> Response:  # noqa: ANN401  whatever the handler's parameters are
        request: Request = arguments.pop(_REQUEST)
        _check_query(request, query_names)
        call = await _make_call(terms, request, chassis)
        try:
            if is_async:
                return _answer(terms, call, await handler(call, **arguments))
            return await run_in_threadpool(lambda: _answer(terms, call, handler(call, **arguments)))
        except RefusalError as error:
            if error.code not in allowed:
                raise AssertionError("internal: a route refuses with a code that it does not state") from error
            if terms.is_stream:
                chassis.authenticator.take_from_address(request)
            raise

    first = inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    others = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in parameters
    ]
    # What `inspect.signature`, and so FastAPI, looks at first.
    endpoint.__signature__ = inspect.Signature([first, *others])  # type: ignore[attr-defined]
    endpoint.__name__ = handler.__name__
    return endpoint


async def _make_call(terms: Terms, request: Request, chassis: Chassis) -> object:
    """The call that the handler is given; raises the refusal of a request that is not let in."""
    if terms.body is not NoneType and request.headers.get("content-type") != JSON_TYPE:
        raise UnsupportedMediaTypeError("content_type")
    if terms.kinds:
        credentials, body = await chassis.authenticator.authenticate(
            request, kinds=terms.kinds, body_limit_bytes=terms.body_limit_bytes
        )
        return SignedCall(credentials.principal, await _parse(terms, body), credentials, chassis)
    gate = body_gate(request.scope)
    if terms.is_stream:
        chassis.authenticator.require_address(request)
        gate.open(terms.body_limit_bytes)
        return StreamCall(None, chassis, request, gate)
    chassis.authenticator.take_from_address(request)
    gate.open(terms.body_limit_bytes)
    parsed = await _parse(terms, await gate.read())
    if terms.count_statements is not None:
        chassis.authenticator.take_statements_from_address(request, terms.count_statements(parsed))
    return OpenCall(parsed, chassis)


async def _parse(terms: Terms, body: bytes) -> BaseModel | None:
    """The model that the body holds; a long body is parsed in a thread, so that short requests go on meanwhile."""
    if terms.body is NoneType:
        return None
    model: type[BaseModel] = terms.body
    if len(body) > _LONG_BODY_BYTES:
        return await run_in_threadpool(parse_body, body, model)
    return parse_body(body, model)


def _answer(terms: Terms, call: object, result: object) -> Response:
    response = _format(terms, result)
    if terms.kinds == SERVERS and isinstance(call, SignedCall):
        call.sign(response)
    return response


def _format(terms: Terms, result: object) -> Response:
    if not isinstance(result, terms.answer):
        raise AssertionError("internal: a route answers with something else than it states")  # noqa: TRY004  STYLE 32
    match result:
        case BaseModel():
            return answer_with(result)
        case Response():
            return result
        case _:
            return Response(status_code=204)


def _check_query(request: Request, names: frozenset[str]) -> None:
    """Refuse parameters that the route does not know, and doubled ones."""
    if not request.scope["query_string"]:
        return
    given = [name for name, _ in request.query_params.multi_items()]
    if len(set(given)) != len(given) or not names.issuperset(given):
        raise BadRequestError("query")


def _path_names(path: str) -> frozenset[str]:
    return frozenset(part[1:-1] for part in path.split("/") if part.startswith("{"))
