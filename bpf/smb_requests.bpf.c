// SPDX-License-Identifier: MIT
/*
 * Entry points. Bodies are apart from them, so that other ways to attach need only
 * other entry points. All are here, since bcc makes programs of this file's
 * functions alone.
 *
 * Which word of ctx is which (*_ARG, *_RESULT) comes from the running kernel's BTF.
 * In fentry and fexit ctx[n] is argument n, the one after the last the result; in a
 * kprobe ctx is struct pt_regs (KPROBES), in which a return probe sees no arguments.
 */
#include "smb_operations.h"
#include "smb_trouble.h"

#ifdef MID_mid
#include "smb_calls.h"
#include "smb_interim.h"
#include "smb_pending.h"
#include "smb_request.h"

#ifdef RECEIVED_SERVER_ARG
#define RECEIVED_SERVER(ctx) ((ctx)[RECEIVED_SERVER_ARG])
#else
#define RECEIVED_SERVER(ctx) 0
#endif

/*
 * The address of a MID, to calculate with: an argument itself has a type, which the
 * verifier keeps whole. It forgets the type of what was exchanged.
 */
#ifdef KPROBES
#define ADDRESS(ctx, at) ((ctx)[at])
#else
#define ADDRESS(ctx, at) untyped((ctx)[at])
#endif

static __always_inline u64 untyped(u64 pointer)
{
	volatile u64 address = 0;

	__sync_lock_test_and_set(&address, pointer);
	return address;
}

#ifdef RELEASE_SERVER_ARG
#define RELEASE_SERVER(ctx) ((ctx)[RELEASE_SERVER_ARG])
#else
#define RELEASE_SERVER(ctx) 0
#endif

#ifdef KPROBES
int request_alloc_entered(u64 *ctx)
{
	return on_entered(CALL_ALLOC, ctx[ALLOC_REQUEST_ARG], ctx[ALLOC_SERVER_ARG]);
}

int request_alloc(u64 *ctx)
{
	struct smb_call call;

	if (!take_call(CALL_ALLOC, &call))
		return 0;
	return on_alloc(call.first, call.second, ctx[ALLOC_RESULT]);
}
#else
int request_alloc(u64 *ctx)
{
	return on_alloc(ctx[ALLOC_REQUEST_ARG], ctx[ALLOC_SERVER_ARG], ADDRESS(ctx, ALLOC_RESULT));
}
#endif

#ifdef PATH_RQST_ARG
int create_begun(u64 *ctx)
{
	return on_create_begun(ctx[PATH_RQST_ARG]);
}
#endif

#ifdef RECEIVED_MID_ARG
int request_received(u64 *ctx)
{
	return on_received(ADDRESS(ctx, RECEIVED_MID_ARG), RECEIVED_SERVER(ctx));
}
#endif

#ifdef INTERIM_RESULT
int request_interim(u64 *ctx)
{
	u64 response = ctx[INTERIM_RESPONSE_ARG];

#ifdef KPROBES
	return on_interim(response, ctx[INTERIM_SERVER_ARG], is_interim(response));
#else
	return on_interim(response, ctx[INTERIM_SERVER_ARG], (u8)ctx[INTERIM_RESULT]);
#endif
}
#endif

#ifdef RELEASE_MID_ARG
/* RELEASE_MID_BIAS: 0, or the offset of the kref that the function gets instead of the MID. */
int request_release(u64 *ctx)
{
	return on_release(ADDRESS(ctx, RELEASE_MID_ARG) - RELEASE_MID_BIAS, RELEASE_SERVER(ctx));
}
#endif

#ifdef PUT_MID_ARG
int request_put(u64 *ctx)
{
#ifdef KPROBES
	on_entered(CALL_PUT, ctx[PUT_MID_ARG], 0);
#endif
	return on_put(ADDRESS(ctx, PUT_MID_ARG), RELEASE_SERVER(ctx));
}

