"""One trial: what identifies it, what it is made of, how it runs, and what it leaves."""
