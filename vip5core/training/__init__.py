"""Training: loss, optimiser, the loop, its costs, and the P5 stage that makes a backbone."""
