"""What the site is made of: pages where they lie, the files that they link to, docstrings (mkdocs.yml)."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PARTS = [
    *("*.md", "CITATION.cff", "docs/*.*", "docs/figures/*.svg", "docs/site/*.css", "docs/site/*.js"),
    *("slurm/*.*", "suites/**/*.yaml", "suites/**/*.py"),
    *("results/README.md", "results/*/figures/*.svg", "results/published/*.*"),
]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Give every file its path in the project, so that links of pages hold here as they do on a code host."""
    for file in [*files]:
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in sorted({path for part in PARTS for path in ROOT.glob(part)}):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))


def on_page_markdown(markdown: str, **_: object) -> str:
    """Let mkdocstrings see what it is asked for; on a code host it is a comment."""
    return re.sub(r"^<!-- (::: [\w.]+) -->$", r"\n\1\n", markdown, flags=re.MULTILINE)


def on_page_content(html: str, **_: object) -> str:
    """Make links of Sphinx's roles in docstrings, to names that the page has."""

    def link(role: re.Match[str]) -> str:
        name = role[1] if role[1].startswith("bench.") else f"bench.{role[1]}"
        code = f"<code>{role[1]}</code>"
        return f'<a href="#{name}">{code}</a>' if f'id="{name}"' in html else code

    return re.sub(r":(?:class|func):<code>~?([\w.]+)</code>", link, html)
