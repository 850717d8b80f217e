/* SPDX-License-Identifier: MIT */
/* Stub: what bcc asks of a kernel tree before it compiles anything. */
#define CONFIG_BPF_SYSCALL 1
