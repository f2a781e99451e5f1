"""The first chapters: servers, people, a record, a laboratory that deposits and reads nothing."""

from datetime import datetime

from carnet.access import RecordAccess, open_access
from carnet.demo.attempts import ask_all, fetch, list_in, release
from carnet.demo.canaries import Needle
from carnet.demo.stage import ALICE, BOB, LABORATORY, Stage
from carnet.demo.step import Chapter, Step
from carnet.deployment.registrar import PASSPHRASE_FILE
from carnet.documents.deposit import deposit_small
from carnet.documents.filing import move_document
from carnet.documents.listing import list_documents
from carnet.documents.spool import deposit_large
from carnet.grants import make_grant, plan_depositing
from carnet.home import Home
from carnet.inbox import load_inbox
from carnet.keys import RecoverySecret
from carnet.people import verify_bundle
from carnet.profiles import DEFAULT_COMPARTMENTS
from carnet.records import open_record
from carnet.recovery import forget_kit, read_kit
from carnet.recovery_page import make_recovery_page
from carnet.registrar import open_registrar
from carnet_protocol.ids import CompartmentId
from carnet_protocol.statements import Profession, Purpose, Role

OWN_PART = "suivi psychologique"
"""A part of the record that Alice adds; even its name is hers alone."""
_DAY = 86_400


def start_servers(stage: Stage) -> str:
    """Two processes, two folders, two databases."""
    stage.start_servers()
    return "started"


def attest_practitioners(stage: Stage) -> str:
    """The registrar, offline, attests two practitioners and publishes it."""
    folder = stage.deployment.folder.registrar
    passphrase = Home(folder).load(PASSPHRASE_FILE).decode().strip()
    registrar = open_registrar(Home(folder), passphrase=passphrase)
    people = (
        (LABORATORY, "Laboratoire de Saint-Exemple", Profession.LABORATORY, "Laboratoire de Saint-Exemple"),
        (BOB, "Dr Bob Martin", Profession.PHYSICIAN, "Cabinet Martin"),
    )
    for who, name, profession, organisation in people:
        session = stage.make_person(who, Role.PRACTITIONER, f"poste de travail {who}")
        person = verify_bundle(session.identity, session.keyring.body.person)
        registrar.attest(person, name=name, profession=profession, organisation=organisation, now=session.clock())
    bob = stage.sessions[BOB]
    registrar.publish(bob.vault, bob.keyservice, now=bob.clock())
    return "attested"


def open_the_record(stage: Stage) -> str:
    """Alice makes an identity and opens a record with the usual parts and one of her own."""
    session = stage.make_person(ALICE, Role.PATIENT, "ordinateur d'Alice")
    access = open_record(session, (*DEFAULT_COMPARTMENTS, OWN_PART))
    stage.needles += [Needle("name of a part", OWN_PART.encode()), Needle("name of a device", b"ordinateur d'Alice")]
    stage.needles += [
        Needle("key of a compartment", key.seed())
        for compartment in access.compartments.values()
        for key in compartment.keys.values()
    ]
    stage.needles.append(Needle("account key", session.keyring.body.account_key.reveal()))
    return "opened"


def print_kit(stage: Stage) -> str:
    """Alice prints her recovery kit, reads the words back, and her machine forgets them."""
    session = stage.sessions[ALICE]
    kit = read_kit(session)
    make_recovery_page(
        stage.path / "recovery-kit.pdf",
        words=kit.words,
        qr_text=" ".join(kit.words),
        identity_text=str(kit.identity),
        short_code=kit.short_code,
        origins=[stage.deployment.address.keyservice_origin, stage.deployment.address.vault_origin],
        card_text=str(kit.card.body.card_key.fingerprint()),
        created_on=datetime.fromtimestamp(session.clock()).astimezone().date(),
    )
    words = RecoverySecret.from_words(" ".join(kit.words))
    stage.words = words
    stage.needles += [Needle("recovery words", " ".join(kit.words).encode()), Needle("recovery secret", words.reveal())]
    forget_kit(session, words)
    return "printed" if session.keyring.body.recovery_secret is None else "kept"


def add_documents(stage: Stage) -> str:
    """Alice adds three documents, one of them large."""
    session = stage.sessions[ALICE]
    access = open_access(session, session.record)
    general, imaging = part(access, "general"), part(access, "imaging")
    letter, tracing, study = stage.papers["letter"], stage.papers["tracing"], stage.papers["study"]
    small = [paper.as_version(general, author_name=ALICE) for paper in (letter, tracing)]
    letter.document, tracing.document = deposit_small(session, access, small)
    study.document = deposit_large(session, access, study.as_version(imaging, author_name=ALICE))
    return "added"


