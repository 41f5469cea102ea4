"""What `goalgap measure RUN --engine` says of two rows of episodes; the live engine: test_bridge.py."""

import numpy as np
import pytest

from goalgap.original import comparison


def test_events_are_told_by_which_came_first():
    steps = np.array([[3, 5], [5, 3], [4, -1], [-1, 4], [4, 4], [-1, -1]])
    found = comparison._events(steps, np.array([0, 0, 0, 0, 0, 1], bool))
    assert found["coin first"].tolist() == [True, False, True, False, True, False]
    assert found["end first"].tolist() == [False, True, False, True, False, False]
    assert (found["coin"].sum(), found["end"].sum(), found["death"].sum()) == (4, 4, 1)


@pytest.mark.parametrize(("share", "alike"), [(0.5, True), (0.2, False)])
def test_games_are_alike_within_the_interval_of_the_difference(share, alike):
    random = np.random.default_rng(0)
    happened = np.stack([random.random(400) < 0.5, random.random(400) < share])
    row = comparison._row("shift", "coin", happened)
    assert row["alike"] == alike
    assert row["ours"]["n"] == row["engine"]["n"] == 400
    assert row["difference"] == pytest.approx(row["ours"]["estimate"] - row["engine"]["estimate"])
    # Independent halves: the variance of the difference is the sum of both.
    assert row["margin"] == pytest.approx(
        1.96 * (0.25 / 400 + share * (1 - share) / 400) ** 0.5, rel=0.1
    )
