/* SPDX-License-Identifier: MIT */
/*
 * Operations that are inside the client: from get_xid() (cifsproto.h, which tells the
 * tracepoint smb3_enter) to _free_xid() (misc.c). The tracepoints smb3_exit_* do not
 * serve as the end: where the client has no return code, as in a close, it tells none.
 *
 * A request begins when it may be sent. What waits for credits or for a reconnect
 * before that has none, but it is in here. The end may come in another thread
 * (asynchronous reads and writes).
 *
 * The xid counts all operations since the module was loaded, so it is an index: an
 * array of slots costs a third of a hash map. A slot that an older operation still
 * holds is left to it, and one of three others is taken. The name of the function is
 * a constant of the client's: the agent reads it when it looks.
 */
#ifndef AODASYNC_SMB_OPERATIONS_H
#define AODASYNC_SMB_OPERATIONS_H

#include "smb_ring.h"
#include "smb_thread.h"

#define OPERATION_TRIES 4
#define OPERATION_STRIDE 521

struct smb_operation {
	u64 started_ns; /* 0: the slot is free */
	u64 function;	/* address of the name of the client's function that began it */
	char comm[16];
	u32 xid;
	u32 pid;
	u32 tgid;
};

_Static_assert(sizeof(struct smb_operation) == OPERATION_BYTES,
	       "size differs from OPERATION_SLOT");

_Static_assert(MAX_OPERATIONS / OPERATION_BLOCK <= OPERATION_BYTES, "no room for the marks");

static __always_inline u32 operation_at(u32 xid, u32 try)
{
	return (xid + try * OPERATION_STRIDE) % MAX_OPERATIONS;
}

static __always_inline struct smb_operation *operation_slot(u32 xid, u32 try)
{
	u32 slot = operation_at(xid, try);

	return bpf_map_lookup_elem_(MAP(MAP_OPERATIONS), &slot);
}

static __always_inline int on_operation_begun(u32 xid, u64 function)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct smb_operation *operation;
	u32 try;

#pragma unroll
	for (try = 0; try < OPERATION_TRIES; try++) {
		operation = operation_slot(xid, try);
		if (operation && !operation->started_ns) {
			operation->xid = xid;
			operation->pid = pid_tgid;
			operation->tgid = pid_tgid >> 32;
			take_current_name(operation->comm);
			operation->function = function;
			operation->started_ns = bpf_ktime_get_ns();
			mark_block(MAP(MAP_OPERATIONS), MAX_OPERATIONS,
				   operation_at(xid, try) / OPERATION_BLOCK);
			return 0;
		}
	}
	count(COUNT_OPERATIONS_FULL);
	return 0;
}

static __always_inline int on_operation_ended(u32 xid)
{
	struct smb_operation *operation;
	u32 try;

#pragma unroll
	for (try = 0; try < OPERATION_TRIES; try++) {
		operation = operation_slot(xid, try);
		if (operation && operation->xid == xid && operation->started_ns) {
			operation->started_ns = 0;
			return 0;
		}
	}
	return 0;
}

#endif
