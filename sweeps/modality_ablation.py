"""Do the images help, or only the additional tokens?

Usage: python sweeps/modality_ablation.py [--help]
"""

from vip5platform import Factor, Study, main

STUDY = Study(
    name="modality-ablation",
    question="Do the images help, or only the additional tokens?",
    factors=(
        Factor(
            "prompts",
            {
                "text-only": {"image_tokens": 0},
                "multimodal": {"images": "own"},
                "shuffled images": {"images": "shuffled"},  # the same number of tokens, from another item's image
            },
        ),
    ),
)

if __name__ == "__main__":
    main(STUDY)
