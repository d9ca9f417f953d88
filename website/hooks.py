"""Hooks of MkDocs: they add the generated reference and SECURITY.md, and make other links out of docs/ absolute."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # MkDocs loads a hook by its file, outside of any package

from website.reference import pages  # noqa: E402 - needs the path

_LINK: Final = re.compile(r"(\]\()(\.\./[^)#\s]*)(#[^)\s]*)?(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the code."""
    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}", content=text))
    security = (ROOT / "SECURITY.md").read_text("utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "security.md", content=security))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001 - MkDocs' signature
    """Return the page with links to files outside of docs/ as links to the repository."""
    folder = posixpath.dirname(page.file.src_uri)

    def linked(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, match[2]))
        if path == "SECURITY.md":
            return f"{match[1]}{posixpath.relpath('security.md', folder or '.')}{match[3] or ''}{match[4]}"
        if path.startswith("docs/"):
            return match[0]
        return f"{match[1]}{config['repo_url']}/blob/main/{path}{match[3] or ''}{match[4]}"

    return _LINK.sub(linked, markdown)
