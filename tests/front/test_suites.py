"""A suite made in Python is the same suite as its file's, or is refused with what to do."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import SMALL
from hypothesis import given, settings
from hypothesis import strategies as st

import bench
import bench.suite
from bench.front.asking import asking
from bench.front.naming import plain
from bench.front.suites import Suite
from bench.source import Source
from bench.yaml_file import read_yaml, write_yaml

Write = Callable[..., Path]

MINE = "def brier(logits, target, scale=1.0):\n    return scale * logits.sum()\n\n\nclass Focal:\n    pass\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of the user's own, in the working directory."""
    (tmp_path / "mine_in_python.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    yield importlib.import_module("mine_in_python")
    del sys.modules["mine_in_python"]


def made(**changes: Any) -> Suite:
    return Suite(**{"name": "made", **SMALL, **changes})


# ------------------------------------------------------------------------------------------ the same suite

names = st.sampled_from(["ce", "mae", "focal", "min_ent", {"label_smoothing": {"smoothing": 0.2}}])
suites = st.fixed_dictionaries(
    {
        "question": st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1),
        "losses": st.lists(names, min_size=1, max_size=4, unique_by=str),
        "seeds": st.one_of(
            st.integers(1, 4), st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3, unique=True)
        ),
        "selection": st.sampled_from(["last", "validation", "test"]),
        "recipe": st.fixed_dictionaries(
            {}, optional={"epochs": st.integers(1, 9), "optimizer": st.just({"adam": {"lr": 1e-3}})}
        ),
        "keep_weights": st.booleans(),
    }
)


@settings(max_examples=50)
@given(suites)
def test_it_has_the_runs_of_its_file(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    values = {"name": "made", "datasets": "digits", "models": "vgg5-tiny", **values}
    file = tmp_path_factory.mktemp("suites") / "made.yaml"
    file.write_text(
        json.dumps(values, ensure_ascii=False), "utf-8"
    )  # in quotes, 0E0 is no number for anybody
    here, there = Suite(**values), bench.load(file)
    assert [run.id for run in here.runs()] == [run.id for run in there.runs()]
    assert here == there
    assert hash(here) == hash(there)
    write_yaml(file, dict(here.source.values))
    assert bench.load(file) == here


def test_functions_are_named_wherever_a_name_may_stand(mine: ModuleType, write_suite: Write) -> None:
    losses = ["ce", mine.brier, {mine.brier: {"scale": 2, "label": "two"}}, mine.Focal]
    named = ["ce", "mine_in_python:brier"]
    named += [{"mine_in_python:brier": {"scale": 2, "label": "two"}}, "mine_in_python:Focal"]
    here = made(losses=losses, metrics=["accuracy", mine.brier], name="small")
    there = bench.load(write_suite(losses=named, metrics=["accuracy", "mine_in_python:brier"]))
    assert [run.id for run in here.runs()] == [run.id for run in there.runs()]
    assert here.source.values["metrics"][1] == "mine_in_python:brier"


def test_what_numpy_and_python_count_with_is_plain() -> None:
    counted = made(seeds=np.arange(3), recipe={"epochs": np.int64(2), "batch_size": np.float64(32)})
    assert counted == made(seeds=[0, 1, 2], recipe={"epochs": 2, "batch_size": 32})
    assert made(seeds=range(2)) == made(seeds=(0, 1))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]))
        | st.sampled_from(["1e-3", "010", "yes", "null", "4:00:00", "1_0", "~", "08", "0x1f", ".5", "="]),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc:- #", min_size=1), inner),
    )
)  # fmt: skip
def test_yaml_that_is_written_is_read_as_it_was(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    file = tmp_path_factory.mktemp("yaml") / "file.yaml"
    write_yaml(file, {"value": value})
    assert read_yaml(file) == {"value": value}
    assert plain(value) == value


def test_modules_are_found_where_they_were_imported_from(mine: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "elsewhere")
        suite = made(losses=["ce", mine.brier])
    assert suite.source.search_path == [str(tmp_path / "elsewhere"), str(tmp_path)]
    assert sys.path.count(str(tmp_path)) == 1  # and nothing is left behind


# ------------------------------------------------------------------------------------------ what is refused


def local() -> Callable[..., Any]:
    def inner(logits: Any, target: Any) -> Any:
        return logits

    return inner


class Holder:
    def __call__(self) -> None: ...

    def loss(self, logits: Any, target: Any) -> Any:
        return logits


def in_a_cell(logits: Any, target: Any) -> Any:
    return logits


in_a_cell.__module__ = "__main__"


def decorated(logits: Any, target: Any) -> Any:
    return logits


kept = functools.wraps(decorated)(lambda logits, target: logits)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda logits, target: logits, r"losses\.1: a lambda has no name .* mine\.py"),
        (local(), r"losses\.1: 'inner' was made within a function"),
        (in_a_cell, r"losses\.1: 'in_a_cell' was defined in a notebook cell, .* mine\.in_a_cell"),
        (Holder.loss, r"losses\.1: 'Holder\.loss' belongs to a class"),
        (Holder(), r"losses\.1: found <.*Holder object.*give the function or class itself"),
        (functools.partial(decorated, target=1), r"give the function or class itself, and its options"),
        (kept, r"something else than this 'decorated', which was decorated afterwards"),
        (bench.suite.load, r"'load' is bench's own: give its name in quotes"),
        ({"focal": {"gamma": object()}}, r"losses\.1\.focal\.gamma: found <object"),
        (b"ce", r"losses\.1: found b'ce', expected text"),
        ("mixent", r"unknown loss 'mixent'; .*did you mean 'mix_ent'"),
    ],
)  # fmt: skip
def test_what_other_processes_cannot_import_is_refused(loss: Any, message: str) -> None:
    with pytest.raises(bench.BenchError, match=message):
        made(losses=["ce", loss])


