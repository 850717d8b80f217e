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
 * where it was found, and is bounded. The worst is a tree missed.
 */
#ifndef AODASYNC_SMB_TREES_H
#define AODASYNC_SMB_TREES_H

#include "smb_ring.h"

#define WALK_STEPS 256 /* sessions and trees of one connection */

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

/* The lists are circular: the next of the last entry is the head. 0: it could not be read. */
static __always_inline int on_walk(u64 server, u64 connection_id)
{
	u64 sessions = server + SERVER_smb_ses_list;
	u64 next_session, next_tree = 0, session = 0, session_id = 0, tcon;
	u32 tree_id;
	int step;

	if (read_u64(server + SERVER_conn_id) != connection_id)
		return 0;
	next_session = read_u64(sessions);
#pragma nounroll
	for (step = 0; step < WALK_STEPS; step++) {
		if (!session) {
			if (!next_session || next_session == sessions)
				break;
			session = next_session - SES_smb_ses_list;
			if (read_u64(session + SES_server) != server)
				break;
			session_id = read_u64(session + SES_Suid);
			next_tree = read_u64(session + SES_tcon_list);
			tcon = read_u64(session + SES_tcon_ipc);
			if (!tcon)
				continue;
		} else if (!next_tree || next_tree == session + SES_tcon_list) {
			next_session = read_u64(session + SES_smb_ses_list);
			session = 0;
			continue;
		} else {
			tcon = next_tree - TCON_tcon_list;
			next_tree = read_u64(next_tree);
		}
		if (read_u64(tcon + TCON_ses) != session)
			break;
		tree_id = 0;
		bpf_probe_read_kernel(&tree_id, sizeof(tree_id), (void *)(tcon + TCON_tid));
		remember_tree(session_id, tree_id, tcon + TCON_tree_name);
	}
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
