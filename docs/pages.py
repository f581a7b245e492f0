"""What mkdocs.yml asks for: README and others as pages of their own, and links into the repository as files of the site.

A link in a file is right where the file lies, on a code host and on a disk; here it is written anew for the page that the file
becomes. What a page links to and is no page is copied, so that the site needs no code host.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Files outside of docs/ that are pages, by the page's name.
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "examples.md": "examples/README.md",
}
# Below which the site has the repository's files; as text, which a browser shows.
_FILES = "files"
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def find_place(path: str) -> str:
    """Return where the site has a file of the repository: a page, a file of docs/, or a copy."""
    for page, source in PAGES.items():
        if path == source:
            return page
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{_FILES}/{path}.txt"


def find_source(page: str) -> str:
    """Return the file of the repository that a page is made of."""
    return PAGES.get(page, f"docs/{page}")


def rewrite_links(text: str, page: str) -> tuple[str, set[str]]:
    """Return a page's text with its links as the site has them, and the files that have to be copied for it.

    Raises FileNotFoundError for a link to no file of the repository.
    """
    folder = posixpath.dirname(find_source(page))
    copied = set()

    def rewrite(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        if path.startswith("..") or not (ROOT / path).is_file():
            message = f"{find_source(page)} links to {match[1]}, and there is no such file"
            raise FileNotFoundError(message)
        place = find_place(path)
        if place.startswith(f"{_FILES}/"):
            copied.add(path)
        return posixpath.relpath(place, posixpath.dirname(page) or ".") + (match[2] or "")

    parts = [part if part.startswith("```") else _LINK.sub(rewrite, part) for part in _FENCE.split(text)]
    return "".join(parts), copied


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere, and the files that pages link to."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    copied = set()
    for file in files.documentation_pages():
        copied |= rewrite_links(file.content_string, file.src_uri)[1]
    for path in sorted(copied):
        files.append(File.generated(config, find_place(path), abs_src_path=os.fspath(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the text of a page with its links rewritten."""
    return rewrite_links(markdown, page.file.src_uri)[0]
