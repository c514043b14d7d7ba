"""What the audit's limits and published rates are measured with."""
