/* Rotation of a record's lock (P10), between the key service, which keeps locks, and the vault, which keeps capsules.
 *
 * The promise: every capsule, in the vault or in a backup of it that may still be restored, is under a lock that
 * exists and opens; it holds the inner lock that its author or patient gave it last; none stands under a retired
 * lock, unless the vault was restored, and then not for good; a reader who fetches again opens. Once nothing fails
 * any more, the rotation ends.
 *
 * The job asks and acts, pass after pass, and keeps next to nothing in between: take the newest lock; show its
 * statement to the vault, which refuses older ones from then on; fetch a capsule under an older one, open it, remake
 * it, open that, swap it against what was fetched. When the vault says in one answer that it knows the newest lock
 * and has nothing under an older one: grace, ask again, retire. When it says so once more a horizon later, and was
 * not restored in between: destroy. Two such jobs, a depositor, a patient who relocks, a reader and a clock take
 * turns in any order. Each `atomic` is one transaction of one server, or work in memory. Until `calm`, between any
 * two of them, as often as it likes: a server dies, an answer is lost, a request arrives after its sender is dead, a
 * capsule is remade wrong, the vault is restored from a backup.
 *
 * Sizes: JOBS, PATIENTS, READERS, LATE (requests arrive late), BACKUPS; all at once are too many states. NOTES keeps
 * notes of what happened, for the ways out. Every other name that is asked for with #ifdef is a twin, which must be
 * found out: tests/claims/test_p10_rotation_models.py.
 *
 * Not in the model: a restore of the key service, which forgets locks that the vault has capsules under; lock
 * statements that expire; epochs and tombstones; two backups that are restored in turn (master.pml has them).
 */

#ifndef JOBS
#define JOBS     2
#endif
#ifndef BACKUPS
#define BACKUPS  0
#endif
#ifndef PATIENTS
#define PATIENTS 1
#endif
#ifndef LATE
#define LATE     1
#endif
#ifndef READERS
#define READERS  0
#endif
#define CAPSULES 2            /* the last one is deposited while the rotation runs */
#define HORIZON  2            /* ticks that a backup of the vault may be restored for */

#define NONE      0           /* a lock */
#define USED      1
#define RETIRED   2           /* opens for rotation, never for a release */
#define DESTROYED 3
#define UNREADABLE 4          /* its seal was written wrong */

#define OLD_EPOCH 1           /* what a capsule holds */
#define NEW_EPOCH 2
#define WRONG     3

#define IDLE      0           /* the job's phases */
#define SWEEPING  1
#define GRACE     2
#define WAITING   3           /* retired; the horizon is to pass */
#define DONE      4

/* durable, at the key service */
byte lock[4];
byte newest = 1;
byte phase = IDLE;
byte confirmed = 0;           /* the vault had nothing under older locks than this one */
byte since = 0;               /* ticks since it said so last */

/* durable, at the vault */
typedef Vault {
    byte under[CAPSULES];     /* the lock of the capsule in a place, 0: none stands there */
    byte inner[CAPSULES];
    byte latest[CAPSULES];    /* what its author or patient put there last: nobody reads this */
    byte highest              /* the newest lock statement that was shown */
};
Vault vault;
bit moved = 0;                /* the vault was restored since the answer on which locks were retired */
#if BACKUPS
Vault backup;
byte age = HORIZON;           /* HORIZON: none, or too old to be restored */
#endif

bit late = 0;                 /* a swap that is still on its way when its sender is dead */
byte late_place, late_fetched, late_read, late_version;

bit calm = 0;                 /* from here on nothing fails */
bit has_read = 0;
bit relocked = 0;
bit superseded = 0;           /* a job found a newer lock than the one it worked for */
bit came_late = 0;
bit restored = 0;

#ifdef NOTES
#define note(fact)      fact = 1
#else
#define note(fact)      skip
#endif
#define OPENS(v)        (lock[v] == USED || lock[v] == RETIRED)
#define OLDER(c, v)     (vault.under[c] != 0 && vault.under[c] < (v))
#define FALLS           !calm -> goto again

#ifdef RETIRE_UNASKED
#define NONE_LEFT(v)    (vault.highest >= (v))
#else
#define NONE_LEFT(v)    (vault.highest >= (v) && !OLDER(0, v) && !OLDER(1, v))
#endif

#ifdef DESTROY_UNASKED
#define UNASKED         (phase == WAITING)
#else
#define UNASKED         false
#endif

#ifdef SWAP_WITHOUT_COMPARE
#define STANDS(c, v, i) (vault.under[c] != 0)
#else
#define STANDS(c, v, i) (vault.under[c] == (v) && vault.inner[c] == (i))
#endif

#ifdef MIRROR_LATE
#define CURRENT(v)      true
#else
#define CURRENT(v)      ((v) == vault.highest)
#endif

