"""Readers: each turns the raw files of one source into the plain tables of `vip5core.data.raw`."""
