"""Verbs about weights: published ones put to the test, and those of a run handed on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from bench.cli.app import WEIGHTS, app
from bench.cli.options import Data, Device, Json, Results
from bench.cli.shared import exit_1_if, print_blocks, put, watched
from bench.errors import BenchError
from bench.front.asking import asking, find_modules
from bench.launch.preflight import check_data
from bench.registry import Choice
from bench.sequential_design import as_known
from bench.source import Source
from bench.versions import digests, store
from bench.visible import say


@app.command(rich_help_panel=WEIGHTS)
def evaluate(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT", help="Files of weights: PyTorch's, safetensors.")
    ],
    dataset: Annotated[
        str, typer.Option(help="As suites name it. Default: what the file says.", show_default=False)
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option(help="As suites name it; once, or once a file. Default: what the file says, or vgg5."),
    ] = None,
    key_map: Annotated[
        Path | None, typer.Option("--key-map", metavar="FILE", help="YAML, old: new, to rename tensors.")
    ] = None,
    claimed: Annotated[
        list[str] | None,
        typer.Option(metavar="ACCURACY", help="What a file should reach; once a file. Default: in its name."),
    ] = None,
    first_label: Annotated[
        int | None,
        typer.Option(min=0, help="Output that stands for the first class.", show_default="found out"),
    ] = None,
    mean: Annotated[
        str, typer.Option(metavar="NUMBERS", help="Of images from 0 to 1. Default: the data set's.")
    ] = "",
    std: Annotated[str, typer.Option(metavar="NUMBERS", help="As 0.5, or 0.5,0.5,0.5: one a channel.")] = "",
    predictions: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write all answers, as `bench compare` reads them.")
    ] = None,
    data: Data = Path("data"),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Put published weights to the test, and compare every two.

    Accuracy, what was claimed, calibration; McNemar's test. Code in the files is never run. Exit status 1: a
    file does not reach what is claimed of it.
    """
    _one_thread()
    find_modules([str(Path.cwd())])
    from bench import datasets
    from bench.checkpoints import answers
    from bench.checkpoints.keys import read_key_map
    from bench.datasets import choose_dataset
    from bench.disk import write_atomically
    from bench.models import choose_model
    from bench.reports.audit import audit, per_image
    from bench.reports.audit_text import audit_text
    from bench.training import device as devices
    from bench.training.reading import read_checkpoint

    _one_each("--model", model or [], checkpoints, once=True)
    _one_each("--claimed", claimed or [], checkpoints)
    rules = read_key_map(key_map) if key_map is not None else ()
    given = [_choice("--model", text, choose_model) for text in model or []]
    read = [read_checkpoint(path) for path in checkpoints]
    chosen = _choice("--dataset", dataset, choose_dataset) if dataset else answers.choose_dataset_of(read)
    asked = answers.Asked(chosen, _numbers("--mean", mean), _numbers("--std", std), first_label)
    place = devices.prepare(device)
    check_data([chosen], data, say)
    images = datasets.load(chosen, data)
    answers.check_channels(asked, images.form)
    networks = []
    for number, checkpoint in enumerate(read):
        named = given[number if len(given) > 1 else 0] if given else answers.choose_model_of(checkpoint)
        networks.append((checkpoint, named, *answers.prepare(checkpoint, named, asked, images.form, rules)))
    written = []
    with watched("images", len(read) * len(images.test_labels)) as tick:
        for checkpoint, named, fitted, first in networks:
            written.append(answers.ask(checkpoint, named.label(), fitted, first, asked, images, place, tick))
    normalisation = asked.mean or images.form.mean, asked.std or images.form.std
    machine = devices.fingerprint(place)["device"]
    document = audit(written, chosen.label(), normalisation, machine, claimed or ())
    if predictions is not None:
        write_atomically(predictions, per_image(written, chosen.label()).to_csv(index=False).encode())
        say(f"{predictions}: the answers to every image; `bench compare {predictions}` reads them")
    print_blocks(document, audit_text(document), as_json)
    exit_1_if(not document.holds)


@app.command(rich_help_panel=WEIGHTS)
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a finished run, or how it begins.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Made if need be.")],
    suite: Annotated[
        Path | None, typer.Argument(metavar="SUITE", help="For the verdict, and for modules beside it.")
    ] = None,
    accept_other: Annotated[
        bool, typer.Option("--accept-other", help="Also weights that give other answers than the run's.")
    ] = False,
    results: Results = Path("results"),
    data: Data = Path("data"),
    device: Device = "auto",
) -> None:
    """Weights of a finished run as safetensors, with a model card.

    A run that kept none (its suite has no keep_weights) is trained again here, and its answers are compared.
    """
    _one_thread()
    from bench.checkpoints.repetition import recorded, weights_of
    from bench.datasets import load as load_images
    from bench.reports.card import WORK, card, check_output, standing, write_export
    from bench.results.folder import RunFolder
    from bench.results.reading import finished
    from bench.runs import complete
    from bench.training import device as devices

    with contextlib.ExitStack() as reading:
        asked = None
        if suite is not None:
            asked = reading.enter_context(asking(Source.of(suite), results, names=False))
            asked = as_known(asked, results)
        find_modules([str(Path.cwd())])
        if asked is not None:
            run = complete(run, [planned.id for planned in asked.runs()], "the suite has no such run")
        else:
            run = complete(run, finished(results), f"{results.absolute()} has no such finished run")
        check_output(output)
        folder = RunFolder(results, run)
        described, stored = recorded(folder)
        store.use(results, digests.of_runs([described]))  # its code, if that has changed since
        dataset = described.resolve().dataset
        place = devices.prepare(device)
        check_data([dataset], data, say)
        work = output / WORK
        weights = weights_of(
            *(described, folder, stored, work), device=place, data=data, say=say, accept_other=accept_other
        )
        where = standing(asked, results, described) if asked is not None else None
        text = card(described, stored, weights, load_images(dataset, data).form, where)
        for path in write_export(output, weights.content, text):
            put(str(path))


def _one_thread() -> None:
    """As workers do, before torch is imported: two threads would round sums in another order."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")


def _one_each(option: str, given: list[str], files: list[Path], *, once: bool = False) -> None:
    allowed = {0, len(files), *([1] if once else [])}
    if len(given) not in allowed:
        raise BenchError(
            f"{option}: found {len(given)} for {len(files)} files; give it once for each, in order"
        )


def _choice(option: str, text: str, choose: Callable[[Any], Choice]) -> Choice:
    """A name, or YAML with options: ``timm/resnet18: {image_size: 32}``."""
    try:
        return choose(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as error:
        raise BenchError(f"{option}: {' '.join(str(error).split())}") from None


def _numbers(option: str, text: str) -> tuple[float, ...] | None:
    if not text:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise BenchError(
            f"{option}: found '{text}', expected numbers such as 0.5 or 0.49,0.48,0.45"
        ) from None
