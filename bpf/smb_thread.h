/* SPDX-License-Identifier: MIT */
/*
 * The name of the thread that runs.
 *
 * The kernel's BTF says where its task_struct has it (TASK_comm): two loads are a fraction
 * of the helper's call, and every request and operation asks.
 */
#ifndef AODASYNC_SMB_THREAD_H
#define AODASYNC_SMB_THREAD_H

#include "smb_event.h"

#ifdef FOLLOWS_TASK
/* Its result has a type, so the verifier lets it be followed. Old headers of bcc lack it. */
static u64 (*current_task)(void) = (void *)158; /* BPF_FUNC_get_current_task_btf */

#define BYTES(value) (0x0101010101010101ULL * (value))

/* All up to the first byte that is 0; `whole` tells that there is none. */
static __always_inline u64 up_to_end(u64 text, bool *whole)
{
	u64 empty = (text - BYTES(0x01)) & ~text & BYTES(0x80); /* its lowest bit is right */

	*whole = !empty;
	return text & ((empty & -empty) - 1);
}
#endif

/* As bpf_get_current_comm(), and filled up with zeros, which Linux 6.1 leaves to chance. */
static __always_inline void take_current_name(char comm[16])
{
#ifdef FOLLOWS_TASK
	u64 at = current_task() + TASK_comm;
	bool whole;

	*(u64 *)comm = up_to_end(*(u64 *)at, &whole);
	*(u64 *)(comm + 8) = whole ? up_to_end(*(u64 *)(at + 8), &whole) : 0;
#else
	__builtin_memset(comm, 0, 16);
	bpf_get_current_comm(comm, 16);
#endif
}

#endif
