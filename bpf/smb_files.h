/* SPDX-License-Identifier: MIT */
/*
 * Which file a request is about: its id, and of a CREATE the name.
 *
 *   paths     SMB2_open_init, entry: the thread is about to build a CREATE; its name
 *             will stand in a buffer of its own, apart from the request; where the
 *             addresses of both will stand is known already (struct smb_rqst)
 *   alloc     reads the id that stands behind the header of a request (MS-SMB2 2.2),
 *             and puts the name of a CREATE where the agent reads it
 *   received  reads the id that a CREATE's response gives (smb_mid.h)
 *
 * All of it is lossy, and counted: no request is lost with the name of its file.
 */
#ifndef AODASYNC_SMB_FILES_H
#define AODASYNC_SMB_FILES_H

#include "smb_mid.h"
#include "smb_slots.h"

#ifdef FILE_NAMES
/* Up to the last file id, and the length of a CREATE's name. */
#define REQUEST_BYTES 112

#define BODY_AT 64
#define CREATE_NAME_LENGTH_AT 110

/* Where a command has its file id: so many words into its body, less one; 0: it has none. */
#define ID_WORDS(command, words) ((u64)(words) << 2 * (command))
#define ID_AT                                                                             \
	(ID_WORDS(6, 1) /* CLOSE */ | ID_WORDS(7, 1) /* FLUSH */ | ID_WORDS(8, 2) /* READ */ | \
	 ID_WORDS(9, 2) /* WRITE */ | ID_WORDS(10, 1) /* LOCK */ |                         \
	 ID_WORDS(11, 1) /* IOCTL */ | ID_WORDS(14, 1) /* QUERY_DIRECTORY */ |             \
	 ID_WORDS(15, 1) /* CHANGE_NOTIFY */ | ID_WORDS(16, 3) /* QUERY_INFO */ |          \
	 ID_WORDS(17, 2) /* SET_INFO */)

static __always_inline void take_id(struct smb_event *event, const u8 *id)
{
	event->persistent_id = *(u64 *)id;
	event->volatile_id = *(u64 *)(id + 8);
}

/* The id in a request, whose first REQUEST_BYTES are given. */
static __always_inline void read_requested_id(struct smb_event *event, const u8 *request)
{
	u32 words = ID_AT >> 2 * (event->command & 31) & 3;

	if (words == 1)
		take_id(event, request + BODY_AT + 8);
	else if (words == 2)
		take_id(event, request + BODY_AT + 16);
	else if (words == 3)
		take_id(event, request + BODY_AT + 24);
}
#else
#define REQUEST_BYTES HDR_BYTES
#endif

#ifdef PATH_RQST_ARG
/* A row of the `paths` map: the CREATE that a thread is about to send. */
struct smb_path {
	u64 pid_tgid;
	u64 vectors; /* its first is the request up to the name, its second the name */
};

static __always_inline struct smb_path *path_of(u64 pid_tgid)
{
	u32 slot = pid_tgid * GOLDEN_RATIO >> (64 - PATH_SLOT_BITS);

	return bpf_map_lookup_elem_(MAP(MAP_PATHS), &slot);
}

static __always_inline int on_create_begun(u64 rqst)
{
	u64 vectors = read_pointer(rqst + RQST_rq_iov);
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct smb_path *kept = path_of(pid_tgid);

	if (kept) {
		kept->vectors = vectors;
		kept->pid_tgid = pid_tgid;
	}
	return 0;
}

/*
 * The slot for the next name, in turn: the oldest name gives way. NULL when that is
 * still being written: the name is lost, as its number tells the agent. A ring buffer
 * takes a lock and more memory that is cold.
 */
static __always_inline struct smb_file_name *claim_name(u64 *number)
{
	u32 slot = NAME_SLOTS; /* behind the others: how many there were so far */
	struct smb_file_name *name = bpf_map_lookup_elem_(MAP(MAP_NAMES), &slot);
	u64 before;

	if (!name)
		return NULL;
	*number = __sync_fetch_and_add(&name->number, 1) + 1;
	slot = *number % NAME_SLOTS;
	name = bpf_map_lookup_elem_(MAP(MAP_NAMES), &slot);
	if (!name)
		return NULL;
	before = name->number;
	if (before & NAME_BEING_WRITTEN ||
	    __sync_val_compare_and_swap(&name->number, before, NAME_BEING_WRITTEN) != before)
		return NULL;
	return name;
}

/* The vectors are two of struct kvec: an address, and a length. */
static __always_inline void send_name(const struct smb_event *event, u64 at, const u8 *request,
				      u64 pid_tgid)
{
	u32 bytes = *(u16 *)(request + CREATE_NAME_LENGTH_AT);
	struct smb_path *kept = path_of(pid_tgid);
	struct smb_file_name *name;
	u64 vectors[3] = {};
	u64 path, number = 0;

	if (kept && kept->pid_tgid == pid_tgid)
		bpf_probe_read_kernel(vectors, sizeof(vectors), (void *)kept->vectors);
	if (!kept || vectors[0] != at) {
		count(COUNT_NAME_UNSEEN);
		return;
	}
	kept->pid_tgid = 0; /* once: it may not be there any more */
	path = vectors[2];
	name = claim_name(&number);
	if (!name)
		return;
	name->issued_ns = event->issued_ns;
	name->message_id = event->message_id;
	name->connection_id = event->connection_id;
	name->pid = event->pid;
	name->bytes = bytes;
	if (bytes >= NAME_BYTES) {
		path += bytes - (NAME_BYTES - 2);
		bytes = NAME_BYTES - 2;
	}
	bpf_probe_read_kernel(name->text, bytes & (NAME_BYTES - 1), (void *)path);
	__sync_lock_test_and_set(&name->number, number);
}
#endif

#endif
