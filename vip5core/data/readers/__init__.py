"""A reader per source: from raw files to the tables of `vip5core.data.raw`."""
