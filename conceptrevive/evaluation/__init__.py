"""Pictures → outcomes."""
