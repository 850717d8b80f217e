/* SPDX-License-Identifier: MIT */
/*
 * The record of one SMB request or trouble event: aodasync.events.EVENT, byte for byte.
 *
 * The agent passes the offset of each field of its dtype as -DAT_<field>, so a
 * record that differs does not compile. Behind it stands the id of the request's file
 * (aodasync.events.FILE_ID), which the agent keeps apart.
 */
#ifndef AODASYNC_SMB_EVENT_H
#define AODASYNC_SMB_EVENT_H

#include <linux/types.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

struct smb_event {
	u64 issued_ns;
	u64 sent_ns;
	u64 received_ns;
	u64 released_ns;
	u64 message_id;
	u64 session_id;
	u64 connection_id;
	u32 tree_id;
	u32 status;
	u32 pid;
	u32 tgid;
	u16 command;
	u16 flags;
	u8 kind;
	u8 outcome;
	u8 mid_state;
	u8 mid_flags;
	char comm[16];
	u64 persistent_id; /* both 0: none; both all ones: that of the CREATE before it */
	u64 volatile_id;
};

#define SAME_OFFSET(field)                                                     \
	_Static_assert(__builtin_offsetof(struct smb_event, field) == AT_##field, \
		       #field " differs from aodasync.events.EVENT")

SAME_OFFSET(issued_ns);
SAME_OFFSET(sent_ns);
SAME_OFFSET(received_ns);
SAME_OFFSET(released_ns);
SAME_OFFSET(message_id);
SAME_OFFSET(session_id);
SAME_OFFSET(connection_id);
SAME_OFFSET(tree_id);
SAME_OFFSET(status);
SAME_OFFSET(pid);
SAME_OFFSET(tgid);
SAME_OFFSET(command);
SAME_OFFSET(flags);
SAME_OFFSET(kind);
SAME_OFFSET(outcome);
SAME_OFFSET(mid_state);
SAME_OFFSET(mid_flags);
SAME_OFFSET(comm);
SAME_OFFSET(persistent_id);
SAME_OFFSET(volatile_id);
_Static_assert(sizeof(struct smb_event) == RECORD_BYTES, "size differs from RECORD");

/* A row of the `connections` map: who is behind a connection id. */
struct smb_connection {
	char hostname[HOSTNAME_BYTES];
	u8 address[ADDRESS_BYTES]; /* the start of a sockaddr_storage: enough for IPv6 */
	u32 is_smb1;
	u32 netns; /* inode number of its network namespace; 0: unknown */
	u32 unused;
	u64 server; /* its TCP_Server_Info: valid only while conn_id there is this id */
};

_Static_assert(sizeof(struct smb_connection) == CONNECTION_BYTES, "size differs from CONNECTION");

/* A slot of the `names` map: aodasync.probes.records.FILE_NAME. */
struct smb_file_name {
	u64 number; /* of all names so far; 0: there was none; NAME_BEING_WRITTEN: it is not whole */
	u64 issued_ns;
	u64 message_id;
	u64 connection_id;
	u32 pid;
	u32 bytes; /* of the whole name; the end of a longer one is here */
	u8 text[NAME_BYTES]; /* UTF-16 */
};

_Static_assert(sizeof(struct smb_file_name) == FILE_NAME_BYTES, "size differs from FILE_NAME");

/* A row of the `emergency` map, by command. */
struct smb_emergency {
	u64 threshold_ns; /* 0: never */
	u64 interim_too;  /* also when an interim response came first */
};

#endif
