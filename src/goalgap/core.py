"""The vocabulary: environments that only move, goals that judge, levels, shifts, policies, results.

*Dynamics do not know reward.* An `Environment` steps; `Goal`s score the same transitions side by
side. A `Shift` is a pair of level distributions over one environment. Everything else in goalgap is
a function of (environment, goals, levels, policy). Of the package, only `settings` is imported here.
"""

import abc
import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt8, UInt32

from .settings import Checked, hint
from .settings import UsageError as UsageError

Level = PyTree  # what is fixed within an episode: walls, objects, where the agent starts
State = PyTree  # what changes within an episode
Observation = PyTree
Memory = PyTree  # what a recurrent policy carries from step to step; () for the others
Context = PyTree  # what a privileged policy works out about a level before the episode


def _make_static(kind: type) -> None:
    """Make plain fields of simple types static: sizes, modes, names; programs are compiled for them."""
    for name in inspect.get_annotations(kind):
        if hint(kind, name) not in (int, float, bool, str):
            continue
        default = kind.__dict__.get(name, dataclasses.MISSING)
        if default is dataclasses.MISSING:
            setattr(kind, name, eqx.field(static=True))
        elif isinstance(default, int | float | str):
            setattr(kind, name, eqx.field(static=True, default=default))


class Goal(eqx.Module):
    """Score transitions by something an agent may pursue, of which the environment knows nothing.

    A goal may keep an automaton of its own ("has been there already"), at most 2 bits, which starts
    at 0. `is_achieved` names the goal's *event*: the measurement asks which goal's event came first.
    The event may depend on the automaton, so that goals may be nested ("the cheese" against "the cheese
    without ever touching lava", whose event needs that memory 1, "has touched lava", was never reached).
    """

    name: eqx.AbstractVar[str]  # as users type it
    sentence: eqx.AbstractVar[str]  # "get to the cheese", to be read after "the agent wants to"
    bits: eqx.AbstractVar[float]  # description length, for priors over goals

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _make_static(cls)

    @property
    def num_memories(self) -> int:
        """Count the states of the goal's automaton, 1 to 4."""
        return 1

    @abc.abstractmethod
    def reward(
        self, level: Level, state: State, action: Int[Array, ""], next_state: State
    ) -> Float[Array, ""]:
        """Return what a transition pays, whatever the goal's automaton remembers."""

    @abc.abstractmethod
    def is_achieved(self, level: Level, state: State, memory: Int[Array, ""]) -> Bool[Array, ""]:
        """Tell whether the goal's event has happened, as a state and the goal's automaton show.

        `memory` is the automaton's state after the transition into `state` (0 at the start of an
        episode).
        """

    def step(
        self,
        level: Level,
        memory: Int[Array, ""],
        state: State,
        action: Int[Array, ""],
        next_state: State,
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        """Return what a transition pays, and the next state of the goal's automaton."""
        return self.reward(level, state, action, next_state), memory


@runtime_checkable
class Named(Protocol):
    """Name a goal: as much of it as a verdict in words needs."""

    @property
    def name(self) -> str:
        """Return the goal's name, as users type it."""
        ...

    @property
    def sentence(self) -> str:
        """Return the goal in words, to be read after "the agent wants to"."""
        ...


@runtime_checkable
class Contest(Protocol):
    """Set an intended goal against proxies: what verdicts and summaries of outcomes are about.

    The outcomes are episodes of agents (the contest is an `Environment`) or dialogues of language models
    (a scenario).
    """

    kind: ClassVar[str]  # in what words verdicts speak: "environment" or "language"
    name: ClassVar[str]
    # A contest may say as `specification` whether training asks for the intended goal: one of
    # SPECIFICATIONS; without it, "correct".

    @property
    def goals(self) -> tuple[Named, ...]:
        """List the intended goal, then the proxies."""
        ...


# What training asks for where goals come apart: the intended goal, if anything ("correct"); the proxy,
# by what it pays ("misspecified"); or the proxy, by what it shows ("demonstrated"). Only pursuit of a
# proxy that nobody asked for is goal misgeneralization.
SPECIFICATIONS = ("correct", "misspecified", "demonstrated")


class Levels(eqx.Module):
    """Sample levels from a distribution."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""]) -> Level:
        """Draw one level."""
        ...


class Mixture(Levels):
    """Sample `rare` levels with probability `alpha`, `common` ones otherwise."""

    common: Levels
    rare: Levels
    alpha: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not (isinstance(self.alpha, int | float) and 0 <= self.alpha <= 1):
            raise UsageError(f"alpha is {self.alpha}; it is a share, between 0 and 1")

    def sample(self, key: Key[Array, ""]) -> Level:
        # The ends are decided before compilation, so alpha = 0 never pays for the other half.
        if self.alpha in (0, 1):
            return (self.rare if self.alpha else self.common).sample(key)
        choice, common, rare = jax.random.split(key, 3)
        is_rare = jax.random.uniform(choice) < self.alpha
        return jax.tree.map(
            lambda r, c: jnp.where(is_rare, r, c),
            self.rare.sample(rare),
            self.common.sample(common),
        )


class Listed(Levels):
    """Sample from a list of levels (stacked: each array leads with an axis n), by their weights."""

    levels: Level
    weights: Float[Array, " n"]

    def sample(self, key: Key[Array, ""]) -> Level:
        ranks = jnp.cumsum(self.weights)
        drawn = jax.random.uniform(key) * ranks[-1]
        index = jnp.minimum(jnp.searchsorted(ranks, drawn, side="right"), len(ranks) - 1)
        return tree_index(self.levels, index)


class Shift(NamedTuple):
    """Pair the levels an agent is trained on with those it is deployed on, in one environment."""

    train: Levels
    deploy: Levels


@dataclasses.dataclass(frozen=True)
class Defaults:
    """Hold what the command line uses for an environment where the user does not say.

    The rule for the package's own: the largest board that the default fleet masters within minutes on
    two cores, and the steps that it takes.
    """

    steps: int = 1_000_000  # environment steps of each seed
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # the environment's fields
    num_levels: int = 512  # evaluation levels of each split
    learner: Mapping[str, Any] = dataclasses.field(  # PPO's fields
        default_factory=lambda: {"entropy_coefficient": 0.02}
    )
    # The environment's fields for `analyze`, beside `options`: nothing is trained, so that the published
    # board is no matter.
    analysis: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seeds: int = 4  # agents that are trained


def option(default: Any, help: str, name: str | None = None) -> Any:
    """Declare a static field of an environment, with words of help for the command line.

    `name` is what the command line calls the field, if not by its own name.
    """
    about = {"help": help} if name is None else {"help": help, "option": name}
    return eqx.field(static=True, default=default, metadata=about)


class Environment(Checked, eqx.Module):
    """Define the dynamics and the pictures of levels. Never rewards, never resets by itself.

    All methods take one level and one state; callers `vmap`. An episode ends when `is_terminal` (the
    future is worth nothing) or after `max_steps` (it is merely not watched: truncation). Fields of
    simple types are the options of the command line, and are checked by `settings.settle`; a plain
    field will do, `option` gives one words of help.
    """

    kind: ClassVar[str] = "environment"  # what sort of `Contest` this is
    specification: ClassVar[str] = "correct"  # one of SPECIFICATIONS

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _make_static(cls)

    name: ClassVar[str]
    title: ClassVar[str]
    papers: ClassVar[tuple[str, ...]] = ()  # arXiv ids, for `goalgap cite`
    defaults: ClassVar[Defaults] = Defaults()
    splayed: ClassVar[str]  # the object that `splay` moves
    num_actions: ClassVar[int]
    action_names: ClassVar[tuple[str, ...]]
    solver: ClassVar[Any] = None  # an `oracle.Solver`; None: play is not solved exactly
    # Exams keep levels that repeat: where some are common, how common is part of the distribution.
    repeats: ClassVar[bool] = False
    is_stochastic: ClassVar[bool] = False  # `step` draws from its key: play is not tabulated
    bordered: ClassVar[bool] = True  # symbolic observations end where the board does: walls lie around
    max_steps: eqx.AbstractVar[int]
    intended: eqx.AbstractVar[Goal]
    proxies: eqx.AbstractVar[tuple[Goal, ...]]

    def __check_init__(self) -> None:
        """Raise UsageError for worlds with luck whose solver would play them as if there were none."""
        if self.is_stochastic and self.solver is not None and not self.solver.knows_luck:
            raise UsageError(
                f"{self.name} is stochastic, for which its solver, {type(self.solver).__name__}, is not "
                "made; write `solver: ClassVar[None] = None` and `def reference(self, goal)`, a good "
                "player"
            )

    @property
    def goals(self) -> tuple[Goal, ...]:
        """List the intended goal, then the proxies."""
        return (self.intended, *self.proxies)

    @abc.abstractmethod
    def reset(self, level: Level) -> State:
        """Return the state in which episodes on a level begin."""
        ...

    @abc.abstractmethod
    def step(
        self, level: Level, state: State, action: Int[Array, ""], key: Key[Array, ""] | None = None
    ) -> State:
        """Return the next state.

        Both loops pass each step of each lane a key of its own: stochastic worlds draw from it (and say
        so: `is_stochastic`), the others ignore it and pay nothing.
        """

    @abc.abstractmethod
    def is_terminal(self, level: Level, state: State) -> Bool[Array, ""]:
        """Tell whether the episode ends in a state, after which nothing more can be earned."""
        ...

    def states(self, level: Level) -> State:
        """List all states of a level (leading axis), in the order of `index`.

        Where there are few, this buys exact play. Raises NotImplementedError where they are not
        enumerated.
        """
        raise NotImplementedError(f"the states of {self.name} are not enumerated")

    def index(self, level: Level, state: State) -> Int[Array, ""]:
        """Return a state's place in `states`. Raises NotImplementedError where there is no such list."""
        raise NotImplementedError(f"the states of {self.name} are not enumerated")

    @property
    def strides(self) -> tuple[int, ...] | None:
        """Return what each action adds to a state's `index`, where it changes the state at all.

        None: it depends on the state. Exact play is several times faster where it is known.
        """
        return None

    @abc.abstractmethod
    def observe(self, level: Level, state: State) -> Bool[Array, "h w c"] | UInt8[Array, "y x 3"]:
        """Show what agents see of a state.

        Symbolic: bits on a grid, with one channel for each kind of object; or else a picture.
        """

    @abc.abstractmethod
    def board(self, level: Level, state: State) -> Int[Array, "h w"]:
        """Lay out the picture of a state as tiles: indices into `sprites`."""

    @property
    def tile_names(self) -> tuple[str, ...]:
        """Name what each tile of `sprites` shows, for terminals; empty: they show `rgb` pixels."""
        return ()

    def visible(self, level: Level) -> tuple[slice, slice]:
        """Return the rows and columns of the board that are worth showing."""
        return slice(None), slice(None)

    def places(self, level: Level) -> Int[Array, "n 2"]:
        """Return the row and column on the board of each place to which `splay` moves the object.

        By default these are the board's cells in reading order, within a border.
        """
        height, width = jax.eval_shape(lambda: self.board(level, self.reset(level))).shape
        cells = jnp.arange((height - 2) * (width - 2))
        return jnp.stack([cells // (width - 2), cells % (width - 2)], -1) + 1

    @abc.abstractmethod
    def sprites(self, pixels: int) -> UInt8[Array, "n p p 3"]:
        """Draw the picture of each tile, `pixels` square."""

    @abc.abstractmethod
    def rgb(self, level: Level, state: State, pixels: int = 8) -> UInt8[Array, "y x 3"]:
        """Draw a picture of a state, `pixels` to a tile."""

    @abc.abstractmethod
    def to_text(self, level: Level, state: State | None = None) -> str:
        """Write a level, in a state (by default at the start), as lines of text."""
        ...

    @abc.abstractmethod
    def from_text(self, text: str) -> Level:
        """Read the level that `to_text` wrote. Raises UsageError for text that is none."""
        ...

    @abc.abstractmethod
    def shift(self, alpha: float = 0.0) -> Shift:
        """Pair levels for training, of which a share `alpha` distinguish the goals, with deployment's.

        Those of deployment all distinguish the goals.
        """

    @abc.abstractmethod
    def is_distinguishing(self, level: Level) -> Bool[Array, ""]:
        """Tell whether proxy and intended goal come apart on a level (the published label)."""

    @abc.abstractmethod
    def twin(self, level: Level) -> Level:
        """Restore on a level the correlation between the goals that training has; the layout stays."""

    @abc.abstractmethod
    def splay(self, level: Level) -> tuple[Level, Bool[Array, " n"]]:
        """Put a level's object, the one named by `splayed`, on each cell in turn.

        Returns the n levels (leading axis), and which of them are legal.
        """

    @abc.abstractmethod
    def level_hash(self, level: Level) -> Int[Array, "2"]:
        """Hash everything on a level: 64 bits, in two words."""

    @abc.abstractmethod
    def layout_hash(self, level: Level) -> Int[Array, "2"]:
        """Hash what training and test levels may not share: 64 bits, in two words."""

    def is_test(self, level: Level) -> Bool[Array, ""]:
        """Tell whether a level's layout is kept for evaluation, so that training never shows it.

        An eighth of all layouts are, by their hash, so that the two sets are disjoint for every run and
        however many levels either draws.
        """
        return self.layout_hash(level)[0] % 8 == 0

    def facts(self, level: Level, state: State) -> dict[str, Bool[Array, ""]]:
        """Say for each named place ("the cheese", "the top row") whether the agent is there.

        The names are the vocabulary out of which `theory.grammar` makes goals that nobody listed.
        """
        return {}

    def gauges(self, level: Level, state: State) -> dict[str, Float[Array, ""]]:
        """Measure what an agent may want to raise ("go up", "collect keys"), from 0 to about 1."""
        return {}

    def symmetries(self, level: Level) -> dict[str, Level]:
        """Return a level as the symmetries of the dynamics change it, by name: rotated, mirrored."""
        return {}

    def reference(self, goal: Goal) -> "Policy":
        """Return a player of a goal, for environments without exact play: good, not known to be best.

        Raises UsageError where the environment defines none.
        """
        raise UsageError(
            f"{self.name} has no reference player of {goal.name}; define `def reference(self, goal)`, "
            "which gives a Policy, wherever solver is None"
        )

    def restart(self, level: Level, state: State) -> Level:
        """Make a level begin in another state. Raises NotImplementedError where that cannot be."""
        raise NotImplementedError(f"levels of {self.name} begin where they begin")

    def extras(self, level: Level, state: State) -> dict[str, Array]:
        """Return numbers worth a column in the outcomes, read off an episode's last state."""
        return {}


class Situation(NamedTuple):
    """Hold everything there is to know at one step; `Policy.view` picks what a policy may see."""

    level: Level
    state: State
    goal_memories: tuple[Int[Array, "*batch"], ...]
    step: Int[Array, "*batch"]


class Decision(NamedTuple):
    """Hold what a policy returns for one step of a batch."""

    logits: Float[Array, "*batch num_actions"]
    value: Float[Array, "*batch"]
    memory: Memory
    activations: dict[str, Array]


Patch = Mapping[str, Callable[[Array], Array]]  # replaces named activations in flight


class Policy(eqx.Module):
    """Map batches of observations, and of memories, to distributions over actions."""

    on_host: ClassVar[bool] = False  # True: not JAX; called with NumPy arrays, outside of any jit

    @property
    def columns(self) -> tuple[str, ...]:
        """Name activations [batch] whose mean over an episode's steps is a column of the outcomes."""
        return ()

    def prepare(self, env: Environment, levels: Level) -> Context:
        """Work out what a privileged policy knows of a batch of levels beforehand (oracles solve)."""
        return None

    def initial(self, batch_size: int) -> Memory:
        """Return the memory with which episodes begin; () for policies without memory."""
        return ()

    def view(self, env: Environment, situation: Situation, context: Context) -> Observation:
        """Return what the policy sees of a batch of situations; by default the symbolic observation."""
        return jax.vmap(env.observe)(situation.level, situation.state)

    @abc.abstractmethod
    def __call__(
        self, observation: Observation, memory: Memory, patch: Patch | None = None
    ) -> Decision: ...


class Outcome(NamedTuple):
    """Hold what finished episodes came to under every goal at once. n: episodes, g: goals."""

    returns: Float[Array, "n g"]  # discounted
    event_step: Int[Array, "n g"]  # steps until the goal's event; -1: never
    length: Int[Array, " n"]
    terminated: Bool[Array, " n"]  # False: cut off by max_steps
    extras: dict[str, Array]


class Trace(NamedTuple):
    """Record a batch of episodes step by step. Time leads: t steps, b episodes.

    Where an episode is over (`is_live` False), its state repeats and the rest means nothing.
    """

    level: Level  # [b]
    state: State  # [t + 1, b]: at the start and after each step
    observation: Observation  # [t, b]
    action: Int[Array, "t b"]
    logits: Float[Array, "t b a"]
    value: Float[Array, "t b"]
    memory: Memory  # [t, b]: what the policy remembered before the step
    activations: dict[str, Array]  # [t, b, ...]: those asked for
    is_live: Bool[Array, "t b"]  # the step was taken


class Measurement(NamedTuple):
    """Hold a number that can be quoted: estimate, 95 % interval, and of how many what."""

    name: str
    estimate: float
    low: float
    high: float
    n: int
    unit: str  # the unit of replication: "seeds", "levels"

    def __str__(self) -> str:
        return f"{self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}] (n = {self.n} {self.unit})"


def measurement(name: str, estimate: float, low: float, high: float, n: int, unit: str) -> Measurement:
    """Build a Measurement. Raises ValueError for one outside its own interval, or without a count."""
    if n < 1 or not unit:
        raise ValueError(f"{name}: a measurement says of how many what, not n={n} unit={unit!r}")
    if not (math.isnan(estimate) or low <= estimate <= high):
        raise ValueError(f"{name}: {estimate} is outside its own interval [{low}, {high}]")
    return Measurement(name, float(estimate), float(low), float(high), int(n), unit)


def tree_index(tree: Any, index: Any) -> Any:
    """Select the same rows of every array in a tree."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def hash_bits(bits: Bool[Array, "..."]) -> UInt32[Array, "2"]:
    """Hash bits universally, to two words: each the sum of a fixed random word for each bit set."""
    words = np.random.default_rng(0).integers(0, 2**32, (2, bits.size), dtype=np.uint32)
    return jnp.where(bits.reshape(-1), jnp.asarray(words), 0).sum(-1, dtype=jnp.uint32)
