"""Swapping capsules in the writer's transaction: read, decide, write."""

from collections.abc import Sequence

from carnet_protocol.api import CapsuleSwap
from carnet_protocol.ids import DocumentId, RecordId
from carnet_server.deployment import Moment
from carnet_vault.capsules.decide import SwapFacts, decide_swaps
from carnet_vault.capsules.queries import (
    load_filed,
    load_newest,
    load_standing,
    replace_capsules,
)
from carnet_vault.capsules.readers import load_readers
from carnet_vault.locks.queries import find_highest_lock, load_locks


def swap_capsules(moment: Moment, record: RecordId, swaps: Sequence[CapsuleSwap]) -> frozenset[DocumentId]:
    """Write the swaps of a request by the patient, all or none; return the documents they are about.

    Raises what `decide_swaps` raises.
    """
    capsules = [swap.capsule for swap in swaps]
    documents = frozenset(capsule.document for capsule in capsules)
    standing = load_standing(moment.connection, record, documents)
    facts = SwapFacts(
        filed=load_filed(moment.connection, record, documents),
        versions=frozenset((place.document, place.version) for place in standing),
        standing=standing,
        newest=load_newest(
            moment.connection, record, {item.compartment.compartment for item in capsules if item.compartment}
        ),
        grants=load_readers(moment, record, {item.personal.grant for item in capsules if item.personal}),
        locks=load_locks(moment.connection, record, [item.lock_statement for item in capsules]),
        highest_lock=find_highest_lock(moment.connection, record),
    )
    replace_capsules(moment.connection, record, decide_swaps(swaps, facts, now=moment.now))
    return documents
