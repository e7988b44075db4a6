"""Downloading pictures: politely, resumable, and never from a private network."""
