"""How narrow can the adapters be before quality suffers?

Usage: python sweeps/reduction_ablation.py [--help]
"""

from vip5platform import Study, factor, main

STUDY = Study(
    name="reduction-ablation",
    question="How narrow can the adapters be before quality suffers?",
    factors=(factor("reduction_factor", 2, 4, 8, 16, 32),),
)

if __name__ == "__main__":
    main(STUDY)
