"""In a notebook: the one of the docs runs as it stands, and an interrupted one leaves no process behind."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import nbformat
import pytest
from helpers import wait_for
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]

INTERRUPTED = """
import bench
suite = bench.Suite(
    name="interrupted", question="Does it stop?", datasets="digits", models="vgg5-tiny", losses="ce", seeds=4,
    recipe={"epochs": 100_000}, selection="last",
)
bench.run(suite, workers=2, device="cpu")
"""


def kinds(cell: nbformat.NotebookNode) -> list[str]:
    """What a cell shows, but for what it says on standard error."""
    return [out.output_type for out in cell.get("outputs", []) if out.get("name") != "stderr"]


def test_the_notebook_of_the_docs_runs(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs" / "notebook.ipynb", tmp_path)
    made = nbformat.read(tmp_path / "notebook.ipynb", as_version=4)
    shown = {cell.id: kinds(cell) for cell in made.cells}
    NotebookClient(
        made, kernel_name="python3", timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert {cell.id: kinds(cell) for cell in made.cells} == shown  # what is committed is what it shows
    [report] = [
        output.data["text/html"]
        for cell in made.cells
        if cell.source.startswith("report = ")
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert "<table>" in report
    assert "5/5" in report
    outputs = [output for cell in made.cells for output in cell.get("outputs", [])]
    said = "".join(output.text for output in outputs if output.get("name") == "stderr")
    assert "\x1b" not in said  # lines, and nothing that steers a terminal


def children(parent: int) -> set[int]:
    """Processes of a process, and theirs."""
    found: dict[int, set[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found.setdefault(int(fields[1]), set()).add(int(entry))
    wanted, seen = [parent], set()
    while wanted:
        below = found.get(wanted.pop(), set()) - seen
        seen |= below
        wanted += below
    return seen


def test_an_interrupted_cell_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        kernel = manager.provisioner.pid  # type: ignore[union-attr]
        asked = client.execute(INTERRUPTED)
        wait_for(lambda: [*tmp_path.glob("results/runs/*/metrics.jsonl")], 120)
        assert children(kernel)
        manager.interrupt_kernel()
        deadline = time.monotonic() + 60
        while (reply := client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != asked:
            assert time.monotonic() < deadline
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert not children(kernel)
        assert [*tmp_path.glob("results/runs/*/checkpoint.pt")]  # and their states are saved
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
