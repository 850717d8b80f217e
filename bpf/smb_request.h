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
 * between the channels of a session. What is kept in flight is the record itself, so
 * the table of requests in flight needs no conversion.
 *
 * Where the kernel can preempt a program, it skips that program for any other thread
 * that comes by on that CPU meanwhile (__bpf_prog_enter_recur). So no step relies on
 * the one before: a request whose alloc was skipped is rebuilt from its MID, one whose
 * release was skipped is ended when its MID is used again, or found to be free, and
 * `received` is attached twice there.
 */
#ifndef AODASYNC_SMB_REQUEST_H
#define AODASYNC_SMB_REQUEST_H

#include "smb_files.h"
#include "smb_mid.h"
#include "smb_slots.h"
#include "smb_thread.h"

#ifdef PUT_MID_ARG
#define PUT_ENDS true
#else
#define PUT_ENDS false
#endif

#define SMB2_NEGOTIATE 0
#define SMB2_FLAGS_RELATED_OPERATIONS 0x4
#define SMB2_FLAGS_SIGNED 0x8

/* Whether the connection was named already: a cheap look-up before the costly one. */
static __always_inline bool is_named(u64 connection_id)
{
	u32 index = connection_id % NAMED_CONNECTIONS;
	u64 *named = bpf_map_lookup_elem_(MAP(MAP_NAMED), &index);

	if (!named || *named == connection_id)
		return true;
	*named = connection_id;
	return false;
}

/* Name and address of a connection, for the agent to look up. */
static __always_inline void remember_connection(u64 server, u64 connection_id)
{
	struct smb_connection connection;

	__builtin_memset(&connection, 0, sizeof(connection));
	connection.server = server;
	connection.is_smb1 = is_smb1(server);
	connection.netns = netns_of(server);
	bpf_probe_read_kernel_str(connection.hostname, sizeof(connection.hostname),
				  (void *)read_pointer(server + SERVER_hostname));
	bpf_probe_read_kernel(connection.address, sizeof(connection.address),
			      (void *)(server + SERVER_dstaddr));
	bpf_map_update_elem_(MAP(MAP_CONNECTIONS), &connection_id, &connection, BPF_ANY);
	count(COUNT_CONNECTIONS_NOTED); /* the agent reads the table when this has changed */
}

