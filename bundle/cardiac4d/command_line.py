# SPDX-License-Identifier: Apache-2.0
"""The command line of a script: every argument is read and checked before any work is done."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from .errors import InputError

_NUMBERS = {int: "a whole number", float: "a number", bool: "True or False", str: "text", NoneType: "None"}


def run(function: Callable[..., Any]) -> None:
    """Call ``function`` with the arguments of the command line, and print what it returns.

    Fire alone calls first and looks for arguments that it could not use afterwards, hours later perhaps. So it is given
    a stand-in with the same signature that only notes the values, and the work begins when all of them are known to
    fit.

    Args:
        function: with annotated parameters. A ``str`` is taken to the letter, all else is read as a Python literal.

    Raises:
        SystemExit: with code 2 and the usage, if an argument is unknown, missing or of another type; with code 0 after
            ``--help``; with a sentence if python-fire is not installed, or an input cannot be used.
    """
    try:
        import fire
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}. Fix: install the extra `train`: pip install '.[train]', or make install") from error
    noted: dict[str, Any] = {}

    @wraps(function)
    def note(*values: Any, **named: Any) -> None:
        noted["call"] = partial(function, *values, **named)

    hints = get_type_hints(function)
    readers = {
        parameter.name: _reader(parameter.name, hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    fire.Fire(fire.decorators.SetParseFns(**readers)(note))
    call = noted["call"]
    try:
        fire.Fire(lambda: call(), command=[])
    except InputError as error:
        raise SystemExit(str(error)) from error


def _reader(name: str, annotation: Any) -> Callable[[str], Any]:
    """A function that turns the text of an argument into a value of its type."""
    from fire.core import FireError
    from fire.parser import DefaultParseValue

    def read(text: str) -> Any:
        value = DefaultParseValue(text)
        if str in (annotation, *get_args(annotation)) and not fits(value, annotation):
            value = text  # a folder called 2024
        if not fits(value, annotation):
            raise FireError(f"--{name} must be {describe(annotation)}, got {text!r}")
        return value

    return read


def fits(value: Any, annotation: Any) -> bool:
    """Whether ``value`` is of the type that ``annotation`` names; a whole number is a number, a list is a tuple.

    Example:
        >>> fits(3, float), fits(True, int), fits([1, 2], tuple[int, int]), fits((1, "a"), tuple[int, ...])
        (True, False, True, False)
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in (Any, object):
        return True
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if annotation in (int, float):
        return isinstance(value, (int, annotation)) and not isinstance(value, bool)
    if origin is None:
        return isinstance(value, annotation)
    if origin is tuple and Ellipsis not in parts:
        return isinstance(value, (list, tuple)) and len(value) == len(parts) and all(map(fits, value, parts))
    return isinstance(value, (list, tuple)) and all(fits(item, parts[0]) for item in value)


def describe(annotation: Any) -> str:
    """A type in words.

    Example:
        >>> describe(str | None), describe(tuple[int, int]), describe(tuple[float, ...])
        ('text or None', 'a list of 2 values, each a whole number', 'a list of values, each a number')
    """
    parts = get_args(annotation)
    if not parts:
        return _NUMBERS.get(annotation, getattr(annotation, "__name__", str(annotation)))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(describe, parts))
    count = "" if Ellipsis in parts or get_origin(annotation) is not tuple else f"{len(parts)} "
    return f"a list of {count}values, each {describe(parts[0])}"
