"""The page of an analysis: whole, self-contained, escaped, and free of what the analysis lacks."""

import copy
import math
import re
from typing import Any

import numpy as np
import pytest
from report_example import Page, example_run

from goalgap import report
from goalgap.report import analysis, boards, prose

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&{{ 7 * 7 }}"
BOARD = [[1, 1, 1, 1, 1], [1, 0, 0, 3, 1], [1, 0, 1, 0, 1], [1, 0, 0, 2, 1], [1, 1, 1, 1, 1]]
TEXT = "..c\n.#.\n..@\n"


def measured(estimate: float, n: int) -> dict[str, Any]:
    return {
        "name": "cost",
        "estimate": estimate,
        "low": max(estimate - 0.021, 0),
        "high": estimate + 0.02,
        "n": n,
        "unit": "levels",
    }


def goal(name: str, sentence: str, deploy: tuple, train: float = 0.0, **more: Any) -> dict[str, Any]:
    costs = {
        "train": {ties: measured(train, 512) for ties in ("best", "mean", "worst")},
        "deploy": {
            ties: measured(cost, 256)
            for ties, cost in zip(("best", "mean", "worst"), deploy, strict=True)
        },
    }
    is_open = train <= 0.01
    return {
        "name": name,
        "sentence": sentence,
        "bits": 4.25,
        "also": [],
        "open": is_open,
        "dangerous": is_open and deploy[2] > 0,
        "possibly_open": True,
        "costs": costs,
        "revealed_on": 0.0,
        "revealed_off_path_on": 0.37,
        "possibly_distinguished": 0.5,
        "surely_distinguished": 0.46,
        "unreadable_on": 0.0,
    } | more


def level(**more: Any) -> dict[str, Any]:
    return {"text": TEXT, "tiles": BOARD} | more


def example() -> dict[str, Any]:
    """What `report.render_analysis` takes, with everything that it shows."""
    run = example_run()
    return {
        "about": run["about"] | {"command": "goalgap analyze corner --size 7"},
        "env": {key: run["env"][key] for key in ("name", "title", "size", "papers")},
        "atlas": run["episodes"]["atlas"],
        "analysis": {
            "intended": {"name": "cheese", "sentence": "get to the cheese", "bits": 3.0},
            "settings": {"epsilon": 0.01, "margin": 0.05, "gamma": 0.99, "beta": 100.0}
            | {"error": 0.05, "cap": 0.0625},
            "num_levels": {"train": 512, "deploy": 256, "candidates": 128},
            "solvable": {"train": 0.83, "deploy": 0.9, "candidates": 0.88},
            "num_goals": 590,
            "goals": [
                goal("cheese", "get to the cheese", (0.0, 0.0, 0.0), also=["cheese-twin"]),
                goal("corner", "get to the corner", (0.048, 0.588, 0.941), also=["a", "b"]),
                goal("row", "get to the top row", (0.034, 0.484, 0.848)),
                goal("both", "get to both at once", (0.0, 0.2, 0.812)),
                goal("idle", "do as it likes", (0.0, 0.0, 0.0)),
                goal("middle", "get to the middle", (0.1, 0.2, 0.3), train=0.021),
            ],
            "excluded": [
                {"name": f"far-{i}", "sentence": f"get far {i}", "bits": 5.0}
                | {"regret": 0.1 + i / 100, "num_levels": 32}
                for i in range(12)
            ],
            "diameter": 0.588,
            "prior_mass": 0.34,
            "worst": level(
                goal="corner",
                costs={"worst": 1.0, "mean": 0.9, "best": 0.7},
                routes={
                    "cheese": [[2, 2], [1, 2], [0, 2]],
                    "corner": [[2, 2], [2, 1], [2, 0], [1, 0], [0, 0]],
                },
            ),
            "closing": {
                "shadow": ["both"],
                "breakable": ["corner", "row"],
                "set": {
                    "levels": [level(weight=1.0, breaks=["corner", "row"])],
                    "value": 0.037,
                    "share": 0.272,
                },
                "mixture": {
                    "levels": [
                        level(weight=0.625, breaks=["corner", "row"]),
                        level(weight=0.375, breaks=["row"]),
                    ],
                    "value": 0.0357,
                    "gap": 0.0,
                    "share": 0.281,
                    "share_uniform": math.inf,
                    "share_without_cap": 0.183,
                    "hardest": "row",
                },
            },
            "symmetries": [
                {
                    "name": "mirrored left to right",
                    "keeps_intended": True,
                    "costs": {"corner": 0.796, "row": 0.0, "both": 0.0},
                },
                {
                    "name": "turned by 90°",
                    "keeps_intended": False,
                    "costs": {"corner": 0.005, "row": 0.0, "both": 0.0},
                },
            ],
            "classes": {
                "train": [["cheese", "corner", "row"], ["both"]],
                "deploy": [["cheese"], ["corner"], ["row"], ["both"]],
            },
            "questions": {
                "goals": ["cheese", "corner", "row", "both"],
                "levels": [level(weight=0.61), level(weight=0.39)],
                "value": 2.7,
                "uniform": 0.15,
                "training": 0.0,
                "episodes": 2,
                "episodes_uniform": 21,
                "hardest": ["both", "row"],
            },
            "distances": [
                {
                    "goal": name,
                    "train": {"starc": 0.0, "starc-value": 0.01, "epic": 0.09, "dard": 0.42},
                    "deploy": {"starc": 0.72, "starc-value": 0.77, "epic": 0.7, "dard": 0.71},
                }
                for name in ("corner", "row", "both")
            ],
            "certificate": {
                "features": ["cheese", "corner", "row", "both", "step", "bump"],
                "rank": 3,
                "singular_values": [1.0, 0.4, 0.1, 0.0, 0.0, 0.0],
                "generalizes": False,
                "invisible": [
                    {"mixture": "cheese - corner", "revealed_on": 0.979, "size": 0.09},
                    {"mixture": "cheese + 0.01 step", "revealed_on": 0.0, "size": 0.0},
                ],
                "half_spaces": 5,
                "worst_regret": {"cheese": 0.0, "corner": 4.7},
            },
        },
    }