def let_laboratory_deposit(stage: Stage) -> str:
    """Alice lets the laboratory put documents into one part for a month."""
    session = stage.sessions[ALICE]
    access = open_access(session, session.record)
    plan = plan_depositing(
        session,
        access,
        stage.sessions[LABORATORY].identity,
        compartment=part(access, "laboratory"),
        seconds=30 * _DAY,
        purpose=Purpose.DIAGNOSTICS,
    )
    stage.grants[LABORATORY] = make_grant(session, access, plan)
    return "granted"


def deposit_results(stage: Stage) -> str:
    """The laboratory finds the grant in its inbox and deposits."""
    session = stage.sessions[LABORATORY]
    received = load_inbox(session).grants[0]
    access = open_access(session, received.record, received.grant.hash)
    results = stage.papers["results"]
    compartment = received.grant.body.compartments[0]
    version = results.as_version(compartment, author_name="Laboratoire de Saint-Exemple")
    (results.document,) = deposit_small(session, access, [version])
    return "deposited"


def list_as_laboratory(stage: Stage) -> str:
    """The laboratory holds a grant, but not one to read."""
    session, record = stage.sessions[LABORATORY], stage.sessions[ALICE].record
    return ask_all(list_in(session, record, stage.grants[LABORATORY].hash))


def open_as_laboratory(stage: Stage) -> str:
    """Not even what it deposited itself comes back."""
    session, record = stage.sessions[LABORATORY], stage.sessions[ALICE].record
    grant = stage.grants[LABORATORY].hash
    attempts = [attempt for paper in stage.papers.values() for attempt in fetch(session, record, paper.id, grant)]
    return ask_all([*attempts, *release(session, record, stage.locked_keys(), grant)])


def find_results(stage: Stage) -> str:
    """Alice sees what the laboratory deposited, signed by it."""
    session = stage.sessions[ALICE]
    listing = list_documents(session, open_access(session, session.record))
    by_laboratory = {
        document.id
        for document in listing.documents
        if document.version.manifest.body.author == stage.sessions[LABORATORY].identity
    }
    return "found" if by_laboratory == {stage.papers["results"].id} and not listing.problems else "missing"


def hide_tracing(stage: Stage) -> str:
    """Alice moves a document to the part that she lets nobody into."""
    session = stage.sessions[ALICE]
    access = open_access(session, session.record)
    wanted = stage.papers["tracing"].id
    document = next(one for one in list_documents(session, access).documents if one.id == wanted)
    move_document(session, access, document, part(access, "private"))
    return "hidden"


def part(access: RecordAccess, name: str) -> CompartmentId:
    """The compartment called `name`."""
    return next(id_ for id_, compartment in access.compartments.items() if compartment.name == name)


STAGE = Chapter(
    "The stage",
    "Two servers start as two processes, as two operators would run them. A registrar who runs neither attests a "
    "laboratory and a doctor.",
    (
        Step("operators", "start a vault and a key service", "started", start_servers),
        Step("registrar", "attests a laboratory and a doctor", "attested", attest_practitioners),
    ),
)
RECORD = Chapter(
    "A record",
    "Alice opens a record on her laptop, prints her recovery kit, and adds a letter, an ECG and a CT study of 52 MiB, "
    "one of which she hides.",
    (
        Step(ALICE, "opens a record with six parts", "opened", open_the_record),
        Step(ALICE, "prints her recovery kit", "printed", print_kit),
        Step(ALICE, "adds a letter, an ECG, a CT study", "added", add_documents),
        Step(ALICE, "hides the ECG", "hidden", hide_tracing),
    ),
)
DEPOSIT = Chapter(
    "A laboratory that can read nothing",
    "A laboratory is let in to deposit, and nothing else. It seals with public keys alone, so there is nothing that it "
    "could read with.",
    (
        Step(ALICE, "lets the laboratory deposit", "granted", let_laboratory_deposit),
        Step(LABORATORY, "deposits prescriptions and results", "deposited", deposit_results),
        Step(LABORATORY, "tries to list the record", "refused", list_as_laboratory),
        Step(LABORATORY, "tries to open what is in it", "refused", open_as_laboratory),
        Step(ALICE, "finds the results, signed", "found", find_results),
    ),
)
