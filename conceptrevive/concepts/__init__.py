"""What can be erased."""
