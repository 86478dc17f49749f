"""Every link in a document leads to a file or a heading, and every file that it names exists."""

import re

import pytest

from tests.recipes.test_commands import DOCUMENTS
from tests.support.commands import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"```.*?```", re.DOTALL)
# Files of this repository named in a text; those of a reader's own recipe are left out.
NAMED_FILE = re.compile(r"\b(?:tests|recipes|rewards|benchmarks|docs)/[\w/.-]+\.(?:py|yaml|md)\b")
OWN_FILE = re.compile(r"my_recipe|NAME")
OLD_NAMES = "CHANGELOG.md"  # the only document that also names files that have moved


def anchors(text):
    """GitHub's anchors of the headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(kept.replace(" ", "-"))
    return found


def links():
    for path in DOCUMENTS:
        text = FENCE.sub("", path.read_text(encoding="utf-8"))
        for target in LINK.findall(text):
            if not target.startswith(("http://", "https://", "mailto:")):
                yield path, target


@pytest.mark.parametrize(("path", "target"), list(links()), ids=lambda value: str(value)[-60:])
def test_every_relative_link_leads_somewhere(path, target):
    name, _, anchor = target.partition("#")
    file = (path.parent / name).resolve() if name else path
    assert file.exists(), f"{path.relative_to(ROOT)}: {target}"
    if anchor:
        assert anchor in anchors(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_a_document_names_exists(path):
    if path.name == OLD_NAMES:
        return
    names = set(NAMED_FILE.findall(path.read_text(encoding="utf-8")))
    missing = [name for name in sorted(names) if not OWN_FILE.search(name)]
    missing = [name for name in missing if not (ROOT / name).is_file()]
    assert not missing
