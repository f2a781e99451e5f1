"""The page of claims is honest: every test that it names exists, and what has none is called unproven."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "threat-model" / "claims.md"
UNPROVEN = {7, 14}
"""What this version does not promise yet."""


def _read(page: str) -> dict[int, dict[str, str]]:
    """Mechanism, tests and status by number of the promise."""
    claims: dict[int, dict[str, str]] = {}
    for number, text in re.findall(r"^## P(\d\d) .*?$\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL):
        parts = dict(re.findall(r"^\* \*\*(\w+)\*\*: (.*?)(?=^\* |\Z)", text, re.MULTILINE | re.DOTALL))
        claims[int(number)] = {name: " ".join(part.split()) for name, part in parts.items()}
    return claims


def _complaints(page: str) -> list[str]:
    """What is wrong with `page`."""
    claims = _read(page)
    complaints: list[str] = []
    if sorted(claims) != list(range(1, 15)):
        complaints.append("there are fourteen promises")
    for number, parts in claims.items():
        if set(parts) != {"Mechanism", "Tests", "Status"}:
            complaints.append(f"P{number:02} has a mechanism, tests and a status")
            continue
        paths = re.findall(r"`([^`]+)`", parts["Tests"])
        complaints += [f"{path} does not exist" for path in paths if not (ROOT / path).is_file()]
        own = [path for path in paths if re.fullmatch(rf"tests/claims/test_p{number:02}_\w+\.py", path)]
        is_proven = parts["Status"].startswith("proven")
        if is_proven == parts["Status"].startswith("unproven"):
            complaints.append(f"P{number:02} is proven or unproven")
        if is_proven and not own:
            complaints.append(f"P{number:02} has no test of its number and is called proven")
    return complaints


def test_every_test_exists_and_what_has_none_is_unproven() -> None:
    assert _complaints(PAGE.read_text("utf-8")) == []


def test_every_test_of_a_number_is_named() -> None:
    claims = _read(PAGE.read_text("utf-8"))
    for path in sorted((ROOT / "tests" / "claims").glob("test_p[0-9][0-9]_*.py")):
        assert f"`tests/claims/{path.name}`" in claims[int(path.name[6:8])]["Tests"], path.name


def test_what_does_not_exist_yet_is_called_unproven() -> None:
    claims = _read(PAGE.read_text("utf-8"))
    assert {number for number, parts in claims.items() if parts["Status"].startswith("unproven")} == UNPROVEN


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("test_p01_the_vault", "test_p01_no_vault"),
        ("* **Status**: unproven", "* **Status**: proven"),
        ("## P07 ", "## P15 "),
        ("* **Mechanism**: event leaves and receipts", "* **Means**: event leaves and receipts"),
    ],
)
def test_a_dishonest_page_is_found_out(before: str, after: str) -> None:
    page = PAGE.read_text("utf-8")
    assert before in page
    assert _complaints(page.replace(before, after, 1))
