"""Errors a user can act on: each message names the value, the place and the remedy."""

from __future__ import annotations


class ConceptReviveError(ValueError):
    """Bad input. The command line prints the message on one line and exits with 2."""
