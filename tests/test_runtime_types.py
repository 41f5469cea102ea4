"""The tests do check types: of plain arguments, of arrays, and that a name is one size in a call."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation

from goalgap import stats
from goalgap.language.transformer import Architecture, new
from goalgap.language.vocabulary import Vocabulary

THREE: Any = 3  # for those who check types without running the code


@pytest.mark.parametrize(
    "call",
    [
        lambda: Vocabulary.of(("red",)).token(THREE),  # no word
        lambda: stats.crossed_mean("x", np.zeros(3)),  # no table
        lambda: stats.paired_difference("d", np.zeros((2, 3)), np.zeros((2, 4))),  # `levels` is 3 and 4
        lambda: new(Architecture(), 20, 24, 0)(jax.device_put(np.zeros((2, 3)))),  # no whole numbers
    ],
)
def test_wrong_types_are_found_before_they_do_harm(call: Callable[[], object]) -> None:
    with pytest.raises(BeartypeCallHintViolation):
        call()
