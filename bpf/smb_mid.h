/* SPDX-License-Identifier: MIT */
/*
 * What the client's own structs tell of a request: its MID, and the header of its response.
 *
 * There are no kernel headers: MID_*, HDR_* and SERVER_* are offsets from the
 * running kernel's BTF.
 */
#ifndef AODASYNC_SMB_MID_H
#define AODASYNC_SMB_MID_H

#include "smb_ring.h"

#define SMB2_PROTOCOL_ID 0x424d53fe /* 0xfe 'S' 'M' 'B' */
#define SMB1_PROTOCOL 0 /* vals->protocol_id (smb1ops.c); that of SMB2 is a dialect */
#define SMB2_READ 8
#define SMB2_FLAGS_SERVER_TO_REDIR 0x1
#define SMB2_FLAGS_ASYNC_COMMAND 0x2

#define HDR(type, header, member) (*(type *)((header) + HDR_##member))
#define MID(type, mid, member) (*(type *)((mid) + MID_##member - MID_FIRST))

#define REBUILT_FLAGS (FLAG_BEFORE_ATTACH | FLAG_REBUILT)

/* The needed span of a struct mid_q_entry, read in one go. */
struct mid_copy {
	u8 bytes[MID_SPAN];
} __attribute__((aligned(8)));

static __always_inline int read_mid(struct mid_copy *copy, u64 mid)
{
	return bpf_probe_read_kernel(copy, sizeof(*copy), (void *)(mid + MID_FIRST));
}

static __always_inline u64 read_pointer(u64 at)
{
	u64 pointer = 0;

	bpf_probe_read_kernel(&pointer, sizeof(pointer), (void *)at);
	return pointer;
}

/* The id that a CREATE was given stands behind the header of its response (MS-SMB2 2.2.14). */
#define SMB2_CREATE 5
#define CREATED_ID_AT 128
#ifdef FILE_NAMES
#define RESPONSE_BYTES 144
#else
#define RESPONSE_BYTES HDR_BYTES
#endif

/*
 * Take the response's status, if its header is at `response`: a buffer that holds
 * the request itself, or anything else, is not believed. Of a CREATE, its file's id too.
 */
static __always_inline void read_response(struct smb_event *event, u64 response, bool is_create)
{
	u8 header[RESPONSE_BYTES] __attribute__((aligned(8)));
	u32 smb2_flags;

	if (!response)
		return;
	is_create = is_create && RESPONSE_BYTES > HDR_BYTES &&
		    !bpf_probe_read_kernel(header, RESPONSE_BYTES, (void *)response);
	if (!is_create && bpf_probe_read_kernel(header, HDR_BYTES, (void *)response))
		return;
	smb2_flags = HDR(u32, header, Flags);
	if (HDR(u32, header, ProtocolId) != SMB2_PROTOCOL_ID ||
	    HDR(u64, header, MessageId) != event->message_id ||
	    !(smb2_flags & SMB2_FLAGS_SERVER_TO_REDIR))
		return;
	event->status = HDR(u32, header, Status);
	event->flags &= ~FLAG_STATUS_UNSEEN;
	if (smb2_flags & SMB2_FLAGS_ASYNC_COMMAND)
		event->flags |= FLAG_ASYNC_RESPONSE;
	if (event->flags & REBUILT_FLAGS) {
		event->session_id = HDR(u64, header, SessionId);
		if (!(smb2_flags & SMB2_FLAGS_ASYNC_COMMAND))
			event->tree_id = HDR(u32, header, TreeId);
	}
#ifdef FILE_NAMES
	if (is_create && !event->status) {
		event->persistent_id = *(u64 *)(header + CREATED_ID_AT);
		event->volatile_id = *(u64 *)(header + CREATED_ID_AT + 8);
	}
#endif
}

/*
 * The same when the client matched the response to its MID. READ's payload is not
 * there yet, and its header not at resp_buf: on encrypted connections it never gets
 * there. Before it is matched, cifs_readv_receive and handle_read_data note the
 * header in the first iovec of the I/O that callback_data is (of a synchronous READ,
 * which is answered at resp_buf, it is another thing).
 */
