"""Checks of what both servers keep: the log, the statements, and the rows that decisions read.

A check reads and reports; it mends nothing. It runs on one snapshot, while the server serves or is stopped.
"""

from carnet_server.fsck.erasures import check_erased
from carnet_server.fsck.finding import Finding, survive
from carnet_server.fsck.log import check_log
from carnet_server.fsck.rows import RowRule, check_rows, check_rule
from carnet_server.fsck.statements import Signers, check_statements

__all__ = [
    "Finding",
    "RowRule",
    "Signers",
    "check_erased",
    "check_log",
    "check_rows",
    "check_rule",
    "check_statements",
    "survive",
]
