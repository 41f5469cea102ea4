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


_LANGUAGE = (  # arXiv id, key, title, authors, venue, year
    (
        "2210.01790",
        "shah2022goal",
        "Goal Misgeneralization: Why Correct Specifications Aren't Enough For Correct Goals",
        "Rohin Shah and Vikrant Varma and Ramana Kumar and Mary Phuong and Victoria Krakovna and "
        "Jonathan Uesato and Zac Kenton",
        "arXiv",
        2022,
    ),
    (
        "2310.13548",
        "sharma2024towards",
        "Towards Understanding Sycophancy in Language Models",
        "Mrinank Sharma and Meg Tong and Tomasz Korbak and David Duvenaud and Amanda Askell and "
        "Samuel R. Bowman and others",
        "International Conference on Learning Representations",
        2024,
    ),
    (
        "2406.10162",
        "denison2024sycophancy",
        "Sycophancy to Subterfuge: Investigating Reward-Tampering in Large Language Models",
        "Carson Denison and Monte MacDiarmid and Fazl Barez and David Duvenaud and Shauna Kravec and "
        "Samuel Marks and others",
        "arXiv",
        2024,
    ),
    (
        "2510.05024",
        "wichers2025inoculation",
        "Inoculation Prompting: Instructing LLMs to misbehave at train-time improves "
        "test-time alignment",
        "Nevan Wichers and Aram Ebtekar and Ariana Azarbal and Victor Gillioz and "
        "Christine Ye and others",
        "arXiv",
        2025,
    ),
    (
        "2510.04340",
        "tan2025inoculation",
        "Inoculation Prompting: Eliciting traits from LLMs during training can suppress "
        "them at test-time",
        "Daniel Tan and Anders Woodruff and Niels Warncke and Arun Jose and Maxime Riché and others",
        "arXiv",
        2025,
    ),
    (
        "2311.05584",
        "hong2023zero",
        "Zero-Shot Goal-Directed Dialogue via RL on Imagined Conversations",
        "Joey Hong and Sergey Levine and Anca Dragan",
        "arXiv",
        2023,
    ),
    (
        "2504.11844",
        "everitt2025evaluating",
        "Evaluating the Goal-Directedness of Large Language Models",
        "Tom Everitt and Cristina Garbacea and Alexis Bellot and Jonathan Richens and Henry Papadatos "
        "and Siméon Campos and Rohin Shah",
        "arXiv",
        2025,
    ),
    (
        "2211.14275",
        "uesato2022solving",
        "Solving math word problems with process- and outcome-based feedback",
        "Jonathan Uesato and Nate Kushman and Ramana Kumar and Francis Song and Noah Siegel and others",
        "arXiv",
        2022,
    ),
    (
        "2305.20050",
        "lightman2023lets",
        "Let's Verify Step by Step",
        "Hunter Lightman and Vineet Kosaraju and Yura Burda and Harri Edwards and Bowen "
        "Baker and others",
        "arXiv",
        2023,
    ),
    (
        "2311.07723",
        "clymer2023generalization",
        "Generalization Analogies: A Testbed for Generalizing AI Oversight to Hard-To-Measure Domains",
        "Joshua Clymer and Garrett Baker and Rohan Subramani and Sam Wang",
        "arXiv",
        2023,
    ),
    (
        "2310.15047",
        "krasheninnikov2023implicit",
        "Implicit meta-learning may lead language models to trust more reliable sources",
        "Dmitrii Krasheninnikov and Egor Krasheninnikov and Bruno Mlodozeniec and Tegan Maharaj and "
        "David Krueger",
        "arXiv",
        2023,
    ),
    (
        "2601.10160",
        "tice2026alignment",
        "Alignment Pretraining: AI Discourse Causes Self-Fulfilling (Mis)alignment",
        "Cameron Tice and others",
        "arXiv",
        2026,
    ),
    (
        "2507.21509",
        "chen2025persona",
        "Persona Vectors: Monitoring and Controlling Character Traits in Language Models",
        "Runjin Chen and Andy Arditi and Henry Sleight and Owain Evans and Jack Lindsey",
        "arXiv",
        2025,
    ),
    (
        "2210.10760",
        "gao2022scaling",
        "Scaling Laws for Reward Model Overoptimization",
        "Leo Gao and John Schulman and Jacob Hilton",
        "arXiv",
        2022,
    ),
    (
        "2402.03300",
        "shao2024deepseekmath",
        "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
        "Zhihong Shao and Peiyi Wang and Qihao Zhu and Runxin Xu and Junxiao Song and others",
        "arXiv",
        2024,
    ),
    (
        "2305.18290",
        "rafailov2023direct",
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        "Rafael Rafailov and Archit Sharma and Eric Mitchell and Stefano Ermon and "
        "Christopher D. Manning and Chelsea Finn",
        "Neural Information Processing Systems",
        2023,
    ),
)
_PARTS = ("id", "key", "title", "authors", "venue", "year")
PAPERS |= {entry[0]: dict(zip(_PARTS, entry, strict=True)) for entry in _LANGUAGE}


def paper(identifier: str) -> dict[str, str | int]:
    """Give what is known of a paper; of one that is not listed, its identifier on arXiv."""
    unlisted: dict[str, str | int] = {
        "id": identifier,
        "key": f"arxiv{identifier}".replace("/", ":"),
        "title": f"arXiv:{identifier}",
        "authors": "",
        "venue": "",
        "year": "",
    }
    return PAPERS.get(identifier, unlisted)


def bibtex(identifier: str) -> str:
    """Write a paper's BibTeX entry, given its arXiv id; of one that is not listed, only where it is."""
    if identifier not in PAPERS:
        key = paper(identifier)["key"]
        return (
            f"@misc{{{key},\n  url = {{https://arxiv.org/abs/{identifier}}},\n"
            f"  eprint = {{{identifier}}},\n  archivePrefix = {{arXiv}},\n}}\n"
        )
    found = PAPERS[identifier]
    fields = "".join(
        f"  {name} = {{{found[part]}}},\n"
        for name, part in (("title", "title"), ("author", "authors"), ("year", "year"))
    )
    return (
        f"@misc{{{found['key']},\n{fields}  note = {{{found['venue']}}},\n"
        f"  eprint = {{{identifier}}},\n  archivePrefix = {{arXiv}},\n}}\n"
    )