static __always_inline void read_matched_response(struct smb_event *event, u64 mid)
{
	u64 response = read_pointer(mid + MID_resp_buf);

#ifdef READ_iov
	if (!response && event->command == SMB2_READ)
		response = read_pointer(read_pointer(mid + MID_callback_data) + READ_iov);
#endif
	read_response(event, response, event->command == SMB2_CREATE);
}

/*
 * Whether a connection speaks SMB1, whose requests are not recorded: their MIDs go
 * through the same functions, with commands and headers of another protocol.
 */
static __always_inline bool is_smb1(u64 server)
{
#ifdef SERVER_vals
	u64 values = read_pointer(server + SERVER_vals);
	u16 protocol = 0;

	return values &&
	       !bpf_probe_read_kernel(&protocol, sizeof(protocol),
				      (void *)(values + VALUES_protocol_id)) &&
	       protocol == SMB1_PROTOCOL;
#else
	return false;
#endif
}

/* The inode number of a connection's network namespace; 0: unknown. */
static __always_inline u32 netns_of(u64 server)
{
#ifdef SERVER_net
	u64 net = read_pointer(server + SERVER_net);
	u32 inode = 0;

	if (net)
		bpf_probe_read_kernel(&inode, sizeof(inode), (void *)(net + NET_inum));
	return inode;
#else
	return 0;
#endif
}

/* The connection of a MID: a member, or where that is gone, an argument (0: unknown). */
static __always_inline u64 server_of(const struct mid_copy *mid, u64 server)
{
#ifdef MID_server
	return MID(u64, mid->bytes, server);
#else
	return server;
#endif
}

/* When a MID was allocated, to one tick. */
static __always_inline u64 issued_by_jiffies(const struct mid_copy *mid, u64 now)
{
	s64 ticks = bpf_jiffies64() - MID(u64, mid->bytes, when_alloc);
	u64 age_ns = ticks > 0 ? ticks * TICK_NS : 0;

	return age_ns < now ? now - age_ns : 0;
}

/* Whether a MID was allocated before `alloc` was attached. */
static __always_inline bool is_before_attach(u64 issued_ns)
{
	u32 index = STATE_TRACKED_SINCE_NS;
	u64 *since = bpf_map_lookup_elem_(MAP(MAP_STATE), &index);

	return since && issued_ns && (!*since || issued_ns <= *since + TICK_NS);
}

/* What the MID itself tells about a request whose allocation was not seen. */
static __always_inline void rebuild(struct smb_event *event, const struct mid_copy *mid,
				    u64 server, u64 now)
{
	bool is_before;

	__builtin_memset(event, 0, sizeof(*event));
	event->issued_ns = issued_by_jiffies(mid, now);
	event->message_id = MID(u64, mid->bytes, mid);
	event->command = MID(u16, mid->bytes, command);
	event->pid = MID(u32, mid->bytes, pid);
	event->kind = KIND_REQUEST;
	event->outcome = OUTCOME_IN_FLIGHT;
	if (server)
		event->connection_id = read_pointer(server + SERVER_conn_id);
#ifdef TASK_comm
	bpf_probe_read_kernel(&event->tgid, sizeof(event->tgid),
			      (void *)(MID(u64, mid->bytes, creator) + TASK_tgid));
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm),
				  (void *)(MID(u64, mid->bytes, creator) + TASK_comm));
#endif
	is_before = is_before_attach(event->issued_ns);
	event->flags = FLAG_STATUS_UNSEEN | (is_before ? FLAG_BEFORE_ATTACH : FLAG_REBUILT);
	count(is_before ? COUNT_BEFORE_ATTACH : COUNT_REBUILT);
}

/*
 * What only the MID's end tells. READ's header is at resp_buf by now, a synchronous
 * waiter has taken its own: read_matched_response had it.
 */
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
	if (event->flags & FLAG_STATUS_UNSEEN)
		read_response(event, MID(u64, mid->bytes, resp_buf), false);
	event->mid_state = MID(u32, mid->bytes, mid_state);
	event->mid_flags = (cancelled ? MIDFLAG_WAIT_CANCELLED : 0) |
			   (deleted ? MIDFLAG_DELETED : 0);
}

#endif
