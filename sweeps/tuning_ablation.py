"""Are adapters as good as full tuning, and what do they save?

Usage: python sweeps/tuning_ablation.py [--help]
"""

from vip5platform import Factor, Study, main

STUDY = Study(
    name="tuning-ablation",
    question="Are adapters as good as full tuning, and what do they save?",
    factors=(
        Factor(
            "tuning",
            {
                "adapter: self": {"adapter_positions": ("self",)},
                "adapter: self + cross": {"adapter_positions": ("self", "cross")},
                "adapter: self + cross + feed-forward": {"adapter_positions": ("self", "cross", "feed_forward")},
                "LoRA": {"tuning": "lora"},
                "IA3": {"tuning": "ia3"},
                "frozen": {"tuning": "frozen"},
                "full": {"tuning": "full", "learning_rate": 1e-3},  # the rate of the tiny preset is too high for it
            },
        ),
    ),
)

if __name__ == "__main__":
    main(STUDY)
