"""The project's own source as syntax trees and the texts of the checkout, for the rules of this folder to read.

Every function takes the root of a tree, so that a rule can be shown to fail on a small tree that breaks it.
"""

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

PACKAGES = {
    "carnet_protocol": "protocol",
    "carnet_server": "protocol",
    "carnet": "client",
    "carnet_vault": "vault",
    "carnet_keyservice": "keyservice",
    "carnet_storage": "storage",
}

IMPORTING = ("import_module", "__import__")
COMPUTED = "<computed>"


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file of ours; `path` is relative to the root, `package` the one that it belongs to."""

    path: str
    package: str
    name: str
    tree: ast.Module


@dataclass(frozen=True, slots=True)
class Import:
    """One imported thing by its whole dotted name, as in `nacl.signing.VerifyKey`, with the line it stands on."""

    name: str
    line: int

    def is_of(self, parent: str) -> bool:
        """Tells whether this is `parent` or something inside it."""
        return self.name == parent or self.name.startswith(f"{parent}.")


def modules(root: Path) -> Iterator[Module]:
    """Yields the modules of all packages under `root`."""
    for package, component in PACKAGES.items():
        for path in sorted((root / component / package).rglob("*.py")):
            yield parse_module(root, path, root / component)


def modules_of_tests(root: Path) -> Iterator[Module]:
    """Yields the modules of the tests under `root`."""
    for path in sorted((root / "tests").rglob("*.py")):
        yield parse_module(root, path, root)


@cache
def parse_module(root: Path, path: Path, base: Path) -> Module:
    """Returns one module, whose dotted name begins below the folder `base`."""
    inside = path.relative_to(base)
    parts = inside.parent.parts if path.name == "__init__.py" else inside.with_suffix("").parts
    return Module(path.relative_to(root).as_posix(), parts[0], ".".join(parts), ast.parse(path.read_bytes()))


def imports(module: Module) -> Iterator[Import]:
    """Yields what `module` imports, wherever in the file, relative and by-string imports included."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                yield from (Import(alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(names=names):
                parent = absolute_name(module, node)
                yield from (Import(f"{parent}.{alias.name}", node.lineno) for alias in names)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in IMPORTING:
                yield Import(imported_by_string(node), node.lineno)
            case _:
                pass


def imported_by_string(call: ast.Call) -> str:
    """Returns what a call of an importing function imports, as far as the source says so."""
    match call.args:
        case [ast.Constant(value=str(name)), *_]:
            return name
        case _:
            return COMPUTED


def absolute_name(module: Module, node: ast.ImportFrom) -> str:
    """Returns the dotted name of what a `from … import` imports from."""
    if node.level == 0:
        return str(node.module)
    is_package = module.path.endswith("/__init__.py")
    parents = module.name.split(".")
    kept = parents[: len(parents) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """Yields path and text of each file under `root` that is committed or could be."""
    for path in sorted(files_of_git(root) if (root / ".git").exists() else files_of_archive(root)):
        file = root / path
        if file.is_file() and not file.is_symlink() and b"\0" not in (content := file.read_bytes()):
            yield path, content.decode(errors="replace")


def files_of_git(root: Path) -> list[str]:
    """Returns the paths that git keeps or, since nothing tells it to ignore them, would be given to keep."""
    command = ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    return [path for path in listed.split("\0") if path]


def files_of_archive(root: Path) -> list[str]:
    """Returns the paths under `root` where it came without git, apart from what tools left there."""
    paths = (path.relative_to(root) for path in root.rglob("*"))
    left_there = re.compile(r"__pycache__|node_modules|\.venv.*|\.[a-z]+_cache|\.hypothesis|.*\.egg-info")
    return [path.as_posix() for path in paths if not any(left_there.fullmatch(part) for part in path.parts)]


def plant(root: Path, path: str, text: str) -> Path:
    """Writes one file of a small tree and returns its root."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return root


def refuse(complaints: Iterable[str]) -> None:
    """Fails the test with all `complaints`, one on a line, if there are any."""
    if found := list(complaints):
        pytest.fail("\n".join(found), pytrace=False)
