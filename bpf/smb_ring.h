/* SPDX-License-Identifier: MIT */
/*
 * The maps, and how a record reaches the agent.
 *
 * bcc only compiles this; the agent creates the maps with bpf(2) and writes their
 * descriptors into the byte code, in place of the MAP_* numbers below.
 *
 * Wake-ups. Waking a sleeping reader costs microseconds inside the watched I/O
 * path, not waking it nothing. So a record is submitted without a wake-up unless
 * it is urgent, or unless the ring is filled to FILL_MARK and there was no wake-up for
 * WAKE_GAP_NS. How full it is, is looked at for one record in LOOK_AT_FILL_ONE_IN,
 * by the last digits of the time: the look is a helper call of its own. The default
 * (adaptive) wake-up is never used: it stays silent on top of records that were
 * submitted without one.
 */
#ifndef AODASYNC_SMB_RING_H
#define AODASYNC_SMB_RING_H

#include "smb_event.h"

#define MAP(number) bpf_pseudo_fd(1, number)
#define ONLY_VALUE(number) ((void *)bpf_pseudo_fd(2, number)) /* of an array of one */

/* For all CPUs together, so that the agent reads it without a system call. All are rare paths. */
static __always_inline void count(u32 counter)
{
	u64 *counters = ONLY_VALUE(MAP_COUNTERS);

	__sync_fetch_and_add(&counters[counter], 1);
}

/*
 * Mark the block of a slot that was taken just before, in the value `behind` all slots:
 * the agent need not touch the other blocks. It takes back the mark of one that is empty,
 * and looks into that once more: who came meanwhile saw the old mark.
 */
static __always_inline void mark_block(u64 map, u32 behind, u32 block)
{
	u8 *marks = bpf_map_lookup_elem_(map, &behind);

	if (marks && !marks[block])
		marks[block] = 1;
}

/* NULL, and counted, when the ring is full. */
static __always_inline struct smb_event *reserve(void)
{
	struct smb_event *event =
		bpf_ringbuf_reserve((void *)MAP(MAP_RING), sizeof(*event), 0);

	if (!event)
		count(COUNT_RING_FULL);
	return event;
}

static __always_inline bool is_urgent(const struct smb_event *event)
{
	u32 command = event->command;
	struct smb_emergency *emergency;

	if (event->outcome != OUTCOME_ANSWERED)
		return true;
	emergency = bpf_map_lookup_elem_(MAP(MAP_EMERGENCY), &command);
	if (!emergency || !emergency->threshold_ns)
		return false;
	if (event->flags & FLAG_ASYNC_RESPONSE && !emergency->interim_too)
		return false;
	return event->released_ns - event->issued_ns >= emergency->threshold_ns;
}

static __always_inline u64 wakeup(u64 now, bool urgent)
{
	u32 index = STATE_LAST_WAKE_NS;
	u64 *last;

	if (!urgent && (now % LOOK_AT_FILL_ONE_IN ||
			bpf_ringbuf_query((void *)MAP(MAP_RING), BPF_RB_AVAIL_DATA) < FILL_MARK))
		return BPF_RB_NO_WAKEUP;
	last = bpf_map_lookup_elem_(MAP(MAP_STATE), &index);
	if (!last)
		return BPF_RB_FORCE_WAKEUP;
	if (!urgent && now - *last < WAKE_GAP_NS)
		return BPF_RB_NO_WAKEUP;
	*last = now;
	count(COUNT_WAKEUPS);
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void submit(struct smb_event *event, u64 now, bool urgent)
{
	if (urgent)
		event->flags |= FLAG_URGENT;
	bpf_ringbuf_submit(event, wakeup(now, urgent));
}

#endif