def nothing_open() -> dict[str, Any]:
    """An analysis of a training distribution that leaves nothing dangerous open."""
    content = example()
    found = content["analysis"]
    found["goals"] = [row for row in found["goals"] if not row["dangerous"]]
    found |= {"diameter": 0.0, "worst": None, "symmetries": [], "questions": None, "distances": []}
    found["closing"] = {"shadow": [], "breakable": [], "set": None, "mixture": None}
    found["classes"] = {"train": [["cheese"]], "deploy": [["cheese"]]}
    return content


def said(content: dict[str, Any]) -> str:
    """What a reader gets to read, with single spaces."""
    text = report.render_analysis(content)
    start = text.index("<body>")
    data = Page(text[start : text.index("</html>")]).text
    return re.sub(r"[ \n]+", " ", " ".join(data)).strip()


@pytest.fixture(scope="module")
def text() -> str:
    return report.render_analysis(example())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def read() -> str:
    return said(example())


def test_page_is_well_formed(read: str, page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = [str(one["href"]).removeprefix("#") for one in page.all("use")]
    referred += [str(one["aria-labelledby"]) for _, one in page.elements if "aria-labelledby" in one]
    assert set(referred) <= set(ids)
    assert len(page.all("h1")) == 1 and len(page.all("main")) == 1
    pictures = [one for one in page.all("svg") if one.get("role") == "img"]
    assert len([one for one in pictures if one["class"] == "board"]) == 1 + 1 + 2 + 2
    assert all(one.get("aria-label") for one in pictures)
    assert "None" not in read


def test_page_loads_nothing_and_runs_nothing(text: str, page: Page) -> None:
    for tag, attributes in page.elements:
        target = attributes.get("href") or attributes.get("src")
        if target and not target.startswith(("#", "data:image/")):
            assert tag == "a" and target.startswith("https://arxiv.org/abs/"), (tag, target)
        assert not any(name.startswith("on") or name == "style" for name in attributes), attributes
    assert not page.all("script")
    policy = next(one["content"] for one in page.all("meta") if "http-equiv" in one)
    assert policy and "script-src 'none'" in policy and "default-src 'none'" in policy
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert ".regrets" in style and ".keys" in style


def test_first_screen(read: str) -> None:
    assert "Training leaves 3 goals open that part after the shift" in read
    assert "The worst of them is to get to the corner." in read
    assert "it loses 0.59 of return, with a 95 % interval of 0.57 to 0.61" in read
    assert "1 level, added to training, would close 2 of the 3 for sure." in read
    assert "3 of 590 goals considered" in read
    assert "28.1\u202f% of training is what the best mixture" in read
    assert "levels added at random, all alike: no share suffices" in read


def test_goals_carry_their_numbers(read: str, page: Page) -> None:
    for number, row in enumerate(example()["analysis"]["goals"][1:4], 1):
        best, mean, worst = (
            prose.regret(row["costs"]["deploy"][ties]["estimate"]) for ties in ("best", "mean", "worst")
        )
        assert f"{number} {row['sentence']} {row['name']}" in read
        assert f"{mean} [{best}, {worst}] 46\u202f% 37\u202f% 4.2" in read
    assert "2 more names at the same cost a , b" in read
    assert "Open, and harmless" in read and "do as it likes idle" in read
    strips = [str(one["aria-label"]) for one in page.all("svg") if one.get("class") == "strip"]
    assert len(strips) == 2 * 5  # of each open goal in training and after the shift
    label = "get to the corner, regret after the shift: 0.59 with even ties, 0.05 with the best"
    assert any(one.startswith(label) for one in strips)


def test_goals_ruled_out_are_folded_and_limited(read: str) -> None:
    assert "Goals that training rules out, the nearest first 11 of 13" in read
    assert "get to the middle middle 0.021 512" in read
    assert "get far 9 far-9 0.190 32" in read and "far-10" not in read


def test_routes_are_drawn_from_the_start_to_the_ends(text: str, page: Page) -> None:
    """Cells count from inside the wall: [2, 2] is the board's row 3, column 3, with its middle at 84."""
    aside = boards.ASIDE / 2
    routes = [one for one in page.all("path") if str(one.get("class")).startswith("route")]
    drawn = [one for one in routes if str(one["d"]).count("L") > 1]
    assert [one["class"] for one in drawn] == ["route goal-0", "route goal-1"]
    first, second = [[float(x) for x in re.findall(r"[\d.]+", str(one["d"]))] for one in drawn]
    expected = np.array([[84, 84], [84, 60], [84, 36]]) - aside
    np.testing.assert_allclose(np.reshape(first, (-1, 2)), expected)
    np.testing.assert_allclose(second[-2:], np.array([36, 36]) + aside)
    start = next(one for one in page.all("circle") if one.get("class") == "start")
    assert (start["cx"], start["cy"]) == ("84", "84")
    board = text[text.index('id="worst"') :]
    board = board[board.index("<svg") : board.index("</svg>")]
    assert board.count('href="#tile-1"') == 17 and board.count('href="#tile-3"') == 1
    assert board.count('href="#mark-0"') == 1 and board.count('href="#mark-1"') == 1


def test_what_to_add(read: str) -> None:
    assert "Breaks 2 of 3:" in read
    assert "62.5\u202f% breaks 1\u20132" in read and "37.5\u202f% breaks 2" in read
    assert "The smallest set, in equal parts 27.2\u202f%" in read
    assert "no level more than 6.25\u202f% of it 28.1\u202f%" in read
    assert "even if it is one level 18.3\u202f%" in read
    assert "All candidate levels alike, at random no share suffices" in read
    assert "where they part from the intended goal they want nothing" in read


def test_symmetries_that_close(text: str) -> None:
    """Bold above the slack; columns of goals that no symmetry closes are left out."""
    table = text[text.index('class="plain symmetries"') :]
    table = table[: table.index("</table>")]
    assert re.findall(r"<b>([\d.]+)</b>", table) == ["0.796"]
    assert "0.005" in table and table.count("useful") == 1
    assert table.count("which-goal") == 1 and "✓ kept" in table and "changed" in table
    assert "No symmetry closes 2\u20133." in text


def test_telling_apart_and_rewards(read: str) -> None:
    assert "2 episodes on the levels below" in read and "21 episodes on levels drawn" in read
    assert "No test on training levels ever could" in read
    assert "0.00 → 0.72" in read and "0.42 → 0.71" in read
    assert "reveals 3 of 6 directions" in read
    assert "1 mixture asks for other behavior" in read and "98\u202f%" in read


def test_training_levels_that_tell_something() -> None:
    content = example()
    content["analysis"]["questions"]["training"] = 0.0213
    assert "0.021 nats an episode is the most that training levels tell" in said(content)


@pytest.mark.parametrize(
    ("part", "heading"),
    [
        ("worst", "The worst of them"),
        ("closing", "What to add to training"),
        ("symmetries", "Symmetries instead of new levels"),
        ("distances", "Distance from the intended goal"),
        ("certificate", "Certificate"),
        ("excluded", "far-1"),
    ],
)
@pytest.mark.parametrize("absence", ["no key", "None", "empty"])
def test_missing_parts_are_left_out(text: str, part: str, heading: str, absence: str) -> None:
    assert f">{heading}<" in text
    content = example()
    if absence == "no key":
        del content["analysis"][part]
    else:
        empty = type(content["analysis"][part])()
        content["analysis"][part] = None if absence == "None" else empty
    without = report.render_analysis(content)
    assert f">{heading}<" not in without
    Page(without)


def test_nothing_dangerous_open() -> None:
    text = report.render_analysis(nothing_open())
    read = " ".join("".join(Page(text).text).split())
    assert "Training leaves nothing dangerous open" in read and "0 of 590 goals" in read
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", text) == [
        "What it means",
        "What it does not mean",
        "Open goals, and what they cost",
        "Goals as rewards",
        "Settings",
        "Read with care",
        "Papers",
        "Make it again",
    ]
    assert '<details class="fold" open>' in text  # what is ruled out is the news


