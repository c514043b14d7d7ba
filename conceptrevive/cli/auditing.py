"""The command that looks for what pruning and revival leave: audit."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from conceptrevive.cli.options import AsJson, Checkpoint, Revision, Seed
from conceptrevive.cli.output import say, show
from conceptrevive.cli.places import check_kept, holds


def run_audit(
    model: Checkpoint,
    base: Annotated[
        str | None, typer.Option(help="the checkpoint it was made from, to compare with")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="test every matrix, not a sample")] = False,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="write a report with pictures")
    ] = None,
    as_json: AsJson = False,
    seed: Seed = 0,
    revision: Revision = None,
    base_revision: Annotated[str | None, typer.Option(help="the same, of --base")] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="the only copy of the weights to look at, as fp16; default: all there are",
        ),
    ] = None,
) -> int:
    """Look for what pruning and revival leave; exit code 0 none found, 1 some, 2 could not."""
    from conceptrevive.auditing.report import audit_text, write_html
    from conceptrevive.auditing.verdict import audit

    if html is not None:  # the place is tried after the work: the verdict matters more
        check_kept("--html", html, is_ours=holds(b"<title>Audit of "), what="report")
    report = audit(
        model,
        base=base,
        deep=deep,
        seed=seed,
        revision=revision,
        base_revision=base_revision,
        variant=variant,
    )
    try:
        if as_json:
            show({"exit_code": report.exit_code} | report.as_dict(), as_json)
        else:
            say(audit_text(report), sys.stdout)
    finally:  # neither of the two is lost with the other
        if html is not None:
            write_html(report, html)
    return report.exit_code
