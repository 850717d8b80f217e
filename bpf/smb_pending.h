/* SPDX-License-Identifier: MIT */
/*
 * Requests that were on their way when the agent attached. It may have been started
 * because they hang: they are not to be seen only when they end.
 *
 * The agent walks the client's own lists (aodasync/probes/client_lists.py) and runs
 * these programs on what it finds. None of them is attached, none takes a lock: they
 * read with a helper that cannot fault, and the worst is a request missed, which is
 * recorded when it ends.
 */
#ifndef AODASYNC_SMB_PENDING_H
#define AODASYNC_SMB_PENDING_H

#include "smb_request.h"

/* 0: it could not be read. */
static __always_inline u32 on_read_word(u64 at)
{
	u32 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), (void *)at);
	return word;
}

static __always_inline int on_note_connection(u64 server)
{
	u64 connection_id = read_pointer(server + SERVER_conn_id);

	if (connection_id)
		remember_connection(server, connection_id);
	return 0;
}

static __always_inline bool is_live(u64 mid, u64 message_id)
{
	u32 references = 0;

	bpf_probe_read_kernel(&references, sizeof(references), (void *)(mid + MID_refcount));
	return references && read_pointer(mid + MID_mid) == message_id;
}

/* Follow the request of a MID from now on; 0: it is followed already, or over. */
static __always_inline int on_adopt(u64 mid, u64 server)
{
	u64 now = bpf_ktime_get_ns(), *holder;
	struct smb_event *event;
	struct mid_copy copy;

	if (is_smb1(server) || read_mid(&copy, mid) || find(mid, &holder) ||
	    server_of(&copy, server) != server || !is_live(mid, MID(u64, copy.bytes, mid)))
		return 0;
	event = claim(mid, &holder);
	if (!event)
		return 0;
	rebuild(event, &copy, server, now);
	publish(holder, mid);
	/* Released meanwhile: its release did not find it, and nothing else would end it. */
	if (!is_live(mid, MID(u64, copy.bytes, mid)))
		return !vacate(holder, mid);
	return 1;
}

#endif
