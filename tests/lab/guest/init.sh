#!/bin/bash
# SPDX-License-Identifier: MIT
# PID 1 of the guest: the file systems and the journal, then the session; no systemd.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 TERM=dumb

mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm /run/lock /run/systemd/journal /run/log/journal
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd 2>/dev/null
ln -s /proc/self/fd/0 /dev/stdin 2>/dev/null
ln -s /proc/self/fd/1 /dev/stdout 2>/dev/null
ln -s /proc/self/fd/2 /dev/stderr 2>/dev/null
hostname lab
ip link set lo up

systemd-machine-id-setup >/dev/null 2>&1
ln -sfn /run/systemd/journal/dev-log /dev/log
/usr/lib/systemd/systemd-journald &

/lab/session.sh
sync
echo b > /proc/sysrq-trigger
sleep infinity
