"""Secrecy of documents, proven by saturation from `threat-model/inventory.yaml` (promises P01, P02, P03, P11).

Each scenario collects what a set of colluding parties stores or sees, adds what an attacker can work out and what
honest clients do, and asks two provers whether a document can be known. *secret*: the clauses saturate without it, for
any number of messages. *leaks*: a derivation was found. The negative controls take one mechanism away and must leak: a
model in which they do not would prove nothing.

Assumed: perfect cryptography, no side channel, no compromised end device, no traffic analysis.

    python threat-model/proofs/secrecy/prove.py
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Final

import yaml

HERE: Final = Path(__file__).parent
INVENTORY: Final = HERE.parents[1] / "inventory.yaml"
_SECONDS: Final = 60


@unique
class Verdict(StrEnum):
    """What the provers say."""

    SECRET = "secret"  # noqa: S105  a verdict
    LEAKS = "leaks"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A question: whether `parties` together, with `files` of rules and `facts` more, come to know `goal`.

    `without` names clauses that are taken away.
    """

    name: str
    parties: frozenset[str]
    expected: Verdict
    goal: str = "document"
    files: tuple[str, ...] = ("attacker.p", "honest.p")
    facts: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


_EVERYWHERE: Final = frozenset({"vault", "keyservice", "network"})
_QUANTUM: Final = ("attacker.p", "honest.p", "quantum.p")

SCENARIOS: Final = (
    Scenario("P01 vault and its network", frozenset({"vault", "network"}), Verdict.SECRET),
    Scenario("P01 vault: metadata", frozenset({"vault", "network"}), Verdict.SECRET, goal="metadata"),
    Scenario("P01 vault: a content key", frozenset({"vault", "network"}), Verdict.SECRET, goal="content_key"),
    Scenario("P02 key service and its network", frozenset({"keyservice", "network"}), Verdict.SECRET),
    Scenario("P02 key service: a compartment key", frozenset({"keyservice"}), Verdict.SECRET, goal="seed(general)"),
    Scenario("P03 both servers and all traffic", _EVERYWHERE, Verdict.SECRET),
    Scenario("P03 both servers: metadata", _EVERYWHERE, Verdict.SECRET, goal="metadata"),
    Scenario("P03 both servers: a laboratory's report", _EVERYWHERE, Verdict.SECRET, goal="labreport"),
    Scenario("P03 both servers: an account key", _EVERYWHERE, Verdict.SECRET, goal="account_key"),
    Scenario("P03 both servers: the recovery secret", _EVERYWHERE, Verdict.SECRET, goal="recovery_secret"),
    Scenario("P11 both servers, quantum", _EVERYWHERE, Verdict.SECRET, files=_QUANTUM),
    Scenario("P11 both servers, quantum: metadata", _EVERYWHERE, Verdict.SECRET, goal="metadata", files=_QUANTUM),
    Scenario("P11 both servers, quantum: a report", _EVERYWHERE, Verdict.SECRET, goal="labreport", files=_QUANTUM),
    Scenario(
        "P06 expelled clinician, vault, key service's help, after completion",
        _EVERYWHERE,
        Verdict.SECRET,
        goal="later_document",
        facts=(
            "att(seed(general_before))",
            "att(aead(later_key, later_document))",
            "att(box(kem(lock), box(kem(general), later_key)))",
        ),
    ),
    Scenario(
        "P06 a reader of one document, both servers: another document",
        _EVERYWHERE,
        Verdict.SECRET,
        facts=(
            "att(seed(carol))",
            "att(box(kem(lock), box(kem(carol), other_key)))",
            "att(aead(other_key, other_document))",
        ),
    ),
    # Negative controls: each takes one mechanism away and must leak.
    Scenario(
        "control: the key service holds whole compartment keys",
        _EVERYWHERE,
        Verdict.LEAKS,
        facts=("att(seed(general))",),
    ),
    Scenario(
        "control: unsigned directory",
        frozenset({"vault", "keyservice", "network"}),
        Verdict.LEAKS,
        facts=("( ~ att(K) | ~ grants(P) | att(box(K, seed(general))) )",),
        without=("patient_grants",),
    ),
    Scenario(
        "control: the servers look patients up",
        frozenset({"vault", "keyservice", "network"}),
        Verdict.LEAKS,
        goal="labreport",
        facts=("( ~ att(C) | ~ lock_of(alice, L) | att(box(L, box(C, kdf(report, content)))) )",),
        without=("lab_deposits",),
    ),
    Scenario(
        "control: metadata under one lock, the key service's",
        _EVERYWHERE,
        Verdict.LEAKS,
        goal="metadata",
        facts=("att(box(kem(lock), metadata_key))",),
    ),
    Scenario(
        "control: classical KEM against a quantum attacker",
        _EVERYWHERE,
        Verdict.LEAKS,
        files=_QUANTUM,
        facts=("att(weak(kem(lock), weak(kem(general), content_key)))",),
    ),
    Scenario(
        "control: a granted clinician together with both servers",
        _EVERYWHERE,
        Verdict.LEAKS,
        facts=("att(seed(bob))",),
    ),
    Scenario(
        "control: the expelled clinician, had nothing been relocked",
        _EVERYWHERE,
        Verdict.LEAKS,
        goal="later_document",
        facts=(
            "att(seed(general_before))",
            "att(aead(later_key, later_document))",
            "att(box(kem(lock), box(kem(general_before), later_key)))",
        ),
    ),
    Scenario(
        "control: a reader of one document holds the compartment key",
        _EVERYWHERE,
        Verdict.LEAKS,
        facts=("att(seed(carol))", "att(box(kem(carol), seed(general)))"),
    ),
    Scenario(
        "control: the recovery slot under a passphrase that the servers can guess",
        _EVERYWHERE,
        Verdict.LEAKS,
        facts=("att(aead(stretch(password), account_key))", "att(stretch(password))"),
    ),
)


