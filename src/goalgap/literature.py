"""The papers behind the environments and methods, for reports and for `goalgap cite`."""

PAPERS: dict[str, dict[str, str | int]] = {
    "2507.03068": {
        "id": "2507.03068",
        "key": "abdelsadek2025mitigating",
        "title": "Mitigating Goal Misgeneralization via Minimax Regret",
        "authors": "Karim Abdel Sadek and Matthew Farrugia-Roberts and Usman Anwar and Hannah "
        "Erlebach and Christian Schroeder de Witt and David Krueger and Michael Dennis",
        "venue": "Reinforcement Learning Conference",
        "year": 2025,
    },
    "2105.14111": {
        "id": "2105.14111",
        "key": "langosco2022goal",
        "title": "Goal Misgeneralization in Deep Reinforcement Learning",
        "authors": "Lauro Langosco and Jack Koch and Lee D. Sharkey and Jacob Pfau and Laurent Orseau "
        "and David Krueger",
        "venue": "International Conference on Machine Learning",
        "year": 2022,
    },
    "1912.01588": {
        "id": "1912.01588",
        "key": "cobbe2020leveraging",
        "title": "Leveraging Procedural Generation to Benchmark Reinforcement Learning",
        "authors": "Karl Cobbe and Christopher Hesse and Jacob Hilton and John Schulman",
        "venue": "International Conference on Machine Learning",
        "year": 2020,
    },
    "2312.03762": {
        "id": "2312.03762",
        "key": "ramanauskas2023colour",
        "title": "Colour versus Shape Goal Misgeneralization in Reinforcement Learning: A Case Study",
        "authors": "Karolis Ramanauskas and Özgür Şimşek",
        "venue": "ATTRIB workshop at NeurIPS",
        "year": 2023,
    },
    "1707.06347": {
        "id": "1707.06347",
        "key": "schulman2017proximal",
        "title": "Proximal Policy Optimization Algorithms",
        "authors": "John Schulman and Filip Wolski and Prafulla Dhariwal and Alec Radford and "
        "Oleg Klimov",
        "venue": "arXiv",
        "year": 2017,
    },
    "1506.02438": {
        "id": "1506.02438",
        "key": "schulman2016high",
        "title": "High-Dimensional Continuous Control Using Generalized Advantage Estimation",
        "authors": "John Schulman and Philipp Moritz and Sergey Levine and Michael Jordan and "
        "Pieter Abbeel",
        "venue": "International Conference on Learning Representations",
        "year": 2016,
    },
    "1802.01561": {
        "id": "1802.01561",
        "key": "espeholt2018impala",
        "title": "IMPALA: Scalable Distributed Deep-RL with Importance Weighted Actor-Learner "
        "Architectures",
        "authors": "Lasse Espeholt and Hubert Soyer and Remi Munos and Karen Simonyan and Volodymyr "
        "Mnih and Tom Ward and Yotam Doron and Vlad Firoiu and Tim Harley and Iain Dunning and "
        "Shane Legg and Koray Kavukcuoglu",
        "venue": "International Conference on Machine Learning",
        "year": 2018,
    },
}


def bibtex(identifier: str) -> str:
    """One entry. Raises KeyError for a paper that is not listed."""
    paper = PAPERS[identifier]
    fields = "".join(
        f"  {name} = {{{paper[part]}}},\n"
        for name, part in (("title", "title"), ("author", "authors"), ("year", "year"))
    )
    return (
        f"@misc{{{paper['key']},\n{fields}  note = {{{paper['venue']}}},\n"
        f"  eprint = {{{identifier}}},\n  archivePrefix = {{arXiv}},\n}}\n"
    )
