"""A hook of MkDocs: links of the pages that lead out of ``docs/`` lead somewhere in the site.

The pages are read in the checkout as well, where ``../experiments/co2`` is a folder. In the site
that is the study's page; what the site does not hold (source, configuration) becomes its path, or
a link into the repository where ``repo_url`` says which.
"""

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\.?/[^)\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\((?:\.\./)+experiments/([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of one page."""
    return relinked(markdown, page.file.src_uri, config.repo_url)


def relinked(markdown: str, page: str, repository: str | None = None) -> str:
    """The text of a page of the site, whose links lead to what the site holds.

    Args:
        page: its path within ``docs/``, such as ``data.md``.
        repository: the address at which files of the checkout can be read.
    """
    folder = posixpath.dirname(page)
    # The pages of studies are deeper in the site than in the checkout.
    here = re.sub(r"^gallery\b", "../experiments", folder)

    def site(path: str) -> str:
        return posixpath.relpath(path, folder or ".")

    def picture(match: re.Match[str]) -> str:
        return f"![{match[1]}]({site('gallery/' + match[2])})"

    def link(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, _, heading = target.partition("#")
        place = posixpath.normpath(posixpath.join(here, path))
        if not place.startswith("../"):
            return match[0]
        place = place.removeprefix("../")
        if place == "experiments" or re.fullmatch(r"experiments/\w+", place):
            return f"[{text}]({site(place.replace('experiments', 'gallery', 1))}/index.md)"
        if place.startswith("docs/"):
            anchor = f"#{heading}" if heading else ""
            return f"[{text}]({site(place.removeprefix('docs/'))}{anchor})"
        if repository:
            return f"[{text}]({repository.rstrip('/')}/blob/main/{place})"
        names_it = text.strip("`/") in place.split("/") or place in text
        return text if names_it else f"{text} (`{place}`)"

    return LINK.sub(link, PICTURE.sub(picture, markdown))
