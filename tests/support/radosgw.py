"""A real S3 for tests: a one-machine Ceph RADOS Gateway from Debian's packages, on loopback, all in one folder.

One monitor, one storage daemon that keeps its objects in memory, one gateway; no manager, no authentication between
them. Each is a child of this process in the foreground with a pid file of its own, and dies with it. Nothing outside
the folder is read or written.

    with running_radosgw(folder) as gateway:
        store = make_s3_client(endpoint_url=gateway.endpoint_url, ...)

To keep one for a look around: `python -m tests.support.radosgw`.
"""

import contextlib
import http.client
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

PROGRAMS: Final = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
DEBIAN_PACKAGES: Final = ("ceph-mon", "ceph-osd", "radosgw")
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
REGION: Final = "default"
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class RadosGateway:
    """A gateway that answers, and the one account that it knows."""

    endpoint_url: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


class RadosGatewayError(Exception):
    """The gateway cannot be started; the message ends with what its daemons logged last."""


def missing_programs() -> list[str]:
    """Returns the names of the programs that this machine lacks."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextlib.contextmanager
def running_radosgw(folder: Path) -> Iterator[RadosGateway]:
    """Starts a gateway whose whole state is in the empty `folder`, and stops it at the end of the `with` block.

    A free port may be taken by another program before a daemon binds it, so a failed start is tried again on other
    ports. Raises `RadosGatewayError` when none succeeds.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        cluster = _Cluster(folder / f"attempt{attempt}")
        try:
            try:
                gateway = cluster.start()
            except RadosGatewayError:
                if attempt == _ATTEMPTS:
                    raise
                continue
            yield gateway
            return
        finally:
            cluster.stop()


