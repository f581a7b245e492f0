"""Follows every link of a site in a folder: `python -m tests.docs_site build/docs`; what it loads must lie in it too."""

import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Is shown for any address, and so has none to be relative to.
_NOWHERE = "404.html"
# What a page loads by itself; an <a> is for the reader to follow.
_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """The anchors of a page, the links for readers, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if values.get(_LOADED.get(tag, "")):
            self.loaded.append(values[_LOADED[tag]])


def list_faults(site):
    """Return what leads nowhere in a site, and what comes from outside of it, as PAGE: ADDRESS."""
    site = site.resolve()
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        if path.name == _NOWHERE:
            continue
        inside = [address for address in page.links if not urlsplit(address).scheme]
        wrong = [address for address in (*inside, *page.loaded) if not _leads(path, address, pages)]
        faults += [f"{path.relative_to(site)}: {address}" for address in wrong]
    return faults


def _leads(path, address, pages):
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return False
    target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
    if target not in pages:
        return target.is_file()
    return not parts.fragment or unquote(parts.fragment) in pages[target].anchors


def main():
    """Print the faults; exit with 1 where there are some, or no pages."""
    site = Path(sys.argv[1])
    faults = list_faults(site)
    print("\n".join(faults) or f"{len(list(site.rglob('*.html')))} pages, every link leads somewhere")  # noqa: T201
    sys.exit(bool(faults) or not (site / "index.html").is_file())


if __name__ == "__main__":
    main()
