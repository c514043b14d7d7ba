"""Everything a page loads is served with the book, and works are looked for where they are listed.

Jupyter Book always adds Thebe's scripts, from another server and twice, which is an error in the
browser's console. The book has no live cells, so they go.
"""

from __future__ import annotations

from typing import Any


def without_thebe(
    app: Any, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Leave out Thebe's scripts, and what Jupyter Book adds a second time."""
    kept, seen = [], set()
    for script in context.get("script_files", []):
        told = (str(getattr(script, "filename", script)), str(getattr(script, "attributes", "")))
        if "thebe" not in "".join(told).lower() and told not in seen:
            seen.add(told)
            kept.append(script)
    context["script_files"] = kept


def without_kernel(app: Any, doctree: Any, docname: str) -> None:
    """Leave out the configuration of live cells that Thebe would read."""
    for node in list(doctree.findall()):
        if node.__class__.__name__ == "raw" and "thebe" in node.astext():
            node.parent.remove(node)


def listed(app: Any, address: str) -> str | None:
    """Where to ask whether a work exists: at doi.org, for publishers turn programs away."""
    resolver = "https://doi.org/"
    if not address.startswith(resolver):
        return None
    return f"{resolver}api/handles/{address.removeprefix(resolver)}"


def setup(app: Any) -> dict[str, bool]:
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("doctree-resolved", without_kernel, priority=900)
    if "linkcheck-process-uri" in app.events.events:
        app.connect("linkcheck-process-uri", listed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
