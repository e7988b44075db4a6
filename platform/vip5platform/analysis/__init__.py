"""Analysis of finished trials: results, comparisons and verdicts."""
