"""A discharge letter of a French hospital to a general practitioner, two pages of PDF.

Streams are not compressed, so that a canary stands in the file as plain bytes.
"""

# ruff: noqa: RUF001  French is written with typographic apostrophes

from pathlib import Path
from typing import Final

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    FrameBreak,
    KeepTogether,
    NextPageTemplate,
    PageBreak,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from carnet.samples.document import DocumentKind, SampleDocument, canary_text
from carnet.samples.letterhead import (
    BODY,
    BOX,
    BULLET,
    CELL,
    END,
    HEADING,
    RIGHT,
    RULED,
    SIDE,
    SIDE_HEADING,
    Signature,
    french_date,
    french_number,
    french_text,
    page_templates,
)
from carnet.samples.story import HOSPITAL, TOWN, WARD, Prescription, Story, derive_story

KIND: Final = DocumentKind("34105-7", "Hospital Discharge summary")
MEDIA_TYPE: Final = "application/pdf"


def make_letter(path: Path, *, seed: int, canary: bytes | None = None) -> SampleDocument:
    """Write the discharge letter of `seed` to `path`, with `canary` as its reference when there is one."""
    story = derive_story(seed)
    reference = canary_text(canary)
    title = "Lettre de liaison, cardiologie"
    document = BaseDocTemplate(
        str(path),
        pagesize=A4,
        invariant=1,
        pageCompression=0,
        lang="fr-FR",
        title=title,
        author=f"Dr {story.cardiologist.name}",
        subject=f"Hospitalisation de {story.patient.name}",
        creator=HOSPITAL,
        keywords=[reference] if reference else [],
    )
    document.addPageTemplates(page_templates(story, reference))
    document.build(_flowables(story, seed))
    return SampleDocument(
        path=path,
        title=title,
        kind=KIND,
        media_type=MEDIA_TYPE,
        care_date=story.discharge,
        description=f"Lettre de sortie de {story.patient.name} à son médecin traitant, deux pages",
    )


def _flowables(story: Story, seed: int) -> list[Flowable]:
    return [
        NextPageTemplate("later"),
        *_sidebar(story),
        FrameBreak(),
        *_opening(story),
        *_history(story),
        PageBreak(),
        *_examinations(story),
        *_treatment(story),
        *_closing(story, seed),
    ]


def _sidebar(story: Story) -> list[Flowable]:
    blocks = (
        (WARD, ("Bâtiment C, 3e étage",)),
        ("Chef de service", ("Pr Alma NEXISTEPAS",)),
        ("Praticiens hospitaliers", (f"Dr {story.cardiologist.name}", "Dr Paul AUCUN", "Dr Rose FABLE")),
        ("Chef de clinique", ("Dr Jean CONTE",)),
        ("Cadre de santé", ("Mme Line LEGENDE",)),
        ("Secrétariat", ("01 99 00 40 21", "cardio@ch.example")),
        ("Hospitalisation", ("01 99 00 40 22",)),
        ("Avis cardiologique", ("24 h sur 24", "01 99 00 40 23")),
    )
    flowables: list[Flowable] = []
    for heading, lines in blocks:
        text = "<br/>".join(lines)
        flowables += [Paragraph(heading, SIDE_HEADING), Paragraph(text, SIDE), Spacer(1, 9)]
    return flowables


def _opening(story: Story) -> list[Flowable]:
    patient, doctor = story.patient, story.general_practitioner
    born = "née" if patient.sex == "female" else "né"
    box = Table(
        [
            [
                Paragraph(f"<b>{patient.civility} {patient.name}</b><br/>{born} le {french_date(patient.born)}", CELL),
                Paragraph(f"INS de test {patient.number}<br/>Séjour {story.admission:%y%m%d}-C3-017", CELL),
            ]
        ],
        colWidths=[70 * mm, 63 * mm],
        style=BOX,
    )
    return [
        Paragraph(f"Docteur {doctor.name}<br/>Médecine générale<br/>8, place du Marché-Inventé<br/>{TOWN}", RIGHT),
        Spacer(1, 6),
        Paragraph(f"Saint-Exemple, le {french_date(story.discharge)}", RIGHT),
        Spacer(1, 5),
        Paragraph("<b>Lettre de liaison à la sortie d’hospitalisation</b>", BODY),
        box,
        Spacer(1, 9),
        Paragraph("Cher Docteur,", BODY),
    ]


