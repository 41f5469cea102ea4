"""Wrap policies from elsewhere: any Python function of a batch of observations."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..core import Decision, Memory, Observation, Patch, Policy, UsageError


class Outside(Policy):
    """Wrap a function from observations [B, h, w, c] (NumPy) to actions [B] or logits [B, actions].

    Symbolic observations are boolean. Raises UsageError, with what came and what was expected, for
    anything else that the function returns.
    """

    on_host: ClassVar[bool] = True
    function: Callable[..., Any] = eqx.field(static=True)
    num_actions: int = eqx.field(static=True)

    def __call__(self, observation: Observation, memory: Memory, patch: Patch | None = None) -> Decision:
        observation = np.asarray(observation)
        count = observation.shape[0]
        try:
            answer = np.asarray(self.function(observation))
        except Exception as error:
            raise UsageError(
                f"the policy failed on observations {observation.dtype}{list(observation.shape)}: "
                f"{type(error).__name__}: {error}"
            ) from error
        num = self.num_actions
        expected = f"integer actions [{count}] below {num}, or logits [{count}, {num}]"
        if answer.shape == (count, self.num_actions) and np.issubdtype(answer.dtype, np.floating):
            if np.isnan(answer).any():
                raise UsageError(f"the policy returned NaN logits; expected {expected}")
            logits = answer.astype(np.float32)
        elif answer.shape == (count,) and np.issubdtype(answer.dtype, np.integer):
            if count and not 0 <= answer.min() <= answer.max() < self.num_actions:
                raise UsageError(
                    f"the policy returned actions {answer.min()} to {answer.max()}; expected {expected}"
                )
            logits = np.where(np.eye(self.num_actions, dtype=bool)[answer], 0.0, -np.inf)
        else:
            raise UsageError(
                f"the policy returned {answer.dtype}{list(answer.shape)}; expected {expected}"
            )
        return Decision(jnp.asarray(logits, jnp.float32), jnp.zeros(count), memory, {})
