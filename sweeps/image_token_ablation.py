"""How many tokens should represent an image?

Usage: python sweeps/image_token_ablation.py [--help]
"""

from vip5platform import Study, factor, main

STUDY = Study(
    name="image-token-ablation",
    question="How many tokens should represent an image?",
    factors=(factor("image_tokens", 0, 1, 2, 3, 5),),  # 0: text only
)

if __name__ == "__main__":
    main(STUDY)
