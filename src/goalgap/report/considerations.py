"""Say what the page of an analysis warns of, and what its settings are."""

PITFALLS = (
    (
        "Open does not mean learned.",
        "What is open could be learned without loss of return in training. Which open goal a learner "
        "settles on depends on its inductive biases, of which this page knows nothing.",
    ),
    (
        "The guarantees are about selection by return.",
        "If a learner gets within the slack of the best return in training, a closed goal is not what "
        "it optimizes. A learner that stops earlier, or is selected by anything else, is not covered.",
    ),
    (
        "Only goals on the list were considered.",
        "A goal that nobody listed may be open as well. The certificate looks further, at all mixtures "
        "of the listed ones, and still no further than that.",
    ),
    (
        "Levels are samples.",
        "Regrets are exact on each level, but means are over those that were drawn. A level that is "
        "rarer than one in the sample may part goals that this page takes for equal.",
    ),
)
SETTINGS = {
    "epsilon": "regret in training up to which a goal is open: the slack of the learner",
    "margin": "regret above which a level breaks a goal for sure",
    "gamma": "discount per step",
    "beta": "inverse temperature of the agents that are to be told apart",
    "error": "probability of taking one goal for another",
    "cap": "largest weight of one level in the mixture",
}
LEVELS = {
    "train": "levels that training shows",
    "deploy": "levels after the shift",
    "candidates": "levels that could be added to training",
}
