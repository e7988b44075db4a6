"""Reports of studies and searches as HTML, Markdown and terminal text, and summaries of datasets."""
