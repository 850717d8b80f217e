/* SPDX-License-Identifier: MIT */
/*
 * Every request of the kernel's SMB client, from its MID's allocation to its release.
 *
 *   alloc     smb2_mid_entry_alloc, exit   credits granted, not yet signed or sent
 *   received  dequeue_mid, entry           cifsd matched the response to its MID
 *   release   __release_mid, entry         the last reference goes (or on_put below)
 *
 * The key is the address of the MID: it is unique while the request lives. The
 * (session, message id) pair is not: it recurs after reconnects and collides
 * between the channels of a session. The value in the in-flight map is the record
 * itself, so the table of requests in flight needs no conversion.
 *
 * At `received` the response's header is at resp_buf for every command but READ,
 * whose header gets there later; at `release` resp_buf still holds it for READ,
 * while synchronous waiters have taken theirs. The two together are complete.
 *
 * There are no kernel headers: MID_*, HDR_* and SERVER_* are offsets from the
 * running kernel's BTF.
 */
#ifndef AODASYNC_SMB_REQUEST_H
#define AODASYNC_SMB_REQUEST_H

#include "smb_ring.h"

#define EEXIST 17

#define SMB2_PROTOCOL_ID 0x424d53fe /* 0xfe 'S' 'M' 'B' */
#define SMB2_NEGOTIATE 0
#define SMB2_READ 8
#define SMB2_FLAGS_ASYNC_COMMAND 0x2
#define SMB2_FLAGS_RELATED_OPERATIONS 0x4
#define SMB2_FLAGS_SIGNED 0x8

#define HDR(type, header, member) (*(type *)((header) + HDR_##member))
#define MID(type, mid, member) (*(type *)((mid) + MID_##member - MID_FIRST))

/* The needed span of a struct mid_q_entry, read in one go. */
struct mid_copy {
	u8 bytes[MID_SPAN];
} __attribute__((aligned(8)));

static __always_inline int read_mid(struct mid_copy *copy, u64 mid)
{
	return bpf_probe_read_kernel(copy, sizeof(*copy), (void *)(mid + MID_FIRST));
}

/*
 * Name and address of a connection, for the agent to look up. Read again at every
 * NEGOTIATE: a DFS failover moves a connection to another server under the same id.
 */
static __always_inline void remember_connection(u64 server, u64 connection_id, u16 command)
{
	struct smb_connection connection = { .server = server };
	u64 hostname = 0;

	if (command != SMB2_NEGOTIATE &&
	    bpf_map_lookup_elem_(MAP(MAP_CONNECTIONS), &connection_id))
		return;
	bpf_probe_read_kernel(&hostname, sizeof(hostname), (void *)(server + SERVER_hostname));
	bpf_probe_read_kernel_str(connection.hostname, sizeof(connection.hostname),
				  (void *)hostname);
	bpf_probe_read_kernel(connection.address, sizeof(connection.address),
			      (void *)(server + SERVER_dstaddr));
	bpf_map_update_elem_(MAP(MAP_CONNECTIONS), &connection_id, &connection, BPF_ANY);
}

static __always_inline void read_response(struct smb_event *event, u64 response)
{
	u8 header[HDR_RESPONSE_BYTES] __attribute__((aligned(8)));

	if (!response || bpf_probe_read_kernel(header, sizeof(header), (void *)response))
		return;
	if (HDR(u32, header, ProtocolId) != SMB2_PROTOCOL_ID)
		return;
	event->status = HDR(u32, header, Status);
	if (HDR(u32, header, Flags) & SMB2_FLAGS_ASYNC_COMMAND)
		event->flags |= FLAG_ASYNC_RESPONSE;
}

/* When a MID was allocated, to one tick. */
static __always_inline u64 issued_by_jiffies(const struct mid_copy *mid, u64 now)
{
	s64 ticks = bpf_jiffies64() - MID(u64, mid->bytes, when_alloc);
	u64 age_ns = ticks > 0 ? ticks * TICK_NS : 0;

	return age_ns < now ? now - age_ns : 0;
}

/* Whether a MID that is not in the map was allocated before `alloc` was attached. */
static __always_inline bool is_before_attach(u64 issued_ns)
{
	u32 index = STATE_TRACKED_SINCE_NS;
	u64 *since = bpf_map_lookup_elem_(MAP(MAP_STATE), &index);

	return since && issued_ns && (!*since || issued_ns <= *since + TICK_NS);
}

