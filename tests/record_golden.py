"""Record the golden set in `tests/data` from the original engine.

Run it where `goalgap parity --live maze` works: `python tests/record_golden.py`. Upstream only, so that
anybody can: three games, two modes, twenty level seeds, the smallest and the greatest among them.
"""

from pathlib import Path

import numpy as np

from goalgap.envs.procgen.random_words import MAX_SEED
from goalgap.original import Engine
from goalgap.original.record import levels, random_actions, replay

DATA = Path(__file__).parent / "data"
GAMES = ("coinrun", "maze", "heist")
SEEDS = np.array([*range(18), 1_000_198, MAX_SEED], np.int32)
NUM_STEPS = 50
RUN = np.array([7, 7, 8, 7, 7, 4, 7, 8, 7, 7] * 2)  # to the right, with jumps
CLIMB = np.array([5, 7] * 10)  # up and to the right
STATES = {"coinrun": (8, RUN), "maze": (5, CLIMB), "heist": (5, RUN)}  # level seed, actions
CHAINS = ((0, 0, 7), (500, 1000, 123))  # num_levels, start_level, rand_seed


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for game in GAMES:
        for mode in ("easy", "hard"):
            with Engine(game, mode, len(SEEDS)) as engine:
                np.savez_compressed(DATA / f"levels_up_{game}_{mode}.npz", **levels(engine, SEEDS))
                for luck in range(100):
                    actions = random_actions(game, SEEDS, NUM_STEPS, luck).astype(np.int8)
                    played = replay(engine, SEEDS, actions)
                    if played["level_complete"].any():  # play in which something happens
                        break
                np.savez_compressed(DATA / f"traj_up_{game}_{mode}.npz", **played)
        seed, actions = STATES[game]
        with Engine(game, "hard", 1) as engine:
            saved = engine.begin([seed])
            for action in actions:
                if engine.step(np.array([action])).first.any():
                    raise SystemExit(f"{game}: the episode ended; choose another level seed")
            saved += engine.states()
            start, later = (np.frombuffer(one.data, np.uint8) for one in saved)
            np.savez_compressed(
                DATA / f"states_{game}.npz", start=start, later=later, seed=seed, action=actions
            )
    chains = {}
    for num_levels, start_level, rand_seed in CHAINS:
        with Engine(
            *("maze", "easy", 4),
            num_levels=num_levels,
            start_level=start_level,
            rand_seed=rand_seed,
        ) as engine:
            rows = []
            for _ in range(3):
                rows.append([saved["level_seed"] for saved in engine.states()])
                engine.step(np.full(4, -1))
        chains[f"chain_nl{num_levels}_sl{start_level}_rs{rand_seed}"] = np.array(rows)
    np.savez_compressed(DATA / "level_seed_chain.npz", **chains)


if __name__ == "__main__":
    main()
