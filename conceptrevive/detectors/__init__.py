"""What pruning and revival leave in one matrix."""
