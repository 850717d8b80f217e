/* SPDX-License-Identifier: MIT */
/*
 * What a user of bcc would write. The record is that of the product.
 *
 *   ordinary      puts a record into the ring, as the product's submit path is made to
 *   enter, done   the pair of tracepoints smb3_cmd_enter and smb3_cmd_done: the time of
 *                 the one in a hash map, found and deleted by the other, which tells it
 */
#include "smb_event.h"

struct request {
	u64 session_id;
	u64 message_id;
};

BPF_RINGBUF_OUTPUT(events, RING_PAGES);
BPF_HASH(started, struct request, u64);

int ordinary(void *ctx)
{
	u64 now = bpf_ktime_get_ns();
	struct smb_event *event = events.ringbuf_reserve(sizeof(struct smb_event));

	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->issued_ns = now - 400000;
	event->received_ns = now - 20000;
	event->released_ns = now;
	event->message_id = now;
	event->session_id = 77;
	event->connection_id = 1;
	event->tree_id = 5;
	event->pid = event->tgid = 4242;
	event->command = now & 64 ? READ : WRITE;
	event->kind = KIND_REQUEST;
	event->outcome = OUTCOME_ANSWERED;
	event->mid_state = MIDSTATE_READY;
	events.ringbuf_submit(event, 0);
	return 1;
}

/* (u32 tid, u64 sesid, u16 cmd, u64 mid) */
int enter(u64 *ctx)
{
	struct request request = { ctx[1], ctx[3] };
	u64 now = bpf_ktime_get_ns();

	started.update(&request, &now);
	return 0;
}

/* (u32 tid, u64 sesid, u16 cmd, u64 mid) */
int done(u64 *ctx)
{
	struct request request = { ctx[1], ctx[3] };
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u64 *issued_ns = started.lookup(&request);
	struct smb_event *event;

	if (!issued_ns)
		return 0;
	event = events.ringbuf_reserve(sizeof(struct smb_event));
	if (event) {
		__builtin_memset(event, 0, sizeof(*event));
		event->issued_ns = *issued_ns;
		event->released_ns = bpf_ktime_get_ns();
		event->message_id = request.message_id;
		event->session_id = request.session_id;
		event->tree_id = ctx[0];
		event->command = ctx[2];
		event->pid = pid_tgid;
		event->tgid = pid_tgid >> 32;
		bpf_get_current_comm(event->comm, sizeof(event->comm));
		events.ringbuf_submit(event, 0);
	}
	started.delete(&request);
	return 0;
}