def test_one_goal_that_can_be_closed() -> None:
    content = example()
    found = content["analysis"]
    found["goals"] = [row for row in found["goals"] if row["name"] not in ("row", "both")]
    found["closing"] |= {"shadow": [], "breakable": ["corner"]}
    read = said(content)
    assert "Training leaves 1 goal open that parts after the shift" in read
    assert "It is to get to the corner." in read
    assert "1 level, added to training, would close it." in read
    assert "What it looks like" in read and "What no level closes for sure" not in read


def test_certificate_that_generalizes() -> None:
    content = example()
    content["analysis"]["certificate"] |= {"generalizes": True, "invisible": []}
    assert "behavior in training determines behavior there" in said(content)


def test_no_candidate_closes_anything() -> None:
    content = example()
    names = ["corner", "row", "both"]
    content["analysis"]["closing"] = {"shadow": names, "breakable": [], "set": None, "mixture": None}
    read = said(content)
    assert "No candidate level would close any of them for sure." in read
    assert "What no level closes for sure" in read and "The smallest set" not in read


def test_goals_that_cannot_be_read_are_named() -> None:
    content = example()
    assert "Not to be read off the observation" not in said(content)
    content["analysis"]["goals"][0]["unreadable_on"] = 0.25
    assert "(on 25\u202f% of levels)" in said(content)


