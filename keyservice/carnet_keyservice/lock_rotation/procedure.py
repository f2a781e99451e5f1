"""The rotation of a batch of records, step by step; each step may be done again.

    1. The new lock of each record is made, in one transaction with its event, and read back and opened (`locks.py`).
    2. Its statement is shown to the vault: from here on deposits come under it, and nothing under an older one.
    3. Page by page, what is under older locks is remade, opened again (`remake.py`) and swapped by compare-and-set.
    4. The vault is asked again until only what stays is left, and its counts agree with what it shows.
    5. After the grace of readers who hold older capsules, older locks are retired: never released again, but kept.

A stop after 1 leaves a lock that nothing is under; after 2, capsules under both, each of which the key service opens;
within 3, the same; after 4, older locks that still release what was fetched before. No step needs one before it in the
same run: the next run looks at what is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from carnet_keyservice.errors import VaultAnswerError
from carnet_keyservice.lock_rotation.facts import load_facts
from carnet_keyservice.lock_rotation.locks import LockStore
from carnet_keyservice.lock_rotation.remake import NewLock, remake
from carnet_keyservice.lock_rotation.report import STILL_NEEDED, LeftCapsule, RecordRotation, RecordState, RotationOrder
from carnet_keyservice.vault import VaultClient
from carnet_protocol.api import LockStanding, OldCapsule, OuterLockSwap, RecordSwaps, SwapOutcome
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import MAX_ROTATION_CAPSULES
from carnet_server.database import reader

_MAX_ROUNDS = 4
_MAX_PASSES = 8
MAX_SHOWN: Final = 10_000_000
"""Capsules of one pass over at most 200 records: a vault that shows more makes them up, and has no end."""
MAX_LEFT: Final = 200_000
"""Of them, those that stay under an older lock and are remembered."""
_UNKNOWN = 2**53
"""More capsules than there are."""
_AGAIN = frozenset({RecordState.CONTENDED, RecordState.VAULT_AHEAD})
"""What may just be the patient, whose client made a newer lock meanwhile: the next round finds it."""
_STATES = {
    LockStanding.SUPERSEDED: RecordState.VAULT_AHEAD,
    LockStanding.NOT_NOW: RecordState.NOT_NOW,
    LockStanding.RECORD_UNKNOWN: RecordState.UNKNOWN_TO_VAULT,
}


@dataclass(slots=True)
class _Progress:
    """What is known of one record so far."""

    new: NewLock
    swapped: int = 0
    left: list[LeftCapsule] = field(default_factory=list)
    is_overtaken: bool = False


@dataclass(frozen=True, slots=True)
class LockRotator:
    """Rotates record locks, a batch of records at a time. Safe in several processes at once."""

    locks: LockStore
    vault: VaultClient
    page: int = MAX_ROTATION_CAPSULES

    def rotate(self, records: Sequence[RecordId], order: RotationOrder) -> list[RecordRotation]:
        """Steps 1 to 4 for `records`, at most 200; what became of each, in ascending order.

        Raises a `VaultError` or a refusal of the database or of master keys; what was done until then stays, and the
        same call goes on with the rest.
        """
        try:
            return self._rotate(sorted(set(records)), order)
        finally:
            for record in records:  # erased tomorrow, it is in no memory of before
                self.locks.keys.forget(record)

    def _rotate(self, records: list[RecordId], order: RotationOrder) -> list[RecordRotation]:
        done: dict[RecordId, RecordRotation] = {}
        left = records
        for _ in range(_MAX_ROUNDS):
            for rotated in self._round(left, order):
                before = done[rotated.record].swapped if rotated.record in done else 0
                done[rotated.record] = replace(rotated, swapped=before + rotated.swapped)
            left = [record for record in left if done[record].state in _AGAIN]
            if not left:
                break
        return [done[record] for record in sorted(done)]

    def retire(
        self, rotated: Sequence[RecordRotation], order: RotationOrder, *, grace_seconds: int
    ) -> list[RecordRotation]:
        """Step 5 for those of `rotated` whose grace is over; the others, which wait for it.

        Only where the vault still counts nothing under older locks but what is known to stay, and opens for nobody.
        Raises as `rotate` does.
        """
        now = self.locks.clock()
        clean = [
            each
            for each in rotated
            if each.state is RecordState.ROTATED and not any(left.reason in STILL_NEEDED for left in each.left)
        ]
        due = sorted((each for each in clean if now >= each.at + grace_seconds), key=lambda each: each.record)
        counts = self._count_old({each.record: each.version for each in due})
        settled = {each.record: each.version for each in due if counts[each.record] <= len(each.left)}
        self.locks.retire(settled, order)
        return [each for each in clean if each.record not in settled]

    def _round(self, records: Sequence[RecordId], order: RotationOrder) -> list[RecordRotation]:
        # 1
        made, failed = self.locks.make_new(records, order)
        # 2
        progress = {record: _Progress(new) for record, new in made.items()}
        standings = self._show(made)
        unsettled = [record for record in sorted(made) if standings[record] is LockStanding.CURRENT]
        # 3
        shown = list(unsettled)
        for _ in range(_MAX_PASSES):
            unsettled = self._pass_over(unsettled, progress)
            if not unsettled:
                break
        # 4
        counts = self._count_old({record: progress[record].new.version for record in shown})
        for record, each in progress.items():
            if standings[record] is not LockStanding.CURRENT:
                failed[record] = _STATES[standings[record]]
            elif each.is_overtaken or record in unsettled:
                failed[record] = RecordState.CONTENDED
            elif counts[record] > len(each.left):
                failed[record] = RecordState.HIDDEN
        return [self._end(record, failed.get(record, RecordState.ROTATED), progress.get(record)) for record in records]

    def _show(self, made: dict[RecordId, NewLock]) -> dict[RecordId, LockStanding]:
        if not made:
            return {}
        shown = self.vault.show_locks([new.jws for new in made.values()]).locks
        if [each.record for each in shown] != list(made):
            raise VaultAnswerError("the vault answers about other records than it was shown locks of")
        return {each.record: each.standing for each in shown}

    def _pass_over(self, records: Sequence[RecordId], progress: dict[RecordId, _Progress]) -> list[RecordId]:
        """Remake what is on every page of `records`. Returns those of which another pass may show more."""
        for record in records:
            progress[record].left.clear()
        tried: set[RecordId] = set()
        after: str | None = None
        shown = 0
        while records:
            page = self.vault.list_old_capsules(records, after=after, limit=self.page)
            self._check_page(page.capsules, records)
            tried |= self._remake(page.capsules, progress)
            shown += len(page.capsules)
            if shown > MAX_SHOWN or sum(len(progress[record].left) for record in records) > MAX_LEFT:
                raise VaultAnswerError("the vault shows more capsules than records have: see what runs there")
            if page.next is None:
                break
            if not page.capsules or page.next == after:
                raise VaultAnswerError("the vault gives out pages that lead nowhere")
            after = page.next
        return [record for record in records if record in tried and not progress[record].is_overtaken]

    def _check_page(self, capsules: Sequence[OldCapsule], records: Sequence[RecordId]) -> None:
        if len(capsules) > self.page or not {each.record for each in capsules} <= set(records):
            raise VaultAnswerError("the vault shows capsules that it was not asked for")

    def _remake(self, capsules: Sequence[OldCapsule], progress: dict[RecordId, _Progress]) -> set[RecordId]:
        """Remake and swap what can be. Returns the records in which anything was tried."""
        if not capsules:
            return set()
        with reader(self.locks.engine) as connection:
            facts = load_facts(connection, capsules, now=self.locks.clock())
        keys = self.locks.open({(fact.record, fact.version) for fact in facts.locks.values()})
        swaps: dict[RecordId, list[OuterLockSwap]] = {}
        for old in capsules:
            each = progress[old.record]
            if facts.is_as_new(old, each.new.version):
                each.is_overtaken = True
                continue
            remade = remake(old, facts, keys=keys, new=each.new)
            if isinstance(remade, LeftCapsule):
                each.left.append(remade)
            else:
                swaps.setdefault(old.record, []).append(remade)
        if swaps:
            self._swap(swaps, progress)
        return set(swaps)

    def _swap(self, swaps: dict[RecordId, list[OuterLockSwap]], progress: dict[RecordId, _Progress]) -> None:
        asked = [
            RecordSwaps.model_construct(
                record=record, lock_statement=progress[record].new.statement, swaps=tuple(swaps[record])
            )
            for record in sorted(swaps)
        ]
        answered = self.vault.swap(asked).records
        if [each.record for each in answered] != [each.record for each in asked]:
            raise VaultAnswerError("the vault answers about other records than it was brought swaps for")
        for each in answered:
            of_record = progress[each.record]
            if each.standing is not LockStanding.CURRENT:
                of_record.is_overtaken = True
            elif len(each.outcomes) != len(swaps[each.record]):
                raise VaultAnswerError("the vault answers to more or fewer swaps than it was brought")
            of_record.swapped += each.outcomes.count(SwapOutcome.SWAPPED)

    def _count_old(self, below: dict[RecordId, int]) -> dict[RecordId, int]:
        """How many capsules of each record, which ascend, are under a lock version below the one that is given.

        A vault that has not seen that version, because it was restored since, would take deposits under older ones
        still: its word that none is left is worth nothing.
        """
        if not below:
            return {}
        counted = self.vault.count_locks(list(below)).records
        if [each.record for each in counted] != list(below):
            raise VaultAnswerError("the vault counts other records than it was asked for")
        return {
            each.record: sum(
                lock.capsules + lock.personal_capsules for lock in each.locks if lock.version < below[each.record]
            )
            if each.highest >= below[each.record]
            else _UNKNOWN
            for each in counted
        }

    def _end(self, record: RecordId, state: RecordState, progress: _Progress | None = None) -> RecordRotation:
        return RecordRotation(
            record=record,
            state=state,
            version=0 if progress is None else progress.new.version,
            swapped=0 if progress is None else progress.swapped,
            left=() if progress is None else tuple(progress.left),
            at=self.locks.clock(),
        )
