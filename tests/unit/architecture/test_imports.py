"""Imports go one way, and nothing is imported that pyproject.toml does not name."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.architecture.source import COMPUTED, PACKAGES, ROOT, imports, modules, modules_of_tests, plant, refuse

MAY_IMPORT = {
    "carnet_protocol": set[str](),
    "carnet_storage": set[str](),
    "carnet_server": {"carnet_protocol"},
    "carnet": {"carnet_protocol"},
    "carnet_vault": {"carnet_server", "carnet_protocol", "carnet_storage"},
    "carnet_keyservice": {"carnet_server", "carnet_protocol"},
}

# Libraries that are the inside of another one, and whose errors and types surface there.
PARTS = {
    "botocore": "boto3",
    "mypy_boto3_kms": "boto3-stubs",
    "mypy_boto3_s3": "boto3-stubs",
    "pydantic_core": "pydantic",
    "starlette": "fastapi",
}

# Libraries of an extra, and the modules of ours that import them, which are imported only where somebody chose it.
EXTRAS = {
    "pkcs11": [
        "keyservice/carnet_keyservice/master_keys/pkcs11.py",
        "keyservice/carnet_keyservice/master_keys/pkcs11_token.py",
    ]
}


def wrong_directions(root: Path) -> Iterator[str]:
    """Yields each import of another of our packages, or of the tests, that the design does not have."""
    for module in modules(root):
        for found in imports(module):
            package = found.name.split(".")[0]
            is_other = package in {*PACKAGES, "tests", COMPUTED} and package != module.package
            if is_other and package not in MAY_IMPORT[module.package]:
                yield f"{module.path}:{found.line}: {module.package} imports {found.name}"


def foreign_private_names(root: Path) -> Iterator[str]:
    """Yields each import of what another of our packages keeps to itself."""
    for module in modules(root):
        for found in imports(module):
            package, *parts = found.name.split(".")
            if package in PACKAGES and package != module.package and any(part.startswith("_") for part in parts):
                yield f"{module.path}:{found.line}: {module.package} imports the private {found.name}"


def undeclared_libraries(root: Path) -> Iterator[str]:
    """Yields each import of a library that pyproject.toml does not name; tests and types may use the dev group too."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    declared = names(pyproject["project"]["dependencies"])
    declared_for_tests = declared | names(pyproject["dependency-groups"]["dev"])
    own = {*sys.stdlib_module_names, *PACKAGES, "tests", COMPUTED}
    for module in [*modules(root), *modules_of_tests(root)]:
        for_types = lines_for_types(module.tree)
        for found in imports(module):
            may_use_dev = module.package == "tests" or found.line in for_types
            library = found.name.split(".")[0]
            if library in EXTRAS and (module.package == "tests" or module.path in EXTRAS[library]):
                continue
            if library not in own and not providers(library) & (declared_for_tests if may_use_dev else declared):
                yield f"{module.path}:{found.line}: {library} is not among the dependencies"


@cache
def distributions() -> dict[str, list[str]]:
    """Returns which installed distributions bring each importable name."""
    return dict(packages_distributions())


def providers(library: str) -> set[str]:
    """Returns the distributions that bring `library`, an importable name."""
    return {canonicalize_name(name) for name in [PARTS.get(library, library), *distributions().get(library, [])]}


def names(requirements: list[str]) -> set[str]:
    """Returns the names of the libraries that `requirements` ask for."""
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def lines_for_types(tree: ast.Module) -> set[int]:
    """Returns the lines that only a type checker reads."""
    blocks = (
        node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    )
    return {line for block in blocks for part in block.body for line in range(part.lineno, (part.end_lineno or 0) + 1)}


def test_imports_go_one_way() -> None:
    refuse(wrong_directions(ROOT))


def test_no_package_imports_what_another_keeps_to_itself() -> None:
    refuse(foreign_private_names(ROOT))


def test_every_library_is_declared() -> None:
    refuse(undeclared_libraries(ROOT))


