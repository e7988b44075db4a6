"""The report that answers a study: as a page, as text, on the terminal; and what is printed of a dataset."""
