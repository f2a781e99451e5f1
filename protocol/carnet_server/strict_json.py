"""Bodies of requests as JSON with one reading (spec `api.md`): what two parsers could read differently is refused.

No doubled members, no lone surrogates, no floats, NaN or Infinity, no integer beyond 2**53 - 1, at most 16 deep, UTF-8
without a mark at its beginning. Order of members and white space are free: browsers write them as they please.
"""

import json
import re
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from carnet_protocol.encoding import MAX_JSON_DEPTH
from carnet_protocol.limits import MAX_JSON_INTEGER
from carnet_server.errors import BadRequestError

# An unclosed string is matched to the end, and nothing is tried twice: linear for every input.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_MAX_INTEGER_LENGTH: Final = 17

Model = TypeVar("Model", bound=BaseModel)


def parse_body(body: bytes, model: type[Model]) -> Model:
    """The `model` that `body` holds.

    1. Its brackets match, 16 deep at most.
    2. It is UTF-8, and JSON of the strict kind.
    3. It has the form of the model.

    Raises `BadRequestError`.
    """
    # 1: before a recursive parser sees it
    if _is_too_deep(body):
        raise BadRequestError("json_nesting")
    # 2: the value is dropped; the model's own parser is the one that knows bytes, tuples and numbers
    try:
        _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadRequestError("json_malformed") from error
    # 3
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise BadRequestError("json_not_the_model") from error


def _is_too_deep(body: bytes) -> bool:
    """Whether more than 16 rounds of striking out the innermost pairs of brackets leave something over."""
    brackets = _STRING.sub(b"", body).translate(_TO_SQUARE, _NOT_BRACKETS)
    for _ in range(MAX_JSON_DEPTH):
        left = brackets.replace(b"[]", b"")
        if len(left) == len(brackets):
            break
        brackets = left
    return bool(brackets)


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(members)
    if len(named) != len(members):
        raise ValueError("a member comes twice")
    return named


def _integer(text: str) -> int:
    if len(text) > _MAX_INTEGER_LENGTH or text == "-0" or abs(int(text)) > MAX_JSON_INTEGER:
        raise ValueError("an integer is too large, or minus zero")
    return int(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"not an integer: {len(text)} characters")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_refuse, parse_int=_integer, parse_constant=_refuse
)
