"""Studies that are disturbed at random moments end as one that was not."""
