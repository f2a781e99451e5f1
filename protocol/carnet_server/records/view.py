"""What a principal may see of a record: no more than the scope of the grant, and nothing that says there is more."""

from sqlalchemy import Connection

from carnet_protocol.api import AccessView
from carnet_protocol.ids import StatementHash
from carnet_server.compartments.queries import load_closings, load_compartments
from carnet_server.errors import RefusedError
from carnet_server.grants.access import Access
from carnet_server.people.queries import find_person, load_bundle
from carnet_server.records.decide import require_patient
from carnet_server.statements.queries import load_text


def view_access(connection: Connection, access: Access) -> AccessView:
    """The shared part of the view: the patient, the grant, the compartments in scope with their closings.

    Raises `RefusedError` for a record that is nobody's.
    """
    patient = access.record.patient()
    require_patient(find_person(connection, patient))
    scope = None if access.grant is None else access.grant.compartments
    return AccessView(
        patient=load_bundle(connection, patient),
        grant=None if access.grant is None else _load_grant(connection, access.grant.hash),
        compartments=load_compartments(connection, access.record, scope),
        closings=load_closings(connection, access.record, scope),
        sealed_keys=(),
        lock=None,
    )


def _load_grant(connection: Connection, grant: StatementHash) -> str:
    text = load_text(connection, grant)
    if text is None:
        raise RefusedError("grant_unknown")
    return text
