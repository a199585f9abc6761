"""Puts what commands print today into the pages that show it: ``make readme``.

A block that follows a line ``<!-- printed by: COMMAND -->`` is replaced by what the command prints, in the
root of the project with ``.venv/bin`` first on the path.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
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
