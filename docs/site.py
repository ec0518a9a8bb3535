"""MkDocs hook: the site has the repository's folders, so that a page's links lead to the same places in both.

MkDocs itself takes docs/ alone: without README.md and its like, the builders' pages and the files that pages link to.
A notebook becomes a page as well, with what it shows when it is run.
"""

import pathlib
import re
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)#:]+)")
NOTEBOOK_LINK = re.compile(r"(\]\([^)#:]+)\.ipynb\)")
LONGEST_CELL = 600  # seconds


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
        if path.suffix == ".ipynb":
            for name, content in run_notebook(path).items():
                files.append(File.generated(config, str(path.with_name(name).relative_to(ROOT)), content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to a notebook lead to its page."""
    return NOTEBOOK_LINK.sub(r"\1.md)", markdown)


def run_notebook(path: pathlib.Path) -> dict[str, str | bytes]:
    """Runs a notebook; returns its page in Markdown and the page's pictures, by their names."""
    where = {"metadata": {"path": str(path.parent)}, "unique_key": path.stem}
    executed, _ = ExecutePreprocessor(timeout=LONGEST_CELL).preprocess(nbformat.read(path, as_version=4), where)
    page, made = MarkdownExporter().from_notebook_node(executed, resources=where)
    page = page.replace("![png]", "![What this shows]")
    note = f'\n*This page is a notebook: <a href="{path.name}" download>{path.name}</a>.*\n'
    return {f"{path.stem}.md": page + note} | {name: data for name, data in made["outputs"].items() if name in page}