def test_fields_are_named_and_a_name_is_needed() -> None:
    with pytest.raises(bench.BenchError, match=r"unknown key 'losess'; .*did you mean 'losses'"):
        made(losess=["ce"])
    with pytest.raises(bench.BenchError, match="name: is missing"):
        Suite(**SMALL)
    with pytest.raises(bench.BenchError, match=r"nope\.yaml: there is no such file; there are .*quickstart"):
        bench.load(Path(__file__).parents[2] / "suites" / "nope.yaml")
    with pytest.raises(bench.BenchError, match=r"bench\.load: found nothing, expected the path of a suite"):
        bench.load(None)  # type: ignore[arg-type]


def test_the_signature_that_checkers_see_has_every_key() -> None:
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(Suite))
    [signature] = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.args.kwonlyargs
    ]
    required = [
        argument.arg
        for argument, default in zip(signature.args.kwonlyargs, signature.args.kw_defaults, strict=True)
        if default is None
    ]
    fields = bench.suite.Suite.model_fields
    assert {argument.arg for argument in signature.args.kwonlyargs} == {*fields}
    assert {*required} == {name for name, field in fields.items() if field.is_required()}


# --------------------------------------------------------------------------------------- a notebook's life


def test_another_question_of_the_same_name_is_refused_and_an_edit_is_not(tmp_path: Path) -> None:
    from bench.home import take

    first = made()
    with asking(first.source, tmp_path, names=False) as asked:
        take(asked, first.source, tmp_path)
    assert bench.load(tmp_path / "made" / "suite.yaml") == first
    bench.status(made(seeds=5), results=tmp_path)
    bench.status(tmp_path / "made" / "suite.yaml", results=tmp_path)
    with pytest.raises(bench.BenchError, match=r"'made' is taken: .* asks 'Does it run\?'; this suite asks"):
        bench.status(made(question="Does it fly?"), results=tmp_path)


def test_verbs_import_what_files_say_and_leave_the_process_as_it_was(
    mine: ModuleType, tmp_path: Path
) -> None:
    suite = made(losses=["ce", mine.brier])
    before = suite.runs()
    (tmp_path / "mine_in_python.py").write_text(MINE.replace("1.0", "2.0"))
    path = list(sys.path)
    with asking(suite.source, None) as asked:
        import mine_in_python  # type: ignore[import-not-found]

        assert mine_in_python.brier.__defaults__ == (2.0,)
    assert mine.brier.__defaults__ == (1.0,)
    assert sys.modules["mine_in_python"] is mine
    assert sys.path == path
    changed = [run.id for run in asked.runs()] != [run.id for run in before]
    assert changed  # another code, another run
    assert [type(finder).__name__ for finder in sys.meta_path].count("Snapshot") == 0


def test_the_source_of_a_file_is_that_file(
    write_suite: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_suite()
    monkeypatch.chdir(tmp_path)
    loaded = bench.load("small.yaml")
    monkeypatch.chdir("/")
    assert loaded.source.file == path
    assert loaded.source.search_path == [str(tmp_path), str(tmp_path)]
    source = Source.of(path)
    assert source.keep(source.suite(), tmp_path / "results") == path
    assert not (tmp_path / "results").exists()


def test_modules_that_nobody_touched_are_those_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "registers.py").write_text("kept = []\n\n\ndef loss(logits, target):\n    return logits\n")
    program = (
        "import sys, registers, bench\n"
        "from bench.front.asking import asking\n"
        f"values = {SMALL!r}\n"
        "suite = bench.Suite(name='made', **{**values, 'losses': ['ce', registers.loss]})\n"
        "with asking(suite.source, None):\n"
        "    assert sys.modules['registers'] is registers\n"
        "open('registers.py', 'a').write('kept.append(1)\\n')\n"
        "with asking(suite.source, None):\n"
        "    assert sys.modules['registers'].kept == [1]\n"
        "assert sys.modules['registers'] is registers and registers.kept == []\n"
    )
    time.sleep(0.05)  # the clock of processes ticks a hundred times a second
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_module_that_raises_is_said_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raising.py").write_text("raise ValueError('not here')\n")
    monkeypatch.chdir(tmp_path)
    suite = made(losses=["ce", "raising:loss"])
    with pytest.raises(bench.BenchError, match="'raising:loss' cannot be imported: ValueError: not here"):
        bench.plan(suite)
