/* SPDX-License-Identifier: MIT */
/*
 * The last resort: the client's own tracepoints smb3_cmd_enter, smb3_cmd_done and
 * smb3_cmd_err, paired by session and message id.
 *
 * They need no types of the kernel's, and they tell less. Only a response that a
 * waiter looked at makes an end: ECHO has none, and neither has what hung, was cut
 * off or cancelled, nor the later parts of a compound that failed. The pair recurs
 * after reconnects and collides between the channels of a session. So the map
 * forgets the least recently used, and the agent does not believe old rows.
 */
#ifndef AODASYNC_SMB_COMMANDS_H
#define AODASYNC_SMB_COMMANDS_H

#include "smb_ring.h"

#define SMB2_SESSION_SETUP 1
#define SMB2_READ 8
#define SMB2_WRITE 9
#define SMB2_ECHO 13
#define MAX_COMPOUND 5 /* MAX_COMPOUND of the client */

struct smb_command_key {
	u64 session_id;
	u64 message_id;
};

static __always_inline int on_command(u32 tree_id, u64 session_id, u16 command, u64 message_id)
{
	struct smb_command_key key = { session_id, message_id };
	struct smb_event event = {};
	u64 pid_tgid = bpf_get_current_pid_tgid();

	if (command == SMB2_ECHO)
		return 0;
	event.issued_ns = bpf_ktime_get_ns();
	event.message_id = message_id;
	event.session_id = session_id;
	event.tree_id = tree_id;
	event.command = command;
	event.kind = KIND_REQUEST;
	event.outcome = OUTCOME_IN_FLIGHT;
	event.pid = pid_tgid;
	event.tgid = pid_tgid >> 32;
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	if (bpf_map_update_elem_(MAP(MAP_IN_FLIGHT), &key, &event, BPF_ANY))
		count(COUNT_MAP_FULL);
	return 0;
}

/* The later parts of a failed compound are answered, but not read. */
static __always_inline void end_compound(struct smb_command_key key)
{
	u32 pid = bpf_get_current_pid_tgid();
	struct smb_event *event;
	int part;

#pragma unroll
	for (part = 1; part < MAX_COMPOUND; part++) {
		key.message_id++;
		event = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &key);
		if (!event || event->pid != pid)
			return;
		/* They may also be requests of their own without a waiter so far. */
		if (event->command == SMB2_READ || event->command == SMB2_WRITE)
			return;
		count(COUNT_UNENDED);
		bpf_map_delete_elem_(MAP(MAP_IN_FLIGHT), &key);
	}
}

static __always_inline int on_command_end(u64 session_id, u16 command, u64 message_id, u32 status)
{
	struct smb_command_key key = { session_id, message_id };
	struct smb_event *known, *event;

	known = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &key);
	if (!known && command == SMB2_SESSION_SETUP) {
		/* The first one is sent without a session, and answered with its id. */
		key.session_id = 0;
		known = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &key);
	}
	if (!known || known->command != command) {
		count(COUNT_UNPAIRED);
		return 0;
	}
	event = reserve();
	if (event) {
		*event = *known;
		event->released_ns = bpf_ktime_get_ns();
		event->status = status;
		event->outcome = OUTCOME_ANSWERED;
		submit(event, event->released_ns, is_urgent(event));
	}
	bpf_map_delete_elem_(MAP(MAP_IN_FLIGHT), &key);
	if (status)
		end_compound(key);
	return 0;
}

/* What was in flight is asked again under other ids. */
static __always_inline int on_reconnect(void)
{
	u32 index = STATE_RECONNECTED_NS;
	u64 *at = bpf_map_lookup_elem_(MAP(MAP_STATE), &index);

	if (at)
		*at = bpf_ktime_get_ns();
	return 0;
}

#endif
