"""A second program on the database of a server that runs: same keys, same origin, its own port (attack 16).

with running_replica(process.command("serve"), process.root) as client:
    ...  # what is signed for the server's origin is accepted by either
"""

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, Final, TypeVar

import httpx2

from tests.support.ports import held_port

END_SECONDS: Final = 60
T = TypeVar("T")


@contextlib.contextmanager
def running_replica(command: Sequence[str], root: Path) -> Iterator[httpx2.Client]:
    """Run `command`, which serves with the settings in `root`, on another port. The client talks to this one."""
    with held_port() as port:
        first = root / "settings.toml"
        text, count = re.subn(r"(?m)^listen_port = .*$", f"listen_port = {port}", first.read_text())
        assert count == 1
        second = root / "replica.toml"
        second.write_text(text.replace('.jsonl"', '-replica.jsonl"'))
        words = [str(second) if word == str(first) else word for word in command]
        assert words != list(command)
        program = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert program.stdout is not None
            assert " ready on " in program.stdout.readline()
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
                yield client
        finally:
            program.terminate()
            program.wait(END_SECONDS)
            assert program.stdout is not None
            program.stdout.close()


def at_once(*works: Callable[[], T]) -> list[T]:
    """What `works` return, each begun in a thread of its own at the same moment."""
    barrier = Barrier(len(works))

    def begin(work: Callable[[], T]) -> T:
        barrier.wait(END_SECONDS)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(begin, works))


def statuses(answers: Sequence[Any]) -> list[int]:
    """The status of each answer, in ascending order."""
    return sorted(answer.status_code for answer in answers)
