/* SPDX-License-Identifier: MIT */
/* Stub: nothing here depends on a kernel version. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 11, 0)
