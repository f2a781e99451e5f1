"""Fill a migrated PostgreSQL database of either server with much that is made up, quickly, and analyse it.

python -m tests.support.fill_postgres vault postgresql+psycopg://… --records 2000 --documents 100

What is filled in has the sizes, and what refers to what, of a deployment in use; its statements are no statements, so
`fsck` would find fault with every row. People who are told of afterwards are answered among it, and the planner decides
by its statistics: that is what `tests/unit/*/test_plans.py` look at.
"""

import argparse
from dataclasses import dataclass
from string import Template
from typing import Final

from sqlalchemy import Engine, text

from carnet_server.database import make_engine
from tests.support.people import NOW

BEFORE: Final = 1_700_000_000
"""Before every time of the tests: the log does not go back."""
_LATER: Final = BEFORE + 10 * 365 * 86_400
_RECORDS_OF_A_PRACTITIONER: Final = 2

_FUNCTIONS: Final = """
CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS bytea IMMUTABLE LANGUAGE sql
    RETURN sha256(convert_to(kind || n, 'UTF8'));
CREATE FUNCTION pg_temp.short(kind text, n bigint) RETURNS bytea IMMUTABLE LANGUAGE sql
    RETURN substring(sha256(convert_to(kind || n, 'UTF8')) for 16);
CREATE FUNCTION pg_temp.noise(kind text, n bigint, size integer) RETURNS bytea IMMUTABLE LANGUAGE sql
    RETURN decode(repeat(md5(kind || n), size / 16), 'hex');
CREATE FUNCTION pg_temp.object_name(kind text, n bigint) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN rtrim(translate(encode(sha256(convert_to(kind || n, 'UTF8')), 'base64'), '+/', '-_'), '=');
CREATE FUNCTION pg_temp.state(kind text, amount integer) RETURNS void LANGUAGE sql
    BEGIN ATOMIC
        INSERT INTO statements (hash, kind, jws, received_at, event)
        SELECT pg_temp.id(kind, n), kind, repeat(md5(kind || n), 25), $before, n FROM generate_series(0, amount - 1) n;
    END
"""

# Patients come before practitioners. In each record: three compartments, and five grants: to read and to deposit in the
# first compartment, to read two single documents, and two that are over.
_SHARED: Final = """
INSERT INTO events (position, time, kind, salt, commitment, leaf_hash, body)
    SELECT n, $before, 'release.open', pg_temp.id('salt', n), pg_temp.id('commitment', n), pg_temp.id('leaf', n),
        pg_temp.noise('body', n, 400)
    FROM generate_series(0, 2 * $documents - 1) n;
INSERT INTO event_records (record, position)
    SELECT pg_temp.id('identity', n % $records), n FROM generate_series(0, 2 * $documents - 1) n;
SELECT pg_temp.state('identity', $people), pg_temp.state('device', $people);
INSERT INTO people (identity, role, current, serial, root_key)
    SELECT pg_temp.id('identity', n), CASE WHEN n < $records THEN 'patient' ELSE 'practitioner' END,
        pg_temp.id('identity', n), 0, pg_temp.id('root', n)
    FROM generate_series(0, $people - 1) n;
INSERT INTO identities (hash, identity, serial, suite)
    SELECT pg_temp.id('identity', n), pg_temp.id('identity', n), 0, 1 FROM generate_series(0, $people - 1) n;
INSERT INTO devices (hash, identity, device_key, received_at)
    SELECT pg_temp.id('device', n), pg_temp.id('identity', n), pg_temp.id('device key', n), $before
    FROM generate_series(0, $people - 1) n;
SELECT pg_temp.state('attestation', $practitioners);
INSERT INTO attestations (hash, registrar, id, subject, subject_statement, not_before, expires)
    SELECT pg_temp.id('attestation', n), pg_temp.id('registrar', 0), pg_temp.short('attestation', n),
        pg_temp.id('identity', $records + n), pg_temp.id('identity', $records + n), $before, $later
    FROM generate_series(0, $practitioners - 1) n;
SELECT pg_temp.state('succession', $practitioners / 4);
INSERT INTO successions (hash, predecessor, successor)
    SELECT pg_temp.id('succession', n), pg_temp.id('identity', $records + 4 * n),
        pg_temp.id('identity', $records + 4 * n + 1)
    FROM generate_series(0, $practitioners / 4 - 1) n;
SELECT pg_temp.state('removal', $records);
INSERT INTO removals (hash, identity, device, since)
    SELECT pg_temp.id('removal', n), pg_temp.id('identity', n), pg_temp.id('device', n), $before
    FROM generate_series(0, $records - 1) n;
SELECT pg_temp.state('compartment', 3 * $records);
INSERT INTO compartments (hash, record, compartment, epoch, suite, device)
    SELECT pg_temp.id('compartment', n), pg_temp.id('identity', n / 3), pg_temp.short('compartment', n), 1, 1,
        pg_temp.id('device', n / 3)
    FROM generate_series(0, 3 * $records - 1) n;
SELECT pg_temp.state('closing', $records);
INSERT INTO closings (hash, record, compartment_statement)
    SELECT pg_temp.id('closing', n), pg_temp.id('identity', n), pg_temp.id('compartment', 3 * n + 2)
    FROM generate_series(0, $records - 1) n;
SELECT pg_temp.state('grant', 5 * $records);
INSERT INTO grants (hash, record, id, grantee, grantee_statement, permission, not_before, expires, device, received_at)
    SELECT pg_temp.id('grant', n), pg_temp.id('identity', n / 5), pg_temp.short('grant', n),
        pg_temp.id('identity', $records + (n * 7) % $practitioners),
        pg_temp.id('identity', $records + (n * 7) % $practitioners),
        CASE n % 5 WHEN 1 THEN 'deposit' ELSE 'read' END,
        $before, CASE WHEN n % 5 < 3 THEN $later ELSE $before + 86400 END, pg_temp.id('device', n / 5), $before
    FROM generate_series(0, 5 * $records - 1) n;
INSERT INTO grant_compartments ("grant", compartment)
    SELECT pg_temp.id('grant', n), pg_temp.short('compartment', 3 * (n / 5))
    FROM generate_series(0, 5 * $records - 1) n WHERE n % 5 <> 2;
INSERT INTO grant_documents ("grant", document)
    SELECT pg_temp.id('grant', n), pg_temp.id('document', (n / 5) * $each + m)
    FROM generate_series(0, 5 * $records - 1) n, generate_series(0, 1) m WHERE n % 5 = 2;
SELECT pg_temp.state('revocation', $records);
INSERT INTO revocations (hash, record, "grant")
    SELECT pg_temp.id('revocation', n), pg_temp.id('identity', n), pg_temp.id('grant', 5 * n + 4)
    FROM generate_series(0, $records - 1) n;
SELECT pg_temp.state('filing', $regular / 20);
INSERT INTO filings (record, document, serial, hash, compartment)
    SELECT pg_temp.id('identity', n * 20 / $each), pg_temp.id('document', n * 20), 1, pg_temp.id('filing', n),
        pg_temp.short('compartment', 3 * (n * 20 / $each))
    FROM generate_series(0, $regular / 20 - 1) n;
SELECT pg_temp.state('tombstone', $regular / 10);
INSERT INTO tombstones (record, document, by, hash)
    SELECT pg_temp.id('identity', n * 10 / $each), pg_temp.id('document', n * 10),
        pg_temp.id('identity', n * 10 / $each), pg_temp.id('tombstone', n)
    FROM generate_series(0, $regular / 10 - 1) n;
SELECT pg_temp.state('lock', $records);
INSERT INTO nonces (key_id, nonce, seen_at)
    SELECT pg_temp.id('device', n), pg_temp.short('nonce', n), $now FROM generate_series(0, $records - 1) n
"""

