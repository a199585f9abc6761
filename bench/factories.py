"""The optimizers and learning rate schedules of torch and timm: their names, and the options that each takes.

All of it is read from their sources, as :mod:`bench.code` reads a user's: importing the two takes seconds,
which planning a suite must not wait for. How they are built: :mod:`bench.training.optimization` and
:mod:`bench.training.schedules`.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import unknown

_OURS = {"self", "params", "optimizer", "last_epoch", "verbose", "sched", "updates_per_epoch", "plateau_mode"}
"""Arguments that follow from the run."""
_EXECUTION = {"foreach", "fused", "capturable", "differentiable"}
"""How a step is computed follows from the device."""
_FILLED = {"torch/CosineAnnealingLR": {"T_max"}, "torch/OneCycleLR": {"max_lr", "total_steps"}}
"""Of schedules: what has a natural value in a training of so many steps; see ``bench.training.schedules``."""
_LEFT_OUT = {
    "torch/OneCycleLR": {"epochs", "steps_per_epoch", "base_momentum", "max_momentum"},
    "torch/CyclicLR": {"scale_fn", "base_momentum", "max_momentum"},
    "torch/ReduceLROnPlateau": {"mode"},
}
"""Of schedules: what follows from the run, or is no matter of the learning rate."""
REFUSED = {
    "torch/LBFGS": "needs a closure that computes the loss several times a step, which a step here does not",
    "torch/SparseAdam": "takes sparse gradients only, and those of images are dense",
    "torch/Muon": "takes matrices only; timm/muon trains all other parameters, such as biases, by AdamW",
    "timm/adahessian": "needs second derivatives, for which a step here keeps no graph",
    "torch/LambdaLR": "takes a function of Python",
    "torch/MultiplicativeLR": "takes a function of Python",
    "torch/SequentialLR": "takes other schedules",
    "torch/ChainedScheduler": "takes other schedules",
    "timm/plateau": "is about to be removed from timm; torch/ReduceLROnPlateau is what it is made of",
}
"""What the libraries have and a recipe cannot use, and why."""


@dataclass(frozen=True)
class Signature:
    """The options that something takes."""

    allowed: frozenset[str]
    required: frozenset[str]


def check(kind: str, name: str, given: Mapping[str, object]) -> None:
    """Check ``library/name`` and the options given to it, for ``kind`` ``optimizer`` or ``schedule``.

    A library whose sources are not there (an installation of bytecode alone) is not checked here; it
    complains when the training is built.

    Raises:
        ValueError: no such thing, one that a recipe cannot use, or an option that it does not take or lacks.
    """
    library, _, bare = name.partition("/")
    if library == "timm" and given.get("per") is not None:
        raise ValueError(f"{name}: per: timm calls this step_on_epochs: true or false")
    try:
        known = _names(kind, library)
        if bare not in known:
            raise ValueError(unknown(f"{library} {kind}", bare, known))
        if name in REFUSED:
            raise ValueError(f"{name} {REFUSED[name]}")
        signature = _signature(kind, library, bare)
    except OSError:
        return
    if signature is None:
        return
    for key in given.keys() - {"per"}:
        if key in _EXECUTION:
            raise ValueError(f"{name}: {key}: how steps are computed follows from the device")
        if key not in signature.allowed:
            raise ValueError(f"{name}: {unknown('option', key, signature.allowed)}")
    if missing := sorted(signature.required - given.keys()):
        raise ValueError(f"{name}: {', '.join(missing)}: required")
    if "cycle_momentum" in signature.allowed and given.get("cycle_momentum") is not False:
        raise ValueError(f"{name}: cycle_momentum: false is required: momentum stays what the optimizer says")


# ------------------------------------------------------------------------------------------- the sources


@functools.lru_cache
def _names(kind: str, library: str) -> frozenset[str]:
    if kind == "optimizer":
        return frozenset(_timm_optimizers() if library == "timm" else _torch_optimizers())
    if library == "torch":
        return frozenset(
            node.name
            for node in _tree("torch", "optim/lr_scheduler.py").body
            if isinstance(node, ast.ClassDef)
            and not node.name.startswith("_")
            and any(isinstance(base, ast.Name) and base.id == "LRScheduler" for base in node.bases)
        )
    # As its factory compares: sched == 'cosine', sched in ('wsd', 'rsqrt').
    tree = _tree("timm", "scheduler/scheduler_factory.py")
    return frozenset(
        constant.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == "sched"
        for compared in node.comparators
        for constant in ast.walk(compared)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str) and constant.value != "none"
    )


@functools.lru_cache
def _signature(kind: str, library: str, bare: str) -> Signature | None:
    if kind == "schedule":
        if library == "timm":
            tree = _tree("timm", "scheduler/scheduler_factory.py")
            return _read(_function(tree.body, "create_scheduler_v2"))
        arguments = _read(_constructor(_tree("torch", "optim/lr_scheduler.py"), bare))
        if arguments is None:
            return None
        filled, left_out = (of.get(f"torch/{bare}", set()) for of in (_FILLED, _LEFT_OUT))
        return Signature(arguments.allowed - left_out, arguments.required - filled)
    if library == "torch":
        return _read(_constructor(_tree("torch", _torch_optimizers()[bare]), bare))
    description = _timm_optimizers()[bare]
    made_by = ast.unparse(description["opt_class"])
    if made_by.startswith("torch.optim."):
        arguments = _signature(kind, "torch", made_by.rpartition(".")[2])
    elif isinstance(description["opt_class"], ast.Constant):  # of a third library
        package = made_by.strip("'").partition(".")[0]
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"timm/{bare} needs {package}, which is not installed here")
        return None
    else:
        arguments = _read(_constructor(_tree("timm", _timm_files()[made_by]), made_by))
    if arguments is None:
        return None
    # Its factory drops these without a word where it is not told that they are taken.
    dropped = {
        option
        for option, flag, otherwise in (("eps", "has_eps", True), ("betas", "has_betas", False))
        if not ast.literal_eval(description.get(flag, ast.Constant(otherwise)))
    }
    return Signature(arguments.allowed - dropped, arguments.required)


@functools.lru_cache
def _torch_optimizers() -> dict[str, str]:
    """Names, and the files that have them."""
    return {
        alias.name: node.module.removeprefix("torch.").replace(".", "/") + ".py"
        for node in _tree("torch", "optim/__init__.py").body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.name[0].isupper() and alias.name != "Optimizer"
    }


@functools.lru_cache
def _timm_optimizers() -> dict[str, dict[str, ast.expr]]:
    """Names, and what its registry is told of them."""
    fields = ("name", "opt_class")
    entries, aliases = {}, {}
    for node in ast.walk(_tree("timm", "optim/_optim_factory.py")):
        if not isinstance(node, ast.Call):
            continue
        if ast.unparse(node.func) == "OptimInfo":
            values = dict(zip(fields, node.args, strict=False))
            values |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
            entries[str(ast.literal_eval(values["name"]))] = values
        elif ast.unparse(node.func).endswith(".register_alias"):
            alias, name = map(ast.literal_eval, node.args)
            aliases[str(alias)] = str(name)
    return entries | {alias: entries[name] for alias, name in aliases.items() if name in entries}


@functools.lru_cache
def _timm_files() -> dict[str, str]:
    """Classes of its optimizers, and the files that have them."""
    return {
        alias.asname or alias.name: f"optim/{node.module}.py"
        for node in _tree("timm", "optim/_optim_factory.py").body
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        for alias in node.names
    }


@functools.lru_cache
def _tree(library: str, file: str) -> ast.Module:
    """Raises OSError where there is no such source."""
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(library)
    return ast.parse((Path(spec.origin).parent / file).read_text(encoding="utf-8"))


def _function(body: Iterable[ast.stmt], name: str) -> ast.FunctionDef | None:
    return next((node for node in body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _constructor(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _function(node.body, "__init__")
    return None


def _read(function: ast.FunctionDef | None) -> Signature | None:
    """None where it is not there, or takes whatever is given."""
    if function is None or function.args.kwarg is not None:
        return None
    arguments = [*function.args.posonlyargs, *function.args.args]
    defaults: list[ast.expr | None] = [None] * (len(arguments) - len(function.args.defaults))
    defaults += function.args.defaults
    pairs = [*zip(arguments, defaults, strict=True)]
    pairs += zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    names = {argument.arg: default for argument, default in pairs if argument.arg not in _OURS | _EXECUTION}
    # A rate that an optimizer would choose by itself cannot follow a schedule.
    required = {
        name
        for name, default in names.items()
        if default is None or (name == "lr" and ast.unparse(default) == "None")
    }
    return Signature(frozenset(names), frozenset(required))
