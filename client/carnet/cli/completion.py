"""What completing a revocation, a removal of a device or a renewal of keys did, in words and as JSON."""

from collections.abc import Iterable

from rich.text import Text

from carnet.cli.exits import Exit
from carnet.cli.grantees import name_grantee, name_practitioner
from carnet.cli.plain import plain
from carnet.cli.terminal import count
from carnet.readers import SkippedReader, Succeeded
from carnet.revocation import CompletionReport
from carnet.session import Session
from carnet.short_ids import shorten


def describe_completion(session: Session, done: CompletionReport) -> tuple[dict[str, object], list[Text], Exit]:
    """The members for `--json`, the lines for a person, and how the command ends.

    Documents that open for nobody bar nothing, so they are told and the command did what it was to do; a document that
    was to be encrypted anew and was not, is told by the exit code as well.
    """
    left_out = [_describe_left_out(session, one) for one in done.readers_left_out]
    successors = [_describe_successor(session, one) for one in done.succeeded]
    reasons = {entry.capsule.document: entry.reason for entry in done.skipped}
    unreadable = [(str(document), reasons[document]) for document in done.unreadable]
    not_reencrypted = list(dict.fromkeys((problem.document, problem.reason) for problem in done.not_reencrypted))
    shown = [
        Text(f"New keys are in place: {count(done.remade, 'lock')} remade, {count(done.closed, 'old epoch')} closed.")
    ]
    shown += [Text(sentence, style="yellow") for sentence, _ in (*left_out, *successors)]
    if unreadable:
        shown.append(Text("These documents open for nobody, and were left as they are:", style="yellow"))
        shown += _lines(unreadable, style="yellow")
        shown.append(
            Text("Remove each with `carnet remove ID`, then run `carnet revoke --complete` again.", style="yellow")
        )
    if not_reencrypted:
        shown.append(Text("These documents could not be encrypted anew, and stay as they were:", style="red"))
        shown += _lines(not_reencrypted, style="red")
    described: dict[str, object] = {
        "complete": True,
        "remade": done.remade,
        "closed": done.closed,
        "readers_left_out": [members for _, members in left_out],
        "succeeded": [members for _, members in successors],
        "unreadable": _members(unreadable),
        "not_reencrypted": _members(not_reencrypted),
    }
    return described, shown, Exit.REFUSED if not_reencrypted else Exit.DONE


def describe_renewal(session: Session, done: CompletionReport | None) -> tuple[dict[str, object], list[Text], Exit]:
    """Likewise where a person's own keys were renewed: `done` is None for a practitioner, who has no record."""
    if done is None:
        step = Text("Have the registrar attest your new keys, then run `carnet handover renew`.", style="yellow")
        return {"complete": True, "remade": None}, [step], Exit.DONE
    return describe_completion(session, done)


def _describe_left_out(session: Session, left: SkippedReader) -> tuple[str, dict[str, str]]:
    body, name = left.grant.body, name_grantee(session, left.grant.body.grantee)
    return f"{plain(name)} sees nothing new until let in again: {plain(left.reason)}", {
        "grant": str(body.id),
        "grantee": str(body.grantee),
        "grantee_name": name,
        "reason": left.reason,
    }


def _describe_successor(session: Session, succeeded: Succeeded) -> tuple[str, dict[str, str]]:
    body = succeeded.grant.body
    before, now = name_grantee(session, body.grantee), name_practitioner(succeeded.successor)
    end = f"end it with `carnet revoke {shorten(body.id)}`"
    return f"{plain(now)} took over from {plain(before)} and goes on reading; {end}.", {
        "grant": str(body.id),
        "grantee": str(body.grantee),
        "grantee_name": before,
        "successor": str(succeeded.successor.person.identity),
        "successor_name": now,
    }


def _lines(documents: Iterable[tuple[str, str]], *, style: str) -> list[Text]:
    return [Text(f"  {shorten(document)}  {plain(reason)}", style=style) for document, reason in documents]


def _members(documents: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"document": document, "reason": reason} for document, reason in documents]
