"""Analysis from end to end: the command, its files, levels of one's own, training on what it advises."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import jit

import goalgap
from goalgap import envs, oracle, store
from goalgap.cli import call
from goalgap.core import Listed, UsageError, tree_index
from goalgap.envs import Corner, Dish, Keys, Line
from goalgap.envs.grid import GridEnvironment
from goalgap.runs.analyze import Request, analyze, draw
from goalgap.theory import worlds
from goalgap.theory.findings import Settings
from goalgap.theory.underspecification import regrets

SIZE, NUM_LEVELS = 5, 48
ENV = Corner(size=SIZE, max_steps=40)
is_test = jit(jax.vmap(ENV.is_test))
SMALL = [ENV, Dish(size=SIZE), Keys(size=4, few=1, many=2), Line(size=9)]


@functools.partial(jit, static_argnames="count")
def sample(levels, count):
    return jax.vmap(levels.sample)(jax.random.split(jax.random.key(0), count))


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.slow)])
def found(tmp_path_factory, request):
    """An analysis of Corner, without the grammar and (slow) with it."""
    asked = Request(ENV, Settings(epsilon=0.01), num_levels=NUM_LEVELS, grammar=request.param)
    return analyze(asked, tmp_path_factory.mktemp("runs"), command="goalgap analyze corner")


def test_it_finds_the_rivals_that_a_person_would_name(found):
    has_grammar = found.result["num_goals"] > 2
    rows = {row["name"]: row for row in found.result["goals"]}
    assert rows["cheese"]["open"] and not rows["cheese"]["dangerous"]
    named = {name for name, row in rows.items() if row["dangerous"] for name in (name, *row["also"])}
    assert {"corner"} | ({"top-left-corner", "go-up-and-go-left"} if has_grammar else set()) <= named
    assert not {"bottom-right-corner", "go-down", "right-column"} & named
    sentences = {row["name"]: row["sentence"] for row in found.result["goals"]}
    assert sentences["corner"] == "get to the top-left corner"


def test_the_advised_levels_leave_no_goal_open(found):
    """At the share of training that the analysis states, for the set as for the mixture: for sure where
    it says so, on average over ties for the others, and always against the unlucky."""
    closing = found.result["closing"]
    dangerous = {row["name"] for row in found.result["goals"] if row["dangerous"]}
    assert dangerous == {*closing["breakable"], *closing["shadow"], *closing["hopeless"]}
    rivals = tuple(
        goal
        for goal in _goals(ENV)
        if goal.name in dangerous - {*closing["hopeless"]} and goal.name != "cheese"
    )
    sure = np.array([goal.name in closing["breakable"] for goal in rivals])
    names = ("set", "mixture")
    listed = [level for name in names for level in closing[name]["levels"]]
    levels, weights = _stacked(ENV, listed)
    costs = regrets(ENV, (ENV.intended,), rivals, levels, 0.99)
    assert costs.best is not None and costs.mean is not None
    promised = np.where(sure, costs.best[:, 0], costs.mean[:, 0])
    of = np.repeat(names, [len(closing[name]["levels"]) for name in names])
    for name in names:
        share, weight = closing[name]["share"], np.where(of == name, weights, 0)
        least = share * (weight @ promised).min()
        assert least == pytest.approx(0.01, rel=1e-3), "epsilon exactly: less would not do"
        assert (share * (weight @ costs.worst[:, 0]) > 0.0099).all()


def _goals(env):
    from goalgap.theory import grammar

    return (*env.goals, *grammar.goals(env))


def _stacked(env, listed):
    levels = [env.from_text(level["text"]) for level in listed]
    weights = np.array([level["weight"] for level in listed])
    return jax.tree.map(lambda *leaves: np.stack(leaves), *levels), weights


@pytest.mark.slow
def test_screening_loses_no_open_goal():
    """It gives up a goal only where the levels seen prove that all of them will not do."""
    from goalgap.theory.findings import screen

    settings, rivals = Settings(epsilon=0.02), _goals(ENV)[1:150]
    train = draw(ENV, ENV.shift(0.1).train, 256, jax.random.key(3), 0)
    kept, excluded = screen(ENV, ENV.intended, rivals, train, settings)
    assert len(kept) + len(excluded) == len(rivals) and len(excluded) > 50
    worst = regrets(ENV, (ENV.intended,), rivals, train, settings.gamma, ()).worst[:, 0].mean(0)
    is_open = {goal.name for goal, cost in zip(rivals, worst, strict=True) if cost <= settings.epsilon}
    assert not is_open & {row["name"] for row in excluded}


def test_the_folder_holds_the_result_the_page_and_the_levels(found):
    stored = store.read_json(found.path / "analysis.json")
    assert stored["analysis"]["worst"]["goal"] == found.result["worst"]["goal"]
    assert "Training leaves" in (found.path / "report.html").read_text(encoding="utf-8")
    listed = store.read_levels(ENV, found.path / "mixture.txt")
    assert sum(weight for _, weight in listed) == pytest.approx(1, abs=1e-4)
    assert [text for text, _ in listed] == [
        level["text"] for level in found.result["closing"]["mixture"]["levels"]
    ]


def test_it_is_listed(found, capsys):
    assert call(["list", "--out", str(found.path.parent), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert {"run": str(found.path), "verdict": "analysis"} in listed


def test_levels_to_add_may_be_trained_on_and_levels_to_ask_on_may_not(found):
    for name, is_test in (("add", False), ("mixture", False), ("ask", True)):
        for text, _ in store.read_levels(ENV, found.path / f"{name}.txt"):
            assert bool(ENV.is_test(ENV.from_text(text))) == is_test


def test_training_shows_injected_levels_in_proportion_to_alpha_and_their_weights(found):
    injected = tuple(store.read_levels(ENV, found.path / "add.txt"))
    experiment = goalgap.Experiment(ENV, alpha=0.25, injected=injected)
    drawn = sample(experiment.train_levels, 2048)
    share = float(np.mean(jit(jax.vmap(ENV.is_distinguishing))(drawn)))
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 2048))


def test_listed_levels_come_in_proportion_to_their_weights():
    levels = Listed({"number": jnp.arange(3)}, jnp.array([1.0, 0.0, 3.0]))
    drawn = sample(levels, 4096)["number"]
    counts = np.bincount(np.asarray(drawn), minlength=3)
    assert counts[1] == 0
    assert counts[2] / 4096 == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / 4096))


def test_injected_levels_that_cannot_be_shown_are_refused():
    deploy = sample(ENV.shift().deploy, 64)
    kept = np.flatnonzero(is_test(deploy))
    text = ENV.to_text(tree_index(deploy, int(kept[0])))
    with pytest.raises(UsageError, match="kept for evaluation"):
        _ = goalgap.Experiment(ENV, alpha=0.5, injected=((text, 1.0),)).train_levels
    with pytest.raises(UsageError, match="alpha 0"):
        goalgap.Experiment(ENV, injected=((text, 1.0),))
    with pytest.raises(UsageError, match="weight 0"):
        goalgap.Experiment(ENV, alpha=0.5, injected=((text, 0.0),))


def test_an_experiment_with_injected_levels_survives_json(found):
    from goalgap.descriptions import to_json
    from goalgap.experiment import load

    injected = tuple(store.read_levels(ENV, found.path / "add.txt"))
    experiment = goalgap.Experiment(ENV, alpha=0.25, injected=injected)
    assert load(json.loads(json.dumps(to_json(experiment)))) == experiment


def test_training_and_deployment_levels_share_no_layout():
    shift, key = ENV.shift(), jax.random.key(0)
    for levels, test in ((shift.train, False), (shift.deploy, True)):
        drawn = draw(ENV, levels, 64, key, 0, test=test)
        assert (np.asarray(is_test(drawn)) == test).all()


@pytest.mark.parametrize("env", SMALL, ids=lambda env: env.name)
def test_strides_say_what_actions_add_to_the_index(env):
    if env.strides is None:
        return
    levels = sample(env.shift().deploy, 32)
    successor = np.asarray(jit(lambda levels: worlds.tabulate(env, (), levels).successor)(levels))
    added = successor - np.arange(successor.shape[1])[:, None]
    assert ((added == 0) | (added == np.array(env.strides))).all()


@pytest.mark.parametrize("env", [ENV, SMALL[-1]], ids=lambda env: env.name)
def test_sweeps_by_shifts_agree_with_lookups(env):
    levels = sample(env.shift().deploy, 32)

    @jit
    def both_ways(levels):
        world = worlds.tabulate(env, env.goals, levels)
        plain = dataclasses.replace(world, strides=None)
        return [
            [worlds.action_values(one, table, 0.9, 20) for table in world.goals]
            for one in (world, plain)
        ]

    for by_shifts, by_lookups in zip(*both_ways(levels), strict=True):
        np.testing.assert_allclose(by_shifts, by_lookups, atol=1e-6)


@pytest.mark.parametrize("env", [env for env in SMALL if env.name != "keys"], ids=lambda env: env.name)
def test_symmetries_leave_the_intended_goal_its_value(env):
    """They move everything along, so a goal about objects pays what it paid; places stay."""
    levels = sample(env.shift().deploy, 32)
    changed = jit(jax.vmap(env.symmetries))(levels)
    assert len(changed) == (7 if isinstance(env, GridEnvironment) else 1)
    before = oracle.start_values(env, env.intended, levels, 0.9)
    for moved in changed.values():
        np.testing.assert_allclose(oracle.start_values(env, env.intended, moved, 0.9), before, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [kind for kind in envs.ALL if kind.solver is not None], ids=lambda kind: kind.name
)
def test_every_environment_with_exact_play_can_be_analyzed(kind, tmp_path):
    env = next((env for env in SMALL if env.name == kind.name), None) or kind(mode="easy")
    found = analyze(Request(env, num_levels=16), tmp_path)
    goals = {row["name"]: row for row in found.result["goals"]}
    assert goals[env.proxies[0].name]["dangerous"]
    assert (found.path / "report.html").exists()


# -- the command ------------------------------------------------------------------------------------


def command(*options):
    return call(["analyze", "corner", "--size", str(SIZE), "--max-steps", "40", *options])


def test_the_command_prints_one_json_document(tmp_path, capsys):
    assert command("--levels", str(NUM_LEVELS), "--json", "--out", str(tmp_path)) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["analysis"]["worst"]["goal"] == "corner"
    assert said["analysis"]["intended"]["name"] == "cheese"


def test_the_command_prints_a_page(tmp_path, capsys):
    assert command("--levels", str(NUM_LEVELS), "--out", str(tmp_path)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "leave a goal open that differs from cheese after the shift" in said
    for part in ("get to the top-left corner", "To close corner: 1 level", "no test on training levels"):
        assert part in said


@pytest.mark.slow
def test_levels_of_ones_own_take_the_place_of_drawn_ones(tmp_path, capsys):
    """Training with the cheese in the far corner leaves the near corner closed."""
    path = tmp_path / "mine.txt"
    path.write_text(
        "; two levels\n@....\n.....\n.....\n.....\n....c\n\n.....\n.@...\n.....\n.....\n....c\n"
    )
    options = ("analyze", "corner", "--train", str(path), "--json", "--out", str(tmp_path))
    assert call([*options, "--max-steps", "40", "--levels", str(NUM_LEVELS)]) == 0
    said = json.loads(capsys.readouterr().out)["analysis"]
    assert said["num_levels"]["train"] == 2
    rows = {row["name"]: row for row in said["goals"]}
    assert not rows["corner"]["open"] and said["worst"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "@....\n.....\n.....\n.....\n....c\n\n@...\n....\n....\n...c\n",
            "line 10: the level has 4 lines",
        ),
        ("@....\n.....\n..?..\n.....\n....c\n", "line 3, column 3: unknown letter '?'"),
        ("; note\n\n@....\n.....\n.....\n.....\n.....\n", "0 of cheese"),
        ("; weight -1\n@....\n.....\n.....\n.....\n....c\n", "line 1: weight '-1'"),
        ("", "holds no level"),
    ],
)
def test_malformed_levels_are_one_line_with_file_line_and_column(tmp_path, capsys, text, said):
    path = tmp_path / "mine.txt"
    path.write_text(text)
    assert command("--train", str(path), "--out", str(tmp_path)) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "mine.txt" in error and "\n" not in error
    assert list(tmp_path.iterdir()) == [path], "nothing is left behind"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--epsilon", "1.5"), "epsilon is 1.5"),
        (("--margin", "-0.1"), "margin is -0.1"),
        (("--gamma", "1"), "gamma is 1"),
        (("--error", "0"), "error is 0"),
        (("--cap", "0"), "cap is 0"),
        (("--beta", "0"), "beta is 0"),
        (("--levels", "3"), "num_levels is 3"),
        (("--intended", "chese"), "unknown goal 'chese'; expected one of cheese, corner"),
        (("--train", "nowhere.txt"), "cannot read nowhere.txt"),
    ],
)
def test_bad_options_are_one_line(options, said, capsys, tmp_path):
    assert command(*options, "--out", str(tmp_path)) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error


def test_too_many_states_are_refused_at_once_with_their_number(capsys, tmp_path):
    assert call(["analyze", "keys", "--size", "13", "--few", "3", "--many", "10"]) == 2
    error = capsys.readouterr().err.strip()
    assert "177,209,344 states" in error and "reduce" in error


@pytest.mark.slow
def test_another_goal_may_be_taken_for_the_intended_one(tmp_path):
    request = Request(ENV, num_levels=NUM_LEVELS, intended="corner")
    found = analyze(request, tmp_path)
    assert found.result["intended"]["name"] == "corner"
    assert found.result["worst"]["goal"] == "cheese"
    assert request.hash != dataclasses.replace(request, intended=None).hash
