"""Find environments, scenarios, networks, studies and types by name, in the package and beside it.

What comes from outside the package is either installed, and named by an entry point, or a file of the
user's (`load`, `--plugin FILE`, the variable GOALGAP_PLUGINS). Descriptions of runs look their types up
in `types()`, so that nothing is ever imported because a run folder's file says so.
"""

import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, get_origin

from .settings import UsageError, unknown

VARIABLE = "GOALGAP_PLUGINS"  # files, set off as in PATH; inherited by worker processes
GROUPS = (
    "goalgap.environments",
    "goalgap.scenarios",
    "goalgap.studies",
    "goalgap.types",
    "goalgap.mitigations",
    "goalgap.detectors",
)


@dataclasses.dataclass(frozen=True)
class Script:
    """Name a study or a benchmark: a function in a file, which is imported when it is asked for."""

    name: str
    path: Path
    function: Callable[..., Any] | None = None  # of a plug-in, which is imported already

    def load(self, function: str) -> Callable[..., Any]:
        """Import the script's function of a given name. Raises UsageError where the file has none."""
        found = self.function or getattr(_import(self.path, module_name(self.path)), function, None)
        if not callable(found):
            raise UsageError(f"{self.path} defines no function {function}")
        return found


@dataclasses.dataclass
class _Outside:
    """Hold what was registered from outside the package."""

    types: dict[str, type] = dataclasses.field(default_factory=dict)  # by class name
    studies: dict[str, Script] = dataclasses.field(default_factory=dict)
    files: dict[Path, str] = dataclasses.field(default_factory=dict)  # -> names of modules
    problems: list[str] = dataclasses.field(default_factory=list)
    is_ready: bool = False


_outside = _Outside()


# -- by name ----------------------------------------------------------------------------------------


def environments() -> dict[str, Any]:
    """Map names to environment classes, the package's first."""
    return {kind.name: kind for kind in _all("environment")}


def scenarios() -> dict[str, Any]:
    """Map names to scenario classes, the package's first."""
    return {kind.name: kind for kind in _all("scenario")}


def layouts() -> dict[str, Any]:
    """Map names to classes of wall layouts."""
    return {kind.name: kind for kind in _all("layout")}


def networks() -> dict[str, Any]:
    """Map names to configurations of networks; a plug-in's class is taken with its defaults."""
    from .agents.networks import NETWORKS

    own = [kind for kind in _ready().types.values() if "network" in _kinds_of(kind)]
    return {**NETWORKS, **{name_of(kind): kind() for kind in own}}


def studies() -> dict[str, Script]:
    """Map names to studies: the package's, in a checkout or installed, then plug-ins'."""
    own = {path.stem.replace("_", "-"): path for path in _beside("studies")}
    return {name: Script(name, path) for name, path in own.items()} | _ready().studies


def benchmarks() -> dict[str, Script]:
    """Map names to the package's benchmarks."""
    return {path.stem: Script(path.stem, path) for path in _beside("benchmarks")}


def types() -> dict[str, type]:
    """Map class names to every class that a description may name, the package's and plug-ins'."""
    own = {kind.__name__: kind for group in _package().values() for kind in group}
    return {**_ready().types, **own}


def find(kind: str, name: str) -> Any:
    """Return what is called `name` among all of one kind.

    `kind` is environment, scenario, layout, network, stage, curriculum, penalty, wrapper, study or
    benchmark. Raises UsageError with the nearest names.
    """
    tables: dict[str, Callable[[], Mapping[str, Any]]] = {
        "environment": environments,
        "scenario": scenarios,
        "layout": layouts,
        "network": networks,
        **{
            kind: functools.partial(_named, kind)
            for kind in ("stage", "curriculum", "penalty", "wrapper")
        },
        "study": studies,
        "benchmark": benchmarks,
    }
    known = tables[kind]()
    if name not in known:
        raise UsageError(unknown(kind, name, known))
    return known[name]


def make(kind: str, name: str) -> Any:
    """Make what is called `name` among stages, curricula, penalties or wrappers, as it is by default.

    Raises UsageError where it has fields without defaults.
    """
    found = find(kind, name)
    required = [
        field.name
        for field in dataclasses.fields(found)
        if field.init and field.default is field.default_factory is dataclasses.MISSING
    ]
    if required:
        raise UsageError(
            f"{kind} {name} has no default for {', '.join(required)}; give defaults to the fields of "
            f"{found.__name__}, or build the experiment in Python"
        )
    return found()


def _named(kind: str) -> dict[str, Any]:
    """Give the classes of a kind by the names that users type."""
    return {name_of(one): one for one in _all(kind)}


def problems() -> list[str]:
    """List in words, a line each, the installed plug-ins that could not be used.

    Everything else works.
    """
    return list(_ready().problems)


def missing(name: str) -> str:
    """Say in one line that a description names a type that is not here, and how to bring it."""
    return (
        f"{name} is neither of this version nor of a plug-in that is here; name its file with "
        "--plugin FILE, or install its package"
    )


# -- plug-ins ---------------------------------------------------------------------------------------


