"""Playing yourself: the game without a screen, and the terminal given back."""

import contextlib
import io
import os
import sys

import pytest

from goalgap.adapters.terminal import Game, board, commands, play, summary
from goalgap.envs import Corner, Keys

CORNER = Corner(size=5, max_steps=12)
LEVEL = CORNER.from_text(".@...\n.....\n.....\n.....\n....c\n")


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("\x1b[A\x1b[B\x1bOC\x1bOD", ["up", "down", "right", "left"]),
        ("wasd", ["up", "left", "down", "right"]),
        ("hjkl", ["left", "down", "up", "right"]),
        ("N u\tt\nq", ["next", "again", "toggle", "quit"]),
        ("x\x1b[5~\x1b[1;5C?", ["right"]),  # page up means nothing, control and an arrow means the arrow
    ],
)
def test_keys_and_letters_are_understood(typed, asked):
    assert commands(typed) == asked


def test_both_goals_pay_and_the_end_ends():
    game = Game(CORNER, level=LEVEL)
    for command in ["left", *["down"] * 4, *["right"] * 4, "up"]:
        game.obey(command)
    assert game.is_over and game.is_terminated
    assert game.returns == {"cheese": 1, "corner": 1}
    assert game.reached == {"corner": 1, "cheese": 9}
    assert game.steps == 9  # the move after the end changed nothing
    assert summary(game) == "your own level: 1 played to the end; reached cheese on 1, corner on 1\n"
    game.obey("again")
    assert (game.steps, game.reached, game.is_over) == (0, {}, False)


def test_time_runs_out():
    game = Game(CORNER, level=LEVEL)
    for _ in range(20):
        game.obey("up")
    assert game.is_over and not game.is_terminated
    assert game.steps == CORNER.max_steps


def test_levels_come_in_turn_and_from_either_side_of_the_shift():
    def text() -> str:
        return CORNER.to_text(game.level)

    game = Game(CORNER, seed=1)
    assert not game.is_distinguishing
    first = text()
    game.obey("next")
    second = text()
    assert (game.split, game.numbers["train"], second != first) == ("train", 2, True)
    game.obey("toggle")
    assert (game.split, game.numbers["deploy"]) == ("deploy", 1)
    assert game.is_distinguishing
    game.obey("toggle")
    assert text() == second
    game = Game(CORNER, seed=1)
    assert text() == first


def test_a_level_of_ones_own_is_followed_by_others():
    game = Game(CORNER, level=LEVEL)
    assert game.split == "own"
    game.obey("next")
    assert (game.split, game.numbers["train"]) == ("train", 1)


def test_the_board_is_its_tiles_within_walls():
    game = Game(CORNER, level=LEVEL)
    rows = str(board(game)).splitlines()
    assert rows[0] == rows[-1] == "#" * 14
    assert rows[1] == "##. @ . . . ##"
    assert rows[5] == "##. . . . c ##"


def test_the_inventory_hangs_on_the_wall():
    env = Keys(size=5, few=1, many=2)
    game = Game(env, level=env.from_text("@k..c\n.....\n.....\n.....\nc....\n"))
    game.obey("right")
    assert str(board(game)).splitlines()[0] == "k " + "#" * 12


def test_letters_and_enter_where_there_is_no_terminal():
    stdout = io.StringIO()
    play(CORNER, 0, LEVEL, stdin=io.StringIO("a\nssss dddd\nq\nt\n"), stdout=stdout)
    shown = stdout.getvalue()
    assert "\x1b" not in shown
    assert "cheese, the intended goal: get to the cheese" in shown
    assert "the goals come apart (distinguishing)" in shown
    assert "The episode is over." in shown
    assert shown.endswith("your own level: 1 played to the end; reached cheese on 1, corner on 1\n")
    assert "shifted levels, number" not in shown  # what follows the q is not read


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("typed", [b"aq", b"", KeyboardInterrupt(), ZeroDivisionError()], ids=repr)
def test_the_terminal_is_given_back(typed, monkeypatch):
    """After q, the end of the input, Ctrl-C, and a fault of ours."""
    import pty
    import termios

    def read(terminal: int, count: int) -> bytes:
        assert not termios.tcgetattr(terminal)[3] & termios.ICANON
        if isinstance(typed, BaseException):
            raise typed
        return typed

    monkeypatch.setattr(os, "read", read)
    master, slave = pty.openpty()
    before, stdout = termios.tcgetattr(slave), Terminal()
    is_fault = isinstance(typed, ZeroDivisionError)
    with os.fdopen(slave) as stdin:
        with pytest.raises(ZeroDivisionError) if is_fault else contextlib.nullcontext():
            play(CORNER, 0, LEVEL, stdin=stdin, stdout=stdout)
        assert termios.tcgetattr(slave) == before
    os.close(master)
    entered, left = (stdout.getvalue().count(f"\x1b[?1049{end}") for end in "hl")
    assert entered == left == 1
