"""The proofs of `threat-model/proofs/secrecy`, scenario by scenario."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from tests.support.programs import require_program

_SCRIPT = Path(__file__).parents[2] / "threat-model" / "proofs" / "secrecy" / "prove.py"


def _load() -> Any:
    specification = importlib.util.spec_from_file_location("carnet_secrecy_proofs", _SCRIPT)
    if specification is None or specification.loader is None:
        raise AssertionError("internal: the proofs are not where they were")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


PROOFS = _load()


def scenarios(*prefixes: str) -> list[str]:
    """The names of the scenarios that begin with one of `prefixes`; at least one with each."""
    names = [scenario.name for scenario in PROOFS.SCENARIOS]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise AssertionError(f"internal: no scenario begins with {prefix}")
    return [name for name in names if name.startswith(prefixes)]


def check(name: str) -> None:
    """Check that both provers say of the scenario `name` what is expected of it."""
    require_program("eprover", package="eprover")
    require_program("SPASS", package="spass")
    scenario = next(scenario for scenario in PROOFS.SCENARIOS if scenario.name == name)
    assert PROOFS.prove(scenario) is scenario.expected
