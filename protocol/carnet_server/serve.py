"""Runs an application: one process, one event loop, until it is told to stop.

On SIGTERM or SIGINT the listener closes, requests in flight are answered, the writer drains, and the process ends with
0. Once the server answers it says so with one line on standard output: `NAME ready on URL`.
"""

import contextlib
import gc
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Generator, Iterator
from typing import Final

import uvicorn
from fastapi import FastAPI
from structlog.typing import FilteringBoundLogger
from typing_extensions import override

from carnet_server.chassis import Chassis
from carnet_server.connections import MAX_CONNECTIONS
from carnet_server.draining import SEND_SECONDS, DrainedConnection
from carnet_server.errors import SettingsError
from carnet_server.event_loop import EVENT_LOOP
from carnet_server.key_files import check_secret_file
from carnet_server.logs import make_log, open_log_file, take_over_libraries
from carnet_server.metrics import MetricsListener
from carnet_server.settings import ServerSettings

GRACE_SECONDS: Final = 30
KEEP_ALIVE_SECONDS: Final = 75
BACKLOG: Final = 512


def make_server_log(settings: ServerSettings) -> FilteringBoundLogger:
    """The log that `settings` ask for, which warnings of libraries go to as well."""
    log = make_log(open_log_file(settings.log_file) if settings.log_file else sys.stderr, settings.log_level)
    take_over_libraries(log)
    return log


def serve(app: FastAPI, chassis: Chassis, settings: ServerSettings) -> None:
    """Answer requests until a signal says stop.

    Raises `SettingsError` if the address or a certificate is not usable, `MigrationError` if the database is not at the
    program's version, and a refusal if it cannot be reached.
    """
    chassis.check_ready()
    _allow_connections()
    tls_context = _make_tls_context(settings)
    listener = _listen(settings)
    scheme = "http" if tls_context is None else "https"
    host, port = listener.getsockname()[:2]
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    config = uvicorn.Config(
        app,
        http=DrainedConnection,
        ws="none",
        loop=EVENT_LOOP,
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,  # a client whose clock is wrong learns it here
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=BACKLOG,
        ssl_context_factory=None if tls_context is None else lambda _config, _default: tls_context,
        workers=1,
    )
    _rarely_collect_garbage()
    with _metrics(chassis, settings):
        _Server(config, f"{chassis.name} ready on {url}", chassis).run(sockets=[listener])


def _rarely_collect_garbage() -> None:
    """Let the collector pass over what the program is made of, and look at the rest rarely.

    Nothing here makes cycles that matter; looking for them took a tenth of a release's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


class _Server(uvicorn.Server):
    """uvicorn's, which says when it is ready, and does not end by the signal that it obeyed."""

    def __init__(self, config: uvicorn.Config, readiness: str, chassis: Chassis) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._chassis = chassis

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._chassis.log.info("ready", server=self._chassis.name, version=self._chassis.version)
            sys.stdout.write(self._readiness + "\n")
            sys.stdout.flush()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Obey signals while serving; afterwards the process goes on to its end."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, then stop. Not said where the signal arrives: that may be amid a line of the log."""
        name = signal.Signals(self._captured_signals[0]).name
        self._chassis.log.info("stopping", server=self._chassis.name, signal=name)
        await super().shutdown(sockets)


@contextlib.contextmanager
def _metrics(chassis: Chassis, settings: ServerSettings) -> Iterator[None]:
    if settings.metrics_port is None:
        yield
        return
    listener = MetricsListener(chassis.metrics, settings.metrics_port)
    try:
        yield
    finally:
        listener.close()


def _allow_connections() -> None:
    """Raise this process's limit of open files, which many systems set lower than our own limit of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.listen_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":
        # Its connections inherit this. It ends those that are over for us and wait for a reader who is not there.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_SECONDS * 1000))
    try:
        listener.bind((settings.listen_host, settings.listen_port))
    except OSError as error:
        listener.close()
        raise SettingsError("the address to listen on is taken or not this machine's") from error
    return listener


def _make_tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """What TLS is spoken with: version 1.3, HTTP/1.1, and the certificate of the settings."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError("the TLS certificate or its key cannot be read, or they are not a pair") from error
    check_secret_file(settings.tls_key)
    return context
