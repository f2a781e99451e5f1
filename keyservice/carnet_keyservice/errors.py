"""Errors of the key service besides the chassis's refusals.

KeyServiceError
|-- SealedError      something sealed does not open; says nothing of why
|-- MasterKeyError   a master key is missing, wrong, readable by others, or its provider cannot be reached
|-- TransitionError  a key's state does not change in this way
|-- RotationError    a job cannot begin, go on, be undone or end like this
|-- MovedOnError     a batch came too late: its job is in another phase, or its shard further on
`-- VaultError       the vault was asked in vain
    |-- VaultAwayError     it cannot be reached, or cannot answer now; the same may be asked again
    |-- VaultRefusedError  it refuses, as far as an answer that is not signed can say so
    `-- VaultAnswerError   what answers is not the vault in the service card, or answers something else
"""


class KeyServiceError(Exception):
    """Base of what the key service raises."""


class SealedError(KeyServiceError):
    """The one failure of every opening."""


class MasterKeyError(KeyServiceError):
    """The master key cannot be used; the message says what to mend, for the operator alone."""


class TransitionError(KeyServiceError):
    """A key does not go from one state to another; the message says which."""


class RotationError(KeyServiceError):
    """A job cannot do this; the message says what to do instead, for the operator alone."""


class MovedOnError(KeyServiceError):
    """What a batch was to do is not to be done any more; nothing of it was."""


class VaultError(KeyServiceError):
    """The vault was asked in vain; nothing is concluded, and what was begun goes on when it is asked again."""


class VaultAwayError(VaultError):
    """The vault cannot be reached, or cannot answer now."""


class VaultRefusedError(VaultError):
    """The vault refuses."""


class VaultAnswerError(VaultError):
    """An answer that the vault did not sign, to another request, or in another form than was asked for."""
