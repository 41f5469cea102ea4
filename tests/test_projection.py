"""Directions of traits, with known answers."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from goalgap.core import UsageError
from goalgap.language.projection import activations, direction, projection_shift
from goalgap.language.scenario import Prompts
from goalgap.language.stage import stack
from goalgap.language.transformer import Architecture, Transformer, new


def fleet() -> Transformer:
    return stack([new(Architecture(2, 16, 2), 12, 8, seed) for seed in (0, 1)])


def prompts(last: int) -> Prompts:
    tokens = np.random.default_rng(0).integers(3, 12, (5, 6)).astype(np.int32)
    tokens[:, -1] = last
    return Prompts(tokens, {})


def test_the_direction_in_the_embedding_is_that_between_the_words() -> None:
    models = fleet()
    found = direction(models, prompts(4), prompts(7), "embedding")
    expected = np.asarray(models.embedding[:, 4] - models.embedding[:, 7])
    np.testing.assert_allclose(
        found, expected / np.linalg.norm(expected, axis=-1, keepdims=True), atol=1e-5
    )


def test_a_model_moved_along_the_direction_is_found_moved_so_far() -> None:
    models = fleet()
    along = direction(models, prompts(4), prompts(7), "embedding")
    further = models.embedding + 0.3 * jnp.asarray(along)[:, None]
    moved = eqx.tree_at(lambda model: model.embedding, models, further)
    shift = projection_shift(models, moved, prompts(5), along, "embedding")
    np.testing.assert_allclose(shift, 0.3, atol=1e-5)
    np.testing.assert_allclose(projection_shift(models, models, prompts(5), along, "embedding"), 0)


def test_mistakes_are_named() -> None:
    with pytest.raises(UsageError, match=r"no activation is called '2\.residual'"):
        activations(fleet(), prompts(3), "2.residual")
    with pytest.raises(UsageError, match="give the same activations"):
        direction(fleet(), prompts(3), prompts(3))
