/*
 * Group rekeying in one process: the real key tree with real cryptography, no network, seeded.
 *
 * It answers what rekeying costs a group of n members: messages (manifest and tree nodes) and bytes published, what of
 * it a member is sent, and processor time on both sides. Times are of this machine and this thread; everything else
 * repeats with the seed.
 */
#ifndef SEALMQ_SIMULATE_H
#define SEALMQ_SIMULATE_H

#include <stddef.h>
#include <stdint.h>

#include <sealmq/err.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMQ_SIMULATE_MEMBERS_MAX = 1000000, SMQ_SIMULATE_ROWS_MAX = 16 };

struct smq_simulation_options {
	uint64_t members;  /* 100 to SMQ_SIMULATE_MEMBERS_MAX */
	uint64_t rounds;   /* repeats of the single operations; 0: 20 */
	uint64_t batch;    /* leaves in the batch; 0: a hundredth of the members, at least 2 */
	uint64_t followed; /* members that really follow, chosen evenly; 0: 200, at most the members */
	uint64_t seed;
};

/* One operation; means over its rounds, "max" over everything seen. Bytes are payloads. */
struct smq_simulation_row {
	const char *operation; /* "join", "leave", "batch of leaves", "rotation", "sleeper" */
	uint64_t rounds;
	double messages, bytes; /* published, an operation */
	double wraps;           /* keys in them, each wrapped under another */
	double server_us;       /* of the key server's processor, an operation */
	double member_messages, member_bytes;
	uint64_t member_messages_max, member_bytes_max;
	double member_us; /* of a member's processor, an operation that concerns it */
};

struct smq_simulation {
	uint64_t members;
	unsigned height;                       /* of the tree */
	uint64_t server_memory, member_memory; /* bytes: in all, and of one member */
	uint64_t unicast_bytes;                /* what one leave would cost if every member were sent its key */
	struct smq_simulation_row rows[SMQ_SIMULATE_ROWS_MAX];
	size_t row_count;
};

/* progress (may be NULL) is called now and then with what is being done and how much of it is done, 0 to 1.
 * SMQ_ERR_USAGE: an option out of range. SMQ_ERR_BUG: a member did not arrive at the group's key. */
SMQ_MUST_USE smq_err smq_simulate(const struct smq_simulation_options *options,
				  void (*progress)(void *self, const char *what, double done), void *self,
				  struct smq_simulation *ret_simulation);

#ifdef __cplusplus
}
#endif
#endif
