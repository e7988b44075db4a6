"""How much of the quality is the numbering of the items?

Usage: python sweeps/id_scheme_ablation.py [--help]
"""

from vip5platform import Study, factor, main

STUDY = Study(
    name="id-scheme-ablation",
    question="How much of the quality is the numbering of the items?",
    factors=(factor("ids", "random", "sequential", "collaborative", "provided"),),  # provided ids leak the test items
)

if __name__ == "__main__":
    main(STUDY)
