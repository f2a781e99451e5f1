"""Removing the objects of erased records from the store: object first, then the row that says it is to go.

Cut in between, the row is still there, and removing what is gone already does nothing: so `gc` goes on. There is no
grace. Whoever is reading an object reads it to its end or not; a part on its way belongs to an upload that is over.
"""

from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Connection, Engine

from carnet_server.clock import Clock
from carnet_server.database import reader
from carnet_server.writer import Writer
from carnet_storage import Store
from carnet_vault.erasures.queries import ErasedObject, forget_erased, load_erased

BATCH: Final = 100


def remove_erased(engine: Engine, writer: Writer, store: Store, clock: Clock) -> Iterator[int]:
    """Remove everything that is to leave the store; yields how many went, batch by batch.

    Raises what the store and the writer raise; what is gone then is gone, and the next one goes on.
    """
    while batch := _load(engine):
        for each in batch:
            _remove(store, each)
        writer.run(lambda _: clock(), _forgetting(batch))
        yield len(batch)


def _load(engine: Engine) -> list[ErasedObject]:
    with reader(engine) as connection:
        return load_erased(connection, limit=BATCH)


def _remove(store: Store, each: ErasedObject) -> None:
    # An upload that is over cannot become an object any more; one that had become an object is that.
    if each.token is not None:
        store.abort_upload(each.name, each.token)
    store.delete(each.name)


def _forgetting(batch: list[ErasedObject]) -> Callable[[Connection, int], None]:
    def work(connection: Connection, now: int) -> None:
        del now
        forget_erased(connection, batch)

    return work
