/* Rotation of the master key (P10), as the key service does it: from version 1 to version 2.
 *
 * The promise: every lock has at all times a good seal under a key that exists; the version that is active has a good
 * seal of every lock, and every serving process has its key; no key is destroyed that a row refers to, of the
 * database or of a backup that may still be restored. Once nothing fails any more, the rotation ends: finished, or
 * undone.
 *
 * `lock_seals` has a row for each lock and master key version. While BOTH versions are kept, workers bring every lock
 * to a good and checked row under the version that is not active: insert, read back, open, mark what was opened. The
 * flip makes that version active; undoing within the grace is the same flip once more. Then rows under the other
 * version are deleted, then its key is destroyed. Two workers, a controller, a serving process that makes a lock, an
 * officer who aborts, and a clock take turns in any order. Each `atomic` is one serialisable transaction, or one call
 * of the provider. Until `calm`, between any two of them, as often as it likes: a process dies and starts again from
 * what is durable, the provider is away (to a job the same: the item is begun again), a new row is written wrong, the
 * database is restored from a backup under the running job.
 *
 * Sizes: LOCKS, WORKERS, BACKUPS; all at once are too many states. NOTES keeps notes of what happened, for the ways
 * out. Every other name that is asked for with #ifdef is a twin, which must be found out:
 * tests/claims/test_p10_rotation_models.py.
 *
 * Not in the model: what a restore loses by itself (locks that were made after the backup was taken); a provider that
 * gives back another key than it was given, which `check_value` tells; transactions that are not serialisable; clocks
 * that disagree; a third version while two are there.
 */

#ifndef LOCKS
#define LOCKS   2             /* the last one is made while the rotation runs */
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef BACKUPS
#define BACKUPS 0
#endif
#define HORIZON 2             /* ticks that a backup may be restored for */

#define NONE 0                /* a row: not there, does not open, opens */
#define BAD  1
#define GOOD 2

#define IDLE         0        /* the job's phases */
#define BOTH         1        /* two versions are kept: writing before the flip, grace after it */
#define DELETING     2        /* rows under the version that is not active go */
#define UNREFERENCED 3        /* none was left */
#define DESTROYED    4        /* its key is gone */

typedef Database {
    byte seal[4];             /* by lock and version */
    bit checked[4];           /* read back, opened, and marked by comparing with what was opened */
    bit made[2];
    byte phase;
    byte pointer;
    bit undo;                 /* an officer said abort */
    byte since                /* ticks since nothing referred to the version that is not active */
};

/* durable */
Database db;
#if BACKUPS
Database backup[BACKUPS];
byte age[BACKUPS];            /* HORIZON: none, or too old to be restored */
#endif
bit key[3];                   /* what the provider keeps */

/* of the serving process, lost when it dies */
bit serving;
bit loaded[3];

bit calm = 0;                 /* from here on nothing fails */
bit rewritten = 0;            /* a row that was written wrong was found and taken away */
bit undone = 0;               /* a flip was taken back */
bit restored = 0;

#ifdef NOTES
#define note(fact)      fact = 1
#else
#define note(fact)      skip
#endif
#define OTHER           (3 - db.pointer)
#define AT(l, v)        (2 * (l) + (v) - 1)
#define LAST            (LOCKS - 1)
#define GOOD_UNDER(l, v) (!db.made[l] || db.seal[AT(l, v)] == GOOD)
#define READY(l, v)     (!db.made[l] || db.checked[AT(l, v)])
#define ALL_READY(v)    (READY(0, v) && READY(LAST, v))
#define NONE_IN(d, v)   (d.seal[AT(0, v)] == NONE && d.seal[AT(LAST, v)] == NONE)
#define TO_WRITE(l)     (db.phase == BOTH && db.made[l] && !db.checked[AT(l, OTHER)])
#define TO_DELETE(l)    (db.phase == DELETING && db.seal[AT(l, OTHER)] != NONE)
#define FALLS           !calm -> goto again      /* the process dies, or the provider is away */

#ifdef FLIP_BEFORE_CHECK
#define MAY_FLIP(v)     (db.seal[AT(0, v)] != NONE && (!db.made[LAST] || db.seal[AT(LAST, v)] != NONE))
#else
#define MAY_FLIP(v)     ALL_READY(v)
#endif