def _history(story: Story) -> list[Flowable]:
    patient = story.patient
    e = "e" if patient.sex == "female" else ""
    birthday_to_come = (story.admission.month, story.admission.day) < (patient.born.month, patient.born.day)
    age = story.admission.year - patient.born.year - birthday_to_come
    stay = f"du {story.admission:%d/%m/%Y} au {story.discharge:%d/%m/%Y}"
    return [
        french_text(
            f"Votre patient{e}, âgé{e} de {age} ans, a été hospitalisé{e} dans notre service {stay} pour une "
            "<b>décompensation cardiaque gauche</b> au cours d’une infection bronchopulmonaire."
        ),
        Paragraph("Antécédents", HEADING),
        *_bullets(
            "Hypertension artérielle traitée depuis 2009 ; dyslipidémie.",
            "Diabète de type 2 depuis 2014, sans rétinopathie connue.",
            "Maladie rénale chronique modérée (stade 3a).",
            "Pas d’allergie connue. Tabagisme sevré en 1998.",
        ),
        Paragraph("Mode de vie et traitement à l’entrée", HEADING),
        french_text(f"Vit seul{e} à domicile, autonome, marche une demi-heure par jour. {_drugs_at_home(story)}."),
        Paragraph("Histoire de la maladie", HEADING),
        french_text(
            "Depuis dix jours, toux grasse et fébricule, traitées par ibuprofène pris sans ordonnance. Majoration de "
            "l’essoufflement jusqu’au moindre effort (NYHA III), orthopnée à deux oreillers, prise de poids de quatre "
            "kilos en une semaine. Pas de douleur thoracique."
        ),
        Paragraph("À l’entrée", HEADING),
        french_text(
            f"Pression artérielle 152/88 mmHg, fréquence cardiaque {story.heart_rate + 31}/min, saturation 89 % en air "
            f"ambiant, température 38,1 °C, poids {french_number(story.weight_in)} kg. Crépitants des deux bases, "
            "foyer de la base droite, œdèmes des membres inférieurs jusqu’aux genoux, turgescence jugulaire."
        ),
        Paragraph("Évolution", HEADING),
        french_text(
            "Sous furosémide intraveineux, oxygène pendant quarante-huit heures et amoxicilline-acide clavulanique, "
            "l’évolution a été rapidement favorable : apyrexie au troisième jour, poids de sortie "
            f"{french_number(story.weight_out)} kg, saturation 96 % en air ambiant. L’insuffisance rénale aiguë, "
            "fonctionnelle et favorisée par l’ibuprofène, s’est en grande partie corrigée. Une bradycardie à 48/min "
            "au repos nous a fait réduire le bisoprolol de moitié."
        ),
    ]


def _examinations(story: Story) -> list[Flowable]:
    return [
        Paragraph("Biologie", HEADING),
        _results_table(story),
        Spacer(1, 3),
        Paragraph("Autres examens", HEADING),
        *_bullets(
            f"<b>Électrocardiogramme</b> : rythme sinusal à {story.heart_rate}/min, QRS fins, pas de trouble de la "
            "repolarisation évocateur d’ischémie.",
            f"<b>Échographie cardiaque</b> : fraction d’éjection du ventricule gauche à {story.ejection_fraction} %, "
            "hypokinésie globale, oreillette gauche dilatée, pas de valvulopathie significative.",
            "<b>Scanner thoracique</b> : condensation de la base droite, épanchements pleuraux minimes ; nodule "
            f"pulmonaire du lobe supérieur droit de {story.nodule_mm} mm, à contrôler.",
        ),
    ]


def _results_table(story: Story) -> Table:
    days = (story.admission, story.discharge)
    rows: list[list[str]] = [["", *(f"{day:%d/%m/%Y}" for day in days), "Unité", "Référence"]]
    abnormal: list[tuple[int, int]] = []
    for series in story.series:
        known = dict(series.values)
        row = [series.french]
        for column, day in enumerate(days, start=1):
            row.append(french_number(known[day], series.decimals) if day in known else "")
            if day in known and series.flag(known[day]):
                abnormal.append((column, len(rows)))
        low, high = (french_number(limit, series.decimals) for limit in (series.low, series.high))
        rows.append([*row, series.unit, f"{low} à {high}"])
    return Table(
        rows,
        colWidths=[58 * mm, 30 * mm, 30 * mm, 25 * mm, 31 * mm],
        hAlign="LEFT",
        style=TableStyle(
            [
                ("ALIGN", (1, 0), (2, -1), "RIGHT"),
                ("RIGHTPADDING", (1, 0), (2, -1), 22),
                *(("FONTNAME", cell, cell, "Helvetica-Bold") for cell in abnormal),
            ],
            parent=RULED,
        ),
    )


def _treatment(story: Story) -> list[Flowable]:
    rows: list[list[Paragraph]] = [[Paragraph(f"<b>{text}</b>", CELL) for text in ("Médicament", "Prise", "Remarque")]]
    for drug in story.prescriptions:
        same = [other for other in story.prescriptions if other.substance == drug.substance and other is not drug]
        if not same or drug.by_hospital:
            texts = (drug.french, drug.instruction, _remark(drug, same))
            rows.append([Paragraph(text, CELL) for text in texts])
    table = Table(rows, colWidths=[61 * mm, 63 * mm, 50 * mm], hAlign="LEFT", style=RULED)
    return [KeepTogether([Paragraph("Traitement de sortie", HEADING), table, Spacer(1, 3)])]


def _remark(drug: Prescription, same: list[Prescription]) -> str:
    if same:
        return f"<b>dose réduite</b> (avant : {same[0].dose:g} {drug.dose_unit})"
    return f"nouveau, jusqu’au {drug.end:%d/%m/%Y}" if drug.by_hospital else "poursuivi"


def _closing(story: Story, seed: int) -> list[Flowable]:
    return [
        Paragraph("Merci de bien vouloir", HEADING),
        *_bullets(
            "contrôler créatinine et potassium dans dix jours, puis tous les mois pendant trois mois ;",
            f"surveiller le poids : nous rappeler au-delà de {french_number(story.weight_out + 2)} kg ;",
            "proscrire les anti-inflammatoires non stéroïdiens, y compris sans ordonnance ;",
            "prévoir un scanner thoracique sans injection dans trois mois (nodule) ;",
            "vérifier les vaccinations contre la grippe et le pneumocoque.",
        ),
        Paragraph(
            "Une consultation de contrôle est prévue dans un mois. En vous remerciant de votre confiance, je vous prie "
            "d’agréer, cher Docteur, mes salutations confraternelles.",
            END,
        ),
        KeepTogether([Signature(seed), Paragraph(f"Docteur {story.cardiologist.name}<br/>{WARD}", RIGHT)]),
    ]


def _drugs_at_home(story: Story) -> str:
    return ", ".join(drug.french for drug in story.prescriptions if not drug.by_hospital)


def _bullets(*texts: str) -> list[Flowable]:
    return [french_text(text, BULLET, "•") for text in texts]
