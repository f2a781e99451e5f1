"""What a person sees of a job: dates, spans and numbers in words, and nothing that says nothing."""

import io

from rich.console import Console

from carnet_keyservice.rotation.show import show_end, show_job


def shown(described: dict[str, object]) -> dict[str, str]:
    """The lines of the table, by their first column."""
    console = Console(file=io.StringIO(), width=200)
    show_job(console, described)
    assert isinstance(console.file, io.StringIO)
    return dict(line.rstrip().split("  ", 1) for line in console.file.getvalue().splitlines())


def test_times_spans_and_numbers_are_words() -> None:
    lines = shown(
        {
            "begun_at": 1_700_000_000,
            "grace_left_seconds": 3_661,
            "total": 1_234_567,
            "can_begin": True,
            "skipped": {"no seal": 1_000},
            "seconds_at_least": 0,
        }
    )
    assert {name: value.strip() for name, value in lines.items()} == {
        "begun": "2023-11-14 22:13 UTC",
        "grace left": "1 hour, 1 minute",
        "total": "1,234,567",
        "can begin": "yes",
        "skipped": "no seal (1,000)",
        "takes at least": "0 seconds",
    }


def test_what_says_nothing_is_left_out() -> None:
    assert set(shown({"problem": None, "skipped": {}, "waiting_for": [], "provider": "", "total": 0})) == {"total"}


def test_a_report_names_what_was_skipped() -> None:
    console = Console(file=io.StringIO(), width=200)
    skipped = [{"record": "R", "version": 3, "reason": "torn"}]
    members = {
        "ended_at": 1_700_000_000,
        "done": [{"name": "write", "count": 7}],
        "skipped": [{"name": "torn", "count": 1}],
        "items_skipped": skipped,
    }
    show_end(console, members)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for words in ("2023-11-14 22:13 UTC", "write (7)", "torn (1)", "R lock 3"):
        assert words in text
