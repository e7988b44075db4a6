"""Training: the loop and the optimiser."""
