/* SPDX-License-Identifier: MIT */
/*
 * Trouble: the client's own tracepoints for what no request's latency shows.
 *
 * Raw tracepoints: ctx[n] is argument n of the kernel's TP_PROTO (fs/smb/client/trace.h),
 * named in each comment. The agent attaches a program only if the running kernel's
 * prototype has arguments of these sizes. Each is optional and fails alone.
 */
#ifndef AODASYNC_SMB_TROUBLE_H
#define AODASYNC_SMB_TROUBLE_H

#include "smb_ring.h"

static __always_inline struct smb_event *trouble(u8 kind)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct smb_event *event = reserve();

	if (!event)
		return NULL;
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->issued_ns = event->released_ns = bpf_ktime_get_ns();
	event->pid = pid_tgid;
	event->tgid = pid_tgid >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	return event;
}

static __always_inline int submit_trouble(struct smb_event *event)
{
	submit(event, event->issued_ns, true);
	return 0;
}

/* The kernel's return codes are negative errnos. */
static __always_inline u32 errno_of(u64 argument)
{
	s32 rc = argument;

	return rc < 0 ? -rc : rc;
}

/* (u64 currmid, u64 conn_id, char *hostname) */
static __always_inline int on_connection_trouble(const u64 *ctx, u8 kind)
{
	struct smb_event *event = trouble(kind);

	if (!event)
		return 0;
	event->message_id = ctx[0];
	event->connection_id = ctx[1];
	return submit_trouble(event);
}

/* (u64 currmid, u64 conn_id, char *hostname, int credits, int credits_to_add, int in_flight) */
static __always_inline int on_credit_trouble(const u64 *ctx, u8 kind)
{
	struct smb_event *event = trouble(kind);

	if (!event)
		return 0;
	event->message_id = ctx[0];
	event->connection_id = ctx[1];
	event->status = ctx[3];
	return submit_trouble(event);
}

int smb3_reconnect(u64 *ctx)
{
	return on_connection_trouble(ctx, KIND_RECONNECT);
}

int smb3_partial_send_reconnect(u64 *ctx)
{
	return on_connection_trouble(ctx, KIND_PARTIAL_SEND_RECONNECT);
}

int smb3_reconnect_detected(u64 *ctx)
{
	return on_credit_trouble(ctx, KIND_RECONNECT_DETECTED);
}

int smb3_credit_timeout(u64 *ctx)
{
	return on_credit_trouble(ctx, KIND_CREDIT_TIMEOUT);
}

int smb3_insufficient_credits(u64 *ctx)
{
	return on_credit_trouble(ctx, KIND_INSUFFICIENT_CREDITS);
}

int smb3_reconnect_with_invalid_credits(u64 *ctx)
{
	return on_credit_trouble(ctx, KIND_RECONNECT_WITH_INVALID_CREDITS);
}

/* (u32 tid, u64 sesid, u16 cmd, u64 mid) */
int smb3_ses_expired(u64 *ctx)
{
	struct smb_event *event = trouble(KIND_SESSION_EXPIRED);

	if (!event)
		return 0;
	event->tree_id = ctx[0];
	event->session_id = ctx[1];
	event->command = ctx[2];
	event->message_id = ctx[3];
	return submit_trouble(event);
}

/* (u64 sesid) */
int smb3_ses_not_found(u64 *ctx)
{
	struct smb_event *event = trouble(KIND_SESSION_NOT_FOUND);

	if (!event)
		return 0;
	event->session_id = ctx[0];
	return submit_trouble(event);
}

/* (char *hostname, char *username, u64 conn_id, sockaddr *dst_addr, int rc) */
int smb3_key_expired(u64 *ctx)
{
	struct smb_event *event = trouble(KIND_KEY_EXPIRED);

	if (!event)
		return 0;
	event->connection_id = ctx[2];
	event->status = errno_of(ctx[4]);
	return submit_trouble(event);
}

/* (unsigned int xid, u32 tid, u64 sesid, const char *unc_name, int rc): also on success */
int smb3_tcon(u64 *ctx)
{
	struct smb_event *event;

	if (!(s32)ctx[4])
		return 0;
	event = trouble(KIND_TREE_CONNECT_FAILED);
	if (!event)
		return 0;
	event->tree_id = ctx[1];
	event->session_id = ctx[2];
	event->status = errno_of(ctx[4]);
	return submit_trouble(event);
}

/* (char *hostname, u64 conn_id, sockaddr *dst_addr, int rc) */
int smb3_connect_err(u64 *ctx)
{
	struct smb_event *event = trouble(KIND_CONNECT_ERROR);

	if (!event)
		return 0;
	event->connection_id = ctx[1];
	event->status = errno_of(ctx[3]);
	return submit_trouble(event);
}

static __always_inline int on_lease_trouble(u64 tree_id, u64 session_id)
{
	struct smb_event *event = trouble(KIND_LEASE_NOT_FOUND);

	if (!event)
		return 0;
	event->tree_id = tree_id;
	event->session_id = session_id;
	return submit_trouble(event);
}

/* (u32 lease_state, u32 tid, u64 sesid, u64 lease_key_low, u64 lease_key_high) */
int smb3_lease_not_found(u64 *ctx)
{
	return on_lease_trouble(ctx[1], ctx[2]);
}

/* The same with (u32 lease_state, u32 flags, u16 epoch, u32 tid, u64 sesid, ...) */
int smb3_lease_not_found_epoch(u64 *ctx)
{
	return on_lease_trouble(ctx[3], ctx[4]);
}

/* (u64 ino, int rc) */
static __always_inline int on_writeback_trouble(const u64 *ctx, u8 kind)
{
	struct smb_event *event = trouble(kind);

	if (!event)
		return 0;
	event->status = errno_of(ctx[1]);
	return submit_trouble(event);
}

int cifs_fsync_err(u64 *ctx)
{
	return on_writeback_trouble(ctx, KIND_FSYNC_ERROR);
}

int cifs_flush_err(u64 *ctx)
{
	return on_writeback_trouble(ctx, KIND_FLUSH_ERROR);
}

/* (enum smb_eio_trace trace, unsigned long info, unsigned long info2) */
int smb3_eio(u64 *ctx)
{
	struct smb_event *event = trouble(KIND_EIO);

	if (!event)
		return 0;
	event->status = ctx[0];
	return submit_trouble(event);
}

#endif
