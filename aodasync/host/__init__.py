# SPDX-License-Identifier: MIT
"""This host: clocks, files, threads, sockets, mounts, systemd, logs."""
