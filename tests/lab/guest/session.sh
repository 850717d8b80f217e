#!/bin/bash
# SPDX-License-Identifier: MIT
# One run in the guest: server, mount, the script with its output streamed, the folder sent back.

. /lab/environment
. /lab/lib.sh

find_port() {
    local port
    for port in /sys/class/virtio-ports/*; do
        [ "$(< "$port/name")" != "$1" ] || echo "/dev/${port##*/}"
    done
}

find_disk() {
    local block
    for block in /sys/block/vd*; do
        [ "$(< "$block/serial")" != "$1" ] || echo "/dev/${block##*/}"
    done
}

prepare() {
    lab_start_network && lab_start_samba || return
    if [ "$want_mount" = 1 ]; then
        lab_mount || return
    fi
}

mkdir -p "$LAB_RUN/result" "$LAB_OUT" "$LAB_MOUNT"
mount -t tmpfs -o size=256m,mode=755 tmpfs "$LAB_OUT"
mkfifo "$LAB_RUN/stream"
# A port can be opened once; through a pipe, the script may open /dev/stdout again.
cat < "$LAB_RUN/stream" > "$(find_port lab.stream)" &
streamer=$!
exec 3> "$LAB_RUN/stream"

# An installer leaves byte code; here it is made while the server starts.
for package in /opt/aodasync/lib/python3*/site-packages/aodasync; do
    [ ! -d "$package" ] || /opt/aodasync/bin/python3 -m compileall -q "$package" >/dev/null &
    compiler=$!
done

if prepare >&3 2>&3 3>&-; then
    lab_wait_for 30 test -S /run/systemd/journal/dev-log
    wait "$compiler"
    cd /root || exit
    echo "lab: the script starts" >&3
    interpreter=()
    [ "$(head -c 2 /lab/script)" = '#!' ] || interpreter=(bash)
    setsid --wait "${interpreter[@]}" /lab/script >&3 2>&3 3>&- </dev/null
    status=$?
    if [ "$status" = 0 ] && [ -e "$LAB_RUN/failed" ]; then
        status=1
    fi
    echo "$status" > "$LAB_RUN/result/status"
else
    echo "lab: the guest could not be prepared" >&3
fi

exec 3>&-
# Children that the script left running may keep the pipe open; do not wait for them.
for _ in {1..20}; do
    kill -0 "$streamer" 2>/dev/null || break
    sleep 0.1
done
mkdir -p "$LAB_RUN/result/out"
mount --bind "$LAB_OUT" "$LAB_RUN/result/out"
tar -C "$LAB_RUN/result" -cf - . 2>/dev/null | dd of="$(find_disk out)" bs=1M conv=fsync iflag=fullblock 2>/dev/null
