/* SPDX-License-Identifier: MIT */
/*
 * Arguments kept from a function's entry to its return: a return probe does not see them.
 *
 * By thread and function. A return that the kernel could not follow leaves its row
 * behind, until the thread calls that function again.
 */
#ifndef AODASYNC_SMB_CALLS_H
#define AODASYNC_SMB_CALLS_H

#include "smb_ring.h"

#define CALL_ALLOC 0
#define CALL_PUT 1
#define CALL_TREE 2

struct smb_call_key {
	u64 pid_tgid;
	u64 function;
};

struct smb_call {
	u64 first;
	u64 second;
};

static __always_inline int on_entered(u64 function, u64 first, u64 second)
{
	struct smb_call_key key = { bpf_get_current_pid_tgid(), function };
	struct smb_call call = { first, second };

	if (bpf_map_update_elem_(MAP(MAP_CALLS), &key, &call, BPF_ANY))
		count(COUNT_MAP_FULL);
	return 0;
}

/* False when the function was entered before its entry was probed. */
static __always_inline bool take_call(u64 function, struct smb_call *call)
{
	struct smb_call_key key = { bpf_get_current_pid_tgid(), function };
	struct smb_call *kept = bpf_map_lookup_elem_(MAP(MAP_CALLS), &key);

	if (!kept)
		return false;
	*call = *kept;
	bpf_map_delete_elem_(MAP(MAP_CALLS), &key);
	return true;
}

#endif
