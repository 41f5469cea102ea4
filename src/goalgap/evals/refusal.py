"""Our one-line errors, as Inspect shows its own: without a traceback."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from inspect_ai._util.error import PrerequisiteError  # not public, and without it: a traceback
from rich.markup import escape

from ..core import UsageError

Given, Made = ParamSpec("Given"), TypeVar("Made")


def refusing(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """The same function, whose UsageErrors Inspect understands."""

    @functools.wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        try:
            return function(*args, **kwargs)
        except UsageError as error:
            raise PrerequisiteError(escape(f"ERROR: {error}")) from error

    return called
