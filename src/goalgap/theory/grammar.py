"""Enumerate goals that nobody listed, from what an environment says of its states.

The words are `Environment.facts` (places: objects, their rows and columns, corners, edges, quarters, the
start) and `Environment.gauges` (directions, counts). The grammar:

    goal := reach PLACE | avoid PLACE | reach PLACE and PLACE | reach PLACE or PLACE
          | reach PLACE before PLACE | raise GAUGE | raise GAUGE and GAUGE

Reaching pays 1 once, avoiding costs 1 once, raising pays the change of the gauge. A goal's description
length is log2 of the number of rules plus log2 of the size of the vocabulary for each word, so that its
prior is 2^-bits. Left out: places that are the nearest or farthest of their kind, and conjunctions of
two goals rather than of two places.
"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8

from ..core import Environment, Goal, Level, State

NUM_RULES = 7


class Attain(Goal):
    """Reward being, once, at all or at any of some places.

    With `instead`, this counts only before ever being at that place. A `worth` of -1 makes the places
    something to avoid.
    """

    name: str = eqx.field(static=True)
    sentence: str = eqx.field(static=True)
    bits: float = eqx.field(static=True)
    env: Environment
    places: tuple[str, ...] = eqx.field(static=True)
    rule: str = eqx.field(static=True, default="all")  # or "any"
    instead: str | None = eqx.field(static=True, default=None)
    worth: float = eqx.field(static=True, default=1.0)

    @property
    def num_memories(self) -> int:
        return 2  # 1: it is over, for better or worse

    def is_achieved(self, level: Level, state: State, memory: Int[Array, ""]) -> Bool[Array, ""]:
        return self.is_there(level, state)

    def is_there(self, level: Level, state: State) -> Bool[Array, ""]:
        """Tell whether the state is at the goal's places, whatever came before."""
        facts = self.env.facts(level, state)
        here = jnp.stack([facts[place] for place in self.places])
        return here.any() if self.rule == "any" else here.all()

    def reward(
        self, level: Level, state: State, action: Int[Array, ""], next_state: State
    ) -> Float[Array, ""]:
        return self.worth * self.is_there(level, next_state)

    def step(
        self,
        level: Level,
        memory: Int[Array, ""],
        state: State,
        action: Int[Array, ""],
        next_state: State,
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        reward = self.reward(level, state, action, next_state)
        over = reward != 0
        if self.instead is not None:
            over |= self.env.facts(level, next_state)[self.instead]
        return jnp.where(memory == 0, reward, 0.0), memory | over.astype(memory.dtype)


def words(env: Environment, level: Level, state: State) -> Bool[Array, " f"]:
    """Stack all facts of a state, in the order of the vocabulary."""
    return jnp.stack(list(env.facts(level, state).values()))


def attain_tables(
    env: Environment, goals: tuple[Attain, ...], facts: Bool[Array, "s a f"]
) -> tuple[Float[Array, "g s m a"], Int8[Array, "g s m a"]]:
    """Tabulate `step` of many goals for every move at once: rewards and next memories.

    `facts` are the facts of the state that each move (state, action) leads to; m: the goals' two
    memories.
    """
    place = {said: index for index, said in enumerate(vocabulary(env)[0])}
    wanted, barred = np.zeros((2, len(goals), len(place)), np.float32)
    for row, goal in enumerate(goals):
        wanted[row, [place[said] for said in goal.places]] = 1
        if goal.instead is not None:
            barred[row, place[goal.instead]] = 1
    needed = np.array([1 if goal.rule == "any" else len(goal.places) for goal in goals])
    worth = jnp.array([goal.worth for goal in goals])
    true = facts.astype(jnp.float32)
    count = jnp.einsum("saf,gf->gsa", true, wanted)
    achieved = count >= needed[:, None, None]
    over = achieved | (jnp.einsum("saf,gf->gsa", true, barred) > 0)
    first = worth[:, None, None] * achieved
    reward = jnp.stack([first, jnp.zeros_like(first)], 2)
    return reward, jnp.stack([over, jnp.ones_like(over)], 2).astype(jnp.int8)


class Raise(Goal):
    """Reward raising the sum of some gauges: every move pays by how much it changes the sum."""

    name: str = eqx.field(static=True)
    sentence: str = eqx.field(static=True)
    bits: float = eqx.field(static=True)
    env: Environment
    gauges: tuple[str, ...] = eqx.field(static=True)

    def height(self, level: Level, state: State) -> Float[Array, ""]:
        """Sum the goal's gauges in a state."""
        gauges = self.env.gauges(level, state)
        return jnp.stack([jnp.asarray(gauges[name], jnp.float32) for name in self.gauges]).sum()

    def is_achieved(self, level: Level, state: State, memory: Int[Array, ""]) -> Bool[Array, ""]:
        return self.height(level, state) > self.height(level, self.env.reset(level))

    def reward(
        self, level: Level, state: State, action: Int[Array, ""], next_state: State
    ) -> Float[Array, ""]:
        return self.height(level, next_state) - self.height(level, state)


def vocabulary(env: Environment) -> tuple[list[str], list[str]]:
    """List the names of the environment's places and of its gauges."""
    level = jax.eval_shape(env.shift().train.sample, jax.random.key(0))

    def said(level: Level) -> tuple[dict[str, Array], dict[str, Array]]:
        state = env.reset(level)
        return env.facts(level, state), env.gauges(level, state)

    # Dictionaries come back from JAX in alphabetical order; the environment's own reads better.
    names: list[list[str]] = []
    jax.eval_shape(lambda level: names.extend(list(each) for each in said(level)), level)
    return names[0], names[1]


def goals(env: Environment) -> tuple[Goal, ...]:
    """Enumerate all goals of the grammar, shortest descriptions first.

    There are none where the environment has no words. Goals that can never differ from a shorter one may
    be among them: analysis merges those that agree on every level.
    """
    facts, gauges = vocabulary(env)
    word = math.log2(max(len(facts) + len(gauges), 1))
    one, two = math.log2(NUM_RULES) + word, math.log2(NUM_RULES) + 2 * word
    found: list[Goal] = []
    for place in facts:
        found.append(Attain(_name(place), f"get to {place}", one, env, (place,)))
        found.append(Attain(f"avoid-{_name(place)}", f"avoid {place}", one, env, (place,), worth=-1.0))
    for first, second in itertools.combinations(facts, 2):
        pair = (first, second)
        both, either = " and ".join(pair), " or ".join(pair)
        found.append(Attain(_name(both), f"get to {both} at once", two, env, pair))
        found.append(Attain(_name(either), f"get to {either}", two, env, pair, "any"))
    for first, second in itertools.permutations(facts, 2):
        said = f"{first} before {second}"
        found.append(Attain(_name(said), f"get to {said}", two, env, (first,), instead=second))
    for gauge in gauges:
        found.append(Raise(_name(gauge), gauge, one, env, (gauge,)))
    for first, second in itertools.combinations(gauges, 2):
        both = f"{first} and {second}"
        found.append(Raise(_name(both), both, two, env, (first, second)))
    return tuple(sorted(found, key=lambda goal: goal.bits))


def _name(said: str) -> str:
    """Turn words into a name as users type it: "the top row" becomes top-row."""
    left_out = ("the", "a", "of", "to")
    words = said.replace("°", "").split()
    return "-".join(word for word in words if word not in left_out)
