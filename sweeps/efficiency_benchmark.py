"""What do adapters save over full tuning as the backbone grows?

Usage: python sweeps/efficiency_benchmark.py --levels backbone=t5-small,t5-base [--help]
"""

from vip5platform import Factor, Study, factor, main

STUDY = Study(
    name="efficiency-benchmark",
    question="What do adapters save over full tuning as the backbone grows?",
    factors=(
        factor("backbone", "tiny", "mini"),
        Factor(
            "tuning",
            {
                **{f"adapter, reduction {r}": {"reduction_factor": r} for r in (2, 8, 32)},
                "full": {"tuning": "full", "learning_rate": 1e-3},
            },
        ),
    ),
)

if __name__ == "__main__":
    main(STUDY)
