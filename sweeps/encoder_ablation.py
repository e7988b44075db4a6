"""Which visual encoder serves which task?

Usage: python sweeps/encoder_ablation.py [--help]
"""

from vip5platform import Study, factor, main

STUDY = Study(
    name="encoder-ablation",
    question="Which visual encoder serves which task?",
    factors=(factor("encoder", "RN50", "RN101", "ViT-B/32", "ViT-B/16", "ViT-L/14"),),
)

if __name__ == "__main__":
    main(STUDY)
