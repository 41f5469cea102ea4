"""An agent from elsewhere gets its verdict: Stable-Baselines3's PPO on Cheese in the Corner.

Install the extra, train for two minutes on a CPU, then measure what the agent pursues:

    pip install torch --index-url https://download.pytorch.org/whl/cpu
    pip install "goalgap[sb3]"
    python examples/outside_ppo.py
    goalgap measure examples.outside_ppo:act --env corner --size 7

Tried on two busy cores: 83 s of training at 18,000 steps a second (Stable-Baselines3 2.9), then the
verdict *goal misgeneralization*: the cheese in 90 % of the training levels; where the goals come apart,
the corner first in 78 % of episodes and the cheese in 17 %.

Any outside agent is measured in this way: a Python function from a batch of symbolic observations,
NumPy of shape [B, h, w, c], to actions [B] or logits [B, num_actions].
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from goalgap import Corner
from goalgap.adapters.gym import GoalgapVectorEnv
from goalgap.core import UsageError

SIZE = 7
NUM_ENVS = 128
NUM_STEPS = 1_500_000
SAVED = Path("runs/outside_ppo.zip")

torch.set_num_threads(1)  # small matrices: more threads than idle cores cost up to 20 times


class Bridge(VecEnv):
    """A `GoalgapVectorEnv` as Stable-Baselines3 wants its environments: infos as a list of dicts."""

    def __init__(self, envs: GoalgapVectorEnv) -> None:
        self.envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> np.ndarray:
        seed = self._seeds[0]  # lane i gets seed + i, here and there
        self._reset_seeds()
        return self.envs.reset(seed=seed)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, terminated, truncated, info = self.envs.step(self.actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        # Without these two, a cut-off episode would be learned from as if its future were worthless.
        for lane in np.flatnonzero(terminated | truncated):
            infos[lane]["terminal_observation"] = info["final_obs"][lane]
            infos[lane]["TimeLimit.truncated"] = bool(truncated[lane])
        return observations, rewards, terminated | truncated, infos

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.envs, attr_name)] * len(self._get_indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self.envs, method_name)(*args, **kwargs)] * len(self._get_indices(indices))

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(self._get_indices(indices))


def train() -> None:
    """Train where the cheese always lies in the corner, and save the policy."""
    env = Corner(size=SIZE)
    envs = GoalgapVectorEnv(env, env.shift(alpha=0.0).train, NUM_ENVS)
    ppo = PPO(
        "MlpPolicy",
        VecMonitor(Bridge(envs)),
        learning_rate=1e-3,
        n_steps=64,
        batch_size=1024,
        n_epochs=4,
        gamma=0.99,
        ent_coef=0.01,
        policy_kwargs={"net_arch": [128, 128]},
        seed=0,
        device="cpu",
        verbose=1,
    )
    ppo.learn(NUM_STEPS, log_interval=20)
    SAVED.parent.mkdir(exist_ok=True)
    ppo.save(SAVED)
    print(f"saved {SAVED}; now: goalgap measure examples.outside_ppo:act --env corner --size {SIZE}")


@functools.cache
def load() -> PPO:
    if not SAVED.exists():
        raise UsageError(f"no policy at {SAVED}; train it first: python examples/outside_ppo.py")
    return PPO.load(SAVED, device="cpu")


@torch.no_grad()
def act(observations: np.ndarray) -> np.ndarray:
    """Logits [B, 4] for a batch of observations [B, 7, 7, 3]: what `goalgap measure` calls."""
    policy = load().policy
    distribution = policy.get_distribution(torch.as_tensor(observations.astype(np.uint8)))
    return distribution.distribution.logits.numpy()


if __name__ == "__main__":
    train()
