# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Helpers for scripts in the guest: `. "$LAB_LIB"`. Functions leave the caller's shell options be.

# check WHAT COMMAND...: one line, "ok - WHAT" or "not ok - WHAT" and what the command printed.
# Any "not ok" makes the run fail. COMMAND runs in a subshell: it cannot set variables.
check() {
    local what=$1 output status
    shift
    output=$("$@" 2>&1)
    status=$?
    if [ "$status" = 0 ]; then
        echo "ok - $what"
        return 0
    fi
    echo "not ok - $what (status $status: $*)"
    [ -z "$output" ] || sed 's/^/    | /' <<< "$output"
    : > "$LAB_RUN/failed"
    return "$status"
}

# lab_wait_for SECONDS COMMAND...: repeat COMMAND until it succeeds, for at most SECONDS.
lab_wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# --- the server and its network -------------------------------------------------------------

# lab_in_server COMMAND...: run in the server's network namespace.
lab_in_server() {
    ip netns exec "$LAB_SERVER_NS" "$@"
}

lab_start_network() {
    ip netns add "$LAB_SERVER_NS" &&
        ip link add "$LAB_CLIENT_IF" type veth peer name "$LAB_SERVER_IF" netns "$LAB_SERVER_NS" &&
        ip -n "$LAB_SERVER_NS" address add "$LAB_SERVER_ADDR/24" dev "$LAB_SERVER_IF" &&
        ip -n "$LAB_SERVER_NS" link set lo up &&
        ip -n "$LAB_SERVER_NS" link set "$LAB_SERVER_IF" up &&
        ip address add "$LAB_CLIENT_ADDR/24" dev "$LAB_CLIENT_IF" &&
        ip link set "$LAB_CLIENT_IF" up
}

