"""The page of a run: whole, self-contained, escaped, and free of what the run lacks."""

import base64
import copy
import hashlib
import json
import re
from typing import Any

import numpy as np
import pytest
from report_example import (
    Page,
    example_language_run,
    example_outcomes,
    example_run,
    first_edition,
)

from goalgap import report, store
from goalgap.envs.corner import Corner
from goalgap.measure import judge
from goalgap.report import charts, prose, view

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&{{ 7 * 7 }}"
GOALS = ("cheese", "corner", "both", "neither")


@pytest.fixture(scope="module")
def text() -> str:
    return report.render(example_run())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_page_is_well_formed(text: str, page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = [one["href"] for one in page.all("use")] + ["#hatch", "#dots"]
    referred += [
        "#" + str(one["aria-labelledby"]) for one in page.all("section") if "aria-labelledby" in one
    ]
    assert {str(one).removeprefix("#") for one in referred} <= set(ids)
    assert len(page.all("h1")) == 1 and len(page.all("main")) == 1
    assert all(one.get("aria-label") for one in page.all("svg") if one.get("role") == "img")
    assert len(text.encode()) < 1_500_000


def test_page_has_every_number_of_the_table(page: Page) -> None:
    said = "".join(page.text)
    for row in example_run()["measurements"]:
        is_share = row["quantity"].endswith(("reached", "first"))
        form = prose.percent if is_share else prose.decimal
        assert form(row["estimate"]) in said
        assert prose.interval(row, form) in said
        dots = () if row["quantity"].startswith("random ") else row["per_seed"]
        for seed, value in enumerate(dots):
            assert f"seed {seed}: {form(value)}" in said
    assert "51\u202f% to 100\u202f%" in said  # the interval of the misgeneralizing fraction


@pytest.mark.parametrize("split", ["train", "shift", "twin"])
def test_what_came_first_sums_to_one(text: str, split: str) -> None:
    """First + both + neither, as the page's table shows them, but for rounding."""
    panel = text[text.index('data-panel="quantity:first"') :]
    groups = panel[: panel.index("</table>")].split('<tr class="group"')[1:]
    group = groups[["train", "shift", "twin"].index(split)]
    assert [name for name in GOALS if f" {name}</th>" in group] == list(GOALS)
    shares = re.findall(r'<td role="cell" class="number"><span class="estimate">([\d.]+)', group)
    assert len(shares) == len(GOALS) and abs(sum(map(float, shares)) - 100) <= 0.05 * len(GOALS) + 1e-9


def test_tiles_have_the_numbers_of_the_sentence(page: Page) -> None:
    """In training what is reached, after the shift what comes first: as the sentence has it."""
    run = example_run()
    tiles = [tile["row"] for tile in view.page(store.plain(run))["keys"]]
    assert [(row["goal"], row["split"], row["quantity"]) for row in tiles[:3]] == [
        ("cheese", "train", "reached"),
        ("cheese", "shift", "first"),
        ("corner", "shift", "first"),
    ]
    reached, intended, proxy = (f"{row['estimate']:.0%}" for row in tiles[:3])
    for said in (f"success in {reached}", f"corner comes first in {proxy} of", f"cheese in {intended},"):
        assert said in run["verdict"]["sentence"]


@pytest.mark.parametrize(
    "specification, asked", [("misspecified", "the reward"), ("demonstrated", "the demonstrations")]
)
def test_what_was_asked_for_is_not_called_misgeneralization(specification: str, asked: str) -> None:
    run = example_run()
    asked_for = judge(example_outcomes(), Corner(size=7), specification=specification)
    run["verdict"] |= asked_for | {"sentence": ""}
    said = "".join(Page(report.render(run)).text)
    assert f"pursue the corner, as {asked} asked" in said
    assert "of the seeds pursue the proxy" in said and "seeds misgeneralize" not in said


def test_positions_and_explanations_stand_on_the_page(page: Page) -> None:
    said, verdict = "".join(page.text), example_run()["verdict"]
    for seed in verdict["seeds"]:
        position, best = seed["position"], seed["explanation"]["against"][0]
        for row in (position, best):
            assert prose.decimal(row["estimate"]) in said and prose.interval(row, prose.decimal) in said
        assert prose.percent(seed["twin"], 0) in said and prose.percent(seed["pursued"], 0) in said
    for rival in verdict["rivals"]:
        assert f"To {rival['sentence']}: explains the moves as well" in said
    assert f"{verdict['seeds'][0]['explanation']['num_goals']} that differ" in said
    assert len(verdict["sensitivity"]) == sum(
        1 for one in page.all("td") if one.get("class") in ("", "moved ", "base", "moved base")
    )


def test_pages_of_the_first_edition() -> None:
    """A run that was judged before there were positions, "both" and joint thresholds."""
    run = example_run()
    run["verdict"] = first_edition(run["verdict"])
    run["measurements"] = [row for row in run["measurements"] if row["goal"] != "both"]
    for cell in run["splay"]["cells"]:
        cell["shares"].pop("both", None)
    text = report.render(run)
    said = "".join(Page(text).text)
    assert "Seed by seed" in said and "Came first" in said and "0.667 → 0.9" in said
    for absent in (
        "The position is read from",
        "Which goals explain",
        "Does it work?",
        'id="live"',
        "#mark-both",
    ):
        assert absent not in text[: text.rindex("<script>")]


def test_page_loads_nothing(text: str, page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            target = attributes.get(name)
            if target and not target.startswith(("#", "data:image/")):
                assert tag == "a" and target.startswith("https://arxiv.org/abs/"), (tag, target)
        assert not any(name.startswith("on") or name == "style" for name in attributes), attributes
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert [one["href"] for one in page.all("a")] == [
        "https://arxiv.org/abs/2507.03068",
        "https://arxiv.org/abs/2105.14111",
    ]


def test_policy_admits_the_script_and_no_other(text: str, page: Page) -> None:
    script = text[text.rindex("<script>") + len("<script>") : text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(one["content"] for one in page.all("meta") if "http-equiv" in one)
    assert policy and f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_replay_data_survives(text: str) -> None:
    data = re.search(r'<script type="application/json" id="episodes">(.*?)</script>', text)
    assert data
    replay, episodes = json.loads(data[1]), example_run()["episodes"]
    assert replay["levels"] == store.plain(episodes["levels"])
    assert replay["styles"] == {"cheese": "goal-0", "corner": "goal-1"}
    assert len(replay["atlas"]) == len(episodes["sprites"])


@pytest.mark.parametrize(
    ("part", "heading"),
    [
        ("measurements", "Goals and levels"),
        ("curves", "How it came about"),
        ("splay", "Where on this layout?"),
        ("episodes", "Watch it"),
        ("experiment", "The experiment"),
    ],
)
@pytest.mark.parametrize("absence", ["no key", "None", "empty"])
def test_missing_parts_are_left_out(text: str, part: str, heading: str, absence: str) -> None:
    assert f">{heading}</h2>" in text
    run = example_run()
    if absence == "no key":
        del run[part]
    else:
        run[part] = None if absence == "None" else type(run[part])()
    without = report.render(run)
    assert f">{heading}</h2>" not in without
    Page(without)


def test_least_run() -> None:
    """An oracle that is only judged: nothing but a verdict."""
    env = {"name": "corner", "title": "Corner", "size": 5, "intended": example_run()["env"]["intended"]}
    run = {
        "about": {"subject": "oracle:cheese"},
        "env": env,
        "verdict": {"verdict": "intended", "proxy": None, "sentence": "It gets the cheese."},
    }
    said = "".join(Page(report.render(run)).text)
    assert "The policy oracle:cheese pursues the cheese, as intended" in said
    assert "Seed by seed" not in said and "Papers" not in said and "Make it again" not in said


@pytest.mark.parametrize("verdict", list(prose.VERDICTS))
def test_every_verdict_has_its_words(verdict: str) -> None:
    run = example_run()
    run["verdict"] |= {"verdict": verdict, "proxy": None}
    said = "".join(Page(report.render(run)).text)
    assert f"Verdict: {verdict}" in said
    assert not re.search(
        r"[{}]", prose.verdict_words(run["verdict"], run["env"], "random", 0)["headline"]
    )


def _renamed(value: Any, suffix: str) -> Any:
    """Every free text of a run, and every goal's name wherever it stands, with a suffix."""
    fixed = {"train", "shift", "twin", *prose.QUANTITIES, *prose.VERDICTS, "floor"}
    if isinstance(value, dict):
        free = (*GOALS, "jax", "learning_rate")
        return {
            key + suffix if key in free and not isinstance(one, dict) else key: _renamed(one, suffix)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [_renamed(one, suffix) for one in value]
    if isinstance(value, str) and value not in fixed and not value.startswith(("random ", "iVBOR")):
        return value + suffix
    return value


def test_hostile_strings_are_escaped() -> None:
    """Whatever the strings of a run say, the page has the elements it had."""
    harmless, hostile = (report.render(_renamed(example_run(), suffix)) for suffix in ("x", HOSTILE))
    tags = [[tag for tag, _ in Page(text).elements] for text in (harmless, hostile)]
    assert tags[0] == tags[1]
    assert "alert(1)" in hostile and "<script>alert" not in hostile and "<img" not in hostile
    links = [one["href"] for one in Page(hostile).all("a")]
    assert all(re.fullmatch(r"https://arxiv\.org/abs/[\w./%-]+", str(link)) for link in links)


def test_numbers_that_are_not() -> None:
    """NaN, infinity and None in any measured place become a dash, and break nothing."""
    run = copy.deepcopy(example_run())
    for index, row in enumerate(run["measurements"]):
        row["estimate"] = (np.nan, None, np.float32(0.5))[index % 3]
        row["low"] = -np.inf if index % 2 else row["low"]
    for index, row in enumerate(run["curves"]):
        row["reached"] = np.nan if index % 5 == 0 else row["reached"]
    run["verdict"]["seeds"][0]["intent_shift"] = np.nan
    text = report.render(run)
    Page(text)
    assert prose.NONE in text
    assert not re.search(r"\b(nan|NaN|inf|Infinity)\b", text[: text.rindex("<script>")])


def test_many_goals_and_seeds_at_one_checkpoint() -> None:
    """Six proxies find their styles; one checkpoint is no learning curve."""
    run = example_run()
    run["env"]["proxies"] = [{"name": f"p{index}", "sentence": "do it"} for index in range(6)]
    run["curves"] = [
        {"seed": seed, "env_steps": 0, "split": "shift", "goal": "p5", "reached": 0.5, "score": None}
        for seed in range(40)
    ]
    text = report.render(run)
    Page(text)
    assert "How it came about" not in text


# -- language models ---------------------------------------------------------------------------------

NOT_OF_MODELS = (
    r"levels?|layouts?|mazes?|boards?|agents?|episodes?|policy|policies|environments?|steps?"
    r"|random (?:walk|play)|optimal"
)


def _visible(page: str) -> str:
    """What there is to read or to hear: text, tooltips and labels, and what the script will show."""
    body = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    read = Page(body)
    heard = ("aria-label", "data-label", "data-chart", "title")
    more = [str(one[name]) for _, one in read.elements for name in heard if name in one]
    return " ".join([*read.text, *more])


@pytest.mark.parametrize("verdict", list(prose.VERDICTS))
@pytest.mark.parametrize("subject", ["trained fleet", "random"])
def test_page_of_a_model_speaks_of_nothing_else(verdict: str, subject: str) -> None:
    run = example_language_run()
    run["verdict"]["verdict"] = verdict
    run["about"]["subject"] = subject
    known = sorted({row["quantity"] for row in run["measurements"]})
    missing = [name for name in prose.QUANTITIES if name not in [*known, "regret"]]
    run["measurements"] += [run["measurements"][0] | {"quantity": name} for name in missing]
    said = _visible(report.render(run))
    assert not re.findall(rf"\b(?:{NOT_OF_MODELS})\b", said, re.IGNORECASE)
    for word in (
        "Goals and prompts",
        "Training prompts",
        "Every dialogue",
        "random reply",
        "What it says",
    ):
        assert word in said
    assert ("he trained models" if subject == "trained fleet" else "he model random") in said
    assert "1 a perfect reply" in said and "training dialogues" in said


def test_page_of_agents_speaks_of_no_models(text: str) -> None:
    """The reader of visible text would find what it must not find elsewhere."""
    said = _visible(text)
    assert not re.search(r"\b(models?|prompts?|dialogues?|reply|replies)\b", said)
    assert all(re.search(rf"\b{word}\b", said) for word in ("levels", "layouts", "agent", "random walk"))


def test_transcripts_stand_on_the_page() -> None:
    run = example_language_run()
    page = Page(report.render(run))
    said = "".join(page.text)
    for one in run["transcripts"]:
        for text in (one["prompt"], *(turn["text"] for turn in one["turns"])):
            assert text in said
    kinds = [str(one.get("class")).split() for one in page.all("div")]
    assert sum("bubble" in kind for kind in kinds) == 4 * len(run["transcripts"])
    assert sum("of-model" in kind for kind in kinds) == 2 * len(run["transcripts"])
    shown = [one for one in page.all("div") if str(one.get("data-panel")).startswith("transcripts:")]
    assert [one["data-panel"] for one in shown] == [
        f"transcripts:{x}" for x in ("shift", "train", "twin")
    ]
    assert ["hidden" in one for one in shown] == [False, True, True]
    styles = [
        one["class"]
        for one in page.all("li")
        if one.get("class") in ("goal-0", "goal-1", "goal-both", "goal-none")
    ]
    shifted = ["goal-1"] * 2 + ["goal-0", "goal-none", "goal-both"]
    assert styles[-10:] == shifted + ["goal-0"] * 4 + ["goal-none"]
    assert "came at once" in said


def test_no_more_transcripts_than_can_be_read() -> None:
    run = example_language_run()
    run["transcripts"] = [one for one in run["transcripts"] if one["split"] == "train"] * 10
    text = report.render(run)
    assert text.count('class="outcome"') == 12 and "the first 12 of 30" in text
    assert 'data-switch="transcripts"' not in text
    del run["transcripts"]
    assert "What it says" not in report.render(run)


def test_hostile_transcripts_are_escaped() -> None:
    harmless, hostile = (
        report.render(_renamed(example_language_run() | {"curves": None}, suffix))
        for suffix in ("x", HOSTILE)
    )
    tags = [[tag for tag, _ in Page(text).elements] for text in (harmless, hostile)]
    assert tags[0] == tags[1]
    assert hostile.count("alert(1)") > 30
    assert "<script>alert" not in hostile and "<img" not in hostile and "{{ 7 * 7 }}" in hostile


def test_a_share_of_counterexamples_is_told() -> None:
    run = example_language_run()
    run["experiment"]["dose"] = 0.05
    text = report.render(run)
    assert "on 5\u202f% of them the goals part" in text and "On most training prompts" in text


def test_least_run_of_a_model() -> None:
    run = example_language_run()
    verdict = {"verdict": "intended", "proxy": None, "sentence": "It says the sum."}
    run = {"about": {"subject": "truth"}, "env": run["env"], "verdict": verdict}
    del run["env"]["papers"], run["env"]["proxies"]
    assert "The model truth pursues truth, as intended" in "".join(Page(report.render(run)).text)


def test_write_is_whole_or_not_at_all(tmp_path: Any) -> None:
    path = tmp_path / "report.html"
    assert report.write(example_run(), path) == path
    assert path.read_text(encoding="utf-8") == report.render(example_run())
    with pytest.raises(KeyError):
        report.write({}, path)
    assert path.read_text(encoding="utf-8").endswith("</html>") and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError):
        report.write(example_run(), path / "below-a-file.html")


def test_nice_axis_spans_values_and_zero() -> None:
    noise = np.random.default_rng(0)
    for scale in 10.0 ** noise.uniform(-4, 6, 200):
        values = noise.normal(0, scale, 3)
        axis = charts.nice_axis([*values, None, np.nan])
        assert axis.low <= min(0, *values) and axis.high >= max(0, *values)
        assert 2 <= len(axis.ticks) <= 5 and 0 in axis.ticks
    assert charts.nice_axis([]).at(0.5) == "50.0%"


def test_writing_of_numbers() -> None:
    assert prose.percent(0.931) == "93.1\u202f%" and prose.percent(None) == prose.NONE
    assert prose.decimal(-0.2) == "\u22120.20" and prose.decimal(-0.001) == "0.00"
    assert [prose.duration(seconds) for seconds in (0.5, 71.4, 7322.0)] == [
        "0.5 s",
        "1 min 11 s",
        "2 h 2 min",
    ]
    assert prose.plain(1_500_000) == "1,500,000" and prose.plain([128, True]) == "128, yes"
    assert (
        charts.short(84034.0) == "84k" and charts.short(1_500_000) == "1.5M" and charts.short(12) == "12"
    )
