"""Running studies and searches: plan, inputs, execution, and the record of a run."""
