/* SPDX-License-Identifier: MIT */
/*
 * The table of requests in flight: blocks of a page each, of MIDs and behind them of
 * their requests, which the agent maps and reads. In one page, since where processes
 * change the first touch of each costs as much as a helper's call.
 *
 * A hash map would cost more than all else that is done for a request: two updates,
 * under locks, in code that is cold each time. The address of the MID says where to
 * look first, and the next SLOT_TRIES - 1 places; MIDs are aligned, so the lowest
 * bit marks a slot whose request is being written.
 *
 * A MID that is allocated takes the first place that is free, and does not look
 * whether it holds one behind that: each look is memory that nobody has read lately.
 * So of two slots of a MID the first one is that of now; the agent's check finds the
 * other one by its number.
 *
 * Behind the blocks is a page of their marks (mark_block).
 */
#ifndef AODASYNC_SMB_SLOTS_H
#define AODASYNC_SMB_SLOTS_H

#include "smb_ring.h"

#define GOLDEN_RATIO 0x9e3779b97f4a7c15ULL
#define CLAIMED(mid) ((mid) | SLOT_BEING_WRITTEN)

struct smb_block {
	u64 mids[BLOCK_SLOTS];
	struct smb_event events[BLOCK_SLOTS];
} __attribute__((aligned(BLOCK_BYTES)));

_Static_assert(sizeof(struct smb_block) == BLOCK_BYTES, "size differs from BLOCK");

static __always_inline struct smb_event *slot_at(u32 slot, u64 **holder)
{
	u32 number = slot / BLOCK_SLOTS;
	struct smb_block *block = bpf_map_lookup_elem_(MAP(MAP_IN_FLIGHT), &number);

	/* Set in any case: LLVM 19 made of a value that is not set a register never written. */
	*holder = NULL;
	if (!block)
		return NULL;
	*holder = &block->mids[slot % BLOCK_SLOTS];
	return &block->events[slot % BLOCK_SLOTS];
}

static __always_inline u32 slot_of(u64 mid, u32 try)
{
	u32 home = mid * GOLDEN_RATIO >> (64 - SLOT_BITS);

	/* Triangular steps: neighbours in one place are none in the next. */
	return (home + try * (try + 1) / 2) & ((1 << SLOT_BITS) - 1);
}

/* The request of a MID, and who holds its slot; NULL when there is none. */
static __always_inline struct smb_event *find(u64 mid, u64 **holder)
{
	struct smb_event *event;
	u32 try;

#pragma clang loop unroll(disable)
	for (try = 0; try < SLOT_TRIES; try++) {
		event = slot_at(slot_of(mid, try), holder);
		if (!event)
			return NULL;
		if (**holder == mid)
			return event;
	}
	return NULL;
}

/*
 * A slot for a MID, to be written and published: a free one, or the one that it still
 * holds, for a request whose end was not seen (is_claimed() tells). NULL when full.
 */
static __always_inline struct smb_event *claim_any(u64 mid, u64 **holder)
{
	struct smb_event *event;
	u32 try, slot;

#pragma clang loop unroll(disable)
	for (try = 0; try < SLOT_TRIES; try++) {
		slot = slot_of(mid, try);
		event = slot_at(slot, holder);
		if (!event)
			break;
		if (**holder == mid)
			return event;
		if (!**holder && !__sync_val_compare_and_swap(*holder, 0ULL, CLAIMED(mid))) {
			mark_block(MAP(MAP_IN_FLIGHT), IN_FLIGHT_BLOCKS, slot / BLOCK_SLOTS);
			return event;
		}
	}
	count(COUNT_MAP_FULL);
	return NULL;
}

static __always_inline bool is_claimed(const u64 *holder, u64 mid)
{
	return *holder == CLAIMED(mid);
}

/* A free slot for a MID that has none. */
static __always_inline struct smb_event *claim(u64 mid, u64 **holder)
{
	struct smb_event *event = claim_any(mid, holder);

	return event && is_claimed(*holder, mid) ? event : NULL;
}

static __always_inline void publish(u64 *holder, u64 mid)
{
	__sync_lock_test_and_set(holder, mid);
}

/* Free a slot, or claim it anew. False when another one was faster. */
static __always_inline bool leave(u64 *holder, u64 mid, u64 to)
{
	return __sync_val_compare_and_swap(holder, mid, to) == mid;
}

static __always_inline bool vacate(u64 *holder, u64 mid)
{
	return leave(holder, mid, 0);
}

#endif
