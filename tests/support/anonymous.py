"""What anyone may send without signing the request: statements to `POST /v1/people` and `POST /v1/directory`."""

from collections.abc import Sequence

import httpx2
from pydantic import BaseModel

from carnet_protocol.api import DirectoryUpdate, PeopleUpdate
from tests.support.client import Wire


def post_people(wire: Wire, texts: Sequence[str]) -> httpx2.Response:
    """The answer to statements about people, past whatever watches the wire."""
    return _post(wire, "/v1/people", PeopleUpdate(statements=tuple(texts)))


def post_directory(wire: Wire, texts: Sequence[str]) -> httpx2.Response:
    """The answer to statements of the directory, past whatever watches the wire."""
    return _post(wire, "/v1/directory", DirectoryUpdate(statements=tuple(texts)))


def _post(wire: Wire, path: str, update: BaseModel) -> httpx2.Response:
    content = update.model_dump_json().encode()
    return wire.client.post(path, content=content, headers={"content-type": "application/json"})
