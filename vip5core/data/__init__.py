"""From raw files to a dataset (a folder of Parquet tables, images and a manifest), and to its image features."""
