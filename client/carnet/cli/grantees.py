"""Practitioners as a patient knows them: by the name that a registrar attests."""

from carnet.errors import CarnetError
from carnet.people import Practitioner
from carnet.session import Session
from carnet.short_ids import shorten
from carnet.succession import fetch_practitioner
from carnet_protocol.ids import IdentityHash


def name_grantee(session: Session, identity: IdentityHash) -> str:
    """The attested name and organisation of `identity`; where nobody attests it now, the beginning of the identity."""
    try:
        return name_practitioner(fetch_practitioner(session, identity))
    except CarnetError:
        return shorten(identity)


def name_practitioner(practitioner: Practitioner) -> str:
    """The attested name and organisation, once where they are the same."""
    body = practitioner.attestation.body
    return body.name if body.name == body.organisation else f"{body.name}, {body.organisation}"
