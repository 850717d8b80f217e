# SPDX-License-Identifier: MIT
"""What the agent costs, measured on this host's kernel and held against bounds: ``nox -s bench``.

The kernel needs BPF and BTF, but no SMB client: the byte code that is attached to
the client elsewhere runs here through BPF_PROG_TEST_RUN, on memory that looks like
the client's. All that lies behind it, from the ring to the bundle, is the product
in a process of its own.
"""
