"""Carnet: the client, where all encryption of documents happens.

The names of the SDK are those of `carnet.sdk`; they are imported when the first of them is used, so that
`import carnet` costs next to nothing.

    from carnet import list_documents, open_access, open_session

    with open_session(home, passphrase=passphrase) as session:
        access = open_access(session, session.record)
        titles = [document.metadata.title for document in list_documents(session, access).documents]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carnet.sdk import *  # noqa: F403  every public name, for type checkers


def __getattr__(name: str) -> Any:  # noqa: ANN401  whatever the SDK offers under that name
    """The public name `name` of the SDK. Raises `AttributeError` for any other."""
    if name == "sdk" or (name.startswith("_") and name != "__all__"):
        raise AttributeError(f"module 'carnet' has no attribute {name!r}")
    import carnet.sdk as public  # noqa: PLC0415  not before it is used

    if name == "__all__":
        return public.__all__
    if name not in public.__all__:
        raise AttributeError(f"module 'carnet' has no attribute {name!r}")
    return getattr(public, name)
