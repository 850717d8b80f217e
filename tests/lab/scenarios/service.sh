#!/bin/bash
# SPDX-License-Identifier: MIT
# lab: description=The systemd unit runs the agent: ready, logging JSON, reached by its commands
# lab: systemd
# lab: timeout=600
# The unit as the README installs it, under a real systemd.
. "$LAB_LIB"

unit=/etc/systemd/system/aodasync.service
mkdir -p /etc/aodasync
packaged=$(/opt/aodasync/bin/python -c 'import aodasync, pathlib
print(pathlib.Path(aodasync.__file__).parent / "_config")')
cp "$packaged/config.yaml" /etc/aodasync/config.yaml
cp "$packaged/aodasync.service" "$unit"
systemctl daemon-reload

messages() { journalctl -u aodasync -o cat --no-pager; }
told() { messages | grep -q "\"event\": \"$1\""; }
is_json() { messages | grep '^{' | python3 -c 'import json, sys
lines = [json.loads(line) for line in sys.stdin]
sys.exit(not lines or any("timestamp" not in line for line in lines))'; }

check "systemctl start returns once the agent is ready" timeout 120 systemctl start aodasync
check "the unit is active" systemctl is-active aodasync
check "it says that it is ready" told agent_ready
systemd-analyze security aodasync.service --no-pager | tail -n 1
check "its exposure is 4.0 at most" systemd-analyze security --threshold=40 aodasync.service
kept() { # SET: the capabilities of the agent's threads, each once
    sed -n "s/^$1:\t//p" "/proc/$(systemctl show -P MainPID aodasync)"/task/*/status | sort -u
}
echo "capabilities in effect: $(kept CapEff), permitted: $(kept CapPrm)"
check "DAC_READ_SEARCH and BPF alone are in effect" test "$(kept CapEff)" = 0000008000000004
check "no more is permitted than children need" test "$(kept CapPrm)" = 0000008400282144
check "journald gets JSON" is_json
for number in 1 2 3 5 7; do echo "$number" > "$LAB_MOUNT/service-$number"; done
check "aodasync status answers" aodasync status
check "it saw the server" grep -q "$LAB_SERVER_ADDR" <(sleep 1; aodasync status --json)
bundle=$(aodasync snapshot)
check "aodasync snapshot prints the path of a bundle ($bundle)" tar --zstd -tf "$bundle"
check "every action of it went well, or says why" python3 - "$bundle" <<'PY'
import json, subprocess, sys
name = sys.argv[1].rsplit("/", 1)[-1].removesuffix(".tar.zst")
manifest = json.loads(subprocess.check_output(["tar", "--zstd", "-xOf", sys.argv[1], f"{name}/manifest.json"]))
for action in manifest["actions"]:
    print(action["name"], action["bytes"], action["error"])
failed = {a["name"] for a in manifest["actions"] if a["error"]}
sys.exit(not failed <= {"syslogs"})
PY
check "aodasync doctor finds nothing that stops the agent" aodasync doctor
aodasync doctor
check "a second agent is refused" bash -c '! aodasync run'
check "systemctl stop ends it cleanly" systemctl stop aodasync
check "it ended with success" test "$(systemctl show -P Result aodasync)" = success
check "it said goodbye" told agent_stopped
messages > "$LAB_OUT/journal.log"
systemctl show aodasync -p MemoryPeak -p CPUUsageNSec