PYPROJECT = """
[project]
dependencies = ["psycopg[binary]~=3.3", "Typer>=0.29,<1"]
[dependency-groups]
dev = ["pyyaml~=6.0", "boto3-stubs[s3]"]
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("client/carnet/x.py", "import carnet_vault", id="client to vault"),
        pytest.param("client/carnet/x.py", "from carnet_keyservice.app import create_app", id="client to key service"),
        pytest.param("client/carnet/x.py", "import carnet_storage.s3 as s3", id="client to storage"),
        pytest.param("vault/carnet_vault/x.py", "import carnet_keyservice", id="vault to key service"),
        pytest.param("vault/carnet_vault/x.py", "import carnet", id="vault to client"),
        pytest.param("keyservice/carnet_keyservice/x.py", "from carnet_storage import S3Store", id="keys to storage"),
        pytest.param("keyservice/carnet_keyservice/x.py", "import carnet_vault", id="key service to vault"),
        pytest.param("protocol/carnet_protocol/x.py", "from carnet_server import app", id="protocol to server"),
        pytest.param("protocol/carnet_server/x.py", "import carnet_vault.tables", id="server to vault"),
        pytest.param(
            "storage/carnet_storage/x.py", "from carnet_protocol.ids import RecordId", id="storage to protocol"
        ),
        pytest.param("client/carnet/x.py", "def f():\n    import carnet_vault", id="inside a function"),
        pytest.param("client/carnet/x.py", "import importlib\nimportlib.import_module('carnet_vault')", id="by string"),
        pytest.param("client/carnet/x.py", "__import__('carnet_' + name)", id="by computed string"),
        pytest.param("client/carnet/x.py", "from tests.support import people", id="tests"),
        pytest.param("client/carnet/deep/x.py", "if TYPE_CHECKING:\n    import carnet_vault", id="for types only"),
    ],
)
def test_wrong_direction_is_found(tmp_path: Path, path: str, text: str) -> None:
    assert len(list(wrong_directions(plant(tmp_path, path, text)))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("client/carnet/x.py", "from carnet_protocol import labels"),
        ("client/carnet/deep/x.py", "from ..cards import card\nfrom . import here\nimport carnet.cards"),
        ("vault/carnet_vault/x.py", "import carnet_server\nimport carnet_protocol\nimport carnet_storage"),
        ("keyservice/carnet_keyservice/x.py", "import carnet_server.app\nfrom carnet_protocol.ids import RecordId"),
        ("protocol/carnet_server/x.py", "import carnet_protocol"),
    ],
    ids=["client", "client itself", "vault", "key service", "server"],
)
def test_right_direction_is_let_be(tmp_path: Path, path: str, text: str) -> None:
    assert list(wrong_directions(plant(tmp_path, path, text))) == []


@pytest.mark.parametrize(
    "text",
    ["from carnet_protocol._wire import x", "from carnet_protocol.ids import _x", "import carnet_protocol._wire"],
)
def test_foreign_private_name_is_found(tmp_path: Path, text: str) -> None:
    assert len(list(foreign_private_names(plant(tmp_path, "client/carnet/x.py", text)))) == 1


def test_own_private_name_is_let_be(tmp_path: Path) -> None:
    text = "from carnet._wire import x\nfrom ._wire import y"
    assert list(foreign_private_names(plant(tmp_path, "client/carnet/x.py", text))) == []


def test_undeclared_library_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "pyproject.toml", PYPROJECT)
    text = "import os, typer, psycopg\nimport carnet.cli\nfrom pytest import raises\nimport unheard_of\nimport yaml"
    plant(tmp_path, "client/carnet/x.py", text)
    assert list(undeclared_libraries(tmp_path)) == [
        "client/carnet/x.py:3: pytest is not among the dependencies",
        "client/carnet/x.py:4: unheard_of is not among the dependencies",
        "client/carnet/x.py:5: yaml is not among the dependencies",
    ]


def misplaced_write_suites(root: Path) -> Iterator[str]:
    """Yields each module that takes the suite to write from the source, where the service card says it."""
    for module in modules(root):
        if module.path == "client/carnet/deployment/prepare.py" or not module.package:
            continue
        for found in imports(module):
            if found.name == "carnet_protocol.suites.WRITE_SUITE":
                yield f"{module.path}:{found.line}: the suite to write is the service card's to say"


def test_the_suite_to_write_is_asked_of_the_card() -> None:
    refuse(misplaced_write_suites(ROOT))


def test_a_suite_taken_from_the_source_is_found(tmp_path: Path) -> None:
    text = "from carnet_protocol.suites import WRITE_SUITE\n"
    plant(tmp_path, "client/carnet/x.py", text)
    plant(tmp_path, "client/carnet/deployment/prepare.py", text)
    assert list(misplaced_write_suites(tmp_path)) == [
        "client/carnet/x.py:1: the suite to write is the service card's to say"
    ]


def test_library_for_types_alone_may_be_of_the_dev_group(tmp_path: Path) -> None:
    plant(tmp_path, "pyproject.toml", PYPROJECT)
    text = "if TYPE_CHECKING:\n    import yaml\n    from mypy_boto3_s3 import S3Client\nelse:\n    import yaml\n"
    plant(tmp_path, "client/carnet/x.py", text)
    assert list(undeclared_libraries(tmp_path)) == ["client/carnet/x.py:5: yaml is not among the dependencies"]


def test_tests_may_use_the_dev_group_and_nothing_else(tmp_path: Path) -> None:
    plant(tmp_path, "pyproject.toml", PYPROJECT)
    plant(tmp_path, "tests/unit/test_x.py", "import yaml\nfrom tests.support import people\nimport unheard_of")
    assert list(undeclared_libraries(tmp_path)) == ["tests/unit/test_x.py:3: unheard_of is not among the dependencies"]


def test_library_of_an_extra_is_for_the_modules_that_are_imported_where_it_is_chosen(tmp_path: Path) -> None:
    plant(tmp_path, "pyproject.toml", PYPROJECT)
    for path in ("keyservice/carnet_keyservice/startup.py", "client/carnet/x.py", *EXTRAS["pkcs11"], "tests/test_x.py"):
        plant(tmp_path, path, "import pkcs11")
    assert list(undeclared_libraries(tmp_path)) == [
        "client/carnet/x.py:1: pkcs11 is not among the dependencies",
        "keyservice/carnet_keyservice/startup.py:1: pkcs11 is not among the dependencies",
    ]