inline make_lock() {
    newest++;
    lock[newest] = USED;
#ifdef LOCK_UNREAD
    if
    :: true
    :: !calm -> lock[newest] = UNREADABLE
    fi
#endif
}

inline mirror(v) {
    if
    :: vault.highest < (v) -> vault.highest = (v)
    :: else
    fi
}

inline swap(c, fetched, read, version, sealed) {
    if
    :: STANDS(c, fetched, read) && CURRENT(version) -> vault.under[c] = version; vault.inner[c] = sealed
    :: else                                   /* replaced meanwhile, or a newer lock was shown: the next pass sees */
    fi
}

inline retire_below(v) {
    if
    :: (v) > 1 && lock[1] == USED -> lock[1] = RETIRED
    :: else
    fi;
    if
    :: (v) > 2 && lock[2] == USED -> lock[2] = RETIRED
    :: else
    fi
}

proctype Job() {
    byte version, place, fetched, read, sealed;
    bit same;

again:
    atomic { version = 0; place = 0; fetched = 0; read = 0; sealed = 0; same = 0 };
    if
    :: atomic { phase == IDLE -> make_lock(); phase = SWEEPING; confirmed = newest }
    :: atomic { phase == SWEEPING || phase == GRACE ->
#ifdef NO_NEWER_TARGET
        version = confirmed
#else
        version = newest;
        if
        :: version > confirmed -> note(superseded); confirmed = version
        :: else
        fi
#endif
       }
#ifdef DESTROY_EARLY
    :: atomic { phase == WAITING -> version = confirmed }
#else
    :: atomic { phase == WAITING && since == HORIZON -> version = confirmed }
#endif
    fi;
    if
    :: version == 0 -> goto again
    :: else
    fi;
#ifndef MIRROR_LATE
    if
    :: FALLS
    :: atomic { mirror(version) }
    fi;
#endif
    if
    :: FALLS
    /* a capsule under an older lock */
    :: atomic {
        if
        :: OLDER(0, version) -> place = 0
        :: OLDER(1, version) -> place = 1
        fi;
        fetched = vault.under[place];
        read = vault.inner[place]
       };
       atomic {                               /* opened and remade by the key service, in memory, and opened again */
        if
        :: OPENS(fetched) -> sealed = read
#ifdef REMADE_UNREAD
        :: !calm -> sealed = WRONG
#endif
        :: !OPENS(fetched) -> goto again
        fi;
        if
        :: phase == GRACE || phase == WAITING -> phase = SWEEPING; since = 0   /* they came back with a restore */
        :: else
        fi
       };
       if
       :: FALLS
       :: atomic { LATE && !calm && !late ->  /* sent, and its sender dies */
           late = 1; late_place = place; late_fetched = fetched; late_read = read; late_version = version;
           goto again
          }
       :: atomic { swap(place, fetched, read, version, sealed) }   /* whether the answer arrives is all the same */
       fi
    /* none */
    :: atomic { (NONE_LEFT(version) || UNASKED) -> same = !moved || UNASKED;
        if
        :: phase == GRACE -> moved = 0        /* the job notes which restore was the last */
        :: else
        fi
       };
       if
       :: FALLS
#ifdef MIRROR_LATE
       :: atomic { mirror(version) };
       fi;
       if
#endif
       :: atomic {
           if
           :: phase == SWEEPING && version == confirmed -> phase = GRACE
           :: phase == GRACE && version == confirmed -> phase = WAITING; since = 0; retire_below(version)
           :: phase == WAITING && version == confirmed && !same -> phase = SWEEPING; since = 0
#ifdef DESTROY_EARLY
           :: phase == WAITING && version == confirmed && same ->
#else
           :: phase == WAITING && version == confirmed && same && since == HORIZON ->
#endif
               phase = DONE;
               if
               :: lock[1] == RETIRED -> lock[1] = DESTROYED
               :: else
               fi;
               if
               :: confirmed > 2 && lock[2] == RETIRED -> lock[2] = DESTROYED
               :: else
               fi
           :: else
           fi
          }
       fi
    fi;
    goto again
}

proctype Network() {
    do
    :: atomic { late -> swap(late_place, late_fetched, late_read, late_version, late_read);
        late = 0; late_place = 0; late_fetched = 0; late_read = 0; late_version = 0;
        note(came_late)
       }
    od
}

proctype Depositor() {
    byte version;

again:
    version = newest;                         /* the statement that the key service gives out */
    atomic {
        if
        :: version >= vault.highest ->
            vault.highest = version;
            vault.under[1] = version;
            vault.inner[1] = OLD_EPOCH;
            vault.latest[1] = OLD_EPOCH;
            version = 0
        :: else -> goto again                 /* superseded: only wrapped anew */
        fi
    }
}

