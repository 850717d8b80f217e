#!/bin/bash
# SPDX-License-Identifier: MIT
# lab: description=systemd restarts an agent that stands still; a storm of SIGHUP does not end it
# lab: systemd
# lab: timeout=900
# The unit's watchdog: an agent that is up but does nothing is worse than none.
. "$LAB_LIB"

packaged=$(/opt/aodasync/bin/python -c 'import aodasync, pathlib
print(pathlib.Path(aodasync.__file__).parent / "_config")')
mkdir -p /etc/aodasync
cp "$packaged/config.yaml" /etc/aodasync/config.yaml
cp "$packaged/aodasync.service" /etc/systemd/system/aodasync.service
systemctl daemon-reload

property() { systemctl show -P "$1" aodasync; }
messages() { journalctl -u aodasync -o cat --no-pager; }
times_ready() { messages | grep -c '"event": "agent_ready"'; }
another_pid() {
    local now
    now=$(property MainPID)
    [ "$now" != 0 ] && [ "$now" != "$1" ]
}
ready_again() { [ "$(times_ready)" -gt "$1" ]; }
microseconds() { # 1min 30s, 500ms, 0, infinity
    systemd-analyze timespan "$1" 2>/dev/null | sed -n 's/ *μs: //p'
}

check "systemctl start returns once the agent is ready" timeout 120 systemctl start aodasync
pid=$(property MainPID)
watchdog_us=$(microseconds "$(property WatchdogUSec)")
echo "watchdog: $(property WatchdogUSec)"
check "the unit asks for a watchdog" test "${watchdog_us:-0}" -gt 0
check "an agent at work feeds it for a minute" bash -c \
    "sleep 60; systemctl is-active aodasync && [ $pid = \$(systemctl show -P MainPID aodasync) ]"

for _ in {1..500}; do kill -HUP "$pid" 2>/dev/null; done
for _ in {1..20}; do kill -HUP "$pid" 2>/dev/null; sleep 0.2; done
check "520 SIGHUPs leave it running" test "$(property MainPID)" = "$pid"
check "and answering" timeout 30 aodasync status
bundle=$(timeout 90 aodasync snapshot)
check "and writing bundles ($bundle)" tar --zstd -tf "$bundle"

ready=$(times_ready)
kill -STOP "$pid"
begun=$SECONDS
# The watchdog's time, then TimeoutStopSec for an agent that does not react, then the restart.
check "a stopped agent is replaced" lab_wait_for $((${watchdog_us:-0} / 1000000 + 60)) \
    another_pid "$pid"
echo "replaced after $((SECONDS - begun)) s"
check "the new one is ready" lab_wait_for 120 ready_again "$ready"
check "the unit counts a restart" test "$(property NRestarts)" -ge 1
check "the stopped one is gone" bash -c "! kill -0 $pid 2>/dev/null"
check "the new one answers" timeout 30 aodasync status
check "no bundle is broken" aodasync bundles verify
kill -KILL "$pid" 2>/dev/null
check "systemctl stop ends it cleanly" systemctl stop aodasync
messages > "$LAB_OUT/journal.log"
