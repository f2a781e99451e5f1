"""The plans by which PostgreSQL answered: of every statement that was run, those of foreign keys included.

PostgreSQL's own module `auto_explain` sends each plan to the session that ran it, as it was run and with what it read.
So nothing is planned a second time with other values, and no statement is forgotten.

recorder = PlanRecorder(engine)
with recorder.recording() as plans:
    ...
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.errors import Diagnostic
from sqlalchemy import Engine, event, text

_PLAN: Final = re.compile(r"duration: ([0-9.]+) ms  plan:\n(.*)", re.DOTALL)
_PARTITION: Final = re.compile(r"_p\d\d$")
_WHOLE_TABLE: Final = frozenset({"Seq Scan", "Sample Scan"})
_SETTINGS: Final = {
    "session_preload_libraries": "'auto_explain'",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "'json'",
    "auto_explain.log_level": "'notice'",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan: the statement, how long it took, and its tree as PostgreSQL gives it."""

    statement: str
    milliseconds: float
    root: dict[str, Any]

    def nodes(self) -> Iterator[dict[str, Any]]:
        """Every node that was carried out, from the root on."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            if node.get("Actual Loops", 0):
                yield node
            waiting += node.get("Plans", [])

    def tables(self) -> set[str]:
        """The tables that were read or written."""
        return {_table(node) for node in self.nodes() if "Relation Name" in node}

    def whole_tables(self) -> set[str]:
        """The tables of which every row was read."""
        return {_table(node) for node in self.nodes() if node["Node Type"] in _WHOLE_TABLE}

    def partitions(self) -> dict[str, set[str]]:
        """By table, the partitions that were read or written."""
        found: dict[str, set[str]] = {}
        for node in self.nodes():
            if _PARTITION.search(node.get("Relation Name", "")):
                found.setdefault(_table(node), set()).add(node["Relation Name"])
        return found

    def buffers(self) -> int:
        """How many pages it read, from memory or not."""
        return int(self.root.get("Shared Hit Blocks", 0)) + int(self.root.get("Shared Read Blocks", 0))

    def rows_thrown_away(self) -> int:
        """Rows that were read and did not count: the most of any node, over all its loops."""
        removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter")
        return max(
            (int(node["Actual Loops"] * node.get(name, 0)) for node in self.nodes() for name in removed), default=0
        )

    def shape(self) -> str:
        """The nodes in short, outermost first."""
        return _shape(self.root)


@dataclass(slots=True)
class PlanRecorder:
    """Hears what PostgreSQL tells the connections of `engine`, whose database is told to explain."""

    engine: Engine
    plans: list[Plan] = field(default_factory=list)
    is_recording: bool = False

    def __post_init__(self) -> None:
        """Set the database up, and close connections that do not know of it."""
        with self.engine.begin() as connection:
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            for setting, value in _SETTINGS.items():
                connection.execute(text(f'ALTER DATABASE "{name}" SET {setting} = {value}'))
        event.listen(self.engine, "connect", self._listen)
        self.engine.dispose()

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Plan]]:
        """The plans of the block, in the order in which they ended."""
        self.plans, self.is_recording = [], True
        try:
            yield self.plans
        finally:
            self.is_recording = False

    def record(self, steps: Mapping[str, Callable[[], object]]) -> dict[str, list[Plan]]:
        """The plans of each of `steps`, which are done in order."""
        recorded = {}
        for name, step in steps.items():
            with self.recording() as plans:
                step()
            recorded[name] = plans
        return recorded

    def _listen(self, connection: Any, record: object) -> None:
        del record
        connection.add_notice_handler(self._hear)

    def _hear(self, diagnostic: Diagnostic) -> None:
        said = _PLAN.match(diagnostic.message_primary or "")
        if self.is_recording and said is not None:
            told = json.loads(said[2])
            self.plans.append(Plan(told["Query Text"], float(said[1]), told["Plan"]))


def _table(node: dict[str, Any]) -> str:
    return _PARTITION.sub("", node["Relation Name"])


def _shape(node: dict[str, Any]) -> str:
    name = node["Node Type"]
    if not node.get("Actual Loops", 0):
        return f"never {name}"
    if "Index Name" in node:
        name += f" {node['Index Name']}"
    elif "Relation Name" in node:
        name += f" {node['Relation Name']}"
    inner = [_shape(child) for child in node.get("Plans", [])]
    return f"{name} ({', '.join(inner)})" if inner else name
