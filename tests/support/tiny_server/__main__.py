"""Runs the tiny server: `python -m tests.support.tiny_server --data-dir DIR [--listen-port N] …`."""

import argparse
import os
import sys
from pathlib import Path

from carnet_server.database import make_engine
from carnet_server.errors import ServerError
from carnet_server.migrations import migrate
from carnet_server.serve import make_server_log, serve
from carnet_server.settings import ServerSettings, load_settings

from .app import make_tiny_app, make_tiny_chassis
from .tables import REVISIONS
from .world import SERVER


def main() -> int:
    """Migrate, then serve."""
    parser = argparse.ArgumentParser()
    for name in ("data-dir", "log-file", "tls-certificate", "tls-key"):
        parser.add_argument(f"--{name}", type=Path)
    for name in ("listen-port", "metrics-port"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--origin", default="http://127.0.0.1:8001")
    arguments = vars(parser.parse_args())
    try:
        settings = load_settings(
            ServerSettings,
            file=None,
            environment=os.environ,
            prefix="CARNET_TINY_",
            arguments=arguments | {"service_card": arguments["data_dir"] / "card"},
        )
        engine = make_engine(settings.database)
        migrate(engine, REVISIONS)
        chassis = make_tiny_chassis(
            origin=settings.origin,
            fingerprint=SERVER,
            engine=engine,
            log=make_server_log(settings),
            rates=settings.rates,
        )
        serve(make_tiny_app(chassis), chassis, settings)
    except ServerError as error:
        sys.stderr.write(f"tiny: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
