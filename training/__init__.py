"""How the pocket model and its judges are made. Needs the `train` extra and the artwork (`make artwork`)."""
