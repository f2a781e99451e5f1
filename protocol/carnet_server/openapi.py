"""The OpenAPI document of a server: the same bytes for the same program, to be committed and compared."""

import json
from collections.abc import Sequence
from types import NoneType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from carnet_protocol.api import ErrorAnswer
from carnet_server.answers import JSON_TYPE
from carnet_server.errors import ANSWERS
from carnet_server.routes import Terms

_REFERENCE: Final = "#/components/schemas/{model}"
_SIGNATURE_SCHEME: Final = {
    "type": "apiKey",
    "in": "header",
    "name": "Signature",
    "description": "HTTP Message Signature (RFC 9421) of the form that the specification gives.",
}


def make_openapi(app: FastAPI, terms: Sequence[Terms]) -> dict[str, Any]:
    """The document of the routes that `terms` state; health and the document itself are not part of it."""
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    document = get_openapi(title=app.title, version=app.version, routes=routes)
    models: list[type[BaseModel]] = [ErrorAnswer]
    for stated in terms:
        operation = document["paths"][stated.path][stated.method.lower()]
        models += [model for model in (stated.body, stated.answer) if issubclass(model, BaseModel)]
        _describe(operation, stated)
    _, schemas = models_json_schema([(model, "validation") for model in dict.fromkeys(models)], ref_template=_REFERENCE)
    document["components"] = {
        "schemas": schemas["$defs"],
        "securitySchemes": {"signature": _SIGNATURE_SCHEME},
    }
    return document


def format_openapi(document: dict[str, Any]) -> str:
    """The text of `document` that is committed."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _describe(operation: dict[str, Any], stated: Terms) -> None:
    operation["responses"] = _responses(stated)
    if stated.kinds:
        operation["security"] = [{"signature": []}]
        operation["x-carnet-principals"] = sorted(stated.kinds)
    if stated.body_limit_bytes:
        operation["x-carnet-body-limit"] = stated.body_limit_bytes
        operation["requestBody"] = {"required": True, "content": _content(stated.body)}


def _responses(stated: Terms) -> dict[str, Any]:
    success = "204" if stated.answer is NoneType else "200"
    responses: dict[str, Any] = {success: {"description": "Done."}}
    if success == "200":
        responses[success]["content"] = _content(stated.answer)
    by_status: dict[int, list[str]] = {}
    for code in sorted(stated.all_errors()):
        by_status.setdefault(ANSWERS[code].status, []).append(f"`{code}`: {ANSWERS[code].message}")
    for status, lines in by_status.items():
        responses[str(status)] = {"description": " ".join(lines), "content": _content(ErrorAnswer)}
    return responses


def _content(model: type[Any]) -> dict[str, Any]:
    if issubclass(model, BaseModel):
        return {JSON_TYPE: {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}
    return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
