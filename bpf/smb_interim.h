/* SPDX-License-Identifier: MIT */
/*
 * Interim responses (STATUS_PENDING, MS-SMB2 3.3.4.4): the server will answer, some time.
 *
 * The client swallows them, so the request's MID never tells. Noted by connection
 * and message id; that pair recurs after a reconnect, so the time is noted too.
 */
#ifndef AODASYNC_SMB_INTERIM_H
#define AODASYNC_SMB_INTERIM_H

#include "smb_request.h"

#define STATUS_PENDING 0x103

struct smb_interim_key {
	u64 connection_id;
	u64 message_id;
};

static __always_inline bool is_interim(u64 response)
{
	u32 status = 0;

	bpf_probe_read_kernel(&status, sizeof(status), (void *)(response + HDR_Status));
	return status == STATUS_PENDING;
}

static __always_inline int on_interim(u64 response, u64 server, bool is_pending)
{
	struct smb_interim_key key = {};
	u64 now;

	if (!is_pending)
		return 0;
	now = bpf_ktime_get_ns();
	bpf_probe_read_kernel(&key.connection_id, sizeof(key.connection_id),
			      (void *)(server + SERVER_conn_id));
	bpf_probe_read_kernel(&key.message_id, sizeof(key.message_id),
			      (void *)(response + HDR_MessageId));
	bpf_map_update_elem_(MAP(MAP_INTERIM), &key, &now, BPF_ANY);
	count(COUNT_INTERIMS_NOTED); /* the agent reads the table when this has changed */
	return 0;
}

#endif