/* Whether a MID that was not seen to begin is one of SMB1: its connection is noted. */
static __always_inline bool is_of_smb1(u64 server)
{
	u64 connection_id;

	if (!server || !is_smb1(server))
		return false;
	connection_id = read_pointer(server + SERVER_conn_id);
	if (!is_named(connection_id))
		remember_connection(server, connection_id);
	return true;
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

static __always_inline void submit_request(struct smb_event *event, u64 now)
{
	event->outcome = outcome_of(event->mid_state, event->mid_flags & MIDFLAG_WAIT_CANCELLED);
	if (event->outcome != OUTCOME_ANSWERED)
		event->flags &= ~FLAG_STATUS_UNSEEN;
	else if ((event->flags & (FLAG_STATUS_UNSEEN | FLAG_BEFORE_ATTACH)) == FLAG_STATUS_UNSEEN)
		count(COUNT_STATUS_UNSEEN);
	submit(event, now, is_urgent(event));
}

/*
 * The end of a request that is known to be over. Where its release was not seen, the
 * record ends with its receipt, or now; READ's status may be lost with it. Its slot is
 * left `to` be free (0), or claimed; false when another one was faster.
 */
static __always_inline bool end(const struct smb_event *known, u64 *holder, u64 mid, u64 now,
				bool is_released, u64 to)
{
	struct smb_event copy = *known, *event;

	if (!leave(holder, mid, to))
		return false;
	event = reserve();
	if (!event)
		return true;
	*event = copy;
	if (!is_released) {
		count(COUNT_UNRELEASED);
		event->flags |= FLAG_REBUILT;
		event->released_ns = event->received_ns ? event->received_ns : now;
		if (event->received_ns)
			event->mid_state = MIDSTATE_RECEIVED;
	}
	submit_request(event, now);
	return true;
}

/*
 * The request of this MID and message id. One with another message id is a former
 * one, whose end was not seen.
 *
 * Where the compiler inlined the release function into the one that drops a
 * reference, the end is the drop after which none is left. Its entry sees the MID
 * as it ends, its exit sees the count: freed memory keeps it, 0, until it is
 * allocated anew. A request that waits for its exit has released_ns set already.
 */
static __always_inline struct smb_event *find_or_end(u64 mid, u64 message_id, u64 now,
						     u64 **holder)
{
	struct smb_event *known = find(mid, holder);

	if (!known || known->message_id == message_id)
		return known;
	end(known, *holder, mid, now, PUT_ENDS && known->released_ns, 0);
	return NULL;
}

static __always_inline int on_alloc(u64 request, u64 server, u64 mid)
{
	u8 header[REQUEST_BYTES] __attribute__((aligned(8)));
	u64 pid_tgid, connection_id, former_id = 0, now, *holder;
	struct smb_event *event;
	u16 flags = FLAG_STATUS_UNSEEN;
	u32 smb2_flags;

	if (!mid)
		return 0;
	now = bpf_ktime_get_ns();
	bpf_probe_read_kernel(header, sizeof(header), (void *)request);
	connection_id = read_pointer(server + SERVER_conn_id);
	event = claim_any(mid, &holder);
	/*
	 * Who had the slot before is named, if its allocation was seen: no need to look.
	 * Named again at every NEGOTIATE: a DFS failover moves a connection to another
	 * server under the same id.
	 */
	if (event && !(event->flags & REBUILT_FLAGS))
		former_id = event->connection_id;
	if (HDR(u16, header, Command) == SMB2_NEGOTIATE ||
	    (former_id != connection_id && !is_named(connection_id)))
		remember_connection(server, connection_id);
	if (!event)
		return 0;
	if (!is_claimed(holder, mid) &&
	    !end(event, holder, mid, now, PUT_ENDS && event->released_ns, CLAIMED(mid)))
		return 0; /* it is rebuilt when it is answered */
	smb2_flags = HDR(u32, header, Flags);
	if (HDR(u32, header, NextCommand) || smb2_flags & SMB2_FLAGS_RELATED_OPERATIONS)
		flags |= FLAG_COMPOUND;
	if (smb2_flags & SMB2_FLAGS_SIGNED)
		flags |= FLAG_SIGNED;
	pid_tgid = bpf_get_current_pid_tgid();
	/* Field by field: after a memset most of them would be stored twice. */
	event->issued_ns = now;
	event->sent_ns = event->received_ns = event->released_ns = 0;
	event->message_id = HDR(u64, header, MessageId);
	event->session_id = HDR(u64, header, SessionId);
	event->connection_id = connection_id;
	event->tree_id = HDR(u32, header, TreeId);
	event->status = 0;
	event->pid = pid_tgid;
	event->tgid = pid_tgid >> 32;
	event->command = HDR(u16, header, Command);
	event->flags = flags;
	event->kind = KIND_REQUEST;
	event->outcome = OUTCOME_IN_FLIGHT;
	event->mid_state = event->mid_flags = 0;
	event->persistent_id = event->volatile_id = 0;
	take_current_name(event->comm);
#ifdef FILE_NAMES
	read_requested_id(event, header);
#endif
#ifdef PATH_RQST_ARG
	if (event->command == SMB2_CREATE)
		send_name(event, request, header, pid_tgid);
#endif
	publish(holder, mid);
	return 0;
}

static __always_inline int on_received(u64 mid, u64 server)
{
	u64 now, *holder;
	struct smb_event *event = find(mid, &holder);
	struct mid_copy copy;
	bool is_new = false;

	if (event && event->received_ns)
		return 0; /* the other one of the two did it */
	now = bpf_ktime_get_ns();
	if (!event) {
		if (read_mid(&copy, mid))
			return 0;
		server = server_of(&copy, server);
		if (is_of_smb1(server))
			return 0;
		event = claim(mid, &holder);
		if (!event)
			return 0;
		rebuild(event, &copy, server, now);
		is_new = true;
	}
	event->received_ns = now;
	read_matched_response(event, mid);
	if (is_new)
		publish(holder, mid);
	return 0;
}

static __always_inline int on_release(u64 mid, u64 server)
{
	u64 now = bpf_ktime_get_ns(), *holder;
	struct smb_event *known, *event;
	struct mid_copy copy;

	if (read_mid(&copy, mid))
		return 0;
	known = find_or_end(mid, MID(u64, copy.bytes, mid), now, &holder);
	server = server_of(&copy, server);
	/* Its connection was noted when a response was received. */
	if (!known && server && is_smb1(server)) {
		count(COUNT_SMB1_SKIPPED);
		return 0;
	}
	event = reserve();
	if (event) {
		if (known)
			*event = *known;
		else
			rebuild(event, &copy, server, now);
		read_end(event, &copy, now);
		submit_request(event, now);
	}
	if (known)
		vacate(holder, mid);
	return 0;
}

#ifdef PUT_MID_ARG
static __always_inline int on_put(u64 mid, u64 server)
{
	u64 now = bpf_ktime_get_ns(), *holder;
	struct smb_event *event;
	struct mid_copy copy;

	if (read_mid(&copy, mid))
		return 0;
	event = find_or_end(mid, MID(u64, copy.bytes, mid), now, &holder);
	if (event) {
		read_end(event, &copy, now);
		return 0;
	}
	server = server_of(&copy, server);
	if (server && is_smb1(server)) {
		count(COUNT_SMB1_SKIPPED);
		return 0;
	}
	event = claim(mid, &holder);
	if (!event)
		return 0;
	rebuild(event, &copy, server, now);
	read_end(event, &copy, now);
	publish(holder, mid);
	return 0;
}

static __always_inline int on_put_done(u64 mid)
{
	struct smb_event *known;
	u32 references = 1;
	u64 *holder;

	known = find(mid, &holder);
	if (!known || !known->released_ns)
		return 0;
	bpf_probe_read_kernel(&references, sizeof(references), (void *)(mid + MID_refcount));
	if (!references)
		end(known, holder, mid, known->released_ns, true, 0);
	return 0;
}
#endif

/*
 * Whether the request of this MID, in flight for long, is still there: a MID without
 * references is free, or about to be. The first time only the moment is noted.
 */
static __always_inline int on_check(u64 mid, u32 slot)
{
	u64 now = bpf_ktime_get_ns(), *holder;
	struct smb_event *known = slot_at(slot, &holder);
	u32 references = 0;

	if (!known || *holder != mid)
		return 0;
	bpf_probe_read_kernel(&references, sizeof(references), (void *)(mid + MID_refcount));
	if (references && read_pointer(mid + MID_mid) == known->message_id)
		return 0;
	if (!known->released_ns)
		known->released_ns = now;
	else if (now - known->released_ns > CHECK_GRACE_NS)
		end(known, holder, mid, now, false, 0);
	return 0;
}

#endif
