"""Field types that statements and API models share: bytes as base64url text, times, sorted lists."""

import itertools
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import core_schema

from carnet_protocol.encoding import format_base64url, parse_base64url
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import FixedBytes
from carnet_protocol.limits import MAX_TIME
from carnet_protocol.suites import Suite

_Id = TypeVar("_Id", bound=FixedBytes)


class WireModel(BaseModel):
    """A frozen value on the wire: no unknown members, no coercion, every member present."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Base64Bytes:
    """Bytes whose text form is unpadded base64url; the length is bounded by the statement's or body's limit."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(format_base64url)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        del schema, handler
        return {"type": "string", "pattern": "^[A-Za-z0-9_-]*$"}

    @staticmethod
    def _validate(value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise ValueError("bytes are base64url text")  # noqa: TRY004  pydantic turns ValueError alone into its own
        try:
            return parse_base64url(value)
        except MalformedError as error:
            raise ValueError(str(error)) from error


Base64Bytes = Annotated[bytes, _Base64Bytes]
"""Bytes as base64url text."""

UtcSeconds = Annotated[int, Field(ge=0, le=MAX_TIME)]
"""A time: whole seconds since 1970-01-01T00:00:00Z, at most 9999-12-31T23:59:59Z."""


def _check_integer(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("a suite is an integer")  # noqa: TRY004  pydantic turns ValueError alone into its own
    return value


SuiteNumber = Annotated[Suite, Field(strict=False), BeforeValidator(_check_integer)]
"""A suite by its number."""


SuiteCode = Annotated[int, Field(ge=1, le=0xFFFF)]
"""The number of a suite that this program may not know yet."""


def _check_text(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("a name has no control characters and no space at its ends")
    return text


ShortText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_text)]
"""A name for people: 1 to 200 printable characters, none of them a control or a space at an end."""


def check_sorted(values: tuple[_Id, ...]) -> tuple[_Id, ...]:
    """Return `values` if they ascend strictly, so that a set has one form. Raises `ValueError`."""
    if any(not left < right for left, right in itertools.pairwise(values)):
        raise ValueError("a list of ids is strictly ascending")
    return values
