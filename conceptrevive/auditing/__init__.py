"""From a checkpoint to a verdict."""
