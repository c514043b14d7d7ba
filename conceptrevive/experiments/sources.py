"""The code that a measurement depends on: its module, all that is imported from there, a digest.

Imports are read from the sources (`ast`), those inside functions too, so nothing is run to find
them and no list is kept by hand. Followed are modules of this package and of the one that the
measurement lives in; other libraries go into a part's key by their versions.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def short_hash(parts: Iterable[bytes]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of `parts`, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def module_of(function: Callable[..., Any]) -> str:
    """The name of the module that `function` is of, also where it runs as `python -m …`."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    spec = getattr(sys.modules.get(function.__module__), "__spec__", None)
    return spec.name if spec is not None else function.__module__


def code_digest(*modules: str) -> str:
    """`short_hash` of what `modules`, and all that they import, compute (see `parsed`)."""
    sources = (source_of(module) for module in reached(modules))
    return short_hash(ast.dump(parsed(source, bare=True)).encode() for source in sources)


def parsed(source: Path | None, bare: bool = False) -> ast.Module:
    """The syntax tree of a source: comments and layout are not in it; of none an empty one.

    Args:
        bare: leave out docstrings too, so that what is left is what it computes.
    """
    tree = ast.parse(source.read_text(encoding="utf-8") if source else "")
    for node in ast.walk(tree) if bare else ():
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def reached(roots: Iterable[str]) -> list[str]:
    """Modules by name, and all that they import of this package and of their own; sorted."""
    found: set[str] = set()
    todo = list(roots)
    ours = frozenset({PACKAGE, *map(top, todo)})
    while todo:
        name = todo.pop()
        if name not in found and source_of(name) is not None:
            found.add(name)
            todo += [m for m in imports(name, ours) if top(m) in ours]
    return sorted(found)


def top(module: str) -> str:
    """The package that a module belongs to in the end."""
    return module.partition(".")[0]


def source_of(module: str) -> Path | None:
    """The file of a module by name; None where it has no source, or is not there.

    Of `__main__` it is the script itself, or nothing where commands are typed in.
    """
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None)
        return Path(script) if script else None
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # of a package that is not there
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def imports(module: str, ours: frozenset[str]) -> Iterator[str]:
    """Modules that `module`'s source imports anywhere, their packages' `__init__` included.

    What a top-level package only hands on (`from conceptrevive import locate`, `cr.locate`) counts
    as an import of the module it comes from, so that using one function of it does not depend on
    all of it.

    Args:
        ours: top-level packages whose names are looked up.
    """
    tree = parsed(source_of(module))
    handed: dict[str, str] = {}
    for node in ast.walk(tree):
        for named in direct(node, module, ours):
            yield from with_packages(named)
        if isinstance(node, ast.Import):
            handed |= {a.asname or a.name: a.name for a in node.names if a.name in ours}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            package = handed.get(node.value.id)
            if package:
                yield from with_packages(origin(package, node.attr, ours))


def direct(node: ast.AST, module: str, ours: frozenset[str]) -> list[str]:
    """Modules that one statement or call of `module` imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name not in ours]
    if isinstance(node, ast.ImportFrom):
        base = absolute(node, module)
        return [origin(base, alias.name, ours) for alias in node.names]
    if isinstance(node, ast.Call) and (named := by_name(node)):
        return [named]
    return []


def absolute(node: ast.ImportFrom, module: str) -> str:
    """The module that `from … import` names, relative ones resolved from `module`."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package(module)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def is_package(module: str) -> bool:
    """Whether a module is a package's `__init__`."""
    source = source_of(module)
    return source is not None and source.name == "__init__.py"


def by_name(call: ast.Call) -> str | None:
    """The module that `import_module("…")` names, if it does so in plain text."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in ("import_module", "__import__") or not call.args:
        return None
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and type(first.value) is str else None


def origin(base: str, name: str, ours: frozenset[str]) -> str:
    """Where `from base import name` takes it from: a submodule, `base`, or where that has it."""
    if top(base) not in ours:
        return base
    if source_of(f"{base}.{name}") is not None:
        return f"{base}.{name}"
    if "." in base or not is_package(base):
        return base
    value = getattr(importlib.import_module(base), name, None)
    made_in = getattr(value, "__module__", None)
    return made_in if isinstance(made_in, str) and top(made_in) in ours else base


def with_packages(module: str) -> Iterator[str]:
    """`module` and its packages, but for the top one, which hands names out and does no more."""
    parts = module.split(".")
    yield from (".".join(parts[:i]) for i in range(2, len(parts)))
    yield module