int request_put_done(u64 *ctx)
{
#ifdef KPROBES
	struct smb_call call;

	if (!take_call(CALL_PUT, &call))
		return 0;
	return on_put_done(call.first);
#else
	return on_put_done(ADDRESS(ctx, PUT_MID_ARG));
#endif
}
#endif

/* Not attached: the agent runs them. On (MID, slot); */
int check_mid(u64 *ctx)
{
	return on_check(ctx[0], ctx[1]);
}

/* on an address; */
int read_word(u64 *ctx)
{
	return on_read_word(ctx[0]);
}

/* on a server; */
int note_connection(u64 *ctx)
{
	return on_note_connection(ctx[0]);
}

/* on (MID, server). */
int adopt_mid(u64 *ctx)
{
	return on_adopt(ctx[0], ctx[1]);
}
#endif

#ifdef ENTER_mid
#include "smb_commands.h"

/*
 * Tracepoints: ctx is the record, whose fields' offsets (ENTER_*, DONE_*, ERR_*) come
 * from the running kernel's description of it.
 */
#define FIELD(type, ctx, name) (*(type *)((u8 *)(ctx) + (name)))

int command_enter(u64 *ctx)
{
	return on_command(FIELD(u32, ctx, ENTER_tid), FIELD(u64, ctx, ENTER_sesid),
			  FIELD(u16, ctx, ENTER_cmd), FIELD(u64, ctx, ENTER_mid));
}

int command_done(u64 *ctx)
{
	return on_command_end(FIELD(u64, ctx, DONE_sesid), FIELD(u16, ctx, DONE_cmd),
			      FIELD(u64, ctx, DONE_mid), 0);
}

int command_err(u64 *ctx)
{
	return on_command_end(FIELD(u64, ctx, ERR_sesid), FIELD(u16, ctx, ERR_cmd),
			      FIELD(u64, ctx, ERR_mid), FIELD(u32, ctx, ERR_status));
}

int command_reconnect(u64 *ctx)
{
	return on_reconnect();
}
#endif

#ifdef SES_tcon_list
#include "smb_trees.h"

/* Not attached: the agent runs it on (server, connection id, number of the stretch). */
int walk_trees(u64 *ctx)
{
	return on_walk(ctx[0], ctx[1], ctx[2]);
}

#ifdef TREE_TCON_ARG
#ifdef KPROBES
int tree_connected_entered(u64 *ctx)
{
	return on_entered(CALL_TREE, ctx[TREE_TCON_ARG], 0);
}

int tree_connected(u64 *ctx)
{
	struct smb_call call;

	if (!take_call(CALL_TREE, &call))
		return 0;
	return on_tree_connected(call.first, ctx[TREE_RESULT]);
}
#else
int tree_connected(u64 *ctx)
{
	return on_tree_connected(ctx[TREE_TCON_ARG], ctx[TREE_RESULT]);
}
#endif
#endif
#endif

/*
 * Raw tracepoints: ctx[n] is argument n of the kernel's TP_PROTO (trace.h of the
 * client), which each comment names. One is attached only where the running
 * kernel's prototype has arguments of these sizes; each may fail alone.
 */

/* (u64 currmid, u64 conn_id, char *hostname) */
int smb3_reconnect(u64 *ctx)
{
	return TROUBLE(RECONNECT, .message_id = ctx[0], .connection_id = ctx[1]);
}

/* (u64 currmid, u64 conn_id, char *hostname) */
int smb3_partial_send_reconnect(u64 *ctx)
{
	return TROUBLE(PARTIAL_SEND_RECONNECT, .message_id = ctx[0], .connection_id = ctx[1]);
}

/* (u64 currmid, u64 conn_id, char *hostname, int credits, int credits_to_add, int in_flight) */
int smb3_reconnect_detected(u64 *ctx)
{
	return TROUBLE(RECONNECT_DETECTED, .message_id = ctx[0], .connection_id = ctx[1],
		       .status = ctx[3]);
}