/* What the MID itself tells about a request whose allocation was not seen. */
static __always_inline void adopt(struct smb_event *event, const struct mid_copy *mid,
				  u64 server, u64 issued_ns)
{
	__builtin_memset(event, 0, sizeof(*event));
	event->issued_ns = issued_ns;
	event->message_id = MID(u64, mid->bytes, mid);
	event->command = MID(u16, mid->bytes, command);
	event->pid = MID(u32, mid->bytes, pid);
	event->flags = FLAG_BEFORE_ATTACH;
	event->kind = KIND_REQUEST;
	event->outcome = OUTCOME_IN_FLIGHT;
#ifdef MID_server
	server = MID(u64, mid->bytes, server);
#endif
	if (server)
		bpf_probe_read_kernel(&event->connection_id, sizeof(event->connection_id),
				      (void *)(server + SERVER_conn_id));
	count(COUNT_BEFORE_ATTACH);
}

static __always_inline int on_received(u64 mid, u64 server)
{
	struct smb_event *event, adopted;
	struct mid_copy copy;
	u64 key = mid, response = 0, issued_ns;

	event = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &key);
	if (event) {
		event->received_ns = bpf_ktime_get_ns();
		bpf_probe_read_kernel(&response, sizeof(response), (void *)(mid + MID_resp_buf));
		read_response(event, response);
		return 0;
	}
	if (read_mid(&copy, mid))
		return 0;
	issued_ns = issued_by_jiffies(&copy, bpf_ktime_get_ns());
	if (!is_before_attach(issued_ns)) {
		count(COUNT_ORPHAN_RECEIVED);
		return 0;
	}
	adopt(&adopted, &copy, server, issued_ns);
	adopted.received_ns = bpf_ktime_get_ns();
	read_response(&adopted, MID(u64, copy.bytes, resp_buf));
	bpf_map_update_elem_(MAP(MAP_IN_FLIGHT), &key, &adopted, BPF_ANY);
	return 0;
}

static __always_inline u8 outcome_of(u8 state, bool cancelled)
{
	if (state == MIDSTATE_RECEIVED || state == MIDSTATE_READY)
		return cancelled ? OUTCOME_CANCELLED : OUTCOME_ANSWERED;
	if (state == MIDSTATE_RETRY_NEEDED)
		return OUTCOME_RETRY;
	if (state == MIDSTATE_SHUTDOWN)
		return OUTCOME_SHUTDOWN;
	if (state == MIDSTATE_MALFORMED)
		return OUTCOME_MALFORMED;
	if (state == MIDSTATE_SUBMITTED)
		return cancelled ? OUTCOME_CANCELLED : OUTCOME_SEND_FAILED;
	if (state == MIDSTATE_ALLOCATED)
		return OUTCOME_SEND_FAILED;
	return OUTCOME_UNKNOWN;
}

/* What only the MID's end tells. */
static __always_inline void read_end(struct smb_event *event, const struct mid_copy *mid, u64 now)
{
	bool cancelled = MID(u8, mid->bytes, cancelled) & MID_cancelled_mask;
	bool deleted = MID(u8, mid->bytes, deleted) & MID_deleted_mask;

	event->released_ns = now;
#ifdef MID_when_sent
	s64 ticks = MID(u64, mid->bytes, when_sent) - MID(u64, mid->bytes, when_alloc);

	if (MID(u64, mid->bytes, when_sent) && ticks >= 0)
		event->sent_ns = event->issued_ns + ticks * TICK_NS;
#endif
	if (event->command == SMB2_READ || !event->received_ns)
		read_response(event, MID(u64, mid->bytes, resp_buf));
	event->mid_state = MID(u32, mid->bytes, mid_state);
	event->mid_flags = (cancelled ? MIDFLAG_WAIT_CANCELLED : 0) |
			   (deleted ? MIDFLAG_DELETED : 0);
}

static __always_inline void submit_request(struct smb_event *event, u64 now)
{
	event->outcome = outcome_of(event->mid_state, event->mid_flags & MIDFLAG_WAIT_CANCELLED);
	submit(event, now, is_urgent(event));
}

#ifdef PUT_MID_ARG
/*
 * Where the compiler inlined the release function into the one that drops a
 * reference, the end is the drop after which none is left. Its entry sees the MID
 * as it ends, its exit sees the count: freed memory keeps it, 0, until it is
 * allocated anew. A record that waits for its exit has released_ns set already.
 */
