"""The documentation does what it says: every link leads somewhere, every command runs.

The ```sh blocks of a page are run by one bash, from top to bottom, in a folder that looks like a checkout:
``suites/`` (``quickstart.yaml`` is a small one), ``slurm/`` (``gpu.yaml`` is the local cluster's) and
``benchmarks/``. A block below a line that ends with a file's name in backticks and a colon is written to that
file. The lines of a ```text block must be among those that the page's commands printed.

What is not run as it stands says so in a comment right above the block, which readers do not see:

    <!-- run: no, REASON -->         it cannot be run here
    <!-- run: as TEXT -->            run (or written) is TEXT instead: the same, smaller
    <!-- run: serves -->             it serves a page until it is ended: which is done once that answers
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import authors
import pytest
from servers import free_port, serving
from typer.main import get_command

from bench.cli import app
from bench.comparisons.comparison import Metric
from bench.recipe import Recipe
from bench.reports import columns
from bench.reports.methods import trainings
from bench.reports.schema import Cell, Compared, RankedLoss, Ranking, Report, SearchOf, TrialOf, Tuning

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *GUIDES, ROOT / "slurm" / "README.md", *sorted((ROOT / "results").glob("**/README.md"))]

SECONDS = 600  # for a page: patient, since machines are busy
QUICKSTART = """\
question: Do MIN-ENT or MIX-ENT beat cross entropy on handwritten digits?
datasets: {digits: {train_size: 200, test_size: 100}}
models: vgg5-tiny
losses: [ce, min_ent]
baseline: ce
seeds: 2
recipe: {epochs: 2, batch_size: 32}
selection: last
"""
SMALL = {
    "quickstart": QUICKSTART,
    "mine": QUICKSTART,
    "other": QUICKSTART.replace("min_ent]", "min_ent, mae]"),
}

FENCED = re.compile(
    r"(?:`(?P<file>[\w./-]+)`:\n\n)?"
    r"(?:^<!-- run: (?P<how>no|as|serves)\b,?(?P<rest>(?:(?!-->).)*)-->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    file: str
    """Where it is written to; empty: nowhere."""
    how: str
    """``no``, ``as`` or ``serves``; empty: as it stands."""
    rest: str
    """What follows that word: the reason, or what is run instead."""


def blocks(page: Path) -> list[Block]:
    """All of a page, in order."""
    text = page.read_text("utf-8")
    found = [
        Block(
            *(match[part] or "" for part in ("language", "text", "file", "how")),
            (match["rest"] or "").strip(),
        )
        for match in FENCED.finditer(text)
    ]
    assert sum(block.how != "" for block in found) == text.count("<!-- run:"), (
        f"{page}: a comment out of place"
    )
    return found


# --------------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    prose = FENCED.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ +(.+?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = FENCED.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere: no network is needed for tests
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(there), f"{page}: {target}: it has {sorted(anchors(there))}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.name != "CONTRIBUTING.md":  # whose block is the house; those of others are examples
        text = FENCED.sub("", text)
    named = re.findall(
        r"(?<![\w./-])((?:bench|benchmarks|tests|slurm|docs)/[\w/-]+(?:\.(?:py|md|yaml|sh))?)", text
    )
    made = {"slurm/local-cluster/state"}  # by what the page tells
    assert not [name for name in {*named} - made if not (ROOT / name).exists()]


def test_modules_that_a_page_names_are_there() -> None:
    named = {
        name
        for page in [*PAGES, ROOT / "CONTRIBUTING.md"]
        for name in re.findall(r"\bbench\.[a-z_]+(?:\.[a-z_]+)+", page.read_text("utf-8"))
    }
    lost = []
    for name in named:
        module, _, attribute = name.rpartition(".")
        if find_spec(name) is None and not hasattr(import_module(module), attribute):
            lost.append(name)
    assert not lost


def test_the_index_has_every_guide() -> None:
    index = ROOT / "docs" / "README.md"
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index.read_text("utf-8")))
    assert linked == {page.name for page in GUIDES} - {index.name}


def test_what_is_not_run_says_why_and_is_little() -> None:
    skipped = [block for page in PAGES for block in blocks(page) if block.how == "no"]
    assert all(len(block.rest.split()) > 3 for block in skipped)
    assert len(skipped) <= 3


# ------------------------------------------------------------------------------------------ commands


def run_here(page: Path) -> list[Block]:
    """The commands, files and printed lines of a page. What make does is what .ci/run runs."""
    ours = []
    for block in blocks(page):
        makes = re.findall(r"^(make \w+)", block.text, re.MULTILINE) if block.language == "sh" else []
        assert all(re.search(f"^{line}$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE) for line in makes)
        if block.how != "no" and not makes and (block.language in ("sh", "text") or block.file):
            ours.append(block)
    return ours


COMMANDS = [page for page in [README, *GUIDES] if any(block.language == "sh" for block in run_here(page))]


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """What the pages share. Not below pytest's folder: paths of sockets are short."""
    folder = Path(tempfile.mkdtemp(prefix="bench-docs-"))
    shutil.copytree(ROOT / "slurm", folder / "slurm", ignore=shutil.ignore_patterns("state", "__pycache__"))
    shutil.copy(folder / "slurm" / "local.yaml", folder / "slurm" / "gpu.yaml")
    shutil.copytree(ROOT / "suites", folder / "suites")
    for name, text in SMALL.items():
        (folder / "suites" / f"{name}.yaml").write_text(text)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    try:
        yield folder
    finally:
        cluster = folder / "slurm" / "local-cluster" / "cluster.py"
        subprocess.run([sys.executable, cluster, "down"], check=True, timeout=SECONDS)
        shutil.rmtree(folder)


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.stem)
def test_commands_run(page: Path, checkout: Path, tmp_path: Path) -> None:
    ours = run_here(page)
    for part in ("slurm", "benchmarks"):
        (tmp_path / part).symlink_to(checkout / part)
    shutil.copytree(checkout / "suites", tmp_path / "suites")
    text = "".join(block.text for block in ours)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("BENCH_", "MLFLOW_T"))},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "PYTHONPATH": str(ROOT),
        "BENCH": str(checkout),
    }
    if "--on " in text:
        for program in ("sbatch", "slurmdbd", "mariadbd", "munged"):
            if shutil.which(program, path=environment["PATH"]) is None:
                pytest.skip(f"{program} is missing: slurm/local-cluster/cluster.py up installs it")
        cluster = checkout / "slurm" / "local-cluster"
        subprocess.run([sys.executable, cluster / "cluster.py", "up"], check=True, timeout=SECONDS)
        environment["SLURM_CONF"] = str(cluster / "state" / "slurm.conf")
    if ".pt" in text:
        authors.publish(tmp_path)
    printed = run_all(ours, tmp_path, environment)
    for line in (line for block in ours if block.language == "text" for line in block.text.splitlines()):
        assert line in printed, f"{page} shows a line that nothing printed: {line}\n" + "\n".join(printed)
    for block in ours:
        if block.how == "serves":
            serve(block, tmp_path, environment)
    if page.stem == "statistics":
        tables = {line for line in page.read_text("utf-8").splitlines() if line.startswith("|")}
        measured = [line for line in printed if line.startswith("|")]
        assert len(measured) > 10
        assert tables.issuperset(measured)


