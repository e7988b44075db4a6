"""Readers: raw files of one source each to the plain tables of vip5core.data.raw."""
