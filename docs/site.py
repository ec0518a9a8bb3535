"""MkDocs hook: the site has the repository's folders, so that a page's links lead to the same places in both.

MkDocs itself takes docs/ alone: without README.md and its like, the builders' pages and the files that pages link to.
"""

import pathlib
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)#:]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Puts docs/ into a folder of that name, beside it the root's pages and whatever is linked from page to page."""
    of_docs = [file for file in files if file.src_dir == config.docs_dir]
    for file in of_docs:
        files.remove(file)
    found: set[pathlib.Path] = set()
    waiting = [*ROOT.glob("*.md"), *(pathlib.Path(config.docs_dir, file.src_uri) for file in of_docs)]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file() or path.suffix == ".pyc":
            continue
        found.add(path)
        if path.suffix == ".md":
            waiting += [(path.parent / link).resolve() for link in LINK.findall(path.read_text())]
    for path in sorted(found - {pathlib.Path(__file__).resolve()}):
        files.append(File(str(path.relative_to(ROOT)), str(ROOT), config.site_dir, config.use_directory_urls))
    return files