/* A patient's device, which may go away at any step and never come back. */
proctype Patient() {
    byte version, place, fetched, read;

    if
    :: goto gone
    :: atomic { newest < 3 -> make_lock(); version = newest }
    fi;
again:
    atomic { place = 0; fetched = 0; read = 0 };
    atomic { mirror(version) };
    if
    :: goto gone
    :: atomic { vault.highest > version -> version = newest }
    :: atomic {
        if
        :: OLDER(0, version) || vault.inner[0] == OLD_EPOCH -> place = 0
        :: OLDER(1, version) || vault.inner[1] == OLD_EPOCH -> place = 1
        fi;
        fetched = vault.under[place];
        read = vault.inner[place]
       };
       if
       :: atomic { lock[fetched] == USED -> skip }   /* the key service releases it */
       :: atomic { lock[fetched] != USED -> goto again }
       :: goto gone
       fi;
       if
       :: atomic {
           if
           :: STANDS(place, fetched, read) && CURRENT(version) ->
               vault.under[place] = version; vault.inner[place] = NEW_EPOCH; vault.latest[place] = NEW_EPOCH
           :: else
           fi
          }
       :: goto gone
       fi
    :: atomic { NONE_LEFT(version) && vault.inner[0] != OLD_EPOCH && vault.inner[1] != OLD_EPOCH };
       if
       :: atomic { retire_below(version); note(relocked) }; goto gone
       :: goto gone
       fi
    fi;
    goto again;
gone:
    atomic { version = 0; place = 0; fetched = 0; read = 0 }
}

proctype Reader() {
    byte fetched;

    do
    :: fetched = vault.under[0];
       atomic {
           if
           :: lock[fetched] == USED -> has_read = 1; fetched = 0; break
           :: else                            /* refused: fetch again */
           fi
       }
    od
}

proctype Clock() {
    do
    :: atomic {
        if
        :: phase == WAITING && since < HORIZON -> since++
        :: else
        fi;
#if BACKUPS
        if
        :: age < HORIZON -> age++
        :: else
        fi
#endif
       }
    od
}

#if BACKUPS
inline copy(to, from) {
    for (i : 0 .. 1) { to.under[i] = from.under[i]; to.inner[i] = from.inner[i]; to.latest[i] = from.latest[i] };
    to.highest = from.highest;
    i = 0
}

proctype Restorer() {
    byte i;
    do
    :: atomic {
        !calm;
        if
        :: copy(backup, vault); age = 0
        :: age < HORIZON -> copy(vault, backup); note(restored);
#ifndef RESTORE_UNTOLD
            moved = 1
#endif
        fi
       }
    od
}
#endif

init {
    atomic {
        lock[1] = USED;
        vault.under[0] = 1;
        vault.inner[0] = OLD_EPOCH;
        vault.latest[0] = OLD_EPOCH;
        vault.highest = 1;
        byte n;
        for (n : 1 .. JOBS) { run Job() };
#if LATE
        run Network();
#endif
        run Depositor();
#if PATIENTS
        run Patient();
#endif
#if READERS
        run Reader();
#endif
        run Clock();
#if BACKUPS
        run Restorer();
#endif
        n = 0
    };
    calm = 1
}

#define OPENS_IN(v, c)  (v.under[c] == 0 || OPENS(v.under[c]))
#define opens           (OPENS_IN(vault, 0) && OPENS_IN(vault, 1))
#if BACKUPS
#define backups_open    (age == HORIZON || (OPENS_IN(backup, 0) && OPENS_IN(backup, 1)))
#else
#define backups_open    true
#endif
#define kept            (vault.inner[0] == vault.latest[0] && vault.inner[1] == vault.latest[1])
#define releasable(c)   (vault.under[c] == 0 || lock[vault.under[c]] == USED)
#define under_newest(c) (vault.under[c] == 0 || vault.under[c] == newest)
#define ended           (phase == DONE && opens && releasable(0) && releasable(1) && lock[1] == DESTROYED)

/* Every capsule is under a lock that exists and opens, in the vault and in a backup that may be restored. */
ltl every_capsule_opens { [] (opens && backups_open) }
/* No capsule is replaced by one that does not hold its inner lock. */
ltl the_inner_lock_stays { [] (kept) }
/* No capsule stands under a retired lock. (Where the vault is restored, one does until the next pass.) */
ltl nothing_is_stranded { [] (releasable(0) && releasable(1)) }
/* Once nothing fails any more, the rotation ends: nothing is under an older lock, for good, and it is destroyed. */
ltl the_rotation_ends { [] (calm -> <> [] (ended)) }
/* A reader who fetches again opens in the end. */
ltl a_reader_opens { [] (calm -> <> (has_read)) }
/* Nothing in the model hides a way out: each can be reached (negated below by the checker). */
ltl something_is_rotated { [] !(ended && vault.under[1] != 0) }
ltl a_patient_relocks_meanwhile { [] !(ended && relocked && superseded) }
ltl a_request_comes_late { [] !(ended && came_late) }
ltl a_vault_is_restored { [] !(ended && restored) }
