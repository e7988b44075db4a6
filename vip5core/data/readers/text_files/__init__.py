"""Reading lines and delimited text that may be broken, huge or hostile."""
