"""Evaluation: models and baselines answer the same questions, by the same code."""
