#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# The initramfs' init: stack the layers named on the kernel command line, switch root.
# lab.layers=a,b,c: serial numbers of squashfs disks, the topmost first. lab.init=PATH.
# lab.probe: only say that a kernel boots on this accelerator.

# Through the kernel's log, which a reset does not cut short.
tell() {
    echo "<0>lab: $*" > /dev/kmsg
}

fail() {
    tell "initramfs: $*"
    exec /bin/busybox sh -c 'echo b > /proc/sysrq-trigger'
}

disk() {
    for block in /sys/block/vd*; do
        if [ "$(cat "$block/serial")" = "$1" ]; then
            echo "/dev/${block##*/}"
            return
        fi
    done
    return 1
}

/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

for word in $(cat /proc/cmdline); do
    case $word in
        lab.layers=*) layers=${word#*=} ;;
        lab.init=*) init=${word#*=} ;;
        lab.probe)
            tell booted
            echo b > /proc/sysrq-trigger
            ;;
    esac
done

for module in /modules/*; do
    insmod "$module" || fail "cannot load ${module##*/}"
done

lower=
for layer in $(echo "$layers" | tr , ' '); do
    tries=0
    until device=$(disk "$layer"); do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || fail "no disk named $layer"
        sleep 0.05
    done
    mkdir -p "/layers/$layer"
    mount -t squashfs -o ro "$device" "/layers/$layer" || fail "cannot mount $layer"
    lower=${lower:+$lower:}/layers/$layer
done

# The machine boots on one CPU (see qemu.py).
for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do
    echo 1 > "$cpu"
done

mkdir /layers/rw
mount -t tmpfs -o size=75%,mode=755 tmpfs /layers/rw
mkdir /layers/rw/upper /layers/rw/work
mount -t overlay -o "lowerdir=$lower,upperdir=/layers/rw/upper,workdir=/layers/rw/work" \
    overlay /root || fail "cannot stack the layers"
for point in proc sys dev; do
    mount -o move "/$point" "/root/$point"
done
exec switch_root /root "$init"