def run_all(ours: list[Block], folder: Path, environment: dict[str, str]) -> list[str]:
    """Write a page's files, run its commands; returns the lines that these printed."""
    script = []
    for number, block in enumerate(ours):
        text = block.rest if block.how == "as" else block.text
        if block.file:
            script.append(f"cat > {block.file} <<'THE_END'\n{text.rstrip()}\nTHE_END")
        elif block.language == "sh" and block.how != "serves":
            script.append(f"echo 'block {number}' >&2\n{text}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        input="y\n" * 9,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.splitlines()


def serve(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Run a command that serves a page, until it does."""
    port = free_port()
    command = re.sub(r" +#.*", "", block.text).strip() + f" --port {port}"
    given = [f"{key}={value}" for key, value in environment.items()]
    with serving(
        ["env", "-C", str(folder), *given, "bash", "-c", command], f"http://127.0.0.1:{port}", folder
    ):
        pass


# ---------------------------------------------------------------------------------- your own loss


def test_own_loss_takes_ten_lines() -> None:
    files = {block.file: block.text for block in blocks(ROOT / "docs" / "own-loss.md") if block.file}
    assert sorted(files) == ["brier.yaml", "mine.py"]
    assert sum(bool(line.strip()) for text in files.values() for line in text.splitlines()) <= 10


# ------------------------------------------------------------------------------------------- the JSON


def test_every_key_of_a_report_is_documented() -> None:
    text = (ROOT / "docs" / "json.md").read_text("utf-8")
    keys = {*columns.keys()} | {field.name for field in fields(Metric)}
    for document in (Cell, Report, Compared, Ranking, RankedLoss, Tuning, SearchOf, TrialOf):
        keys |= {*document.model_fields}
    assert keys - {*re.findall(r"`(\w+)`", text)} == set()


# ------------------------------------------------------------------------------------------- help


VERBS = get_command(app).commands  # type: ignore[attr-defined]


def test_every_key_of_a_recipe_is_in_its_guide() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "recipe.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(Recipe.model_fields)
    assert trainings.RECIPE.keys() == Recipe.model_fields.keys()  # and has words for a paper


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_a_guide(verb: str) -> None:
    assert any(re.search(rf"\bbench {verb}\b", page.read_text("utf-8")) for page in GUIDES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_named_in_the_text_exist(page: Path) -> None:
    for verb, rest in re.findall(r"\bbench ([a-z-]+)\b([^`#\n]*)", page.read_text("utf-8")):
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            known = {name for parameter in VERBS[verb].params for name in parameter.opts}
            assert option in known, f"{page}: bench {verb} {option}"


def test_help_shows_every_verb_whole() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "bench", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    ).stdout
    assert "..." not in shown.partition("Options:")[2]
    for verb in VERBS:
        assert re.search(rf"^  {verb} +\S", shown, re.MULTILINE), verb
