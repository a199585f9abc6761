"""Does the mirror write into every MLflow that pyproject.toml allows, and as fast as it can?

Each version is unpacked into a folder of its own, and put before the libraries that are installed here. In
it a small suite is mirrored through the tables and through MLflow's own client, and read back with MLflow.
Some minutes for each version; a version whose schema is not yet among the known ones is told at the end.

    python benchmarks/mlflow_versions.py [VERSION ...]     # default: every one that pyproject.toml allows
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PARTS = ("mlflow", "mlflow-skinny", "mlflow-tracing")
TRY = """
import sys, tempfile, time
from pathlib import Path
sys.path[:0] = [{here!r}, {here!r} + "/tests"]
import warnings; warnings.simplefilter("ignore")
import mlflow, sqlalchemy
from mirrored import make_results, make_suite, mirrored, client_of
from bench.tracking.answer import Answer
from bench.tracking.mirror import Mirror
from bench.tracking.database import Tables, schema_of
place = Path(tempfile.mkdtemp())
suite = make_suite()
make_results(place, suite)
baseline = {{("digits", "vgg5-tiny", "ce"): "baseline"}}
said = Answer("Is it?", "It is.", "It is.", baseline, {{"ce/delta": 0.0}})
ways = []
for name in ("first", "client"):
    uri = f"sqlite:///{{place}}/{{name}}.db"
    if name == "client":
        Tables.known = lambda uri: None
    mirror = Mirror(suite, place, uri)
    assert mirror.sync().created == 4
    mirror.attach_report([], said)
    ways.append("tables" if isinstance(mirror._many, Tables) else "client")
    assert Mirror(suite, place, uri).sync().unchanged == 4
    parent, runs = mirrored(uri)
    assert len(runs) == 4 and parent.data.tags["mlflow.note.content"] == "It is."
    for run in runs.values():
        assert run.data.metrics["accuracy"] == 0.7 and run.data.params["seed"]
        assert [used.dataset.digest for used in run.inputs.dataset_inputs] == ["0123456789abcdef"]
    client_of(uri).delete_run(next(iter(runs.values())).info.run_id)
    assert Mirror(suite, place, uri).sync().deleted == 1
schema = schema_of(sqlalchemy.create_engine(f"sqlite:///{{place}}/first.db"))
print("FOUND", mlflow.__version__, schema, ways[0])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", help="default: every one that pyproject.toml allows")
    parser.add_argument("--keep", type=Path, help="folder for what is unpacked (default: thrown away)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-mlflow-") as temporary:
        place = args.keep or Path(temporary)
        for version in args.versions or allowed():
            print(attempt(version, place / version), flush=True)


def allowed() -> list[str]:
    """Versions on PyPI from the oldest that pyproject.toml allows, oldest first."""
    oldest = re.search(r'"mlflow>=([\d.]+)"', (HERE / "pyproject.toml").read_text())[1]  # type: ignore[index]
    asked = [sys.executable, "-m", "pip", "index", "versions", "mlflow"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Available versions: (.*)", told)[1].split(", ")  # type: ignore[index]

    def order(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))

    return sorted((v for v in found if order(v) >= order(oldest)), key=order)


def attempt(version: str, folder: Path) -> str:
    """One line on how a version did."""
    if not folder.exists():
        # With the SQLAlchemy that it was made for: older ones do not even import with 2.1.
        wanted = [*(f"{part}=={version}" for part in PARTS), "sqlalchemy<2.1"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        made = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            return f"{version:8} not installed: {made.stderr.strip().splitlines()[-1]}"
    tried = subprocess.run(
        [sys.executable, "-c", TRY.format(here=str(HERE))],
        env={**os.environ, "PYTHONPATH": str(folder), "MLFLOW_TRACKING_URI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"FOUND (\S+) (\S*) (\S+)", tried.stdout)
    if found is None:
        lines = tried.stderr.strip().splitlines() or ["no word"]
        return f"{version:8} FAILS: {lines[-1][:150]}"
    return f"{version:8} schema {found[2]}, written through {found[3]}"


if __name__ == "__main__":
    main()
