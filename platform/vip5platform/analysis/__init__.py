"""What finished trials show: results, comparisons and what they come to."""
