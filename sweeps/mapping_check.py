"""How much of an image does the mapping network preserve in its tokens?

Usage: python sweeps/mapping_check.py [--help]
"""

from vip5platform import Study, factor, main

STUDY = Study(
    name="mapping-check",
    question="How much of an image does the mapping network preserve in its tokens?",
    factors=(
        factor("encoder", "RN50", "RN101", "ViT-B/32", "ViT-B/16", "ViT-L/14"),
        factor("image_tokens", 1, 2, 3, 5),
    ),
    settings={"probe": True},
    metrics=("probe/neighbours", "probe/category", "probe/colour", "probe/shape", "probe/pattern"),
)

if __name__ == "__main__":
    main(STUDY)
