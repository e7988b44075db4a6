"""How much of the quality comes from the item ids?

Usage: python sweeps/id_scheme_ablation.py [--help]
"""

from vip5platform import Study, factor, main

from vip5core.vocabulary import ID_SCHEMES

STUDY = Study(
    name="id-scheme-ablation",
    question="How much of the quality comes from the item ids?",
    factors=(factor("ids", *ID_SCHEMES),),  # provided ids leak the test items
)

if __name__ == "__main__":
    main(STUDY)