def load(path: str | Path) -> list[str]:
    """Import a file of the user's once, register what it defines, and return its names.

    The file may define environments, scenarios, layouts, networks, stages and the like (subclasses of
    goalgap's base classes), and a study: a function `main(out, seed)`. The file is added to
    GOALGAP_PLUGINS, so that worker processes load it, too. Raises UsageError in one line for a file that
    is not there, does not import, or defines nothing, something incomplete, or a name that is taken.
    """
    path = Path(path).expanduser().resolve()
    outside = _ready()
    if path not in outside.files:
        if not path.is_file():
            raise UsageError(f"there is no plug-in {path}; expected a Python file")
        _load(path)
    return _names(outside.files[path])


def _load(path: Path) -> None:
    name = module_name(path)
    module = _import(path, name)
    try:
        _register_module(module, f"the plug-in {path}")
    except UsageError:
        del sys.modules[name]
        raise
    _outside.files[path] = name
    listed = [file for file in os.environ.get(VARIABLE, "").split(os.pathsep) if file]
    if str(path) not in listed:
        os.environ[VARIABLE] = os.pathsep.join([*listed, str(path)])


def module_of(path: Path) -> ModuleType:
    """Return a file of the user's as a module: a loaded plug-in's, or else imported anew.

    Raises UsageError in one line for a file that is not there or does not import.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UsageError(f"cannot import {str(path)!r}: there is no such file")
    loaded = _ready().files.get(path)
    return sys.modules[loaded] if loaded else _import(path, module_name(path))


def module_name(path: Path) -> str:
    """Make the name under which a plug-in's module is known, equal in all processes."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    stem = "".join(letter if letter.isalnum() else "_" for letter in path.stem)
    return f"goalgap_plugin_{stem}_{digest}"


def _import(path: Path, name: str) -> ModuleType:
    """Import a file under a name, with the files beside it within reach; errors in one line."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file; expected one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise UsageError(f"{path} does not import: {_reason(error, path)}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _reason(error: BaseException, path: Path) -> str:
    """Say which line of a file failed, and how."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename) == path:
            line = frame.lineno
    text = " ".join(str(error).split())
    where = "" if line is None else f"line {line}: "
    return f"{where}{type(error).__name__}: {text}"


def _register_module(module: ModuleType, source: str) -> None:
    """Register a module's own classes, and its `main` as a study."""
    own = [kind for kind in vars(module).values() if _is_own(kind, module)]
    bases = {base for kind in own for base in kind.__mro__[1:]}
    found = [kind for kind in own if not (kind in bases and lacks(kind))]
    main = vars(module).get("main")
    has_study = inspect.isfunction(main) and main.__module__ == module.__name__
    if not found and not has_study:
        known = ", ".join(dict.fromkeys(base.__name__ for group in _bases().values() for base in group))
        raise UsageError(
            f"{source} defines nothing to use; expected a subclass of {known}, or a study, which is a "
            "function main(out, seed)"
        )
    for kind in found:
        _check(kind, source)
    for kind in found:
        _outside.types[kind.__name__] = kind
    if has_study:
        _register_study(Path(str(module.__file__)).stem.replace("_", "-"), main, source)


def _is_own(kind: Any, module: ModuleType) -> bool:
    return isinstance(kind, type) and kind.__module__ == module.__name__ and bool(_kinds_of(kind))


def _register_study(name: str, main: Any, source: str) -> None:
    if name in studies():
        raise UsageError(f"{source} is a study called {name}, which there is already; rename the file")
    _outside.studies[name] = Script(name, Path(inspect.getfile(main)), main)


def _check(kind: type, source: str) -> None:
    """Raise UsageError for a class that lacks something or whose name is taken."""
    if wanting := lacks(kind):
        write = "; ".join(f"{name}: {how}" for name, how in wanting.items())
        raise UsageError(f"{kind.__name__} of {source} lacks {', '.join(wanting)}. Write {write}")
    if undecorated(kind):
        raise UsageError(
            f"{kind.__name__} of {source} is no dataclass; write @dataclasses.dataclass(frozen=True) "
            "above it, so that its settings are stored with runs"
        )
    taken = types().get(kind.__name__)
    if taken is not None and taken is not kind:
        raise UsageError(
            f"the name of the class {kind.__name__} of {source} is taken, by {taken.__module__}; "
            "choose another"
        )
    for group in _kinds_of(kind):
        for other in _all(group):
            if other is not kind and getattr(other, "name", None) == getattr(kind, "name", ""):
                raise UsageError(
                    f"the name {name_of(kind)!r} of {source} is taken, by the {group} "
                    f"{other.__module__}.{other.__name__}; choose another"
                )


