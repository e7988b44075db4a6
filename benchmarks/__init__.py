"""How fast is it? `python -m benchmarks` measures each claim against the straightforward way to do the same."""
