"""The answers' checks of one notebook each; a module is named like its notebook, after an `n`."""