def test_goals_that_nothing_closes_are_named() -> None:
    content = example()
    content["analysis"]["closing"] |= {"shadow": [], "hopeless": ["both"]}
    read = said(content)
    assert "What no level closes at all" in read and "What no level closes for sure" not in read


def test_numbers_that_are_not() -> None:
    """NaN, infinity and None in measured places become words or a dash, and break nothing."""
    content = example()
    found = content["analysis"]
    for index, row in enumerate(found["goals"]):
        bad = (math.nan, None, math.inf)[index % 3]
        for costs in row["costs"].values():
            costs["mean"]["estimate"] = bad
            costs["worst"]["low"] = bad
        row["surely_distinguished"] = bad
    found["goals"][2]["costs"]["deploy"]["best"]["estimate"] = None
    found["diameter"] = np.float32(np.nan)
    found["closing"]["set"]["share"] = 4.2
    found["closing"]["mixture"]["share"] = None
    found["symmetries"][0]["costs"]["row"] = math.nan
    found["questions"] |= {"episodes": math.inf, "episodes_uniform": None, "training": math.nan}
    found["distances"][0]["train"]["starc"] = None
    read = said(content)
    assert read.count("no share suffices") >= 3 and "No number of episodes on the levels" in read
    assert prose.NONE in read and "no share suffices of the best mixture of levels" in read
    assert not re.search(r"\b(nan|NaN|inf|Infinity|None)\b", read)


