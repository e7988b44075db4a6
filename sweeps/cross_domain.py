"""Does the encoder that wins on one dataset win on another?

Usage: python sweeps/cross_domain.py --levels dataset=data/beauty,data/toys [--help]
"""

from vip5platform import Factor, Study, factor, main

STUDY = Study(
    name="cross-domain",
    question="Does the encoder that wins on one dataset win on another?",
    factors=(
        factor(
            "dataset", "minimart", "minimart:400:1", "minimart:800:2"
        ),  # synthetic shops of different sizes and seeds
        Factor(
            "encoder",
            {
                "none (text-only)": {"image_tokens": 0},
                "RN50": {"encoder": "RN50"},
                "ViT-B/32": {"encoder": "ViT-B/32"},
                "ViT-L/14": {"encoder": "ViT-L/14"},
            },
        ),
    ),
)

if __name__ == "__main__":
    main(STUDY)
