"""What no committed text may hold: work left undone, paths of one machine, addresses that packages come from.

The forbidden words are written here in pieces, so that this file does not hold them itself.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.architecture.source import ROOT, plant, refuse, texts

HOSTS = [
    "crates" + r"\.io",
    "deb" + r"\.debian\.org",
    "docker" + r"\.io",
    "files" + r"\.pythonhosted\.org",
    "gcr" + r"\.io",
    "ghcr" + r"\.io",
    "index" + r"\.crates\.io",
    "npm" + "js",
    "proxy" + r"\.golang\.org",
    "py" + r"pi\.(?:org|python\.org)",
    "quay" + r"\.io",
    "registry" + r"\.[a-z]+\.(?:com|org|io)",
    "repo1?" + r"\.maven",
    "ruby" + r"gems\.org",
    "security" + r"\.debian\.org",
    "archive" + r"\.ubuntu\.com",
    "anaconda" + r"\.org",
]
ARCHIVES = [
    "whl",
    "tar.[a-z0-9]+",
    "tgz",
    "zip",
    "deb",
    "rpm",
    "exe",
    "msi",
    "dmg",
    "jar",
    "crate",
    "gem",
    "apk",
    "iso",
]

FORBIDDEN = {
    "work left undone": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b"),
    "a path of one machine": re.compile(
        r"(?<![\w./-])/(?:wo" + r"rk|ro" + r"ot|tmp/(?:w|plan)|opt/whe" + r"els)(?:/|\b(?![\w-]))"
    ),
    "a host of packages": re.compile(r"(?<![\w-])(?:" + "|".join(HOSTS) + r")", re.IGNORECASE),
    "a download address": re.compile(
        r"[a-z]+://[^\s\"'<>]+(?:\.(?:"
        + "|".join(ARCHIVES)
        + r")\b|/releases/down"
        + r"load/|raw\.github"
        + r"usercontent)",
        re.IGNORECASE,
    ),
    "an index of packages": re.compile(
        r"(?:index-url|find-links|registry)[\"']?\s*[=: ]\s*[\"']?[a-z]+://", re.IGNORECASE
    ),
}


def forbidden_texts(root: Path) -> Iterator[str]:
    """Yields each line of a committed text that holds something forbidden."""
    for path, text in texts(root):
        for what, pattern in FORBIDDEN.items():
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                yield f"{path}:{line}: {what}: {match[0]}"


def test_no_text_holds_what_it_must_not() -> None:
    refuse(forbidden_texts(ROOT))


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("work left undone", "# TO" + "DO: later"),
        ("work left undone", "<!-- FIX" + "ME -->"),
        ("a path of one machine", "cd /wo" + "rk/main"),
        ("a path of one machine", "see /wo" + "rk."),
        ("a path of one machine", "'/ro" + "ot/.config'"),
        ("a path of one machine", "/tm" + "p/w/v/bin/python"),
        ("a host of packages", "py" + "pi.org"),
        ("a host of packages", "at files" + ".pythonhosted.org/x"),
        ("a host of packages", "registry" + ".npm" + "js.org"),
        ("a host of packages", "deb" + ".debian.org"),
        ("a host of packages", "ghcr" + ".io/carnet"),
        ("a download address", "https" + "://example.org/a/carnet-1.whl"),
        ("a download address", "http" + "://example.org/a.tar.gz"),
        ("a download address", "https" + "://example.org/releases/down" + "load/v1/tool"),
        ("an index of packages", "--index-url " + "https://mirror.example/simple"),
        ("an index of packages", "registry=" + "https://mirror.example/"),
        ("an index of packages", '"registry": "' + 'https://mirror.example/"'),
    ],
)
@pytest.mark.parametrize("path", ["README.md", "client/carnet/x.py", "a/b.lock"])
def test_forbidden_text_is_found(checkout: Path, path: str, what: str, text: str) -> None:
    found = list(forbidden_texts(plant(checkout, path, f"first line\nthen {text}\n")))
    assert any(line.startswith(f"{path}:2: {what}") for line in found)


@pytest.mark.parametrize(
    "text",
    [
        "uv pip compile --no-emit-index-url --no-emit-find-links",
        "https://www.rfc-editor.org/rfc/rfc9180",
        "http://hl7.org/fhir/StructureDefinition/Bundle",
        "releases/work/tmp/root and POST /v1/records/root/work",
        "a registrar signs a registry of names",
        "hacks and todos in small letters",
    ],
)
def test_other_text_is_let_be(checkout: Path, text: str) -> None:
    assert list(forbidden_texts(plant(checkout, "README.md", text))) == []


def test_text_that_git_ignores_is_let_be(checkout: Path) -> None:
    plant(checkout, ".gitignore", "/data/\n")
    assert list(forbidden_texts(plant(checkout, "data/notes.txt", "TO" + "DO"))) == []


def test_text_of_an_archive_without_git_is_read_too(tmp_path: Path) -> None:
    plant(tmp_path, ".venv/lib/x.py", "TO" + "DO")
    assert len(list(forbidden_texts(plant(tmp_path, ".ci/run", "TO" + "DO")))) == 1


def test_bytes_that_are_no_text_are_let_be(checkout: Path) -> None:
    assert list(forbidden_texts(plant(checkout, "image.png", "\0TO" + "DO"))) == []
