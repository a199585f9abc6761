"""Arguments of what ``import bench`` gives, held against their annotations before anything is done."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bench.errors import BenchError, of_file, unknown
from bench.front.keywords import in_python
from bench.registry import describe

Given = ParamSpec("Given")
Returned = TypeVar("Returned")
ANY_CLASS = ConfigDict(arbitrary_types_allowed=True)


def checked_arguments(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Refuse keywords that there are not and values that cannot be; let errors speak of keywords."""
    signature = inspect.signature(function)
    called = f"bench.{function.__name__}"

    @functools.wraps(function)
    def checked(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
        for name in kwargs:
            if name not in signature.parameters:
                raise BenchError(f"{called}: {unknown('option', name, signature.parameters)}")
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise BenchError(f"{called}: {error}") from None
        kinds = get_type_hints(function, include_extras=True)
        for name, value in given.items():
            try:
                TypeAdapter(kinds[name], config=ANY_CLASS).validate_python(value, strict=True)
            except ValidationError as error:
                why = error.errors(include_url=False)[0]["msg"]
                raise BenchError(f"{called}: {name}: found {describe(value)}; {_lower(why)}") from None
        try:
            return function(*args, **kwargs)
        except BenchError as error:
            raise BenchError(in_python(str(error))) from None
        except OSError as error:
            raise BenchError(of_file(error)) from error

    return checked


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
