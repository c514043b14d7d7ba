"""Why a claim of the paper goes another way here, or is not decided: in words, claim by claim.

Told only where it applies. A test fails where a claim that differs or is not decided has no
explanation.
"""

from __future__ import annotations

WHY: dict[str, str] = {}
