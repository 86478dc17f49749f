"""Every relative link in a document leads to a file, and its anchor to a heading."""

import re

import pytest

from tests.recipes.test_commands import DOCUMENTS
from tests.support.commands import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"```.*?```", re.DOTALL)


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
