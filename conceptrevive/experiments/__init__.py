"""What is measured and published: one file per table or figure."""
