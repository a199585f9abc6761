"""Tensors out of files: whatever people save, and one message for whatever else lies under such a name."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors

from bench.errors import BenchError
from bench.training.reading import read_checkpoint

NET = torch.nn.Sequential(torch.nn.Linear(2, 3))
STATE = NET.state_dict()


class Harmful:
    """A pickle that runs a command when it is read."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        (STATE, None),
        ({"model_state": STATE, "epoch": 7, "history": [0.1, 0.2]}, "model_state"),
        ({"epoch": 7, "state_dict": STATE}, "state_dict"),
        ({"model": STATE, "optimizer": {"state": {}, "param_groups": []}}, "model"),
        ({"model_state_dict": STATE}, "model_state_dict"),
    ],
)
@pytest.mark.parametrize("new_format", [True, False])
def test_tensors_are_found_wherever_people_put_them(
    tmp_path: Path, content: Any, entry: str | None, new_format: bool
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    read = read_checkpoint(path)
    assert read.state.keys() == STATE.keys()
    assert all(torch.equal(read.state[name], tensor) for name, tensor in STATE.items())
    assert (f"weights are its '{entry}'" in " ".join(read.notes)) == (entry is not None)


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(to_safetensors(STATE, {"format": "pt"}))
    read = read_checkpoint(path)
    assert torch.equal(read.state["0.weight"], STATE["0.weight"])
    assert read.description == {}


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_file_is_not_run(tmp_path: Path, new_format: bool) -> None:
    path, proof = tmp_path / "weights.pt", tmp_path / "it-ran"
    content = {"model_state": STATE, "extra": Harmful(proof)}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(BenchError, match=r"needs more than weights: it asks for '(posix|nt)\.system'"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Harmful(proof)))
    with pytest.raises(BenchError, match="is a plain pickle"):
        read_checkpoint(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (NET, r"torch\.nn\.modules\.container\.Sequential"),
        ({"model_state": STATE, "best": np.float64(95.9)}, r"numpy\._?core\.multiarray\.scalar"),
    ],
)
def test_what_a_refused_file_asks_for_is_named(tmp_path: Path, content: Any, wanted: str) -> None:
    torch.save(content, tmp_path / "whole.pt")
    with pytest.raises(BenchError, match=rf"whole\.pt: needs more than weights: it asks for '{wanted}'"):
        read_checkpoint(tmp_path / "whole.pt")


def script(path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; people have such files all the same
        torch.jit.save(torch.jit.trace(NET, torch.zeros(1, 2)), path)


def cut(path: Path, keep: float, **options: Any) -> None:
    torch.save(STATE, path, **options)
    content = path.read_bytes()
    path.write_bytes(content[: round(keep * len(content))])


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", "{}")


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 14696410\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"there is no such file; did you mean 'neighbour\.pt'"),
        (lambda path: path.mkdir(), "is a folder, which holds nothing"),
        (lambda path: path.touch(), "the file is empty"),
        (lambda path: path.write_text(LFS), "is a Git LFS pointer, not the file of 14,696,410 bytes"),
        (lambda path: path.write_text("\n<!DOCTYPE html><html>"), "is a web page"),
        (lambda path: path.write_text("95.933"), "begins with b'95.933'; expected a file of torch.save"),
        (
            lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"),
            r"begins with b.*HDF.*; expected a file of torch\.save",
        ),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "is a plain pickle"),
        (lambda path: path.write_bytes(to_safetensors(STATE)[:-4]), "is no whole safetensors file"),
        (lambda path: path.write_bytes(to_safetensors(STATE)[:20]), "is no whole safetensors file"),
        (lambda path: cut(path, 0.6), "is no whole PyTorch file: PytorchStreamReader failed"),
        (lambda path: cut(path, 0.95, _use_new_zipfile_serialization=False), "is no whole PyTorch file: "),
        (lambda path: cut(path, 0.3, _use_new_zipfile_serialization=False), "is no whole PyTorch file: "),
        (script, "is a TorchScript program"),
        (archive, "is a zip archive that torch.save did not write; it holds config.json"),
        (lambda path: torch.save([STATE], path), "found a list of 1, expected tensors by name"),
        (lambda path: torch.save(torch.ones(2), path), "found a Tensor, expected tensors by name"),
        (lambda path: torch.save({"epoch": 3}, path), "found a mapping with epoch, expected tensors by name"),
        (lambda path: torch.save({}, path), "found a mapping with no keys, expected tensors by name"),
    ],
)
def test_anything_else_gets_one_message(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    (tmp_path / "neighbour.pt").touch()
    path = tmp_path / "neighbor.pt"
    make(path)
    with pytest.raises(BenchError, match=message) as raised:
        read_checkpoint(path)
    said = str(raised.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    assert "weights_only=True" not in said