# One version of each document with both capsules; of one in ten nothing is left but its manifest.
_VAULT: Final = """
SELECT pg_temp.state('manifest', $documents);
INSERT INTO locks (hash, record, version, expires)
    SELECT pg_temp.id('lock', n), pg_temp.id('identity', n), 1, $later FROM generate_series(0, $records - 1) n;
INSERT INTO objects (name, record, size, retired_at)
    SELECT pg_temp.object_name('object', n), pg_temp.id('identity', $owner), 20000,
        CASE n % 200 WHEN 1 THEN $before END
    FROM generate_series(0, $documents - 1) n WHERE n % 10 <> 0;
INSERT INTO documents (record, document, author, head, head_manifest, compartment, listed, tombstoned_at)
    SELECT pg_temp.id('identity', $owner), pg_temp.id('document', n),
        pg_temp.id('identity', $records + n % $practitioners), 1, pg_temp.id('manifest', n),
        pg_temp.short('compartment', 3 * $owner + n % 3), 1, CASE n % 10 WHEN 0 THEN $before END
    FROM generate_series(0, $documents - 1) n;
INSERT INTO versions (record, document, version, manifest, "grant", suite, digest_suite, reseals, object, metadata,
        leaf_digests)
    SELECT pg_temp.id('identity', $owner), pg_temp.id('document', n), 1, pg_temp.id('manifest', n),
        pg_temp.id('grant', 5 * $owner + 1), 1, 1, 0,
        CASE WHEN n % 10 <> 0 THEN pg_temp.object_name('object', n) END,
        CASE WHEN n % 10 <> 0 THEN pg_temp.noise('metadata', n, 1024) END,
        CASE WHEN n % 10 <> 0 THEN pg_temp.id('leaf', n) END
    FROM generate_series(0, $documents - 1) n;
INSERT INTO capsules (record, document, version, role, compartment, compartment_statement, lock_statement,
        inner_suite, outer_suite, digest, sealed)
    SELECT pg_temp.id('identity', $owner), pg_temp.id('document', n), 1, role,
        pg_temp.short('compartment', 3 * $owner + n % 3), pg_temp.id('compartment', 3 * $owner + n % 3),
        pg_temp.id('lock', $owner), 1, 1, pg_temp.id(role, n), pg_temp.noise('sealed', n, $sealed)
    FROM generate_series(0, $documents - 1) n, unnest(ARRAY['content', 'metadata']) role WHERE n % 10 <> 0;
INSERT INTO personal_capsules (record, document, version, "grant", role, grantee, grantee_statement, lock_statement,
        inner_suite, outer_suite, digest, sealed)
    SELECT pg_temp.id('identity', $owner), pg_temp.id('document', n), 1, pg_temp.id('grant', 5 * $owner + 2),
        role, pg_temp.id('identity', $records), pg_temp.id('identity', $records), pg_temp.id('lock', $owner), 1, 1,
        pg_temp.id(role, n), pg_temp.noise('sealed', n, $sealed)
    FROM generate_series(0, $documents - 1) n, unnest(ARRAY['content', 'metadata']) role
    WHERE n % 10 <> 0 AND n < $regular AND n % $each < 2;
INSERT INTO uploads (upload, record, by, object, token, size, part_size, begun_at)
    SELECT pg_temp.short('upload', n), pg_temp.id('identity', n), pg_temp.id('identity', n),
        pg_temp.object_name('upload', n), 'token', 20000, 20000, $now
    FROM generate_series(0, $records - 1) n
"""

