"""Studies and searches: what is to be run, on what, and how one run goes from its declaration to its report."""
