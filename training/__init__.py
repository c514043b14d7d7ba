"""How the pocket model and its judges are made: the `train` extra and `make artwork`."""
