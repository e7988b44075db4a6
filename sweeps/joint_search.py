"""Which combination of settings gives the best quality for its size?

Usage: python sweeps/joint_search.py [--help]
"""

from vip5platform import Range, Search, choice, main

SEARCH = Search(
    name="joint-search",
    question="Which combination of settings gives the best quality for its size?",
    space={
        "reduction_factor": choice(2, 4, 8, 16, 32),
        "image_tokens": choice(1, 2, 3, 5),
        "encoder": choice("RN50", "RN101", "ViT-B/32", "ViT-B/16", "ViT-L/14"),
        "learning_rate": Range(1e-3, 5e-2, log=True),
        "dropout": Range(0.0, 0.3),
    },
    objectives=(
        "valid/sequential/ndcg_at_10",
        "model/trainable_parameters",
    ),  # with one objective, bad trials stop early
)

if __name__ == "__main__":
    main(SEARCH)
