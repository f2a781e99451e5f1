"""What the recovery page says, in plain words, in each language (spec `keys.md`, "Recovery").

Every sentence must be true of this program: whoever has the words has the root key and the account key; a page is
replaced by renewing both, which takes the words of the old one; without any copy nobody can print it again.
"""

# ruff: noqa: RUF001  French and German are written with their own punctuation

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

Language = Literal["en", "fr", "de"]

RESTORE_COMMAND: Final = "carnet recovery restore"
RENEW_COMMAND: Final = "carnet recovery renew"


@dataclass(frozen=True, slots=True)
class RecoveryTexts:
    """All sentences of one language.

    In `keep`, `restore` and `lost`, `<b>` marks what must be seen first; `{restore}` and `{renew}` are the commands.
    """

    title: str
    subtitle: str
    intro: str
    warning: str
    words_heading: str
    words_note: str
    code_heading: str
    code_note: str
    qr_note: str
    identity_heading: str
    servers_heading: str
    card_heading: str
    keep_heading: str
    keep: tuple[str, ...]
    restore_heading: str
    restore: tuple[str, ...]
    lost_heading: str
    lost: tuple[str, ...]
    made_on: str
    months: str
    first_day: str
    day_suffix: str

    def format_made_on(self, day: date) -> str:
        """When the page was made, as people of this language write it."""
        number = self.first_day if day.day == 1 else f"{day.day}{self.day_suffix}"
        return self.made_on.format(f"{number} {self.months.split()[day.month - 1]} {day.year}")


