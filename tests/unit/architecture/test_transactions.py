"""Who begins a transaction that writes, and who commits: the writer, migrations, and rotation for its batches.

Those write seals beside what stands and delete what nobody reads; whatever decides or logs is the writer's. Everyone
else is given a transaction.
"""

import ast
from pathlib import Path

import pytest

from tests.unit.architecture.source import ROOT, modules, plant, refuse

SERVERS = ("carnet_server", "carnet_vault", "carnet_keyservice")
ALLOWED = {
    "carnet_server.writer": {"begin", "commit"},
    "carnet_server.migrations": {"begin"},
    "carnet_server.database": {"begin"},  # a snapshot that cannot write
    "carnet_keyservice.rotation.workshop": {"begin"},
    "carnet_server.alembic_environment.env": {"begin_transaction"},
}
WATCHED = {"begin", "begin_nested", "begin_transaction", "commit", "autocommit"}


def complaints(root: Path) -> list[str]:
    found = []
    for module in modules(root):
        if module.package not in SERVERS:
            continue
        allowed = ALLOWED.get(module.name, set())
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = node.func.attr
                if name in WATCHED - allowed and not node.args:
                    found.append(f"{module.path}:{node.lineno}: {name}() is for the writer")
    return found


def test_nobody_else_begins_or_commits() -> None:
    refuse(complaints(ROOT))


@pytest.mark.parametrize("line", ["engine.begin()", "connection.commit()", "connection.begin_nested()"])
def test_a_transaction_of_somebody_else_is_found(checkout: Path, line: str) -> None:
    plant(checkout, "vault/carnet_vault/rogue.py", f"{line}\n")
    assert len(complaints(checkout)) == 1