def lacks(kind: type) -> dict[str, str]:
    """Map what a class still has to define to what to write for it.

    These are abstract methods and fields, and class variables that a base class announces without a
    value.
    """
    wanting: dict[str, str] = {}
    for name in sorted(getattr(kind, "__abstractmethods__", ())):
        method = getattr(kind, name)
        method = method.fget if isinstance(method, property) else method
        wanting[name] = f"`def {name}{_signature(method)}`"
    for name in sorted(getattr(kind, "__abstractvars__", ())):
        wanting[name] = f"`{name}: ... = ...`, a field"
    for parent in kind.__mro__:
        for name, hint in inspect.get_annotations(parent).items():
            is_variable = get_origin(hint) is ClassVar or str(hint).startswith("ClassVar")
            if is_variable and not hasattr(kind, name):
                wanting[name] = f"`{name}: ClassVar[...] = ...`"
    return wanting


def undecorated(kind: type) -> bool:
    """Tell whether a class, or one that it declares fields in, is not yet made a dataclass."""
    if not dataclasses.is_dataclass(kind):
        return True
    fields = {field.name for field in dataclasses.fields(kind)}
    hints = inspect.get_annotations(kind)
    return any(name not in fields and "ClassVar" not in str(hint) for name, hint in hints.items())


def _signature(method: Any) -> str:
    names = list(inspect.signature(method).parameters)
    return f"({', '.join(names)})"


def name_of(kind: type) -> str:
    """Return the name by which users call a class: its `name`, or else the class name with hyphens."""
    name = getattr(kind, "name", None)
    if isinstance(name, str) and name:
        return name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind.__name__).lower()


def _names(module: str) -> list[str]:
    kinds = [kind for kind in _outside.types.values() if kind.__module__ == module]
    scripts = _outside.studies.items()
    own = [name for name, script in scripts if getattr(script.function, "__module__", "") == module]
    return [name_of(kind) for kind in kinds] + own


def _ready() -> _Outside:
    """Load what is installed and what GOALGAP_PLUGINS names, the first time."""
    if not _outside.is_ready:
        _outside.is_ready = True  # a plug-in that looks something up must not load itself
        for group in GROUPS:
            for point in importlib.metadata.entry_points(group=group):
                _load_installed(point)
        for file in os.environ.get(VARIABLE, "").split(os.pathsep):
            if file:
                load(file)
    return _outside


def _load_installed(point: importlib.metadata.EntryPoint) -> None:
    """Register an entry point's class, function or module; what fails becomes a problem in words."""
    package = point.dist.name if point.dist is not None else point.module
    source = f"the installed package {package}"
    try:
        found = point.load()
        if isinstance(found, ModuleType):
            _register_module(found, source)
        elif isinstance(found, type) and _kinds_of(found):
            _check(found, source)
            _outside.types[found.__name__] = found
        elif callable(found):
            _register_study(point.name, found, source)
        else:
            raise UsageError(f"{point.value} is a {type(found).__name__}; expected a class")
    except UsageError as error:
        _outside.problems.append(f"the plug-in {point.name} of {source} is left out: {error}")
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        _outside.problems.append(f"the plug-in {point.name} of {source} does not import: {why}")


# -- the package's own ------------------------------------------------------------------------------


@functools.cache
def _bases() -> dict[str, tuple[type, ...]]:
    """Map each kind of thing that a plug-in may define to the classes to derive from."""
    from .agents.networks import NetworkConfig
    from .agents.wrappers import Wrapper
    from .core import Environment
    from .envs.layouts import Layout
    from .language.scenario import Scenario
    from .learn.curriculum import Curriculum
    from .learn.penalty import Penalty
    from .learn.stage import Stage

    return {
        "environment": (Environment,),
        "scenario": (Scenario,),
        "layout": (Layout,),
        "network": (NetworkConfig,),
        "stage": (Stage,),
        "curriculum": (Curriculum,),
        "penalty": (Penalty,),
        "wrapper": (Wrapper,),
    }


@functools.cache
def _package() -> dict[str, tuple[type, ...]]:
    """Map each kind of thing to the package's own classes."""
    from . import envs, language
    from .agents.networks import MLP, Impala
    from .agents.wrappers import Abstain, Ensemble, Steer
    from .envs.layouts import LAYOUTS
    from .language.transformer import Architecture
    from .learn.curriculum import DomainRandomization, GroupedRandomization
    from .learn.ppo import PPO
    from .learn.stage import Usual

    return {
        "environment": envs.ALL,
        "scenario": language.ALL,
        "layout": LAYOUTS,
        "network": (MLP, Impala),
        "stage": (PPO, Usual),
        "curriculum": (DomainRandomization, GroupedRandomization),
        "penalty": (),
        "wrapper": (Ensemble, Abstain, Steer),
        "architecture": (Architecture,),
    }


def _kinds_of(kind: type) -> list[str]:
    return [name for name, bases in _bases().items() if issubclass(kind, bases)]


def _all(kind: str) -> Iterator[type]:
    """Yield the package's classes of a kind, then plug-ins'."""
    yield from _package()[kind]
    yield from (one for one in _ready().types.values() if kind in _kinds_of(one))


def _beside(room: str) -> list[Path]:
    """List the scripts of `studies` or `benchmarks`, in a checkout or installed with the package."""
    package = Path(__file__).parent
    for place in (package / room, package.parents[1] / room):
        if place.is_dir():
            return sorted(path for path in place.glob("*.py") if not path.stem.startswith("_"))
    return []
