#!/bin/bash
# SPDX-License-Identifier: MIT
# lab: description=The .deb alone, without pip and network: install, fault, reload, upgrade, purge
# lab: kernels=6.1 6.12
# lab: systemd
# lab: no-mount
# lab: product
# lab: packages=python3-numpy python3-prometheus-client python3-yaml python3-zstandard libarchive-tools
# lab: timeout=1500
# A host's life with the package; in the end the .rpm's files are started, too.
. "$LAB_LIB"

# What the lab brings for other scenarios is not there.
rm -rf /opt/aodasync /usr/local/bin/aodasync
export DEBIAN_FRONTEND=noninteractive
config=/etc/aodasync/config.yaml
product=$LAB_FILES/product
scratch=$(mktemp -d)

messages() { journalctl -u aodasync -o cat --no-pager; }
count() { messages | grep -c "\"event\": \"$1\""; }
told() { [ "$(count "$1")" -gt "${2:-0}" ]; }
files() { find /etc /usr /var /run /lib/systemd -xdev \( -type f -o -type l \) 2>/dev/null | sort; }
property() { systemctl show -P "$1" aodasync; }
bundle_of() { ls /var/log/aod/batches/aod_quick_*_"$1".tar.zst; }

check "the dependencies install" dpkg -i "$LAB_FILES"/packages/*.deb
files > "$scratch/before"

deb=$(ls "$product"/aodasync_*_all.deb)
check "the package installs" dpkg -i "$deb"
check "it is found on the PATH" test "$(command -v aodasync)" = /usr/bin/aodasync
check "it is what was built" test "aodasync $(dpkg-deb -f "$deb" Version | cut -d- -f1)" = "$(aodasync --version)"
check "the service is enabled" systemctl is-enabled aodasync
check "and runs" systemctl is-active aodasync
check "it waits quietly for a mount" lab_wait_for 60 told agent_waiting
check "aodasync check says so" lab_wait_for 60 bash -c 'aodasync check | grep waiting'
check "nothing warns" bash -c '! journalctl -u aodasync -o cat | grep -qE "\"level\": \"(warning|error)\""'
manuals() { dpkg -L aodasync | grep -c '/man/man[58]/.*gz$'; } # which this userland leaves out
check "the package has both manual pages" test "$(manuals)" = 2
check "bash completes its commands" bash -c '. /usr/share/bash-completion/completions/aodasync'

check "the first mount" lab_mount echo_interval=1
check "it is watched" lab_wait_for 120 told agent_ready
messages | grep agent_ready
for number in 1 2 3 5 7; do echo "$number" > "$LAB_MOUNT/file-$number"; done

lab_server_stop
ls "$LAB_MOUNT/other" >/dev/null 2>&1 &
check "a server that stands still is told" lab_wait_for 60 told anomaly_detected
aodasync check
status=$?
check "aodasync check is critical or warns" test "$status" = 1 -o "$status" = 2
check "the hang has a bundle" lab_wait_for 60 bundle_of hang
check "why names the hang" bash -c 'aodasync why | tee /dev/stderr | grep -qi "hang"'
lab_server_cont
check "the bundle is whole ($(bundle_of hang))" aodasync bundles verify
check "it ends" lab_wait_for 120 told anomaly_ended
aodasync metrics > "$scratch/metrics"
hangs=$(messages | grep anomaly_detected | grep -c '"anomaly": "hang"')
grep ^aodasync_episodes_total "$scratch/metrics"
check "metrics count the episodes" grep -F "aodasync_episodes_total{anomaly=\"hang\",server=\"$LAB_SERVER_ADDR\"} $hangs.0" "$scratch/metrics"
check "and the requests" grep -E '^aodasync_smb_request_duration_seconds_count\{.*SMB2_CREATE.*\} [1-9]' "$scratch/metrics"
check "doctor finds nothing that stops it" aodasync doctor

pid=$(property MainPID)
mkdir -p /etc/aodasync/conf.d
for number in {0..9}; do
    file=/etc/aodasync/conf.d/50-broken.yaml
    place=$(python3 /lab/broken_drop_ins.py "$number" "$file")
    refused=$(count config_refused)
    systemctl reload aodasync
    check "a reload with a broken file is refused" lab_wait_for 30 told config_refused "$refused"
    check "at $place" bash -c "journalctl -u aodasync -o cat | grep config_refused | tail -n 1 | grep -qF '$place'"
    rm "$file"
done
check "the old one went on" test "$(property MainPID)" = "$pid"
check "and was never taken over" test "$(count config_reloaded)" = 0
echo 'metrics: {textfile: /run/aodasync.prom}' > /etc/aodasync/conf.d/10-metrics.yaml
check "a good one is reloaded" systemctl reload aodasync
check "and in effect" lab_wait_for 60 test -s /run/aodasync.prom
check "by the same process" test "$(property MainPID)" = "$pid"

echo '# changed here' >> "$config"
dpkg-deb -R "$deb" "$scratch/next"
sed -i 's/^Version: .*/Version: 99-1/' "$scratch/next/DEBIAN/control"
echo '# changed by the package' >> "$scratch/next/etc/aodasync/config.yaml"
dpkg-deb --root-owner-group -b "$scratch/next" "$scratch/next.deb" >/dev/null
ready=$(count agent_ready)
check "the upgrade" dpkg --force-confdef --force-confold -i "$scratch/next.deb"
check "keeps the changed configuration" grep -q '^# changed here' "$config"
check "lays the new one beside it" grep -q '^# changed by the package' "$config.dpkg-dist"
check "starts the new agent" lab_wait_for 120 told agent_ready "$ready"
check "which is another process" test "$(property MainPID)" != "$pid"
check "with the byte code of the first" bash -c "journalctl -u aodasync -o cat | grep agent_ready | tail -n 1 | grep -v compile"
check "the episodes of before are known" bash -c 'aodasync history | grep -q hang'

check "it is removed" dpkg -r aodasync
check "with its unit" bash -c '! systemctl is-active aodasync && [ ! -e /usr/bin/aodasync ]'
check "its configuration stays" grep -q '^# changed here' "$config"
check "and its history" test -d /var/lib/aodasync
rm /etc/aodasync/conf.d/10-metrics.yaml /run/aodasync.prom # its owner's
said=$(dpkg -P aodasync 2>&1)
check "purge says that bundles stay" grep -q "/var/log/aod" <<< "$said"
check "they do" bundle_of hang
files > "$scratch/after"
left() {
    comm -13 "$scratch/before" "$scratch/after" | grep -vE \
        '^/var/log/(aod|journal|dpkg\.log|syslog)|^/var/lib/(dpkg|systemd)/|^/run/(log|systemd|udev|lab)/|/__pycache__/|^/var/lib/samba|^/var/log/samba|^/run/samba'
}
check "nothing else does" test -z "$(left)"
left

rpm=$(ls "$product"/aodasync-*.noarch.rpm)
check "the .rpm's files are laid out" bsdtar -xf "$rpm" -C /
python3 -m compileall -q /usr/lib/aodasync # as its %post does
systemctl daemon-reload
ready=$(count agent_ready)
check "its service starts" timeout 120 systemctl start aodasync
check "and watches" told agent_ready "$ready"
check "and answers" aodasync status
messages > "$LAB_OUT/journal.log"
