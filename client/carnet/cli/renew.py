"""`carnet renew`."""

from rich.text import Text

from carnet.cli.command import Answer, Desk, command
from carnet.cli.completion import describe_renewal
from carnet.cli.kit import read_words
from carnet.cli.recovery import WordsOption
from carnet.cli.steps import showing_steps
from carnet.suite_migration import migrate


@command
def renew(desk: Desk, *, words_file: WordsOption = None) -> Answer:
    r"""Move your keys, and your record, to the cryptography that a newer service card asks for.

    New keys are made, every lock remade, and every document that is still under an older suite encrypted anew; what
    your readers may see stays as it is. The 24 words of your recovery kit are needed for new keys of your own. It takes
    long, can be interrupted and run again.

    \b
    Examples:
      carnet card take https://vault.example
      carnet renew
    """
    with desk.open_session() as session:
        words = session.keyring.body.recovery_secret or read_words(desk.terminal, words_file)
        with showing_steps(desk.terminal) as on_step:
            done, dropped = migrate(session, words, on_step=on_step)
        members, lines, code = describe_renewal(session, done)
        suite = int(session.write_suite)
    shown = [Text(f"Your keys are of suite {suite} now."), *lines]
    shown += [Text(f"Unlocking with {slot.kind.value} has to be set up anew.", style="yellow") for slot in dropped]
    return Answer({"suite": suite, **members}, shown, code)
