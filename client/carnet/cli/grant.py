"""`carnet grant`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Argument, Option

from carnet.access import RecordAccess
from carnet.cli.command import Answer, Desk, command
from carnet.cli.documents import describe_document, tabulate, warn
from carnet.cli.exits import Exit
from carnet.cli.ids import parse_identity
from carnet.cli.kit import offer_kit
from carnet.cli.plain import plain
from carnet.cli.terminal import facts
from carnet.cli.times import DAY, format_span, format_time, parse_duration, parse_moment
from carnet.cli.whose_record import Found, compartment_names, find_compartment, list_all, open_own, pick_document
from carnet.errors import UsageError
from carnet.grants import GrantPlan, make_grant, plan_depositing, plan_reading, visible_documents
from carnet.profiles import PROFILES, find_profile
from carnet.session import Session
from carnet.succession import fetch_practitioner
from carnet_protocol.ids import IdentityHash
from carnet_protocol.statements import Permission, Purpose

_DEPOSIT_SECONDS = 365 * DAY


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was asked for on the command line."""

    profile: str | None
    parts: tuple[str, ...]
    documents: tuple[str, ...]
    is_deposit: bool
    until: str | None
    span: str | None
    begin: str | None
    purpose: Purpose | None
    note: str


@command
def grant(
    desk: Desk,
    who: Annotated[
        str, Argument(metavar="WHO", help="Their identity, as their `carnet whoami` shows it, or a file it saved.")
    ],
    profile: Annotated[
        str | None, Argument(metavar="PROFILE", help=f"What such a reader usually needs: {', '.join(PROFILES)}.")
    ] = None,
    *,
    compartments: Annotated[
        list[str] | None, Option("--compartment", metavar="PART", help="A part to read instead; may be repeated.")
    ] = None,
    documents: Annotated[
        list[str] | None, Option("--document", metavar="DOCUMENT", help="A single document instead; may be repeated.")
    ] = None,
    deposit: Annotated[
        bool, Option("--deposit", help="Let them put documents into one part, and read nothing.")
    ] = False,
    until: Annotated[str | None, Option("--until", metavar="TIME", help='As in "18:00" or "2026-12-01".')] = None,
    span: Annotated[str | None, Option("--for", metavar="SPAN", help='As in "30 minutes" or "3 weeks".')] = None,
    begin: Annotated[str | None, Option("--from", metavar="TIME", help="When it begins; now, if not given.")] = None,
    purpose: Annotated[
        Purpose | None, Option("--purpose", metavar="PURPOSE", help=f"Why: {', '.join(Purpose)}.")
    ] = None,
    note: Annotated[
        str, Option("--note", metavar="TEXT", help="A word to them, as who you are; only they read it.")
    ] = "",
    kit_file: Annotated[
        Path | None, Option("--kit", metavar="FILE", help="Print your recovery kit to FILE first.")
    ] = None,
    without_kit: Annotated[bool, Option("--without-kit", help="Go on although no recovery kit was printed.")] = False,
    new_keys: Annotated[
        bool, Option("--accept-new-keys", help="They told you in person that they renewed their keys.")
    ] = False,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
) -> Answer:
    r"""Let a practitioner into a part of your record, for a time.

    First you are shown exactly what they will see; nothing is signed before you say yes. Compare the short code with
    the one on their screen: it is how you know that it is them. Either end it with `carnet revoke`, or it ends itself.

    \b
    Examples:
      carnet grant doctor.json consultation --for "30 minutes" --note "Mrs Meier, today at 2"
      carnet grant doctor.json general-practitioner
      carnet grant doctor.json --compartment imaging --until "2026-12-01"
      carnet grant doctor.json --document Kq3zR8tw --for "2 hours"
      carnet grant laboratory.json --deposit --compartment laboratory --for "1 year"
    """
    wish = _Wish(
        profile=profile,
        parts=tuple(compartments or ()),
        documents=tuple(documents or ()),
        is_deposit=deposit,
        until=until,
        span=span,
        begin=begin,
        purpose=purpose,
        note=note.strip(),
    )
    grantee = parse_identity(who)
    with desk.open_session() as session:
        access = open_own(session)
        offer_kit(desk.terminal, session, kit_file, may_go_without=without_kit)
        if new_keys:
            session.people.accept(fetch_practitioner(session, grantee))
        listed, listings = list_all(session, [access])
        plan = _plan(session, access, grantee, wish, listed)
        seen = {document.id for document in visible_documents(plan, [found.document for found in listed])}
        visible = [found for found in listed if found.document.id in seen]
        desk.terminal.show(*_preview(plan, access, visible, unproven=warn(listings)))
        question = "Sign this grant?"
        if not desk.terminal.agrees(question, is_said=yes):
            desk.terminal.say("Nothing was signed.")
            return Answer({"signed": False, **_describe(plan, access, visible)}, exit=Exit.REFUSED)
        signed = make_grant(session, access, plan)
    members = {"signed": True, "grant": str(signed.body.id), "grant_hash": str(signed.hash)}
    return Answer(
        {**members, **_describe(plan, access, visible)},
        [Text(f"Signed. To end it: `carnet revoke {str(signed.body.id)[:8]}`.")],
    )


