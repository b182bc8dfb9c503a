"""The pages of the documentation, read as far as the tests need it. No Sphinx: it is not installed everywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Snippet", "anchors", "links", "page", "section", "snippets"]

ROOT = Path(__file__).parent.parent
PAGES = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<excuse>.+?) -->\n)?```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snippet:
    """A block of Python. `excuse` says why it cannot run; `line` is where its code begins."""

    page: str
    line: int
    code: str
    excuse: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def snippets(name: str) -> list[Snippet]:
    """The blocks of Python of a page, in order."""
    text = page(name)
    return [
        Snippet(
            page=name,
            line=text.count("\n", 0, match.start("code")) + 1,
            code=match["code"],
            excuse=match["excuse"] or "",
        )
        for match in FENCE.finditer(text)
        if match["language"] == "python"
    ]


def prose(name: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page(name))


def section(name: str, title: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    after = page(name).partition(f"# {title}\n")[2]
    return HEADING.split(after)[0]


def links(name: str) -> list[str]:
    """The targets of a page's links and pictures that are in this repository, as they are written."""
    found = [match["target"] for match in LINK.finditer(prose(name))]
    return [target for target in found if "://" not in target]


def anchors(name: str) -> set[str]:
    """What a link may name after the #: the headings, as GitHub and MyST write them."""
    titles = [match["title"] for match in HEADING.finditer(prose(name))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
