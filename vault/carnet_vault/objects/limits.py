"""How long one transfer may take, so that streams end not long after the grant that they began under."""

from typing import Final

TRANSFER_SECONDS: Final = 900