#ifdef FLIP_WITHOUT_SERVERS
#define SERVERS_HAVE(v) true
#else
#define SERVERS_HAVE(v) (!serving || loaded[v])
#endif

inline put(l, v, is_checked) {
    if
    :: db.seal[AT(l, v)] = GOOD
    :: !calm && !(is_checked) -> db.seal[AT(l, v)] = BAD
    fi;
    db.checked[AT(l, v)] = is_checked
}

inline drop(l, v) {
    db.seal[AT(l, v)] = NONE;
    db.checked[AT(l, v)] = 0
}

proctype Worker() {
    byte lock, version, read;

again:
    lock = 0; version = 0; read = NONE;
    if
    /* write: what is not checked under the version that is not active */
    :: atomic {
        if
        :: TO_WRITE(0) -> lock = 0
        :: TO_WRITE(LAST) -> lock = LAST
        fi;
        version = OTHER
       };
       if
       :: FALLS
       :: atomic {
           if
           :: db.phase == BOTH && version == OTHER && db.made[lock] && db.seal[AT(lock, version)] == NONE ->
               put(lock, version, 0);
#ifdef OVERWRITE
               drop(lock, db.pointer)
#endif
           :: else                            /* another worker was first, or the job went on */
           fi
          }
       fi;
       if
       :: FALLS
       :: read = db.seal[AT(lock, version)]   /* read back and opened */
       fi;
       if
       :: FALLS
       :: atomic {
           if
#ifdef MARK_WITHOUT_COMPARE
           :: read == GOOD && db.phase == BOTH && version == OTHER && db.seal[AT(lock, version)] != NONE ->
#else
           :: read == GOOD && db.phase == BOTH && version == OTHER && db.seal[AT(lock, version)] == read ->
#endif
               db.checked[AT(lock, version)] = 1
#ifdef REPLACE_WITHOUT_COMPARE
           :: read == BAD ->
               drop(lock, version);
               note(rewritten)
#elif !defined(BAD_ROW_STAYS)
           :: read == BAD && db.phase == BOTH && version == OTHER && db.seal[AT(lock, version)] == read ->
               drop(lock, version);
               note(rewritten)
#endif
           :: else
           fi
          }
       fi
    /* delete: only where the active version has a checked row, in the same transaction */
    :: atomic {
        if
        :: TO_DELETE(0) -> lock = 0
        :: TO_DELETE(LAST) -> lock = LAST
#ifdef DELETE_BEFORE_FLIP
        :: db.phase == BOTH && db.pointer == 1 && db.made[0] && db.checked[AT(0, 2)] -> drop(0, 1); goto again
#endif
        fi;
        version = OTHER
       };
       if
       :: FALLS
       :: atomic {
           if
#ifdef DELETE_LATE
           :: db.seal[AT(lock, version)] != NONE ->   /* looked a moment ago, and trusts what it saw */
#else
           :: db.phase == DELETING && version == OTHER && db.checked[AT(lock, db.pointer)] ->
#endif
               drop(lock, version)
           :: else
           fi
          }
       fi
    fi;
    goto again
}

