"""The name that the key service gives to a running program: random, of 16 bytes."""

from carnet_protocol.ids import RandomId


class ProcessId(RandomId):
    """Random name of a program while it runs."""

    __slots__ = ()
