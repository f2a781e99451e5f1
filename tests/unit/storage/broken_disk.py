"""A disk that counts the calls made to it, and at the n-th does something else."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from carnet_storage._disk import Disk


@dataclass(slots=True)
class Calls:
    """The calls that were made, by name and in order."""

    names: list[str] = field(default_factory=list)


def watched_disk(before_call: Callable[[int, str], None]) -> tuple[Disk, Calls]:
    """Returns a disk that tells `before_call` the number and the name of each call before it is made."""
    calls = Calls()
    healthy = Disk()

    def watched(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.names.append(name)
            before_call(len(calls.names), name)
            return getattr(healthy, name)(*arguments)

        return call

    return Disk(**{each.name: watched(each.name) for each in fields(Disk)}), calls


def failing_disk(code: int, *, first: int, last: int | None = None) -> tuple[Disk, Calls]:
    """Returns a disk whose calls `first` to `last`, or to the end, fail with the error `code`."""

    def fail(number: int, name: str) -> None:
        if number >= first and (last is None or number <= last):
            raise OSError(code, f"injected into {name}")

    return watched_disk(fail)


def disk_failing_at(code: int, name: str) -> Disk:
    """Returns a disk of which one kind of call always fails with the error `code`."""

    def fail(_: int, called: str) -> None:
        if called == name:
            raise OSError(code, f"injected into {name}")

    return watched_disk(fail)[0]