/* (u64 currmid, u64 conn_id, char *hostname, int credits, int credits_to_add, int in_flight) */
int smb3_credit_timeout(u64 *ctx)
{
	return TROUBLE(CREDIT_TIMEOUT, .message_id = ctx[0], .connection_id = ctx[1],
		       .status = ctx[3]);
}

/* (u64 currmid, u64 conn_id, char *hostname, int credits, int credits_to_add, int in_flight) */
int smb3_insufficient_credits(u64 *ctx)
{
	return TROUBLE(INSUFFICIENT_CREDITS, .message_id = ctx[0], .connection_id = ctx[1],
		       .status = ctx[3]);
}

/* (u64 currmid, u64 conn_id, char *hostname, int credits, int credits_to_add, int in_flight) */
int smb3_reconnect_with_invalid_credits(u64 *ctx)
{
	return TROUBLE(RECONNECT_WITH_INVALID_CREDITS, .message_id = ctx[0],
		       .connection_id = ctx[1], .status = ctx[3]);
}

/* (u32 tid, u64 sesid, u16 cmd, u64 mid) */
int smb3_ses_expired(u64 *ctx)
{
	return TROUBLE(SESSION_EXPIRED, .tree_id = ctx[0], .session_id = ctx[1], .command = ctx[2],
		       .message_id = ctx[3]);
}

/* (u64 sesid) */
int smb3_ses_not_found(u64 *ctx)
{
	return TROUBLE(SESSION_NOT_FOUND, .session_id = ctx[0]);
}

/* (char *hostname, char *username, u64 conn_id, sockaddr_storage *dst_addr, int rc) */
int smb3_key_expired(u64 *ctx)
{
	return TROUBLE(KEY_EXPIRED, .connection_id = ctx[2], .status = errno_of(ctx[4]));
}

/* (unsigned int xid, u32 tid, u64 sesid, const char *unc_name, int rc); rc is 0 on success */
int smb3_tcon(u64 *ctx)
{
	if (!(u32)ctx[4])
		return 0;
	return TROUBLE(TREE_CONNECT_FAILED, .tree_id = ctx[1], .session_id = ctx[2],
		       .status = errno_of(ctx[4]));
}

/* (char *hostname, u64 conn_id, sockaddr_storage *dst_addr, int rc) */
int smb3_connect_err(u64 *ctx)
{
	return TROUBLE(CONNECT_ERROR, .connection_id = ctx[1], .status = errno_of(ctx[3]));
}

/* (u32 lease_state, u32 tid, u64 sesid, u64 lease_key_low, u64 lease_key_high) */
int smb3_lease_not_found(u64 *ctx)
{
	return TROUBLE(LEASE_NOT_FOUND, .tree_id = ctx[1], .session_id = ctx[2]);
}

/* (u32 lease_state, u32 flags, u16 epoch, u32 tid, u64 sesid, u64 key_low, u64 key_high) */
int smb3_lease_not_found_epoch(u64 *ctx)
{
	return TROUBLE(LEASE_NOT_FOUND, .tree_id = ctx[3], .session_id = ctx[4]);
}

/* (u64 ino, int rc) */
int cifs_fsync_err(u64 *ctx)
{
	return TROUBLE(FSYNC_ERROR, .status = errno_of(ctx[1]));
}

/* (u64 ino, int rc) */
int cifs_flush_err(u64 *ctx)
{
	return TROUBLE(FLUSH_ERROR, .status = errno_of(ctx[1]));
}

/* (enum smb_eio_trace trace, unsigned long info, unsigned long info2) */
int smb3_eio(u64 *ctx)
{
	return TROUBLE(EIO, .status = ctx[0]);
}

/* (unsigned int xid, const char *func_name) */
int smb3_enter(u64 *ctx)
{
	return on_operation_begun(ctx[0], ctx[1]);
}

#ifdef XID_ARG
int operation_ended(u64 *ctx)
{
	return on_operation_ended(ctx[XID_ARG]);
}
#endif