static __always_inline void finish(struct smb_event *known, u64 key)
{
	struct smb_event copy = *known, *event;

	/* Of several that come here at once, the one that deletes it has it. */
	if (bpf_map_delete_elem_(MAP(MAP_IN_FLIGHT), &key))
		return;
	event = reserve();
	if (!event)
		return;
	*event = copy;
	submit_request(event, copy.released_ns);
}
#endif

/* A MID is allocated whose former request is still in the map. */
static __always_inline void end_former(u64 key)
{
#ifdef PUT_MID_ARG
	struct smb_event *former = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &key);

	if (former && former->released_ns) {
		finish(former, key);
		return;
	}
#endif
	count(COUNT_OVERWRITTEN);
}

static __always_inline int on_alloc(u64 request, u64 server, u64 mid)
{
	u8 header[HDR_REQUEST_BYTES] __attribute__((aligned(8))) = {};
	struct smb_event event = {};
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u64 key = mid;
	u32 smb2_flags;
	int error;

	if (!mid)
		return 0;
	bpf_probe_read_kernel(header, sizeof(header), (void *)request);
	smb2_flags = HDR(u32, header, Flags);

	event.issued_ns = bpf_ktime_get_ns();
	event.message_id = HDR(u64, header, MessageId);
	event.session_id = HDR(u64, header, SessionId);
	event.tree_id = HDR(u32, header, TreeId);
	event.command = HDR(u16, header, Command);
	if (HDR(u32, header, NextCommand) || smb2_flags & SMB2_FLAGS_RELATED_OPERATIONS)
		event.flags |= FLAG_COMPOUND;
	if (smb2_flags & SMB2_FLAGS_SIGNED)
		event.flags |= FLAG_SIGNED;
	event.kind = KIND_REQUEST;
	event.outcome = OUTCOME_IN_FLIGHT;
	event.pid = pid_tgid;
	event.tgid = pid_tgid >> 32;
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	bpf_probe_read_kernel(&event.connection_id, sizeof(event.connection_id),
			      (void *)(server + SERVER_conn_id));
	remember_connection(server, event.connection_id, event.command);

	error = bpf_map_update_elem_(MAP(MAP_IN_FLIGHT), &key, &event, BPF_NOEXIST);
	if (error == -EEXIST) {
		end_former(key);
		error = bpf_map_update_elem_(MAP(MAP_IN_FLIGHT), &key, &event, BPF_ANY);
	}
	if (error)
		count(COUNT_MAP_FULL);
	return 0;
}

static __always_inline int on_release(u64 mid, u64 server)
{
	struct smb_event *known, *event;
	struct mid_copy copy;
	u64 now = bpf_ktime_get_ns();
	u64 key = mid, issued_ns = 0;

	read_mid(&copy, mid);
	known = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &key);
	if (!known) {
		issued_ns = issued_by_jiffies(&copy, now);
		if (!is_before_attach(issued_ns)) {
			count(COUNT_ORPHAN_RELEASED);
			return 0;
		}
	}
	event = reserve();
	if (event) {
		if (known)
			*event = *known;
		else
			adopt(event, &copy, server, issued_ns);
		read_end(event, &copy, now);
		submit_request(event, now);
	}
	if (known)
		bpf_map_delete_elem_(MAP(MAP_IN_FLIGHT), &key);
	return 0;
}

#ifdef PUT_MID_ARG
static __always_inline int on_put(u64 mid, u64 server)
{
	struct smb_event *known, adopted;
	struct mid_copy copy;
	u64 now = bpf_ktime_get_ns();
	u64 key = mid, issued_ns;

	read_mid(&copy, mid);
	known = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &key);
	if (!known) {
		issued_ns = issued_by_jiffies(&copy, now);
		if (!is_before_attach(issued_ns)) {
			count(COUNT_ORPHAN_RELEASED);
			return 0;
		}
		adopt(&adopted, &copy, server, issued_ns);
		read_end(&adopted, &copy, now);
		bpf_map_update_elem_(MAP(MAP_IN_FLIGHT), &key, &adopted, BPF_ANY);
		return 0;
	}
	read_end(known, &copy, now);
	return 0;
}

static __always_inline int on_put_done(u64 mid)
{
	struct smb_event *known;
	u32 references = 1;
	u64 key = mid;

	known = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &key);
	if (!known || !known->released_ns)
		return 0;
	bpf_probe_read_kernel(&references, sizeof(references), (void *)(mid + MID_refcount));
	if (!references)
		finish(known, key);
	return 0;
}
#endif

#endif
