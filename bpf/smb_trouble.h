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

static __always_inline int on_trouble(struct smb_event told)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u64 now = bpf_ktime_get_ns();
	struct smb_event *event;

	told.issued_ns = told.released_ns = now;
	told.pid = pid_tgid;
	told.tgid = pid_tgid >> 32;
	bpf_get_current_comm(told.comm, sizeof(told.comm));
	event = reserve();
	if (!event)
		return 0;
	*event = told;
	submit(event, now, true);
	return 0;
}

#define TROUBLE(name, ...) on_trouble((struct smb_event){ .kind = KIND_##name, __VA_ARGS__ })

#endif
