"""Pages that show what models read and answered."""
