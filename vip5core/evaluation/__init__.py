"""Evaluation: what a model is asked, how its answers are ranked, and the metrics of the results."""