def test_levels_without_pictures_are_written_out() -> None:
    content = example()
    del content["atlas"]
    text = report.render_analysis(content)
    assert text.count('<pre class="level"') == 6 and 'class="board"' not in text
    assert TEXT.strip() in "".join(Page(text).text)
    content = example()
    content["analysis"]["worst"]["tiles"] = None
    content["analysis"]["worst"]["routes"] = {}
    text = report.render_analysis(content)
    assert text.count('<pre class="level"') == 1
    Page(text)


def renamed(value: Any, suffix: str) -> Any:
    """Every free text, and every goal's name wherever it stands, with a suffix."""
    if isinstance(value, dict):
        names = {row["name"] for row in example()["analysis"]["goals"]}
        return {
            key + suffix if key in names else key: renamed(one, suffix) for key, one in value.items()
        }
    if isinstance(value, list):
        return [renamed(one, suffix) for one in value]
    return value + suffix if isinstance(value, str) and not value.startswith("iVBOR") else value


def test_hostile_strings_are_escaped() -> None:
    """Whatever the strings say, the page has the elements it had; a name with `<` is shown."""
    harmless, hostile = (report.render_analysis(renamed(example(), one)) for one in ("x", HOSTILE))
    tags = [[tag for tag, _ in Page(one).elements] for one in (harmless, hostile)]
    assert tags[0] == tags[1]
    assert "<script" not in hostile and "<img" not in hostile
    assert f"corner{HOSTILE}" in "".join(Page(hostile).text)


def test_write_is_whole_or_not_at_all(tmp_path: Any) -> None:
    path = tmp_path / "analysis.html"
    assert report.write_analysis(example(), path) == path
    assert path.read_text(encoding="utf-8") == report.render_analysis(example())
    with pytest.raises(KeyError):
        report.write_analysis({}, path)
    assert path.read_text(encoding="utf-8").endswith("</html>") and list(tmp_path.iterdir()) == [path]


def test_content_is_left_as_it_was() -> None:
    content = example()
    before = copy.deepcopy(content)
    report.render_analysis(content)
    assert content == before


def test_writing_of_numbers() -> None:
    assert analysis.spans([1, 2, 3, 5]) == "1\u20133, 5" and analysis.spans([]) == prose.NONE
    assert analysis.spans([2, 4, 5]) == "2, 4\u20135"
    assert [prose.share(one) for one in (0.28, 1.0, 1.01, math.inf, None)] == [
        "28.0\u202f%",
        "100.0\u202f%",
        *["no share suffices"] * 3,
    ]
    assert [prose.regret(one) for one in (0.0, 1e-7, 3e-4, 5.1e-4, 0.911, math.nan)] == [
        "0.000",
        "0.000",
        "<0.001",
        "0.001",
        "0.911",
        prose.NONE,
    ]
    assert prose.count(1, "goal") == "1 goal" and prose.count(12, "goal") == "12 goals"
