"""A thing that a suite names: ``name`` or ``{name: {option: value}}``.

Losses, models, data sets, optimizers, schedules and augmentations are all chosen this way, so all of
them check their options, fill in their defaults and complain about misspelt names alike.

Nothing here (and nothing at the top of ``losses``, ``models`` or ``datasets``) imports torch: planning a
suite of 100,000 runs must not wait for it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bench import code
from bench.errors import BenchError, nearest, unknown


class Strict(BaseModel):
    """Base of everything that is read from a person's file: unknown keys are refused by name."""

    # Of dozens of such classes a command needs a few: each is built when it is used first, not on import.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key, value in values.items():
                if cls.model_config.get("extra") == "forbid" and key not in cls.model_fields:
                    raise ValueError(unknown("key", str(key), cls.model_fields))
                # YAML's `seeds: yes` must not become one seed: pydantic would read True as 1.
                field = cls.model_fields.get(key)
                if isinstance(value, bool) and field is not None and not _takes_truth(field.annotation):
                    raise ValueError(
                        f"{key}: found {str(value).lower()}, expected a value and not a yes or no"
                    )
        elif not isinstance(values, BaseModel):
            raise ValueError(f"found {describe(values)}, expected a mapping of {', '.join(cls.model_fields)}")
        return values


def _takes_truth(annotation: Any) -> bool:
    return any(word in str(annotation) for word in ("bool", "True", "False", "Any"))


class Options(Strict):
    """The options of one named choice. Subclasses declare them as fields, with their defaults."""

    def shown(self) -> dict[str, Any]:
        """Those that tables show: the ones that are not the default."""
        given = self.model_dump(mode="json", exclude_defaults=True)
        for digest in ("source", "digest"):
            given.pop(digest, None)
        return given

    def called(self, name: str) -> str:
        """What tables call the choice, before its options."""
        return name


