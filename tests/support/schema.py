"""Makes the committed schemas: `./run schema` writes them, `./run schema --check` compares.

`protocol/schema/statements.json` and `api.json` are JSON Schemas of the wire models; `vault.openapi.json` and
`keyservice.openapi.json` are what the servers answer at `/openapi.json`.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from carnet_protocol import api
from carnet_protocol.statements import KINDS
from carnet_server.openapi import format_openapi
from tests.support.client import ClientWorld

SCHEMA = Path(__file__).parents[2] / "protocol" / "schema"


def make_schemas() -> dict[str, str]:
    """The text of each file, by name."""
    models = [getattr(api, name) for name in api.__all__]
    files = {
        "api.json": _schema([model for model in models if issubclass(model, BaseModel)], "Bodies of Carnet's API"),
        "statements.json": _schema(list(KINDS.values()), "Payloads of Carnet's statements"),
    }
    with tempfile.TemporaryDirectory() as folder:
        world = ClientWorld.make(Path(folder))
        try:
            for name, wire in (("vault", world.vault), ("keyservice", world.keyservice)):
                files[f"{name}.openapi.json"] = format_openapi(wire.client.app.openapi())  # type: ignore[attr-defined]  # FastAPI
        finally:
            for engine in world.engines.values():
                engine.dispose()
    return files


def check() -> list[str]:
    """What differs from the committed files: one line each."""
    made = make_schemas()
    lines = [f"not made any more: {path.name}" for path in sorted(SCHEMA.glob("*.json")) if path.name not in made]
    for name, text in made.items():
        path = SCHEMA / name
        if not path.is_file():
            lines.append(f"missing: {name}")
        elif path.read_text("utf-8") != text:
            lines.append(f"differs: {name}")
    return lines


def main(arguments: list[str]) -> int:
    """Write, or compare with `--check`; exit code 1 where something differs."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: schema.py [--check]\n")
        return 2
    if arguments:
        lines = check()
        sys.stdout.write("".join(f"{line}\n" for line in lines) or "the schemas are as they should be\n")
        return 1 if lines else 0
    SCHEMA.mkdir(exist_ok=True)
    for name, text in make_schemas().items():
        (SCHEMA / name).write_text(text, "utf-8")
    return 0


def _schema(models: list[type[BaseModel]], title: str) -> str:
    _, document = models_json_schema([(model, "validation") for model in models], title=title)
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
