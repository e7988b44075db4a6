"""The images of a dataset: downloaded where a source gives only their addresses, and shown on a sheet."""
