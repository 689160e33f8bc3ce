"""Links and pictures in the Markdown of this repository lead somewhere."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.lesson_files import NOTEBOOKS, ROOT, cells, read_notebook, source

PAGES = [*sorted(ROOT.glob("*.md")), *NOTEBOOKS]
_BLOCK = re.compile(r"(?ms)^ {0,3}(```|~~~).*?^ {0,3}\1")
_SPAN = re.compile(r"(?s)(`+)(?!`).*?(?<!`)\1(?!`)")
# [a](target), [a]: target, and <a href="target">.
_TARGETS = re.compile(
    r"""(?m)\]\(<?([^)\s>]+)|^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)"""
    r"""|<[^>]*\b(?:src|href)=["']([^"']+)"""
)
# A scheme, as in https: or mailto:.
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def markdown(page: Path) -> str:
    """Return the Markdown of a page or a notebook, without its blocks of code."""
    if page.suffix == ".ipynb":
        texts = map(source, cells(read_notebook(page), "markdown"))
        return _BLOCK.sub("", "\n\n".join(texts))
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def targets(text: str) -> list[str]:
    """Return the targets of the links and pictures in a text, except in its code."""
    found = _TARGETS.findall(_SPAN.sub("", text))
    return [next(filter(None, groups)) for groups in found]


def anchors(page: Path) -> set[str]:
    """Return the names that a link can end in after #.

    They are made of the headings, by the rule of GitHub or of Jupyter.
    """
    headings = re.findall(r"(?m)^#{1,6} +(.+?) *$", markdown(page).replace("`", ""))
    if page.suffix == ".ipynb":
        return {heading.replace(" ", "-") for heading in headings}
    return {
        re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
        for heading in headings
    }


def is_there(path: Path) -> bool:
    """Say whether a path exists, in just these capital and small letters.

    Windows does not care for them, GitHub does.
    """
    if path == path.parent:
        return True
    is_named_so = path.exists() and path.name in os.listdir(path.parent)
    return is_named_so and is_there(path.parent)


def broken(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    wrong = []
    for target in targets(markdown(page)):
        if _ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        place = Path(os.path.normpath(page.parent / name)) if name else page
        if target.startswith("/") or not is_there(place):
            wrong.append(f"{target} (nothing is there)")
        elif anchor and anchor not in anchors(place):
            wrong.append(f"{target} (no heading makes #{anchor})")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page leads to a file, and to a heading that is there."""
    assert broken(page) == [], f"{page.name} has broken links"


def test_pages_are_found() -> None:
    """The pages are looked for in the right place."""
    assert ROOT / "README.md" in PAGES


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    """Of links of every form, exactly the bad ones are reported; code has none."""
    (tmp_path / "Other.md").write_text("# A heading, with `code`\n")
    good = (
        "[a](Other.md) ![b](./Other.md 'title') [c](Other.md#a-heading-with-code)\n"
        "[d](https://x.test/no) [e](#own)\n"
    )
    bad = (
        '[f](gone.md) [g](other.md) <img src="gone.png"> [h](Other.md#no) [i](#no)\n'
        "[j](/Other.md)\n\n[k]: gone.txt\n"
    )
    code = "`[l](gone.py)`\n```\n[m](gone.c)\n```\n"
    page = tmp_path / "page.md"
    page.write_text(f"# Own\n{good}{code}{bad}")
    missing = [
        "gone.md",
        "other.md",
        "gone.png",
        "Other.md#no",
        "#no",
        "/Other.md",
        "gone.txt",
    ]
    assert [complaint.partition(" ")[0] for complaint in broken(page)] == missing