TEXTS: Final[dict[Language, RecoveryTexts]] = {
    "en": RecoveryTexts(
        title="Recovery page",
        subtitle="Your way back into your Carnet",
        intro=(
            "If your computer is lost or broken, or you forget your passphrase, the 24 words on this page open your "
            "Carnet again. Without them nobody can do it for you: neither your doctor, nor the hospital, nor the "
            "people who run Carnet."
        ),
        warning="Whoever holds this page can open your Carnet. Guard it like your passport.",
        words_heading="Your 24 words",
        words_note="In this order. The first four letters of each are enough.",
        code_heading="Your code",
        code_note=(
            "Not secret. Read it out to someone in person: if theirs is the same, you both mean the same Carnet."
        ),
        qr_note="The same 24 words, for a code reader",
        identity_heading="Your identity",
        servers_heading="Servers",
        card_heading="Card key",
        keep_heading="Keep it safe",
        keep=(
            "Print this page twice, then delete the file.",
            "Keep one copy at home with your papers, the other in another place that you trust.",
            "Do not photograph it, do not send it. Type the words nowhere but in Carnet.",
            (
                "No hospital, no insurer and nobody from Carnet will ever ask for it. <b>Whoever asks wants to rob "
                "you.</b>"
            ),
        ),
        restore_heading="Get back in",
        restore=(
            (
                "Install Carnet on the new computer and run {restore}, with --card and a server above, and "
                "--fingerprint and the card key above."
            ),
            "Type the 24 words in their order.",
            "Choose a new passphrase.",
            "Look through your devices and remove the one that you lost.",
        ),
        lost_heading="Lost or stolen?",
        lost=(
            (
                "<b>Somebody has it or saw it:</b> run {renew} the same day, with your other copy, and print the new "
                "page. This one then stops working."
            ),
            (
                "<b>Both copies are lost:</b> your devices still open your Carnet. Export your documents and begin a "
                "new one."
            ),
            "<b>All is lost, devices too:</b> nobody can open it any more. Ask your doctors for their copies.",
        ),
        made_on="Made on {}",
        months="January February March April May June July August September October November December",
        first_day="1",
        day_suffix="",
    ),
    "fr": RecoveryTexts(
        title="Page de secours",
        subtitle="Pour rouvrir votre Carnet",
        intro=(
            "Si votre ordinateur est perdu ou cassé, ou si vous oubliez votre phrase secrète, les 24 mots de cette "
            "page rouvrent votre Carnet. Sans eux, personne ne peut le faire à votre place\u00a0: ni votre médecin, ni "
            "l’hôpital, ni ceux qui font marcher Carnet."
        ),
        warning="Qui tient cette page peut ouvrir votre Carnet. Gardez-la comme votre passeport.",
        words_heading="Vos 24 mots",
        words_note="En anglais, et dans cet ordre. Les quatre premières lettres suffisent.",
        code_heading="Votre code",
        code_note=(
            "Il n’est pas secret. Lisez-le à quelqu’un de vive voix\u00a0: si le sien est le même, vous parlez tous "
            "deux du même Carnet."
        ),
        qr_note="Les mêmes 24 mots, pour un lecteur de codes",
        identity_heading="Votre identité",
        servers_heading="Serveurs",
        card_heading="Clé de la carte",
        keep_heading="La garder en lieu sûr",
        keep=(
            "Imprimez cette page deux fois, puis effacez le fichier.",
            "Gardez un exemplaire chez vous avec vos papiers, l’autre ailleurs, en lieu sûr.",
            "Ne la photographiez pas, ne l’envoyez pas. N’écrivez les mots que dans Carnet.",
            (
                "Ni hôpital, ni assureur, ni personne de Carnet ne vous la demandera jamais. <b>Qui la demande veut "
                "vous voler.</b>"
            ),
        ),
        restore_heading="Rouvrir votre Carnet",
        restore=(
            (
                "Installez Carnet sur le nouvel ordinateur et lancez {restore}, avec --card et un serveur ci-dessus, "
                "--fingerprint et la clé de la carte."
            ),
            "Tapez les 24 mots dans leur ordre.",
            "Choisissez une nouvelle phrase secrète.",
            "Regardez vos appareils et retirez celui que vous avez perdu.",
        ),
        lost_heading="Perdue ou volée\u00a0?",
        lost=(
            (
                "<b>Quelqu’un l’a prise ou vue\u00a0:</b> lancez {renew} le jour même, avec l’autre exemplaire, et "
                "imprimez la nouvelle page. Celle-ci cesse alors de marcher."
            ),
            (
                "<b>Les deux sont perdues\u00a0:</b> vos appareils ouvrent encore votre Carnet. Exportez vos documents "
                "et commencez-en un nouveau."
            ),
            (
                "<b>Tout est perdu, appareils compris\u00a0:</b> personne ne peut plus l’ouvrir. Demandez leurs copies "
                "à vos médecins."
            ),
        ),
        made_on="Établie le {}",
        months="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        first_day="1er",
        day_suffix="",
    ),
    "de": RecoveryTexts(
        title="Wiederherstellungsblatt",
        subtitle="Ihr Weg zurück in Ihr Carnet",
        intro=(
            "Wenn Ihr Computer verloren oder kaputt ist oder Sie Ihre Passphrase vergessen, öffnen die 24 Wörter auf "
            "diesem Blatt Ihr Carnet wieder. Ohne sie kann es niemand für Sie tun: weder Ihre Ärztin noch das "
            "Krankenhaus noch die Betreiber von Carnet."
        ),
        warning="Wer dieses Blatt hat, kann Ihr Carnet öffnen. Hüten Sie es wie Ihren Reisepass.",
        words_heading="Ihre 24 Wörter",
        words_note="Auf Englisch, in dieser Reihenfolge. Die ersten vier Buchstaben genügen.",
        code_heading="Ihr Code",
        code_note=(
            "Nicht geheim. Lesen Sie ihn jemandem persönlich vor: Ist es auch dessen Code, meinen Sie beide dasselbe "
            "Carnet."
        ),
        qr_note="Dieselben 24 Wörter, für ein Code-Lesegerät",
        identity_heading="Ihre Identität",
        servers_heading="Server",
        card_heading="Kartenschlüssel",
        keep_heading="Sicher aufbewahren",
        keep=(
            "Drucken Sie dieses Blatt zweimal, dann löschen Sie die Datei.",
            "Eines bleibt zu Hause bei Ihren Papieren, das andere an einem anderen sicheren Ort.",
            "Nicht fotografieren, nicht verschicken. Tippen Sie die Wörter nirgends als in Carnet ein.",
            (
                "Kein Krankenhaus, keine Versicherung und niemand von Carnet wird je danach fragen. <b>Wer fragt, "
                "will Sie bestehlen.</b>"
            ),
        ),
        restore_heading="Wieder hinein",
        restore=(
            (
                "Installieren Sie Carnet auf dem neuen Computer und starten Sie {restore}, mit --card und einem Server "
                "von oben, mit --fingerprint und dem Kartenschlüssel."
            ),
            "Tippen Sie die 24 Wörter der Reihe nach ein.",
            "Wählen Sie eine neue Passphrase.",
            "Sehen Sie Ihre Geräte durch und entfernen Sie das verlorene.",
        ),
        lost_heading="Verloren, gestohlen?",
        lost=(
            (
                "<b>Jemand hat es oder sah es:</b> Starten Sie noch am selben Tag {renew}, mit dem anderen Blatt, und "
                "drucken Sie das neue. Dieses gilt dann nicht mehr."
            ),
            (
                "<b>Beide sind verloren:</b> Ihre Geräte öffnen Ihr Carnet noch. Exportieren Sie Ihre Dokumente und "
                "beginnen Sie ein neues."
            ),
            (
                "<b>Alles ist verloren, auch die Geräte:</b> Niemand kann es mehr öffnen. Bitten Sie Ihre Ärzte um "
                "deren Kopien."
            ),
        ),
        made_on="Erstellt am {}",
        months="Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        first_day="1.",
        day_suffix=".",
    ),
}
