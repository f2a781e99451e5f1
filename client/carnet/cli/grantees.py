"""Practitioners as a patient knows them: by the name that a registrar attests, or attested last."""

from dataclasses import dataclass

from carnet.errors import CarnetError, DataError
from carnet.people import Practitioner
from carnet.session import Session
from carnet.short_ids import shorten
from carnet.succession import ask_person, verify_practitioner
from carnet_protocol.ids import IdentityHash
from carnet_protocol.statements import Attestation


@dataclass(frozen=True, slots=True)
class Grantee:
    """What to call somebody who was let in, and whether a registrar stands for them now."""

    name: str
    is_attested: bool

    def __str__(self) -> str:
        """The name, and that nobody stands for it where that is so."""
        return self.name if self.is_attested else f"{self.name} (not attested now)"


def look_up_grantee(session: Session, identity: IdentityHash) -> Grantee:
    """The attested name and organisation of `identity`, now or last; else the beginning of the identity."""
    try:
        views = ask_person(session, identity)
        try:
            return Grantee(name_practitioner(verify_practitioner(session, identity, views)), is_attested=True)
        except DataError:
            last = session.people.last_attestation(
                identity, vault=views.vault, keyservice=views.keyservice, registrars=session.card.body.registrars
            )
    except CarnetError:
        last = None
    return Grantee(shorten(identity) if last is None else _name(last), is_attested=False)


def name_grantee(session: Session, identity: IdentityHash) -> str:
    """What to call `identity` in a sentence."""
    return str(look_up_grantee(session, identity))


def name_practitioner(practitioner: Practitioner) -> str:
    """The attested name and organisation, once where they are the same."""
    return _name(practitioner.attestation.body)


def _name(body: Attestation) -> str:
    return body.name if body.name == body.organisation else f"{body.name}, {body.organisation}"
