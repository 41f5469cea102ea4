"""Serve the engine by pipe: the script that runs under a Python that has `procgen`.

It may run under another Python with another NumPy than goalgap, so it imports nothing of goalgap, says
and is told plain values (numbers, bytes, lists, pickled), and is written for Python 3.7 up. A message is
its length, eight bytes, and a pickled pair: a command and its arguments; the answer is True and the
result, or False and what went wrong.
"""

import os
import pickle
import struct
import sys


def receive(pipe):
    """Read the next message from a pipe; None at the end."""
    head = pipe.read(8)
    return pickle.loads(pipe.read(struct.unpack("<q", head)[0])) if len(head) == 8 else None


def send(pipe, message):
    """Write a message to a pipe."""
    data = pickle.dumps(message, protocol=4)
    pipe.write(struct.pack("<q", len(data)) + data)
    pipe.flush()


class Games:
    """Hold `num` environments of one game; its methods are the commands that the pipe may ask for."""

    def __init__(self, num, game, options):
        from procgen import ProcgenGym3Env  # pyright: ignore[reportMissingImports]

        options = dict({"rand_seed": 0, "num_threads": 2}, **options)
        self.env = ProcgenGym3Env(num=num, env_name=game, **options)
        self.env.observe()

    def states(self):
        """Return each environment's saved state, as bytes."""
        return self.env.callmethod("get_state")

    def restore(self, states):
        """Put each environment into a saved state."""
        self.env.callmethod("set_state", states)
        self.env.observe()

    def step(self, actions):
        """Play one action (32-bit, as bytes) in each environment.

        Returns rewards, ends and completions.
        """
        import numpy as np

        self.env.act(np.frombuffer(actions, np.int32))
        reward, _, first = self.env.observe()
        complete = [bool(info["prev_level_complete"]) for info in self.env.get_info()]
        return reward.astype(np.float32).tobytes(), first.astype(bool).tobytes(), complete

    def frames(self):
        """Return all pictures, as bytes."""
        return self.env.observe()[1]["rgb"].tobytes()

    def race(self, num_steps):
        """Time random actions in all environments: CPU time in seconds."""
        import time

        import numpy as np

        actions = np.random.RandomState(0).randint(15, size=(num_steps, self.env.num)).astype(np.int32)
        began = time.process_time()
        for action in actions:
            self.env.act(action)
            self.env.observe()
        return time.process_time() - began


def main():
    """Answer commands from standard input until it ends."""
    commands, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get among the answers
    games = None
    while True:
        message = receive(commands)
        if message is None:
            return
        command, arguments = message
        try:
            if command == "make":
                games = Games(*arguments)
                answer = None
            else:
                answer = getattr(games, command)(*arguments)
        except Exception as error:
            send(answers, (False, f"{type(error).__name__}: {error}"))
        else:
            send(answers, (True, answer))


if __name__ == "__main__":
    main()
