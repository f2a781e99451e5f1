"""Sealing and opening of any size take the same little memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from carnet_protocol.suites import Suite

MOST_EXTRA_BYTES = 64 << 20
PROGRAM = """
import sys, tempfile
from pathlib import Path
import carnet

def resident(which):
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024

before = resident("VmRSS")
from carnet.content import CommitmentKey, ContentKey, ContentSuites, OpenedStream, open_file, seal_file
from carnet_protocol.suites import Suite

keys = {"content_key": ContentKey.make(), "context": b"context", "commitment_key": CommitmentKey.make()}
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
    plain, sealed_path, opened = (Path(folder) / name for name in ("plain", "sealed", "opened"))
    with plain.open("wb") as file:
        file.truncate(256 << 20)
    with sealed_path.open("w+b") as target:
        sealed = seal_file(plain, target, suites=ContentSuites.of(Suite(int(sys.argv[2]))), **keys)
    plain.unlink()
    open_file(sealed_path, opened, sealed=sealed, **keys)
    opened.unlink()
    with OpenedStream(opened, sealed=sealed, **keys) as stream, sealed_path.open("rb") as arriving:
        while piece := arriving.read(1 << 20):
            stream.feed(piece)
        stream.finalize()
    assert opened.stat().st_size == 256 << 20
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident size where Linux shows it")
@pytest.mark.parametrize("suite", Suite)
def test_a_quarter_of_a_gibibyte_takes_little_memory(tmp_path: Path, suite: Suite) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(int(suite))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < MOST_EXTRA_BYTES
