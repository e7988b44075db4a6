"""Do the pictures help, or only the tokens that they take?

Usage: python sweeps/modality_ablation.py [--help]
"""

from vip5platform import Factor, Study, main

STUDY = Study(
    name="modality-ablation",
    question="Do the pictures help, or only the tokens that they take?",
    factors=(
        Factor(
            "prompts",
            {
                "text-only": {"image_tokens": 0},
                "multimodal": {"pictures": "own"},
                "shuffled pictures": {"pictures": "shuffled"},  # as many tokens, of another item's picture
            },
        ),
    ),
)

if __name__ == "__main__":
    main(STUDY)
