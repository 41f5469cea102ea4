"""The page's JavaScript judges as Python does, whatever thresholds a reader sets."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goalgap import store
from goalgap.envs.corner import Corner
from goalgap.envs.grid import Reach
from goalgap.measure import verdict as second_edition
from goalgap.measure.verdict import AS_ASKED, VERDICTS, Thresholds, decide
from goalgap.report import pages, rule
from goalgap.report.source import Source, goals

quickjs = pytest.importorskip("quickjs")
ENV = Corner(size=5)
CONTEST = Corner(size=5, proxies=(*ENV.proxies, Reach("middle", "get to the middle", 4.0, 12)))
NAMES = tuple(goal.name for goal in CONTEST.goals)
NUM_LEVELS = 24
KEPT = ("verdict", "proxy", "why")


@pytest.fixture(scope="module")
def script() -> Any:
    """The engine with the judge's part of the page's script."""
    context = quickjs.Context()
    context.eval(Path(pages.HERE / "judge.js").read_text(encoding="utf-8"))
    context.eval(
        "function anew(live, at) { return JSON.stringify(judge(JSON.parse(live), JSON.parse(at))) }"
    )
    return context


def random_case(noise: np.random.Generator, seed: int, center: float) -> dict[str, Any]:
    """What `gather` could have gathered of a seed; now and then too little to judge by."""
    place = np.clip(noise.normal(center, noise.choice([0.0, 0.1, 0.4]), NUM_LEVELS), -0.2, 1.2)
    place[noise.random(NUM_LEVELS) < 0.2] = np.nan
    place += np.clip(np.nanmean(place), 0, 1) - np.nanmean(place)
    num_levels = int(noise.choice([0, 3, NUM_LEVELS], p=[0.03, 0.03, 0.94]))
    unknown = num_levels < second_edition.MIN_LEVELS or noise.random() < 0.03
    weights = dict(zip((*NAMES, "neither"), noise.dirichlet(np.ones(4)).tolist(), strict=True))
    rivals = [{"name": f"goal {n}", "low": low} for n, low in enumerate(noise.normal(-0.3, 0.6, 3))]
    rivals[0]["low"] = -np.inf if noise.random() < 0.3 else rivals[0]["low"]
    told = {"against": [rival | {"high": rival["low"] + 1} for rival in rivals], "candidates": []}
    told |= {name: bool(noise.random() < 0.3) for name in ("random_best", "listed_best")}
    place = np.full(NUM_LEVELS, np.nan) if unknown else place
    return {
        "seed": seed,
        "intent_train": float(noise.choice([np.nan, noise.uniform(0.3, 1)], p=[0.03, 0.97])),
        "capability": 1.0,
        "twin": float(noise.uniform(0.4, 1)),
        "competence": 1.0,
        "num_levels": num_levels,
        "score": dict.fromkeys(NAMES, 0.5),
        "first": dict.fromkeys((*NAMES, "both", "neither"), 0.2),
        "explanation": told if noise.random() < 0.8 else None,
        "weights": None if unknown else weights,
        "pursued": float("nan") if unknown else float(noise.uniform(0.2, 1)),
        "place": place,
        "position": second_edition._position([place]),
        "proxy": NAMES[1] if unknown else max(NAMES[1:], key=lambda name: weights[name]),
        "apart": 0.0 if unknown else float(noise.choice([0.05, 0.1, 0.6], p=[0.1, 0.1, 0.8])),
    }


def random_thresholds(noise: np.random.Generator, cases: list[dict[str, Any]]) -> Thresholds:
    """Lines anywhere a slider goes, and often just where a seed stands."""
    lines = {
        "works": noise.uniform(0.2, 0.9),
        "pursues": noise.uniform(0.1, 0.9),
        "majority": noise.choice([0.5, 0.55, 0.6, 0.75, 0.9]),
        "margin": noise.choice([0.0, 0.3, 1.0]),
    }
    case = cases[noise.integers(len(cases))]
    for name, value in (("works", case["twin"]), ("pursues", case["pursued"])):
        if noise.random() < 0.3 and 0 <= value <= 1:
            lines[name] = value
    against = (case["explanation"] or {}).get("against", [])
    if against and noise.random() < 0.3:
        lines["margin"] = max(against[1]["low"], 0.0)
    return Thresholds(**{name: float(value) for name, value in lines.items()})


def live_data(cases: list[dict[str, Any]], specification: str) -> str:
    """What the page of the judged run gives its script, as JSON."""
    verdict = decide(cases, CONTEST, Thresholds(), specification)
    verdict |= {"thresholds": dataclasses.asdict(Thresholds())}
    verdict |= {"positions": second_edition._positions(cases)}
    named = [{"name": goal.name, "sentence": goal.sentence} for goal in CONTEST.goals]
    env = {"intended": named[0], "proxies": named[1:]}
    section = rule.section(
        Source(goals(env), [], store.plain(verdict), 0.0, {"episode": "", "episodes": ""})
    )
    assert section and section["live"]
    return json.dumps(section["live"], allow_nan=False)


def test_the_page_judges_as_python_does(script: Any) -> None:
    noise = np.random.default_rng(0)
    seen = set()
    for index in range(400):
        specification = ("correct", "correct", "misspecified")[index % 3]
        center = noise.choice([0.0, 0.1, 0.5, 0.7, 0.95])
        others = center if index % 2 else 0.05  # seeds that disagree, in every second fleet
        centers = noise.choice([center, others], noise.integers(1, 7))
        cases = [random_case(noise, seed, one) for seed, one in enumerate(centers)]
        live = live_data(cases, specification)
        for _ in range(4):
            lines = random_thresholds(noise, cases)
            expected = store.plain(decide(cases, CONTEST, lines, specification))
            found = json.loads(script.get("anew")(live, json.dumps(dataclasses.asdict(lines))))
            assert [found[name] for name in KEPT] == [expected[name] for name in KEPT]
            for one, other in zip(found["seeds"], expected["seeds"], strict=True):
                assert [one[name] for name in KEPT] == [other[name] for name in KEPT]
            if position := expected["position"]:
                assert found["position"] == [position[name] for name in ("estimate", "low", "high")]
            seen.add((expected["verdict"], expected["proxy"]))
    assert {verdict for verdict, _ in seen} == set(VERDICTS)
    assert (AS_ASKED, "middle") in seen


def test_the_constants_are_those_of_python(script: Any) -> None:
    found = json.loads(script.eval("JSON.stringify(RULE)"))
    assert found == {
        "minLevels": second_edition.MIN_LEVELS,
        "minApart": second_edition.calibration.MIN_APART,
        "mixed": second_edition._MIXED,
        "rounding": second_edition._ROUNDING,
    }
    assert set(json.loads(script.eval("JSON.stringify(Object.values(VERDICT))"))) == set(VERDICTS)
