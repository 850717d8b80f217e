#!/bin/bash
# SPDX-License-Identifier: MIT
# lab: description=The lab itself: mount, journal, BPF, BTF, clock, faults and tools are there
. "$LAB_LIB"

read_back() {
    echo "written over SMB" > "$LAB_MOUNT/hello" && grep -q SMB "$LAB_MOUNT/hello" &&
        grep -q SMB "$LAB_SHARE_DIR/hello"
}

journal_has_line() {
    logger -t lab-smoke "a line for the journal"
    lab_wait_for 10 sh -c 'journalctl -q -t lab-smoke --since=-1min | grep "a line for"'
}

# The guest has no kernel headers; these few files are all that bcc itself insists on.
stub_headers() {
    local include=$1/include
    mkdir -p "$include"/{linux,asm,uapi/linux}
    touch "$include"/{linux/bpf_common.h,linux/log2.h,uapi/linux/bpf.h,uapi/linux/if_packet.h}
    echo '#define CONFIG_BPF_SYSCALL 1' > "$include/linux/kconfig.h"
    cat > "$include/linux/version.h" <<'H'
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(6, 1, 0)
H
    echo '#define PAGE_SIZE 4096' > "$include/asm/page.h"
    cat > "$include/linux/types.h" <<'H'
typedef unsigned char u8, __u8; typedef unsigned short u16, __u16, __be16, __le16, __sum16;
typedef unsigned int u32, __u32, __be32, __wsum; typedef unsigned long long u64, __u64, __be64;
typedef signed char s8, __s8; typedef short s16, __s16; typedef int s32, __s32, pid_t;
typedef long long s64, __s64; typedef unsigned long size_t, uintptr_t; typedef _Bool bool;
typedef __u64 __attribute__((aligned(8))) __aligned_u64;
#define NULL ((void *)0)
H
}

program_loads() {
    stub_headers /tmp/stub
    BCC_KERNEL_SOURCE=/tmp/stub /usr/bin/python3 - <<'PY'
import os
from bcc import BPF
program = BPF(text="""
BPF_ARRAY(seen, u64, 1);
int count(void *ctx) { int zero = 0; u64 *n = seen.lookup(&zero); if (n) ++*n; return 0; }
""")
program.attach_kprobe(event=program.get_syscall_fnname("getppid"), fn_name="count")
os.getppid()
assert program["seen"][0].value > 0
PY
}

delay_shows() {
    lab_delay 200ms
    local begin=$EPOCHREALTIME
    stat "$LAB_MOUNT/never-seen-$RANDOM" 2>/dev/null
    local end=$EPOCHREALTIME
    lab_clear_net
    [ $((${end/./} - ${begin/./})) -ge 200000 ]
}

tools_are_there() {
    local tool
    for tool in bash tcpdump tshark tc ss nft fio strace logger findmnt zstd python3 bpftool; do
        command -v "$tool" || return
    done
}

echo "kernel $LAB_KERNEL ($LAB_RELEASE), $(smbd --version), $(date -u +%FT%TZ)"
check "the kernel has the expected release" test "$LAB_KERNEL" = "$(uname -r)"
check "the share is mounted with SMB 3.1.1" \
    sh -c 'findmnt -n -o OPTIONS -t cifs "$LAB_MOUNT" | grep vers=3.1.1'
check "a file written on the mount reads back" read_back
check "cifs has BTF of its own" test -s /sys/kernel/btf/cifs
check "a logged line is in the journal" journal_has_line
check "the kernel's log is in the journal" sh -c 'journalctl -q -k --since=-10min | grep -q .'
check "a program compiled by bcc loads and counts" program_loads
check "a network delay is felt" delay_shows
check "the tools are there" tools_are_there
check "the server's main process is known" \
    sh -c 'kill -0 "$LAB_SERVER_PID" && lab in_server ss -Hltn sport = :445 | grep -q .'