proctype Controller() {
    byte version;

again:
    version = 0;
    if
    :: db.phase == IDLE;
       if
       :: FALLS
       :: atomic {                            /* the provider makes a key once, never over one that is there */
#if BACKUPS && defined(KEY_OVERWRITTEN)
           byte b, l;
           if
           :: key[2] ->
               for (b : 0 .. BACKUPS - 1) { for (l : 0 .. LAST) {
                   if
                   :: backup[b].seal[AT(l, 2)] == GOOD -> backup[b].seal[AT(l, 2)] = BAD
                   :: else
                   fi
               } };
               b = 0; l = 0
           :: else
           fi;
#endif
           key[2] = 1
          }
       fi;
       if
       :: FALLS
       :: atomic {
           if
           :: db.phase == IDLE -> db.phase = BOTH
           :: else
           fi
          }
       fi
    /* flip: forward, or back within the grace. The count is in the transaction that moves the pointer. */
#ifdef FLIP_WITHOUT_RECOUNT
    :: atomic { db.phase == BOTH && db.pointer == 1 && !db.undo && ALL_READY(2) && SERVERS_HAVE(2) };
       if
       :: FALLS
       :: atomic {
           if
           :: db.phase == BOTH && db.pointer == 1 && !db.undo && SERVERS_HAVE(2) -> db.pointer = 2
           :: else
           fi
          }
       fi
#else
    :: atomic { db.phase == BOTH && db.pointer == 1 && !db.undo && MAY_FLIP(2) && SERVERS_HAVE(2) -> db.pointer = 2 }
#endif
    :: atomic {
        db.phase == BOTH && db.pointer == 2 && db.undo && MAY_FLIP(1) && SERVERS_HAVE(1) ->
        db.pointer = 1;
        note(undone)
       }
    /* the grace is over, or the abort was before the flip */
    :: atomic { db.phase == BOTH && db.undo == (db.pointer == 1) -> db.phase = DELETING; db.undo = 0 }
#ifdef DESTROY_WITHOUT_COUNT
    :: atomic { db.phase == DELETING -> db.phase = UNREFERENCED; db.since = 0 }
#else
    :: atomic { db.phase == DELETING && NONE_IN(db, OTHER) -> db.phase = UNREFERENCED; db.since = 0 }
#endif
#ifdef DESTROY_EARLY
    :: atomic { db.phase == UNREFERENCED -> version = OTHER };
#else
    :: atomic { db.phase == UNREFERENCED && db.since == HORIZON -> version = OTHER };
#endif
       if
       :: FALLS
       :: atomic { key[version] = 0 }         /* once more is the same */
       fi;
       if
       :: FALLS
       :: atomic {
           if
           :: db.phase == UNREFERENCED && version == OTHER -> db.phase = DESTROYED; db.since = 0
           :: else
           fi
          }
       fi
    fi;
    goto again
}

/* The ring that a process must have: the active version, and while both are kept the other. */
#define HAS_RING (loaded[db.pointer] && (db.phase != BOTH || loaded[OTHER]))

inline load_ring() {
    loaded[1] = key[1];
    loaded[2] = key[2] && db.phase != IDLE
}

proctype Server() {
    byte phase, pointer;

again:
    phase = 0; pointer = 0;
    atomic { serving = 0; load_ring() };
#ifdef SERVE_UNCHECKED
    serving = 1;
#else
    /* it says that it serves in a transaction that looks at the ring again */
    atomic {
        if
        :: HAS_RING -> serving = 1
        :: else -> goto again
        fi
    };
#endif
    do
    :: atomic { (!serving || !calm) -> serving = 0; loaded[1] = 0; loaded[2] = 0 }; goto again
    :: atomic { serving && !HAS_RING -> load_ring() }
    :: atomic { serving && !db.made[LAST] -> phase = db.phase; pointer = db.pointer };
       /* sealed in memory; the transaction that makes the lock looks at the versions again */
       if
       :: FALLS
       :: atomic {
           if
#ifdef NEW_LOCK_UNCHECKED
           :: serving && !db.made[LAST] ->
#else
           :: serving && !db.made[LAST] && phase == db.phase && pointer == db.pointer ->
#endif
               db.made[LAST] = 1;
#ifdef NEW_LOCK_UNDER_OLD
               put(LAST, 1, 1)
#else
               put(LAST, pointer, 1);         /* read back in this transaction: there is no other copy */
               if
               :: phase == BOTH && loaded[3 - pointer] -> put(LAST, 3 - pointer, 0)   /* a worker checks it */
               :: true                        /* or a worker writes it */
               fi
#endif
           :: else
           fi;
           phase = 0; pointer = 0
          }
       fi
    od
}

proctype Officer() {
    do
    :: atomic { db.phase == BOTH && !db.undo -> db.undo = 1 }
    od
}

#if BACKUPS
inline forget(b) {
    for (i : 0 .. 3) { backup[b].seal[i] = NONE; backup[b].checked[i] = 0 };
    backup[b].made[0] = 0; backup[b].made[1] = 0;
    backup[b].phase = IDLE; backup[b].pointer = 0; backup[b].undo = 0; backup[b].since = 0;
    i = 0
}
#endif

proctype Clock() {
#if BACKUPS
    byte b, i;
#endif

    do
    :: atomic {
        if
        :: db.phase == UNREFERENCED && db.since < HORIZON -> db.since++
        :: else
        fi;
#if BACKUPS
        for (b : 0 .. BACKUPS - 1) {
            if
            :: age[b] < HORIZON -> age[b]++
            :: else
            fi;
            if
            :: age[b] == HORIZON -> forget(b)
            :: age[b] < HORIZON && backup[b].phase == UNREFERENCED && backup[b].since < HORIZON -> backup[b].since++
            :: else
            fi
        };
        b = 0
#endif
       }
    od
}