def known_terms(parties: Iterable[str]) -> list[str]:
    """The terms that `parties` store or see, by the inventory."""
    inventory = yaml.safe_load(INVENTORY.read_text("utf-8"))
    wanted = set(parties)
    return sorted(
        {term for field in inventory["fields"] if wanted & set(field["seen_by"]) for term in field.get("terms", [])}
    )


def write_problem(scenario: Scenario) -> str:
    """The scenario as a TPTP problem: unsatisfiable if the goal can be known."""
    lines: list[str] = []
    for name in scenario.files:
        clauses = (HERE / name).read_text("ascii").split("\ncnf(")
        kept = [clause for clause in clauses[1:] if clause.partition(",")[0] not in scenario.without]
        if len(clauses) - 1 - len(kept) != sum(
            f"cnf({clause}," in (HERE / name).read_text() for clause in scenario.without
        ):
            raise AssertionError(f"internal: a clause to take away is not in {name}")
        lines += [f"cnf({clause}" for clause in kept]
    lines += [
        f"cnf(stored_{number}, axiom, ( att({term}) ))." for number, term in enumerate(known_terms(scenario.parties))
    ]
    for number, fact in enumerate(scenario.facts):
        clause = fact if fact.startswith("(") else f"( {fact} )"
        lines.append(f"cnf(more_{number}, axiom, {clause}).")
    lines.append(f"cnf(goal, negated_conjecture, ( ~ att({scenario.goal}) )).")
    return "\n".join(lines) + "\n"


def ask_eprover(problem: Path) -> Verdict:
    """The verdict of E. Raises `RuntimeError` where it has none."""
    printed = _run(["eprover", "--auto", "-s", f"--cpu-limit={_SECONDS}", str(problem)])
    if "SZS status Unsatisfiable" in printed:
        return Verdict.LEAKS
    if "SZS status Satisfiable" in printed:
        return Verdict.SECRET
    raise RuntimeError(f"E came to no end:\n{printed}")


def ask_spass(problem: Path) -> Verdict:
    """The verdict of SPASS. Raises `RuntimeError` where it has none."""
    printed = _run(["SPASS", "-TPTP=1", f"-TimeLimit={_SECONDS}", "-PProblem=0", "-PGiven=0", str(problem)])
    if "SPASS beiseite: Proof found" in printed:
        return Verdict.LEAKS
    if "SPASS beiseite: Completion found" in printed:
        return Verdict.SECRET
    raise RuntimeError(f"SPASS came to no end:\n{printed}")


def prove(scenario: Scenario) -> Verdict:
    """What both provers say of `scenario`. Raises `RuntimeError` where they disagree."""
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder) / "problem.p"
        problem.write_text(write_problem(scenario), "ascii")
        verdicts = {ask_eprover(problem), ask_spass(problem)}
    if len(verdicts) != 1:
        raise RuntimeError("the provers disagree")
    return verdicts.pop()


def main() -> int:
    """Print a line for each scenario; 1 where a verdict is not the expected one."""
    missing = [name for name in ("eprover", "SPASS") if shutil.which(name) is None]
    if missing:
        sys.stderr.write(f"{' and '.join(missing)} not found: apt-get install eprover spass\n")
        return 2
    failures = 0
    for scenario in SCENARIOS:
        verdict = prove(scenario)
        failures += verdict is not scenario.expected
        mark = "ok  " if verdict is scenario.expected else "FAIL"
        sys.stdout.write(f"{mark} {verdict:6} {scenario.name}\n")
    return 1 if failures else 0


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * _SECONDS).stdout


if __name__ == "__main__":
    sys.exit(main())
