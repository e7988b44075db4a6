"""Reads lines and delimited text that may be broken, huge or malicious."""
