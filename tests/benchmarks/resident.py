"""The memory that sealing and opening take, measured in a process of their own: `resident.py seal|open PLAIN FOLDER`.

Prints the bytes by which the resident size rose, at its highest, above that after `import carnet`.
"""

import sys
from pathlib import Path

import carnet


def resident(which: str) -> int:
    """Returns a size of this process, now (VmRSS) or at its highest (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def main(work: str, plain: Path, folder: Path) -> int:
    """Returns the rise in bytes while doing `work`."""
    before = resident("VmRSS")
    from carnet.content import CommitmentKey, ContentKey, ContentSuites, open_file, seal_file  # noqa: PLC0415  is measured
    from carnet_protocol.suites import WRITE_SUITE  # noqa: PLC0415  as above

    content_key, context, commitment_key = ContentKey.make(), carnet.__name__.encode(), CommitmentKey.make()
    sealed_path = folder / "resident.sealed"
    with sealed_path.open("w+b") as target:
        sealed = seal_file(
            plain,
            target,
            content_key=content_key,
            context=context,
            commitment_key=commitment_key,
            suites=ContentSuites.of(WRITE_SUITE),
        )
    if work == "open":
        Path("/proc/self/clear_refs").write_text("5")  # the highest size counts from here
        open_file(
            sealed_path,
            folder / "resident.opened",
            sealed=sealed,
            content_key=content_key,
            context=context,
            commitment_key=commitment_key,
        )
    return resident("VmHWM") - before


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))}\n")