# lab_start_samba [LINE...]: start Samba; each LINE is added to [global] of its smb.conf, and
# overrides what stands there. LAB_SMB_SHARE_LINES may hold lines for the share.
lab_start_samba() {
    mkdir -p /run/samba /var/log/samba "$LAB_SHARE_DIR"
    mountpoint -q "$LAB_SHARE_DIR" || mount -t tmpfs -o size=512m,mode=777 tmpfs "$LAB_SHARE_DIR"
    {
        cat <<CONF
[global]
server role = standalone server
server min protocol = SMB2
smb ports = 445
interfaces = lo $LAB_SERVER_IF
bind interfaces only = yes
disable netbios = yes
load printers = no
printcap name = /dev/null
disable spoolss = yes
server multi channel support = yes
kernel oplocks = no
dns proxy = no
log file = /var/log/samba/log.%m
CONF
        [ $# -eq 0 ] || printf '%s\n' "$@"
        cat <<CONF
[$LAB_SHARE]
path = $LAB_SHARE_DIR
read only = no
store dos attributes = no
${LAB_SMB_SHARE_LINES:-}
CONF
    } > /etc/samba/smb.conf
    rm -f /run/samba/smbd.pid
    lab_in_server env LD_PRELOAD=/lab/faults.so smbd -D || return
    lab_wait_for 60 lab_server_listens || return
    LAB_SERVER_PID=$(lab_server_pid)
    export LAB_SERVER_PID
}

lab_server_listens() {
    [ -n "$(lab_in_server ss -Hltn sport = :445)" ] && [ -s /run/samba/smbd.pid ]
}

# lab_server_pid: the pid of smbd's main process.
lab_server_pid() {
    tr -d ' \n' < /run/samba/smbd.pid
}

# lab_server_pids: the pids of every smbd process.
lab_server_pids() {
    pgrep '^smbd'
}

# lab_stop_samba: end the server; connections are reset.
lab_stop_samba() {
    lab_server_signal KILL
    lab_wait_for 10 lab_server_gone
}

lab_server_gone() {
    ! lab_server_pids >/dev/null
}

# lab_server_signal SIGNAL: to every smbd process.
lab_server_signal() {
    local pids
    mapfile -t pids < <(lab_server_pids)
    [ ${#pids[@]} -eq 0 ] || kill -s "$1" "${pids[@]}"
}

# lab_server_drop_connections: the server closes those that there are, as it does idle ones.
lab_server_drop_connections() {
    lab_in_server ss -Htnp state established sport = :445 | grep -o 'pid=[0-9]*' | cut -d= -f2 |
        sort -u | xargs -r kill
}

# --- the client -----------------------------------------------------------------------------

# lab_mount [OPTIONS [MOUNTPOINT]]: mount the share, SMB 3.1.1; OPTIONS as for mount -o.
lab_mount() {
    local options=${1:-} point=${2:-$LAB_MOUNT}
    mkdir -p "$point"
    mount -t cifs "//$LAB_SERVER_ADDR/$LAB_SHARE" "$point" \
        -o "username=$LAB_USER,password=$LAB_PASSWORD,vers=3.1.1${options:+,$options}"
}

# lab_umount [MOUNTPOINT]
lab_umount() {
    umount "${1:-$LAB_MOUNT}"
}

# lab_workload [OPTION...]: a steady mix of file operations in $LAB_MOUNT, in the background
# (--help: its options). It ends by itself. Its pid is in LAB_WORKLOAD_PID.
lab_workload() {
    /usr/bin/python3 /lab/workload.py "$@" &
    LAB_WORKLOAD_PID=$!
}

# lab_workload_stop: end it and wait for it.
lab_workload_stop() {
    [ -n "${LAB_WORKLOAD_PID:-}" ] || return 0
    kill "$LAB_WORKLOAD_PID" 2>/dev/null
    wait "$LAB_WORKLOAD_PID" 2>/dev/null
    LAB_WORKLOAD_PID=
}

# lab_capture FILE: record the SMB traffic at the client's interface in the background.
lab_capture() {
    tcpdump -i "$LAB_CLIENT_IF" -U -w "$1" port 445 2> "$LAB_RUN/tcpdump.log" &
    LAB_CAPTURE_PID=$!
    lab_wait_for 20 grep -q 'listening on' "$LAB_RUN/tcpdump.log"
}

# lab_capture_stop: end it; the file is complete.
lab_capture_stop() {
    sleep 0.5
    kill -INT "$LAB_CAPTURE_PID"
    wait "$LAB_CAPTURE_PID"
}

# --- faults ---------------------------------------------------------------------------------

_lab_qdisc() {
    lab_in_server tc qdisc replace dev "$LAB_SERVER_IF" root "$@"
}

# lab_delay TIME [JITTER]: each round trip takes TIME (100ms) longer.
lab_delay() {
    _lab_qdisc netem delay "$@"
}

# lab_loss PERCENT: the network loses that many of the server's packets (10%, 100%).
lab_loss() {
    _lab_qdisc netem loss "$@"
}

# lab_bandwidth RATE: the server sends no faster (1mbit). What the client sends is not slowed:
# lab_bandwidth_up slows that.
lab_bandwidth() {
    _lab_qdisc tbf rate "$1" burst 16kb latency 1s
}

lab_bandwidth_up() {
    tc qdisc replace dev "$LAB_CLIENT_IF" root tbf rate "$1" burst 16kb latency 1s
}

# lab_drop: packets to and from the server vanish. lab_reset: connections are reset.
lab_drop() {
    _lab_nft drop
}

lab_reset() {
    _lab_nft reject with tcp reset
}

_lab_nft() {
    lab_in_server nft -f - <<RULES
add table inet lab
flush table inet lab
add chain inet lab input { type filter hook input priority 0; }
add rule inet lab input tcp dport 445 $*
RULES
}

# lab_link down|up: the server's end of the cable.
lab_link() {
    ip -n "$LAB_SERVER_NS" link set "$LAB_SERVER_IF" "$1"
}

# lab_clear_net: undo every network fault.
lab_clear_net() {
    lab_in_server tc qdisc del dev "$LAB_SERVER_IF" root 2>/dev/null
    tc qdisc del dev "$LAB_CLIENT_IF" root 2>/dev/null
    lab_in_server nft delete table inet lab 2>/dev/null
    lab_link up
}

# lab_server_stop, lab_server_cont: the server hangs, and goes on.
lab_server_stop() {
    lab_server_signal STOP
}

lab_server_cont() {
    lab_server_signal CONT
}

# lab_slow_name CALL MS, lab_failing_name CALL ERRNO: a file name on which each such CALL of the
# server (open pread pwrite fsync rename unlink mkdir) takes MS longer, or fails with ERRNO. Any
# name that contains "slow_CALL_MS" or "err_CALL_ERRNO" does.
lab_slow_name() {
    echo "slow_$1_$2"
}

lab_failing_name() {
    echo "err_$1_$2"
}

# lab_server_restart [LINE...]: kill -9, then start again.
lab_server_restart() {
    lab_stop_samba
    lab_start_samba "$@"
}
