"""What is installed from a wheel has all that it needs: nothing of the clone is at hand there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of a wheel, built from what is in version control or will be."""
    folder = tmp_path_factory.mktemp("wheel")
    files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(files, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() and not name.startswith(("tests/", "results/", "docs/")):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / "source" / name, follow_symlinks=False)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", ".", "./source"]
    subprocess.run([sys.executable, "-m", "pip", *build], cwd=folder, check=True)
    [wheel] = folder.glob("lossbench-*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def command(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from bench.cli import main; main()", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True,
    )  # fmt: skip


def test_suites_and_profiles_are_there_by_name(installed: Path, tmp_path: Path) -> None:
    ran = command(installed, tmp_path, "run", "quickstart", "--scale", "tiny", "--workers", "1")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "results" / "quickstart-tiny" / "report.html").exists()
    (tmp_path / "losses" / "ten_lines").mkdir(parents=True)  # a folder of that name is not meant
    planned = command(installed, tmp_path, "plan", "losses/ten_lines", "--on", "gpu")
    assert planned.returncode == 0, planned.stderr
    assert "gres" in planned.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "quikstart"), "unknown suite 'quikstart'"),
        (("plan", "quickstart", "--on", "gpus"), "unknown profile 'gpus'"),
    ],
)
def test_names_that_nothing_has(
    installed: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    ran = command(installed, tmp_path, *words)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert "did you mean" in ran.stderr
    assert not [*tmp_path.iterdir()]


def test_nothing_but_the_package_is_installed(installed: Path) -> None:
    assert {path.name.split("-")[0] for path in installed.iterdir()} == {"bench", "lossbench"}
    assert not [*installed.rglob("state")]
