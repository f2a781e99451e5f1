"""`carnet-keyservice rotate`: begin a rotation, follow it, pause it, undo it, read its report.

The command holds no key. It writes down what is wanted, in the database, and looks on while the programs that serve, or
the workers beside them, do it. Interrupted, it ends and they go on.
"""

import typer

from carnet_keyservice.rotation.begin_commands import add_lock_commands, add_master_command
from carnet_keyservice.rotation.desk import OpenDatabase, desk_opener
from carnet_keyservice.rotation.look_commands import add_look_commands


def make_rotate_app(program: str, open_database: OpenDatabase) -> typer.Typer:
    """The group of commands for `program`."""
    app = typer.Typer(
        help="Rotate keys while the service serves: the master key, record locks, the suite of record locks.",
        no_args_is_help=True,
    )
    desk = desk_opener(program, open_database)
    add_master_command(app, desk)
    add_lock_commands(app, desk)
    add_look_commands(app, desk)
    return app
