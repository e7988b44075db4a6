"""How much of the quality comes from the item ids?

Usage: python sweeps/id_scheme_ablation.py [--help]
"""

from vip5platform import Study, factor, main

STUDY = Study(
    name="id-scheme-ablation",
    question="How much of the quality comes from the item ids?",
    factors=(factor("ids", "random", "sequential", "collaborative", "provided"),),  # provided ids leak the test items
)

if __name__ == "__main__":
    main(STUDY)
