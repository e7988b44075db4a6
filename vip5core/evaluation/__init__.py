"""Evaluation: what a model is asked, how its answers are ranked and read, and what they come to."""
