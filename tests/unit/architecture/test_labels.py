"""Every label is unique, stands in the specification, and is used in one module alone."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.architecture.source import ROOT, imports, modules, plant, refuse

LABELS = "protocol/carnet_protocol/labels.py"
PREFIX = b"carnet/"


def read_labels(root: Path) -> list[tuple[str, bytes]]:
    """Returns name and value of each label, in order; fails on a line of that module that is anything else."""
    labels = []
    for node in ast.parse((root / LABELS).read_text()).body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())) | ast.ImportFrom(module="typing"):
                continue
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=bytes(value))):
                labels.append((name, value))
            case _:
                raise AssertionError(f"{LABELS}:{node.lineno}: a label is NAME: Final = bytes")
    return labels


def wrong_labels(root: Path) -> Iterator[str]:
    """Yields each label that repeats another's value, begins with one, or is missing in the specification."""
    spec = "\n".join(path.read_text() for path in sorted((root / "protocol/spec").glob("*.md")))
    seen: dict[bytes, str] = {}
    for name, value in read_labels(root):
        if value in seen:
            yield f"{name} repeats {seen[value]}"
        if not value.startswith(PREFIX):
            yield f"{name} does not begin with {PREFIX.decode()}"
        if f'"{value.decode()}"' not in spec:
            yield f"{name} is missing in protocol/spec"
        seen[value] = name


def uses(root: Path) -> defaultdict[str, set[str]]:
    """Returns for each label the modules that use it."""
    names = {name for name, _ in read_labels(root)}
    found = defaultdict[str, set[str]](set)
    for module in modules(root):
        for imported in imports(module):
            if imported.is_of("carnet_protocol.labels") and imported.name.count(".") > 1:
                found[imported.name.split(".")[2]].add(module.path)
        for node in ast.walk(module.tree):
            match node:
                case ast.Attribute(value=ast.Name(id="labels"), attr=name) if name in names:
                    found[name].add(module.path)
    return found


def wrongly_used_labels(root: Path) -> Iterator[str]:
    """Yields each label that several modules use or none, and each import that hides which labels a module uses."""
    found = uses(root)
    for name in [name for name, _ in read_labels(root)]:
        if len(found[name]) != 1:
            yield f"{name} is used in {sorted(found[name]) or 'no module'}"
    if found["*"]:
        yield f"all labels are imported at once in {sorted(found['*'])}"


def spelled_out_labels(root: Path) -> Iterator[str]:
    """Yields each place outside the module of labels that spells a label out."""
    values = {value for _, value in read_labels(root)}
    for module in modules(root):
        for node in ast.walk(module.tree):
            match node:
                case ast.Constant(value=bytes(value)) if module.path != LABELS and value in values:
                    yield f"{module.path}:{node.lineno}: {value!r} is a label"
                case ast.Constant(value=str(text)) if text.encode(errors="replace") in values:
                    yield f"{module.path}:{node.lineno}: {text!r} is a label"


def test_labels_are_unique_and_specified() -> None:
    refuse(wrong_labels(ROOT))


def test_each_label_is_used_in_one_module() -> None:
    refuse(wrongly_used_labels(ROOT))


def test_labels_are_spelled_in_one_place() -> None:
    refuse(spelled_out_labels(ROOT))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    plant(
        tmp_path,
        LABELS,
        '"""Labels."""\nfrom typing import Final\nA: Final = b"carnet/v1/a"\nB: Final = b"carnet/v1/b"\n',
    )
    plant(tmp_path, "protocol/spec/keys.md", 'Labels: "carnet/v1/a" and "carnet/v1/b".')
    plant(tmp_path, "client/carnet/x.py", "from carnet_protocol import labels\nlabels.A\nlabels.A\nlabels.B")
    return tmp_path


def test_good_labels_are_let_be(tree: Path) -> None:
    assert [*wrong_labels(tree), *wrongly_used_labels(tree), *spelled_out_labels(tree)] == []
    assert uses(tree) == {"A": {"client/carnet/x.py"}, "B": {"client/carnet/x.py"}}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('C: Final = b"carnet/v1/a"', "C repeats A"),
        ('C: Final = b"carnet/v1/c"', "C is missing in protocol/spec"),
        ('C: Final = b"other/v1/a"', "C does not begin with carnet/"),
    ],
)
def test_wrong_label_is_found(tree: Path, line: str, complaint: str) -> None:
    plant(tree, LABELS, (tree / LABELS).read_text() + line)
    assert complaint in list(wrong_labels(tree))


def test_label_that_is_computed_is_refused(tree: Path) -> None:
    plant(tree, LABELS, 'A: Final = b"carnet" + b"/v1/a"')
    with pytest.raises(AssertionError, match="a label is NAME"):
        read_labels(tree)


@pytest.mark.parametrize(
    "text", ["from carnet_protocol import labels\nlabels.A", "from carnet_protocol.labels import A\nA"]
)
def test_label_used_in_two_modules_is_found(tree: Path, text: str) -> None:
    plant(tree, "client/carnet/y.py", text)
    assert list(wrongly_used_labels(tree)) == ["A is used in ['client/carnet/x.py', 'client/carnet/y.py']"]


def test_label_that_nobody_uses_is_found(tree: Path) -> None:
    plant(tree, "client/carnet/x.py", "from carnet_protocol import labels\nlabels.A")
    assert list(wrongly_used_labels(tree)) == ["B is used in no module"]


def test_import_of_all_labels_is_found(tree: Path) -> None:
    plant(tree, "client/carnet/y.py", "from carnet_protocol.labels import *")
    assert list(wrongly_used_labels(tree)) == ["all labels are imported at once in ['client/carnet/y.py']"]


@pytest.mark.parametrize("text", ["x = b'carnet/v1/a'", "def f(): return h('carnet/v1/b')"])
def test_spelled_out_label_is_found(tree: Path, text: str) -> None:
    plant(tree, "vault/carnet_vault/x.py", text)
    assert len(list(spelled_out_labels(tree))) == 1
