# SPDX-License-Identifier: MIT
"""What ``aodasync bundles`` and ``aodasync report`` do with their arguments."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from aodasync.cli.run import load_output_dir
from aodasync.errors import UsageError

__all__ = ["bundles", "report"]


def bundles(arguments: argparse.Namespace) -> int:
    """Do what the action says."""
    from aodasync.cli import bundles as done
    from aodasync.cli.bundle_ids import find_bundle, stored_paths

    if arguments.target is not None and arguments.action != "anonymise":
        raise UsageError("-o is for anonymise", hint="aodasync bundles --help")
    directory = partial(load_output_dir, arguments)
    how = {"as_json": arguments.json, "out": sys.stdout}
    if arguments.action == "ls":
        from aodasync.cli.since import parse_since

        since = arguments.since
        since_ns = parse_since(since, now_ns=time.time_ns()) if since is not None else 0
        wanted = done.Listed(arguments.most, since_ns, arguments.anomaly, arguments.server)
        return done.ls(directory(), wanted, **how, err=sys.stderr)
    if arguments.action == "verify":
        named = arguments.bundle
        paths = stored_paths(directory()) if named is None else [find_bundle(directory, named)]
        if not paths:
            sys.stderr.write(done.none_in(directory()))
        return done.verify_bundles(paths, **how)
    path = find_bundle(directory, arguments.bundle)
    if arguments.action == "diff":
        from aodasync.cli.bundle_diff import diff

        return diff(path, find_bundle(directory, arguments.other), **how)
    if arguments.action == "events":
        from aodasync.cli.bundle_events import events

        how |= {"as_csv": arguments.csv, "parquet": arguments.parquet}
        return events(path, slower_ms=arguments.slower, **how)
    if arguments.action == "show":
        return done.show(path, everything=arguments.everything, **how)
    return done.anonymise_bundle(path, arguments.target or Path.cwd(), out=sys.stdout)


def report(arguments: argparse.Namespace) -> int:
    """Write the page of a bundle, or the pages of all."""
    from aodasync.cli import write_report
    from aodasync.cli.bundle_ids import find_bundle, stored_paths

    directory = partial(load_output_dir, arguments)
    target, force, show = arguments.target, arguments.force, arguments.open
    if show and target == Path("-"):
        raise UsageError("--open needs a file: -o - writes none", hint="aodasync report --help")
    if arguments.all:
        if arguments.bundle is not None or target == Path("-"):
            raise UsageError(
                "--all makes a directory of all bundles", hint="aodasync report --help"
            )
        paths = stored_paths(directory())
        return write_report.report_all(paths, target, force=force, out=sys.stdout, show=show)
    bundle = find_bundle(directory, arguments.bundle)
    return write_report.report(bundle, target, force=force, out=sys.stdout, show=show)
