"""Command lines: of every sweep, of the vip5 command, and how they end."""
