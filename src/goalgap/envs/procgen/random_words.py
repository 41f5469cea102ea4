"""Supply Procgen's randomness: a level is a function of a block of 32-bit words.

A generator reads its words in order through `Draws`. Who fills the block decides what comes out:
`twister` gives the words of a Procgen level seed, and so that very level; our own keys give levels of
the same distribution, faster. Rules: `procgen/src/randgen.cpp` of openai/procgen, read and re-stated.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from ...core import UsageError

STATE, SHIFT = 624, 397  # words of the Mersenne Twister's state, and how far apart it mixes them
MAX_SEED = 2**31 - 2  # level seeds are drawn as a word modulo 2^31 - 1


def check_seed(seed: int) -> None:
    """Raise UsageError for a number that is no level seed."""
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"level seed is {seed}; Procgen's are whole numbers from 0 to 2^31 - 2")


def twister(seed: Int[Array, ""] | UInt32[Array, ""] | int, count: int) -> UInt32[Array, " count"]:
    """Generate the first words of a Mersenne Twister (MT19937) seeded with an integer.

    They are those that `std::mt19937` gives (Matsumoto and Nishimura 1998; the seeding is Knuth's,
    multiplier 1812433253).
    """

    def seeding(word: Array, index: Array) -> tuple[Array, Array]:
        word = (word ^ (word >> 30)) * jnp.uint32(1812433253) + index
        return word, word

    first = jnp.asarray(seed).astype(jnp.uint32)
    _, rest = jax.lax.scan(seeding, first, jnp.arange(1, STATE, dtype=jnp.uint32))
    state = jnp.concatenate([first[None], rest])
    blocks = []
    for _ in range(-(-count // STATE)):
        state = _twist(state)
        blocks.append(_temper(state))
    return jnp.concatenate(blocks)[:count]


def level_seeds(
    rand_seed: int, num_levels: int, start_level: int, num_envs: int, num_resets: int
) -> Int[Array, "r e"]:
    """List the level seeds that Procgen's `rand_seed` leads to, at each reset of each environment.

    `num_levels` 0 is without end. A master twister seeds one for each environment, which is asked for a
    word at every reset. Source: `procgen/src/vecgame.cpp` and `game.cpp` of openai/procgen.
    """
    count, first = (num_levels, start_level) if num_levels else (MAX_SEED + 1, 0)
    return _level_seeds(
        jnp.asarray(rand_seed), jnp.uint32(count), jnp.uint32(first), num_envs, num_resets
    )


@functools.partial(jax.jit, static_argnames=("num_envs", "num_resets"))
def _level_seeds(
    rand_seed: Int[Array, ""],
    count: UInt32[Array, ""],
    first: UInt32[Array, ""],
    num_envs: int,
    num_resets: int,
) -> Int[Array, "r e"]:
    masters = twister(rand_seed, num_envs)
    words = jax.vmap(lambda word: twister(word, num_resets))(masters).T
    return (words % count + first).astype(jnp.int32)


def _twist(state: UInt32[Array, "624"]) -> UInt32[Array, "624"]:
    """Compute the twister's next state.

    Its words depend on earlier ones of itself, so it is made in four pieces, each of which needs only
    what is there.
    """
    upper, lower = jnp.uint32(0x80000000), jnp.uint32(0x7FFFFFFF)

    def mix(this: Array, following: Array, far: Array) -> Array:
        joined = (this & upper) | (following & lower)
        return far ^ (joined >> 1) ^ jnp.where(joined & 1, jnp.uint32(0x9908B0DF), jnp.uint32(0))

    gap = STATE - SHIFT
    one = mix(state[:gap], state[1 : gap + 1], state[SHIFT:])
    two = mix(state[gap : 2 * gap], state[gap + 1 : 2 * gap + 1], one)
    three = mix(state[2 * gap : -1], state[2 * gap + 1 :], two[: STATE - 1 - 2 * gap])
    last = mix(state[-1:], one[:1], two[STATE - 1 - 2 * gap : STATE - 2 * gap])
    return jnp.concatenate([one, two, three, last])


def _temper(state: UInt32[Array, " n"]) -> UInt32[Array, " n"]:
    state = state ^ (state >> 11)
    state = state ^ ((state << 7) & jnp.uint32(0x9D2C5680))
    state = state ^ ((state << 15) & jnp.uint32(0xEFC60000))
    return state ^ (state >> 18)


class Draws:
    """Read a block of words in order; `at` is how many are read.

    Each method uses exactly one word, or none where `when` does not hold (the value is then junk). A
    loop that draws carries `at` and makes its own `Draws(words, at)`.
    """

    def __init__(self, words: UInt32[Array, " n"], at: Int[Array, ""] | int = 0) -> None:
        self.words, self.at = words, jnp.asarray(at)

    def word(self, when: Bool[Array, ""] | bool = True) -> UInt32[Array, ""]:
        """Draw a word."""
        word = self.words[self.at]
        self.at = self.at + jnp.asarray(when).astype(self.at.dtype)
        return word

    def below(self, count: Int[Array, ""] | int, when: Bool[Array, ""] | bool = True) -> Int[Array, ""]:
        """Draw a whole number from 0 to below `count`: the word modulo `count`."""
        count = jnp.maximum(jnp.asarray(count), 1).astype(jnp.uint32)
        return (self.word(when) % count).astype(jnp.int32)

    def unit(self, when: Bool[Array, ""] | bool = True) -> Float[Array, ""]:
        """Draw a number from 0 to 1, in single precision (so that it can be 1)."""
        return self.word(when).astype(jnp.float32) * jnp.float32(2.0**-32)
