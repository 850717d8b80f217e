/* SPDX-License-Identifier: MIT */
/*
 * Which share a tree id stands for.
 *
 *   tree_connected   SMB2_tcon, exit: every tree from now on
 *   walk_trees       on the agent's demand: the trees that a connection has now,
 *                    those from before the agent among them
 *
 * The client's tracepoint smb3_tcon does not serve: it fires before the id is known.
 *
 * The walk takes no lock: it reads memory that may be freed meanwhile. So it reads
 * with a helper that cannot fault, follows a struct only if that points back to
 * where it was found, and is bounded. The worst is a tree missed. It goes by stretches,
 * each of them one run of the program.
 */
#ifndef AODASYNC_SMB_TREES_H
#define AODASYNC_SMB_TREES_H

#include "smb_ring.h"

struct smb_tree_key {
	u64 session_id;
	u64 tree_id;
};

struct smb_tree {
	char name[TREE_NAME_BYTES]; /* \\server\share */
};

static __always_inline void remember_tree(u64 session_id, u32 tree_id, u64 name)
{
	struct smb_tree_key key = { .session_id = session_id, .tree_id = tree_id };
	struct smb_tree tree = {};

	if (bpf_probe_read_kernel_str(tree.name, sizeof(tree.name), (void *)name) > 1)
		bpf_map_update_elem_(MAP(MAP_TREES), &key, &tree, BPF_ANY);
}

static __always_inline u64 read_u64(u64 at)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)at);
	return value;
}

/*
 * The next stretch of a walk; the first one if `at` is 0. Returns the steps that were taken:
 * WALK_STEPS if there may be more. A stretch is short because the verifier goes through
 * each of its steps, a third of a millisecond one.
 *
 * The lists are circular: the next of the last entry is the head. 0: it could not be read.
 */
static __always_inline int on_walk(u64 server, u64 connection_id, u64 at)
{
	u32 session_row = STATE_WALK_SESSION, entry_row = STATE_WALK_ENTRY;
	u64 *session_at = bpf_map_lookup_elem_(MAP(MAP_STATE), &session_row);
	u64 *entry_at = bpf_map_lookup_elem_(MAP(MAP_STATE), &entry_row);
	u64 sessions = server + SERVER_smb_ses_list;
	u64 session = 0, session_id = 0, entry, tcon;
	u32 tree_id;
	int step;

	if (!session_at || !entry_at || read_u64(server + SERVER_conn_id) != connection_id)
		return 0;
	if (at) {
		session = *session_at;
		entry = *entry_at;
		if (session && read_u64(session + SES_server) != server)
			return 0;
		session_id = read_u64(session + SES_Suid);
	} else {
		entry = read_u64(sessions);
	}
#pragma nounroll
	for (step = 0; step < WALK_STEPS; step++) {
		if (!session) {
			if (!entry || entry == sessions)
				break;
			session = entry - SES_smb_ses_list;
			if (read_u64(session + SES_server) != server)
				break;
			session_id = read_u64(session + SES_Suid);
			entry = read_u64(session + SES_tcon_list);
			tcon = read_u64(session + SES_tcon_ipc);
			if (!tcon)
				continue;
		} else if (!entry || entry == session + SES_tcon_list) {
			entry = read_u64(session + SES_smb_ses_list);
			session = 0;
			continue;
		} else {
			tcon = entry - TCON_tcon_list;
			entry = read_u64(entry);
		}
		if (read_u64(tcon + TCON_ses) != session)
			break;
		tree_id = 0;
		bpf_probe_read_kernel(&tree_id, sizeof(tree_id), (void *)(tcon + TCON_tid));
		remember_tree(session_id, tree_id, tcon + TCON_tree_name);
	}
	*session_at = session;
	*entry_at = entry;
	return step;
}

static __always_inline int on_tree_connected(u64 tcon, s32 error)
{
	u32 tree_id = 0;

	if (error)
		return 0;
	bpf_probe_read_kernel(&tree_id, sizeof(tree_id), (void *)(tcon + TCON_tid));
	remember_tree(read_u64(read_u64(tcon + TCON_ses) + SES_Suid), tree_id,
		      tcon + TCON_tree_name);
	return 0;
}

#endif
