"""The last chapter: every byte that the servers stored and logged is searched, once the search has shown its worth."""

from carnet.access import open_access
from carnet.demo.canaries import Needle, search
from carnet.demo.ending import NEW_LAPTOP
from carnet.demo.plants import planted
from carnet.demo.stage import Stage
from carnet.demo.step import Chapter, Step
from carnet.documents.reading import open_document


def find_planted(stage: Stage) -> str:
    """Six canaries, planted as rows, lines and objects in both servers' folders, are all found."""
    with planted(stage.server_folders) as needles:
        found = {finding.needle for finding in search(stage.server_folders, needles).findings}
        return "found" if found == {needle.name for needle in needles} else f"{len(found)} of {len(needles)}"


def find_nothing(stage: Stage) -> str:
    """Contents, titles, comments, names, notes, keys, words: none of them is there, in any spelling."""
    needles = [*stage.needles, *_document_keys(stage)]
    stage.searched_for = len(needles)
    stage.searched = search(stage.server_folders, needles)
    return "nothing" if not stage.searched.findings else "found"


def _document_keys(stage: Stage) -> list[Needle]:
    """The keys of every document as it is now."""
    session = stage.sessions[NEW_LAPTOP]
    access = open_access(session, session.record)
    needles: list[Needle] = []
    for name, paper in stage.papers.items():
        opened = open_document(session, access, paper.id)
        needles += [
            Needle(f"content key of the {name}", opened.content_key.reveal()),
            Needle(f"metadata key of the {name}", opened.metadata_key.reveal()),
        ]
    return needles


SEARCH = Chapter(
    "What the servers hold",
    "Every byte that the two servers stored and logged is searched for contents, titles, names, notes and keys, as "
    "they are and in other spellings; first for canaries that are planted there on purpose.",
    (
        Step("search", "finds six canaries planted there", "found", find_planted),
        Step("search", "looks for all that is secret", "nothing", find_nothing),
    ),
)
