"""A report as HTML, Markdown and terminal text."""
