/* Revocation against release (P04, P05), as the key service decides it.
 *
 * Two release workers and one revoker share a database. A release opens the outer lock early, to have it at hand, but
 * decides, spends its nonce and writes its event in ONE transaction; an answer leaves only after that transaction is
 * durable. Every durable step is a transition of its own; the program may crash between any two, before or after a
 * commit and before its answer, and then starts again from what is durable. Clocks are not modelled: expiry is decided
 * like revocation, against a number in the same transaction.
 *
 * Build with -DBROKEN for the twin that checks first and releases later: SPIN must find the trail.
 */

#define WORKERS  2
#define REQUESTS 3            /* releases asked for, over all workers; each may be sent again after a crash */
#define EVENTS   12
#define CRASHES  4            /* how often the program may be killed in one run */

/* durable */
bool revoked = false;         /* a revocation row exists */
byte log_size = 0;            /* events committed: the next index */
byte revoked_at = 255;        /* index of the revocation's event */
byte released[EVENTS];        /* released[i] = 1: event i is a release */
bool nonce_spent[REQUESTS];

/* what the outside world has seen */
bool receipt_seen = false;    /* the patient holds the receipt of the revocation */
byte answers = 0;             /* inner locks that left the server */
byte logged = 0;              /* release events committed */
bool late = false;            /* a release was logged above the revocation's index */
bool unlogged = false;        /* an answer left without its event */

byte next_request = 0;
byte crashes = 0;

inline commit_release(request) {
    nonce_spent[request] = true;
    released[log_size] = 1;
    if
    :: revoked_at != 255 -> late = true
    :: else
    fi;
    log_size++;
    logged++
}

proctype Worker() {
    byte request;
    bool allowed;
    bool committed;

    do
    :: atomic { next_request < REQUESTS -> request = next_request; next_request++ };
        committed = false;

again:
        /* cheap check outside of any transaction; the outer lock is opened here */
        allowed = !revoked;
        if
        :: !allowed -> goto done
        :: else
        fi;

#ifdef BROKEN
        /* the twin trusts that check: the decision and the event are two transactions */
        atomic {
            if
            :: nonce_spent[request] -> goto done
            :: else -> commit_release(request); committed = true
            fi
        };
#else
        /* one serialisable transaction: decide again, spend the nonce, write the event */
        atomic {
            if
            :: revoked || nonce_spent[request] -> goto done
            :: else -> commit_release(request); committed = true
            fi
        };
#endif
        if
        :: true -> skip                       /* the answer leaves */
        :: crashes < CRASHES -> crashes++; goto crash /* killed between commit and answer: the nonce is spent */
        fi;
        atomic {
            answers++;
            if
            :: !committed -> unlogged = true
            :: else
            fi
        };
        goto done;

crash:
        committed = false;
        if
        :: goto again                         /* the client sends the same request once more */
        :: goto done
        fi;

done:   skip
    :: else -> break
    od
}

proctype Revoker() {
    bool committed = false;

try:
    if
    :: true -> skip
    :: crashes < CRASHES -> crashes++; goto try   /* killed before the commit: nothing happened; repeated */
    fi;
    atomic {
        if
        :: !revoked ->
            revoked = true;
            revoked_at = log_size;
            log_size++
        :: else                                /* repeated: the same success */
        fi;
        committed = true
    };
    if
    :: true -> receipt_seen = true
    :: crashes < CRASHES -> crashes++; goto try   /* killed between commit and answer; repeated */
    fi
}

init {
    byte i;
    for (i : 1 .. WORKERS) { run Worker() };
    run Revoker()
}

/* No release of this grant has a higher index than the revocation. */
ltl nothing_released_after_revocation { [] !late }
/* What left was written down first: released is at most logged. */
ltl released_is_logged { [] (!unlogged && answers <= logged) }
/* A nonce gives one event, however often the request is sent. */
ltl one_event_per_request { [] (logged <= REQUESTS) }
/* Nothing in the model hides a way out: both outcomes can be reached (negated below by the checker). */
ltl something_is_released { [] (answers == 0) }
ltl something_is_revoked { [] !receipt_seen }
