/* SPDX-License-Identifier: MIT */
/* Trouble events: what the client's own tracepoints tell and no request's latency shows. */
#ifndef AODASYNC_SMB_TROUBLE_H
#define AODASYNC_SMB_TROUBLE_H

#include "smb_ring.h"

/* The kernel's return codes are negative errnos. */
static __always_inline u32 errno_of(u64 argument)
{
	s32 rc = argument;

	return rc < 0 ? -rc : rc;
}

/* SMB1 is not watched: nor is what becomes of its connections. */
static __always_inline bool is_smb1_connection(u64 connection_id)
{
	struct smb_connection *connection =
		bpf_map_lookup_elem_(MAP(MAP_CONNECTIONS), &connection_id);

	return connection && connection->is_smb1;
}

static __always_inline int on_trouble(struct smb_event trouble)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u64 now = bpf_ktime_get_ns();
	struct smb_event *event;

	if (is_smb1_connection(trouble.connection_id))
		return 0;
	trouble.issued_ns = trouble.released_ns = now;
	trouble.pid = pid_tgid;
	trouble.tgid = pid_tgid >> 32;
	bpf_get_current_comm(trouble.comm, sizeof(trouble.comm));
	event = reserve();
	if (!event)
		return 0;
	*event = trouble;
	submit(event, now, true);
	return 0;
}

#define TROUBLE(name, ...) on_trouble((struct smb_event){ .kind = KIND_##name, __VA_ARGS__ })

#endif