class _Cluster:
    """The three daemons and their folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._configuration = folder / "ceph.conf"
        self._fsid = str(uuid.uuid4())
        self._monitor_port = _free_port()
        self._gateway_port = _free_port()

    def start(self) -> RadosGateway:
        """Starts monitor, storage daemon and gateway in this order, each when the one before answers."""
        deadline = time.monotonic() + START_SECONDS
        self._configuration.write_text(self._settings(), encoding="utf-8")
        self._start_monitor()
        self._start_storage_daemon(deadline)
        gateway = self._make_account(deadline)
        self._daemon("radosgw", "--name", "client.rgw")
        self._wait_until_it_answers(deadline)
        return gateway

    def stop(self) -> None:
        """Stops the daemons, the youngest first."""
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def _settings(self) -> str:
        folder = self._folder
        return "\n".join(
            [
                "[global]",
                f"fsid = {self._fsid}",
                "mon initial members = a",
                f"mon host = v2:127.0.0.1:{self._monitor_port}",
                "public addr = 127.0.0.1",
                "cluster addr = 127.0.0.1",
                "ms bind ipv4 = true",
                "ms bind ipv6 = false",
                "auth cluster required = none",
                "auth service required = none",
                "auth client required = none",
                # Without keys there is nothing to encrypt with; left at its default this hangs with error -13.
                "ms mon client mode = crc",
                "ms mon cluster mode = crc",
                "ms mon service mode = crc",
                "ms client mode = crc",
                "ms cluster mode = crc",
                "ms service mode = crc",
                f"run dir = {folder}",
                f"admin socket = {folder}/$name.asok",
                f"pid file = {folder}/$name.pid",
                f"log file = {folder}/$name.log",
                f"crash dir = {folder}",
                "log to stderr = false",
                "log flush on exit = false",
                f"keyring = {folder}/keyring",
                "osd pool default size = 1",
                "osd pool default min size = 1",
                "osd pool default pg num = 4",
                "osd pool default pgp num = 4",
                "osd pool default pg autoscale mode = off",
                "osd crush chooseleaf type = 0",
                "",
                "[mon]",
                f"mon data = {folder}/mon",
                "mon allow pool size one = true",
                "mon allow pool delete = true",
                # One monitor has nobody to wait for.
                "paxos propose interval = 0.05",
                "paxos min wait = 0.02",
                "mon data avail crit = 1",
                "mon data avail warn = 1",
                "",
                "[osd]",
                f"osd data = {folder}/osd",
                "osd objectstore = memstore",
                "memstore device bytes = 8589934592",
                "osd max object name len = 256",
                "",
                "[client.rgw]",
                f"rgw frontends = beast endpoint=127.0.0.1:{self._gateway_port} tcp_nodelay=1",
                f"rgw data = {folder}/rgw",
                "rgw enable usage log = false",
                "rgw enable ops log = false",
                "rgw gc obj min wait = 1",
                "",
            ]
        )

    def _start_monitor(self) -> None:
        address = f"[v2:127.0.0.1:{self._monitor_port}]"
        monitor_map = str(self._folder / "monmap")
        (self._folder / "mon").mkdir()
        (self._folder / "keyring").touch()
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", address, monitor_map)
        self._run("ceph-mon", *self._own(), "--mkfs", "-i", "a", "--monmap", monitor_map)
        self._daemon("ceph-mon", "-i", "a")

    def _start_storage_daemon(self, deadline: float) -> None:
        osd_uuid = str(uuid.uuid4())
        (self._folder / "osd").mkdir()
        self._ceph(deadline, "osd", "new", osd_uuid)
        self._run("ceph-osd", *self._own(), "--mkfs", "-i", "0", "--osd-uuid", osd_uuid)
        self._daemon("ceph-osd", "-i", "0")
        self._ceph(deadline, "osd", "stat")

    def _make_account(self, deadline: float) -> RadosGateway:
        gateway = RadosGateway(
            endpoint_url=f"http://127.0.0.1:{self._gateway_port}",
            region=REGION,
            access_key_id=secrets.token_hex(10).upper(),
            secret_access_key=secrets.token_hex(20),
        )
        keys = ("--access-key", gateway.access_key_id, "--secret-key", gateway.secret_access_key)
        command = ("radosgw-admin", *self._own(), "--name", "client.rgw", "user", "create", "--uid", "carnet")
        self._run(*command, "--display-name", "Carnet", *keys, seconds=deadline - time.monotonic())
        return gateway

    def _ceph(self, deadline: float, *arguments: str) -> None:
        seconds = max(1.0, deadline - time.monotonic())
        self._run("ceph", *self._own(), "--connect-timeout", str(int(seconds)), *arguments, seconds=seconds)

    def _own(self) -> tuple[str, ...]:
        return ("--conf", str(self._configuration))

    def _run(self, *command: str, seconds: float = START_SECONDS) -> None:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, seconds), check=False)
        except subprocess.TimeoutExpired as error:
            self._fail(f"{command[0]} did not end in time", error)
        if done.returncode:
            self._fail(f"{' '.join(command)} failed: {done.stderr.strip()}")

    def _daemon(self, *command: str) -> None:
        # The kernel ends a daemon whose tests were killed before they could stop it.
        leash = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
        program, *rest = command
        with (self._folder / f"{program}.out").open("wb") as output:
            self._daemons.append(
                subprocess.Popen([*leash, program, *self._own(), *rest, "-f"], stdout=output, stderr=subprocess.STDOUT)
            )

    def _wait_until_it_answers(self, deadline: float) -> None:
        while not _answers(self._gateway_port):
            if any(daemon.poll() is not None for daemon in self._daemons):
                self._fail("a daemon ended")
            if time.monotonic() > deadline:
                self._fail("the gateway does not answer")
            time.sleep(0.05)

    def _fail(self, reason: str, cause: Exception | None = None) -> NoReturn:
        logs = sorted([*self._folder.glob("*.log"), *self._folder.glob("*.out")])
        tails = [f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs]
        raise RadosGatewayError("\n".join([f"The RADOS gateway did not start: {reason}", *tails])) from cause


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()


def main() -> None:
    """Keeps a gateway until the keyboard, or a polite signal, says stop."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="carnet-radosgw-") as folder, running_radosgw(Path(folder)) as gateway:
        sys.stdout.write(f"{gateway} {gateway.secret_access_key}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