class FreeOptions(Options):
    """Options that somebody else's code declares: passed on to it as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class ForeignOptions(FreeOptions):
    """Options of a ``module:callable`` of the user's own.

    ``source`` is the digest of its code. It is part of a run's identity: a result that was made by other code
    must not answer for this one.
    """

    source: str


@dataclass(frozen=True)
class Choice:
    """A name and its options, checked and complete."""

    name: str
    options: Options

    def describe(self) -> dict[str, Any]:
        """The resolved form that run ids hash: every option, defaults filled in."""
        return {"name": self.name, **self.options.model_dump(mode="json")}

    def label(self) -> str:
        """How tables show it: the name, and only those options that are not the default."""
        options = ", ".join(f"{key}={_short(value)}" for key, value in self.options.shown().items())
        called = self.options.called(self.name)
        return f"{called}({options})" if options else called


def split_choice(kind: str, value: Any) -> tuple[str, dict[str, Any]]:
    """Read ``name``, ``{name: {option: value}}`` or the resolved ``{"name": name, option: value}``.

    Returns the name and the options given. Raises ValueError for anything else.
    """
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return value["name"], {key: option for key, option in value.items() if key != "name"}
    if isinstance(value, Mapping) and len(value) == 1:
        [(name, options)] = value.items()
        if isinstance(name, str) and (options is None or isinstance(options, Mapping)):
            return name, dict(options or {})
    one = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    several = "; several make a list, a line each: - name" if isinstance(value, Mapping) else ""
    raise ValueError(
        f"found {describe(value)}, expected the name of {one} or {{name: {{option: value}}}}{several}"
    )


def choose(kind: str, value: Any, table: Mapping[str, type[Options]]) -> Choice:
    """Resolve what a suite says about one ``kind`` of thing.

    Args:
        kind: the word for messages, such as ``loss``.
        value: ``name`` or ``{name: {option: value}}``.
        table: what may be named. A key that ends in ``/`` allows any name below it; the key
            ``module:callable`` allows code of the user's own, whose digest joins the options.

    Raises:
        ValueError: unknown name (with the nearest one), or options that do not hold.
    """
    name, given = split_choice(kind, value)
    if "name" in given:
        raise ValueError(f"{name}: name: an option cannot be called so, it would hide what it belongs to")
    if name in table:
        options_type = table[name]
    elif "/" in name and (family := name.split("/", 1)[0] + "/") in table and name != family:
        options_type = table[family]
    elif ":" in name and "module:callable" in table:
        options_type = table["module:callable"]
        given = {**given, "source": source_digest(name)}
    else:
        raise ValueError(unknown(kind, name, (f"{key}<name>" if key.endswith("/") else key for key in table)))
    try:
        return Choice(name, options_type.model_validate(given))
    except ValidationError as error:
        raise ValueError("; ".join(f"{name}: {line}" for line in explain(error))) from None


def restore(description: Mapping[str, Any], table: Mapping[str, type[Options]]) -> Choice:
    """The choice that :meth:`Choice.describe` described. Code of the user's own must be unchanged.

    Raises:
        BenchError: the code of a ``module:callable`` is no longer what was described.
    """
    choice = choose("choice", description, table)
    if isinstance(choice.options, ForeignOptions) and description.get("source") == _text_digest(choice.name):
        # Before there was a digest of what code does.
        choice = replace(choice, options=choice.options.model_copy(update={"source": description["source"]}))
    if choice.describe() != description:
        raise BenchError(
            f"{description['name']}: its code changed after this run was planned; "
            "plan the suite again (bench run SUITE)"
        )
    return choice


def _text_digest(name: str) -> str:
    return code.text_digest(name.split(":", 1)[0])


def source_digest(name: str) -> str:
    """What identifies the code of ``module:callable``: :func:`bench.code.digest`. Imports nothing.

    Raises:
        ValueError: there is no such module, or a file of its code is no Python.
    """
    module = name.split(":", 1)[0]
    try:
        return code.digest(module)
    except FileNotFoundError:
        if module.endswith(".py"):
            raise ValueError(
                f"'{name}': a module is named without .py: '{name.replace('.py:', ':')}'"
            ) from None
        searched = ", ".join([*dict.fromkeys(entry or "." for entry in sys.path)][:2])
        raise ValueError(f"'{name}': there is no module '{module}' (searched {searched}, … )") from None
    except SyntaxError as error:
        raise ValueError(f"'{name}': {error.filename}, line {error.lineno}: {error.msg}") from None


def load_callable(name: str) -> Any:
    """Import what ``module:callable`` names. Raises BenchError where there is no such thing."""
    module, _, attribute = name.partition(":")
    try:
        target = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BenchError(f"'{name}' cannot be imported: {error}") from error
    except Exception as error:  # a module of the user's own can raise anything
        raise BenchError(f"'{name}' cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(target):
        raise BenchError(f"'{name}' is {describe(target)}, not a callable")
    return target


def recordable(choice: Choice) -> bool:
    """Whether a step may be recorded in which this takes part.

    All that ``bench`` and its libraries bring may be, and of the user's own what says ``recordable = True``
    itself: that is not inherited, as a subclass may do more.
    """
    if not isinstance(choice.options, ForeignOptions):
        return True
    return getattr(load_callable(choice.name), "__dict__", {}).get("recordable") is True


def construct(
    kind: str,
    choice: Choice,
    *arguments: str,
    known: Mapping[str, Callable[[], Any]] = MappingProxyType({}),
    later: Collection[str] = (),
    translate: Callable[[Any, dict[str, Any]], dict[str, Any]] = lambda target, options: options,
) -> Callable[..., Any]:
    """What a ``module:callable`` of the user's own gives, to be called with these ``arguments``.

    A function is called with the arguments and the options. A class is constructed with the options, and its
    instance is called.

    Args:
        kind: the word for messages.
        known: what a class is also constructed with, where its signature has such a keyword and no option is
            called so: what makes the value.
        later: keywords with which it is also called, where it has them.
        translate: makes of options, as a suite writes them, what the code takes.

    Raises:
        BenchError: it cannot be imported, or not be built or called so.
    """
    target = load_callable(choice.name)
    given = dict(choice.options.model_extra or {})
    try:
        options = translate(target, given)
        if isinstance(target, type):
            filled = {name: make() for name, make in known.items() if name in keywords(target)}
            ready: Callable[..., Any] = target(**{**filled, **options})
            bound = {}
        else:
            ready, bound = functools.partial(target, **options), options
        called = ready.func if isinstance(ready, functools.partial) else ready
        also = (keywords(called, len(arguments)) & {*later}) - {*options}
        signature(called).bind(*arguments, **bound, **dict.fromkeys(also))
    except BenchError:
        raise
    except Exception as error:  # a constructor of the user's own can raise anything
        pairs = ", ".join(f"{key}={value!r}" for key, value in given.items()) or "no options"
        raise BenchError(
            f"{kind} '{choice.name}' with {pairs}: {type(error).__name__}: {error}"
            f"{_remedy(target, given, arguments, {*known})}"
        ) from error
    return ready


def _remedy(found: Any, given: Mapping[str, Any], arguments: Sequence[str], known: Collection[str]) -> str:
    """What to change about options, or about what is called, where a signature tells; else nothing."""
    behind = 0 if isinstance(found, type) else len(arguments)
    try:
        parameters = [*signature(found).parameters.values()][behind:]
        call = getattr(found, "forward", found.__call__)  # of a class: with its self
        called = [] if behind else [*signature(call).parameters.values()][1 + len(arguments) :]
    except (TypeError, ValueError):
        return ""
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(p.kind == p.VAR_KEYWORD for p in parameters):
        for name in given:
            if name not in named:
                return f"; {unknown('option', name, named)}" if named else "; it takes no options"
    for words, among, has in (
        ("it needs the option", parameters, {*given, *known}),
        (f"it is called as f({', '.join(arguments)}), so write a function that also gives it", called, ()),
    ):
        required = [p for p in among if p.default is p.empty and p.name not in has]
        missing = [p.name for p in required if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if missing:
            return f"; {words}{'s' * (len(missing) > 1 and words.endswith('option'))} {', '.join(missing)}"
    return ""


def signature(called: Callable[..., Any]) -> inspect.Signature:
    """How something is called; of a torch module, how its ``forward`` is.

    Raises:
        TypeError, ValueError: it cannot be called, or does not say how.
    """
    own = inspect.signature(called)
    forward = getattr(called, "forward", None)
    says_nothing = all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in own.parameters.values())
    return inspect.signature(forward) if says_nothing and callable(forward) else own


def keywords(called: Callable[..., Any], behind: int = 0) -> set[str]:
    """The names by which something takes arguments, behind its first so many. Raises as :func:`signature`."""
    return {
        name
        for name, parameter in [*signature(called).parameters.items()][behind:]
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def explain(error: ValidationError) -> list[str]:
    """Pydantic's complaints as lines of ``field: what was found, what is allowed``."""
    lines = []
    for detail in error.errors(include_url=False):
        where = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "tuple_type":
            message = f"found {describe(detail['input'])}, expected a list"
        elif detail["type"] not in ("value_error", "missing"):
            message = f"found {describe(detail['input'])}; {message[:1].lower()}{message[1:]}"
            if detail["type"] == "literal_error":
                names = re.findall(r"'([^']+)'", detail["ctx"]["expected"])
                message += nearest(str(detail["input"]), names)
        lines.append(f"{where}: {message}" if where else message)
    return lines


def describe(value: Any) -> str:
    """A value as messages show it: short, and with its type where that is not plain to see."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(str, value)) or 'no keys'}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return repr(value)[:80]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
