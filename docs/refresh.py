"""Puts what commands print today into the pages that show it: ``make readme``.

The notebook gets the outputs of its cells, but for what they say on standard error. In a page,
a block that follows a line ``<!-- printed by: COMMAND -->`` is replaced by what the command prints, in the
root of the project with ``.venv/bin`` first on the path.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(^<!-- printed by: (.+?) -->\n+```\w*\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)


def main() -> None:
    """Refresh all pages."""
    for page in PAGES:
        text = page.read_text("utf-8")
        fresh = BLOCK.sub(lambda block: block[1] + printed(block[2]), text)
        if fresh != text:
            page.write_text(fresh, "utf-8")
            print(f"refreshed: {page.relative_to(ROOT)}")
    run_notebook()


def run_notebook() -> None:
    """Run the notebook in an empty folder, and keep what it shows."""
    made = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        context = {"metadata": {"path": folder}}
        NotebookClient(made, kernel_name="python3", resources=context, record_timing=False).execute()
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs = [shown for shown in cell.outputs if shown.get("name") != "stderr"]
    made.metadata.pop("language_info", None)  # names this version of Python
    nbformat.write(made, NOTEBOOK)


def printed(command: str) -> str:
    """What a command prints on standard output; what it says besides is shown as it comes."""
    print(f"$ {command}", file=sys.stderr)
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.rstrip("\n") + "\n"


if __name__ == "__main__":
    main()