def _plan(session: Session, access: RecordAccess, grantee: IdentityHash, wish: _Wish, listed: list[Found]) -> GrantPlan:
    begin = None if wish.begin is None else parse_moment(wish.begin, now=session.clock())
    if wish.is_deposit:
        if len(wish.parts) != 1 or wish.profile or wish.documents:
            raise UsageError("--deposit goes with one --compartment, and nothing to read: make a second grant for that")
        return plan_depositing(
            session,
            access,
            grantee,
            compartment=find_compartment(access, wish.parts[0]),
            seconds=_seconds(session, wish, begin, usual=_DEPOSIT_SECONDS),
            purpose=wish.purpose or Purpose.DIAGNOSTICS,
            not_before=begin,
            note=wish.note,
        )
    if bool(wish.profile) + bool(wish.parts) + bool(wish.documents) != 1:
        known = ", ".join(PROFILES)
        raise UsageError(f"say what they may read: a profile ({known}), or --compartment, or --document")
    chosen = None if wish.profile is None else find_profile(wish.profile)
    parts = wish.parts if chosen is None else chosen.compartments
    return plan_reading(
        session,
        access,
        grantee,
        compartments=[find_compartment(access, part) for part in parts],
        documents=[pick_document(listed, text).document.id for text in wish.documents],
        seconds=_seconds(session, wish, begin, usual=None if chosen is None else chosen.seconds),
        purpose=wish.purpose or (Purpose.TREATMENT if chosen is None else chosen.purpose),
        not_before=begin,
        note=wish.note,
    )


def _seconds(session: Session, wish: _Wish, begin: int | None, *, usual: int | None) -> int:
    """How long the grant lasts: `--for`, else `--until`, else what is usual. Raises `UsageError`."""
    if wish.until is not None and wish.span is not None:
        raise UsageError("--until and --for say the same: give one of them")
    if wish.span is not None:
        return parse_duration(wish.span)
    if wish.until is not None:
        start = session.clock() if begin is None else begin
        seconds = parse_moment(wish.until, now=start) - start
        if seconds <= 0:
            raise UsageError("this grant would end before it begins: take a later time")
        return seconds
    if usual is None:
        raise UsageError('say how long it lasts, as in --for "30 minutes" or --until "18:00"')
    return usual


def _preview(
    plan: GrantPlan, access: RecordAccess, visible: list[Found], *, unproven: list[Text]
) -> list[RenderableType]:
    """Everything that is about to be signed, in words."""
    attested = plan.practitioner.attestation.body
    names = compartment_names(access)
    parts = ", ".join(plain(names.get(name, "?")) for name in plan.compartments)
    what = {
        Permission.READ: f"read {parts}" if parts else "read the documents below, and no other",
        Permission.DEPOSIT: f"put documents into {parts}, and read nothing",
    }[plan.permission]
    shown: list[RenderableType] = [
        facts(
            ("Who", Text(f"{plain(attested.name)}, {attested.profession.value}", style="bold")),
            ("", plain(attested.organisation)),
            ("Short code", Text(plan.practitioner.short_code, style="bold")),
            ("May", what),
            ("From", format_time(plan.not_before)),
            ("Until", f"{format_time(plan.expires)} ({format_span(plan.expires - plan.not_before)})"),
            ("For", plan.purpose.value),
        ),
        Text(),
    ]
    if plan.permission is not Permission.READ:
        return shown
    if visible:
        count = f"{len(visible)} document" + ("" if len(visible) == 1 else "s")
        shown += [Text(f"They will see {count}:", style="bold"), tabulate(visible)]
    else:
        shown.append(Text("There is nothing in there yet.", style="bold"))
    if plan.compartments:
        shown.append(Text("And whatever is put there while the grant lasts.", style="dim"))
    if unproven:
        shown += [Text("These did not verify, and may be among what they see:", style="bold red"), *unproven]
    return [*shown, Text()]


def _describe(plan: GrantPlan, access: RecordAccess, visible: list[Found]) -> dict[str, object]:
    attested = plan.practitioner.attestation.body
    names = compartment_names(access)
    return {
        "grantee": str(plan.practitioner.person.identity),
        "grantee_name": attested.name,
        "short_code": plan.practitioner.short_code,
        "permission": plan.permission.value,
        "purpose": plan.purpose.value,
        "compartments": [{"compartment": str(one), "name": names.get(one)} for one in plan.compartments],
        "not_before": plan.not_before,
        "expires": plan.expires,
        "visible": [describe_document(found) for found in visible],
    }
