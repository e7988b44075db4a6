"""Which visual encoder serves which task, and is any better than none?

Usage: python sweeps/encoder_ablation.py [--help]
"""

from vip5platform import Factor, Study, factor, main

ENCODERS = factor("encoder", "RN50", "RN101", "ViT-B/32", "ViT-B/16", "ViT-L/14")
STUDY = Study(
    name="encoder-ablation",
    question="Which visual encoder serves which task, and is any better than none?",
    factors=(Factor("encoder", {"text-only": {"image_tokens": 0}, **ENCODERS.levels}),),
)

if __name__ == "__main__":
    main(STUDY)
