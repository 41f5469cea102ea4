"""What several verbs take: an environment by name, and its options, which are its own fields."""

import dataclasses
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import tyro

from .. import registry
from ..core import Environment, UsageError
from ..settings import hint
from .arguments import BadArguments, unknown

Target = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
Flat = tyro.conf.OmitArgPrefixes
_SIMPLE = (int, float, bool, str)
# The verbs' own options: an environment's field of such a name is --env-NAME.
RESERVED = frozenset(
    "env subject board alpha seeds steps inject network levels seed learner out json grammar intended "
    "settings train deploy candidates engine level plugin help".split()
)


@dataclasses.dataclass(frozen=True)
class Board:
    """Hold the options that describe an environment; `board_of` makes a subclass for each.

    The base class describes no environment and has no options.
    """

    _kind: ClassVar[type[Environment] | None] = None
    _fields: ClassVar[Mapping[str, str]] = types.MappingProxyType({})  # option -> the kind's field

    def environment(self, name: str) -> Environment:
        """Make the environment called `name`, with these options if they are its own.

        An environment to which the options do not belong is made as it is by default. Raises
        BadArguments for names that are not known.
        """
        if self._kind is None or self._kind.name != name:
            return board_of(environment(name))().environment(name)
        given = {field: getattr(self, option) for option, field in self._fields.items()}
        return self._kind(**{**self._kind.defaults.options, **given})

    def fitting(self, paths: tuple[Path, ...]) -> "Board":
        """Return the options with the size of the levels in some files, unless the user said another."""
        if not paths or self._kind is None or "size" not in self._fields:
            return self
        uses, size = self._kind.defaults, getattr(self, "size", None)
        usual = {getattr(type(self)(), "size", None), uses.analysis.get("size")}
        return dataclasses.replace(self, **{"size": width(paths[0])}) if size in usual else self

    def for_analysis(self) -> "Board":
        """Return the options as `analyze` has them by default."""
        uses = {} if self._kind is None else self._kind.defaults.analysis
        options = {field: option for option, field in self._fields.items()}
        return dataclasses.replace(self, **{options[name]: value for name, value in uses.items()})


B = TypeVar("B", bound=Board)


def environment(name: str) -> Any:
    """Find the environment class called `name`. Raises BadArguments with the nearest names."""
    known = registry.environments()
    if name not in known:
        raise BadArguments(unknown("environment", name, known))
    return known[name]


@functools.cache
def board_of(kind: type[Environment]) -> type[Board]:
    """Make the class of an environment's options: one for each field of a simple type, with its default.

    A field's metadata may hold "help" and "option", another name on the command line.
    """
    fields, names = [], {}
    for field in dataclasses.fields(kind):
        typed = _typed(hint(kind, field.name))
        if typed is None or not field.init:
            continue
        option = field.metadata.get("option", field.name)
        option = f"env_{option}" if option in RESERVED else option
        names[option] = field.name
        shown = tyro.conf.arg(help=field.metadata.get("help", f"of {kind.name}"))
        fields.append((option, Annotated[typed, shown], _default(kind, field)))
    spaces = {"__doc__": f"Options of {kind.name}."}
    made: Any = dataclasses.make_dataclass(
        f"{kind.__name__}Board", fields, bases=(Board,), frozen=True, namespace=spaces
    )
    made._kind, made._fields = kind, types.MappingProxyType(names)
    return made


def _typed(declared: Any) -> Any:
    """Return the type that the command line reads for a field; None for fields that it cannot say.

    What a class understands `by_name` is said by its name.
    """
    if typing.get_origin(declared) is Annotated:
        declared = typing.get_args(declared)[0]
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        members = typing.get_args(declared)
        return declared if all(one in (*_SIMPLE, type(None)) for one in members) else None
    if isinstance(declared, type) and hasattr(declared, "by_name"):
        return str
    return declared if declared in _SIMPLE else None


def _default(kind: type[Environment], field: dataclasses.Field) -> Any:
    """Return what an environment uses for a field where the user does not say."""
    if field.name in kind.defaults.options:
        return kind.defaults.options[field.name]
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        made = field.default_factory()
        return getattr(made, "name", made)
    return tyro.MISSING


# -- who is meant -----------------------------------------------------------------------------------


def named(argv: list[str], known: Iterable[str], flags: Iterable[str] = ("--json",)) -> str | None:
    """Find the first argument that is a name of `known` and no option's value, or else the first word.

    `flags` are the options without a value. None: there is no word.
    """
    flags, known = set(flags), set(known)
    words = []
    for before, word in zip(["", *argv], argv, strict=False):
        is_value = before.startswith("--") and "=" not in before and before not in flags
        if not word.startswith("-") and not is_value:
            words.append(word)
    return next((word for word in words if word in known), words[0] if words else None)


def value_of(argv: list[str], option: str) -> str | None:
    """Return the value of an option among the arguments, the last one given; None: there is none."""
    found = None
    for number, word in enumerate(argv):
        if word == option:
            found = argv[number + 1] if number + 1 < len(argv) else None
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def check_owned(argv: list[str], kind: type[Environment], verb: type) -> None:
    """Raise BadArguments for an option of another environment, naming that environment."""
    own = {*board_of(kind)._fields, *(field.name for field in dataclasses.fields(verb))}
    for number, word in enumerate(argv):
        option, is_joined, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or name in own:
            continue
        owners = [
            other.name for other in registry.environments().values() if name in board_of(other)._fields
        ]
        if owners:
            if not is_joined:
                rest = argv[number + 1 : number + 2]
                value = rest[0] if rest and not rest[0].startswith("-") else ""
            typed = f"{option} {value}".strip()
            raise BadArguments(f"{typed} is for {', '.join(owners)}, not for {kind.name}; drop it")


def width(path: Path) -> int | None:
    """Measure the width of the first board in a file of levels; None: there is none.

    Raises UsageError for a file that cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    return next((len(line.strip()) for line in lines if line.strip() and line[0] != ";"), None)