#if BACKUPS
inline copy(to, from) {
    for (i : 0 .. 3) { to.seal[i] = from.seal[i]; to.checked[i] = from.checked[i] };
    to.made[0] = from.made[0]; to.made[1] = from.made[1];
    to.phase = from.phase; to.pointer = from.pointer; to.undo = from.undo; to.since = from.since;
    i = 0
}

proctype Restorer() {
    byte i, which;
    do
    :: atomic {
        !calm;
        if
        :: which = 0
        :: which = BACKUPS - 1
        fi;
        if
        :: copy(backup[which], db); age[which] = 0
        :: age[which] < HORIZON ->
            copy(db, backup[which]);
            serving = 0; loaded[1] = 0; loaded[2] = 0;
            note(restored);
#ifndef RESTORE_KEEPS_SINCE
            db.since = 0                      /* backups of what was there until now may refer to the key */
#endif
        fi;
        which = 0
       }
    od
}
#endif

init {
    atomic {
        db.pointer = 1;
        db.made[0] = 1;
        db.seal[AT(0, 1)] = GOOD;
        db.checked[AT(0, 1)] = 1;
        key[1] = 1;
        byte n;
        for (n : 1 .. WORKERS) { run Worker() };
        run Controller();
#if LOCKS > 1
        run Server();
#endif
        run Officer();
        run Clock();
#if BACKUPS
        for (n : 1 .. BACKUPS) { age[n - 1] = HORIZON };
        run Restorer();
#endif
        n = 0
    };
    calm = 1
}

#define OPENS_IN(d, l)  (!d.made[l] || (d.seal[AT(l, 1)] == GOOD && key[1]) || (d.seal[AT(l, 2)] == GOOD && key[2]))
#if BACKUPS
#define OLDEST          backup[0]
#define NEWEST          backup[BACKUPS - 1]
#define BACKUPS_OPEN    (OPENS_IN(OLDEST, 0) && OPENS_IN(OLDEST, LAST) && OPENS_IN(NEWEST, 0) && OPENS_IN(NEWEST, LAST))
#define NO_BACKUP_HAS(v) (NONE_IN(OLDEST, v) && NONE_IN(NEWEST, v))
#else
#define BACKUPS_OPEN    true
#define NO_BACKUP_HAS(v) true
#endif
#define opens           (OPENS_IN(db, 0) && OPENS_IN(db, LAST) && BACKUPS_OPEN)
#define pointer_good    (!db.made[0] || (key[db.pointer] && GOOD_UNDER(0, db.pointer) && GOOD_UNDER(LAST, db.pointer)))
#define unreferenced(v) (key[v] || (NONE_IN(db, v) && NO_BACKUP_HAS(v)))
#define served          (!serving || loaded[db.pointer])
#define ended           (db.phase == DESTROYED && opens && pointer_good && key[OTHER] == 0)

/* Every lock has a good seal under a key that exists, in the database and in every backup that may be restored. */
ltl every_lock_opens { [] (opens) }
/* The active version has a good seal of every lock. */
ltl the_pointer_is_good { [] (pointer_good) }
/* No row, of the database or of a backup that may be restored, is under a key that was destroyed. */
ltl no_key_in_use_is_destroyed { [] (unreferenced(1) && unreferenced(2)) }
/* No process serves without the key of the active version. */
ltl every_server_has_the_key { [] (served) }
/* Once nothing fails any more, the rotation ends, with every lock under one version. */
ltl the_rotation_ends { [] (calm -> <> (ended)) }
/* Nothing in the model hides a way out: each can be reached (negated below by the checker). */
ltl something_is_rotated { [] !(ended && db.pointer == 2) }
ltl something_is_aborted { [] !(ended && db.pointer == 1) }
ltl a_flip_is_taken_back { [] !undone }
ltl a_bad_row_is_written_again { [] !(rewritten && ended) }
ltl a_lock_is_made_in_the_grace { [] !(db.phase == BOTH && db.pointer == 2 && db.seal[AT(LAST, 1)] == BAD) }
ltl a_backup_is_restored { [] !(restored && ended && db.pointer == 2) }
