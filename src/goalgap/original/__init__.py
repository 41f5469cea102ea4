"""Bridge to the original Procgen engine: play it live, read its states, judge our policies in it.

`Engine` runs the engine in a process of its own; `record` makes recordings; `decode` turns the engine's
saved states into our levels and states; `play` and `measure` run our policies in the engine.
"""

from .decode import coin_places as coin_places
from .decode import environment as environment
from .decode import levels as levels
from .decode import move_coin as move_coin
from .decode import states as states
from .engine import Engine as Engine
from .engine_episodes import Played as Played
from .engine_episodes import measure as measure
from .engine_episodes import play as play
from .saved import Saved as Saved
