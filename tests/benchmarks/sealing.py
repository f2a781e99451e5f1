"""Sealing and opening of a 1 GiB file, against `cp` and against programs of others, and how much memory they take."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from carnet.content import CommitmentKey, ContentKey, ContentSuites, SealedContent, open_file, seal_file
from carnet_protocol.suites import WRITE_SUITE
from tests.benchmarks import others
from tests.benchmarks.race import Contestant, race
from tests.benchmarks.row import Bound, Measurement, NotMeasuredError, Row

GIB = 1 << 30
MIB = 1 << 20
CONTEXT = b"carnet/benchmark"
RESIDENT = Path(__file__).with_name("resident.py")

ROWS = (
    Row("seal", "seal 1 GiB from file to file, 2 cores, against cp", Bound.AT_LEAST, 0.70, "of cp"),
    Row("seal-one-core", "the same on one core", Bound.AT_LEAST, 0.38, "of cp"),
    Row("seal-age", "the same as `seal`, against age", Bound.AT_LEAST, 2.1, "times"),
    Row("seal-restic", "… against restic backup", Bound.AT_LEAST, 8, "times"),
    Row("seal-rclone", "… against rclone crypt", Bound.AT_LEAST, 8, "times"),
    Row("seal-aws", "… against the AWS Encryption SDK", Bound.AT_LEAST, 8, "times"),
    Row("open", "open it (verify all, decrypt, write), against sealing", Bound.AT_LEAST, 0.8, "times"),
    Row("memory-seal", "memory while sealing it, above `import carnet`", Bound.AT_MOST, 64, "MiB"),
    Row("memory-open", "memory while opening it, above `import carnet`", Bound.AT_MOST, 64, "MiB"),
)

# Row: (whose time is measured against, whose time it is)
RATIOS = {
    "seal": ("cp", "seal"),
    "seal-one-core": ("cp", "seal-one-core"),
    "seal-age": ("age", "seal"),
    "seal-restic": ("restic", "seal"),
    "seal-rclone": ("rclone", "seal"),
    "seal-aws": ("aws", "seal"),
    "open": ("seal", "open"),
}


def measure(names: frozenset[str], folder: Path) -> Iterator[Measurement | tuple[str, NotMeasuredError]]:
    """Measures the rows called `names`."""
    plain = folder / "plain"
    write_random(plain, GIB)
    makers = contestants(plain, folder)
    present: dict[str, Contestant] = {}
    missing: dict[str, NotMeasuredError] = {}
    for name in sorted({side for row in names & RATIOS.keys() for side in RATIOS[row]}):
        try:
            present[name] = makers[name]()
        except NotMeasuredError as reason:
            missing[name] = reason
    times = race(present)
    for row in (row.name for row in ROWS if row.name in names):
        if row not in RATIOS:
            yield measure_memory(row, plain, folder)
            continue
        against, of = RATIOS[row]
        if against in missing:
            yield row, missing[against]
        else:
            detail = f"{of} {times[of]}, {against} {times[against]}"
            yield Measurement(row, times[against].best / times[of].best, detail)


def contestants(plain: Path, folder: Path) -> dict[str, Callable[[], Contestant]]:
    """Returns how to make each contestant."""
    content_key, commitment_key = ContentKey.make(), CommitmentKey.make()
    copied, result, opened = folder / "cp.out", folder / "seal.out", folder / "open.out"

    def seal(target_path: Path = result) -> SealedContent:
        with target_path.open("w+b") as target:
            return seal_file(
                plain,
                target,
                content_key=content_key,
                context=CONTEXT,
                commitment_key=commitment_key,
                suites=ContentSuites.of(WRITE_SUITE),
            )

    def open_sealed() -> Contestant:
        source = folder / "sealed"
        sealed = seal(source)
        return Contestant(
            source,
            opened,
            run=lambda: open_file(
                source,
                opened,
                sealed=sealed,
                content_key=content_key,
                context=CONTEXT,
                commitment_key=commitment_key,
            ),
            cores=2,
        )

    return {
        "cp": lambda: Contestant(plain, copied, run=others.command(["cp", str(plain), str(copied)])),
        "seal": lambda: Contestant(plain, result, run=seal, cores=2),
        "seal-one-core": lambda: Contestant(plain, result, run=seal, cores=1),
        "open": open_sealed,
        "age": lambda: others.age(plain, folder),
        "restic": lambda: others.restic(plain, folder),
        "rclone": lambda: others.rclone(plain, folder),
        "aws": lambda: others.aws_encryption_sdk(plain, folder),
    }


def measure_memory(row: str, plain: Path, folder: Path) -> Measurement:
    """Measures `memory-seal` or `memory-open`."""
    program = [sys.executable, str(RESIDENT), row.removeprefix("memory-"), str(plain), str(folder)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    for name in ("resident.sealed", "resident.opened"):
        (folder / name).unlink(missing_ok=True)
    return Measurement(row, int(done.stdout) / MIB, "highest resident size above that after `import carnet`")


def write_random(path: Path, size: int) -> None:
    """Writes a file that nothing can compress."""
    with path.open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
