"""The vectors on file are the ones that the generator makes."""

from tests.vectors import make
from tests.vectors.scenario import load_scenarios


def test_the_vectors_on_file_are_the_ones_made() -> None:
    assert make.check() == []


def test_every_format_that_can_be_refused_has_both_verdicts() -> None:
    verdicts: dict[str, set[bool]] = {}
    for scenario in load_scenarios():
        verdicts.setdefault(scenario.format, set()).add(scenario.output is None)
    never_refused = {name for name, seen in verdicts.items() if seen == {False}}
    assert never_refused == {
        "pack",
        "document-id",
        "fingerprint",
        "short-code",
        "metadata-commitment",
        "plaintext-commitment",
        "content-digest",
        "readers-commitment",
    }
