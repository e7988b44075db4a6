"""The images of a dataset: downloaded where a source only names their addresses, and shown on a sheet."""