# One lock of each record, the patient's own copies of three keys, and one key for each grant of compartments.
_KEYSERVICE: Final = """
INSERT INTO record_locks (record, version, suite, lock_key, made)
    SELECT pg_temp.id('identity', n), 1, 1, pg_temp.noise('lock', n, $sealed), n
    FROM generate_series(0, $records - 1) n;
INSERT INTO lock_seals (record, version, master_key_version, sealed_seed)
    SELECT pg_temp.id('identity', n), 1, 1, pg_temp.noise('seed', n, 96) FROM generate_series(0, $records - 1) n;
INSERT INTO lock_statements (hash, record, version, expires, event)
    SELECT pg_temp.id('lock', n), pg_temp.id('identity', n), 1, $later, n FROM generate_series(0, $records - 1) n;
INSERT INTO sealed_keys (compartment_statement, "grant", reader_statement, record, sealed, device, kept_at)
    SELECT pg_temp.id('compartment', n), '', pg_temp.id('identity', n / 3), pg_temp.id('identity', n / 3),
        pg_temp.noise('sealed', n, $sealed), pg_temp.id('device', n / 3), $before
    FROM generate_series(0, 3 * $records - 1) n;
INSERT INTO sealed_keys (compartment_statement, "grant", reader_statement, record, sealed, device, kept_at)
    SELECT pg_temp.id('compartment', 3 * (n / 5)), pg_temp.id('grant', n),
        pg_temp.id('identity', $records + (n * 7) % $practitioners), pg_temp.id('identity', n / 5),
        pg_temp.noise('sealed', n, $sealed), pg_temp.id('device', n / 5), $before
    FROM generate_series(0, 5 * $records - 1) n WHERE n % 5 <> 2;
SELECT pg_temp.state('recovery', $people);
INSERT INTO recoveries (hash, identity, identity_statement, root_fingerprint, event)
    SELECT pg_temp.id('recovery', n), pg_temp.id('identity', n), pg_temp.id('identity', n), pg_temp.id('root', n), n
    FROM generate_series(0, $people - 1) n
"""
_OWN: Final = {"vault": _VAULT, "keyservice": _KEYSERVICE}


@dataclass(frozen=True, slots=True)
class Amount:
    """How much: `documents` in each of `records`, `more` in the first of them, and what one sealed key has in bytes."""

    records: int
    documents: int
    more: int = 0
    sealed_bytes: int = 1_200

    def values(self) -> dict[str, int | str]:
        """What the scripts ask for."""
        practitioners = max(4, self.records // _RECORDS_OF_A_PRACTITIONER)
        regular = self.records * self.documents
        return {
            "records": self.records,
            "each": self.documents,
            "regular": regular,
            "documents": regular + self.more,
            "owner": f"(CASE WHEN n < {regular} THEN n / {self.documents} ELSE 0 END)",
            "practitioners": practitioners,
            "people": self.records + practitioners,
            "sealed": self.sealed_bytes,
            "before": BEFORE,
            "later": _LATER,
            "now": NOW,
        }


def fill(engine: Engine, server: str, amount: Amount) -> None:
    """Fill the empty, migrated database of `server`, "vault" or "keyservice"."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # nothing is checked row by row
        # The functions take no parameters of ours, and one script at a time is one message to the server.
        for script in (_FUNCTIONS, _SHARED, _OWN[server]):
            connection.execute(text(Template(script).substitute(amount.values())))
    analyse(engine)


def analyse(engine: Engine) -> None:
    """Let the planner know what there is, as autovacuum does in time."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("RESET statement_timeout"))


def _main() -> None:
    parser = argparse.ArgumentParser(description="Fill a migrated database of either server with what is made up.")
    parser.add_argument("server", choices=tuple(_OWN))
    parser.add_argument("url")
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--documents", type=int, default=100, help="in each record")
    parser.add_argument("--more", type=int, default=5_000, help="documents in the first record")
    given = parser.parse_args()
    engine = make_engine(given.url)
    fill(engine, given.server, Amount(given.records, given.documents, given.more))
    engine.dispose()


if __name__ == "__main__":
    _main()
