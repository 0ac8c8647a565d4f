/*
 * The sliding replay window of one sender's life (RFC 6479's bitmap; PROTOCOL.md 3.6).
 */
#ifndef SMQ_CORE_REPLAY_H
#define SMQ_CORE_REPLAY_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

#include "base/varint.h"

enum { SMQ_REPLAY_WIDTH = 1024, SMQ_REPLAY_WORDS = SMQ_REPLAY_WIDTH / 64 + 1 };

struct smq_replay {
	uint64_t next; /* one above the highest counter seen; 0: none yet */
	uint64_t words[SMQ_REPLAY_WORDS];
};

/* SMQ_ERR_REPLAY: seen, or too old to tell. Changes nothing. */
SMQ_MUST_USE smq_err smq_replay_check_any(const struct smq_replay *r, uint64_t counter);
static inline SMQ_MUST_USE smq_err smq_replay_check(const struct smq_replay *r, uint64_t counter)
{
	return counter == r->next && counter <= SMQ_VARINT_MAX ? SMQ_OK : smq_replay_check_any(r, counter);
}
/* Marks a counter that check let pass; returns how many counters it newly skipped (0 for the first one seen:
 * whoever joins late has missed nothing). */
uint64_t smq_replay_commit_any(struct smq_replay *r, uint64_t counter);
static inline uint64_t smq_replay_commit(struct smq_replay *r, uint64_t counter)
{
	if (counter != r->next || counter % 64 == 0)
		return smq_replay_commit_any(r, counter);
	r->next = counter + 1; /* the next one, in a word that is there already: most of them */
	r->words[counter / 64 % SMQ_REPLAY_WORDS] |= UINT64_C(1) << counter % 64;
	return 0;
}
/* Refuses every counter below floor from now on; what is kept across restarts may be no more than such a floor. */
void smq_replay_refuse_below(struct smq_replay *r, uint64_t floor);

/* For keeping it across restarts: a fixed-size encoding (FORMATS.md). */
enum { SMQ_REPLAY_ENCODED_LEN = 8 + 8 * SMQ_REPLAY_WORDS };
void smq_replay_encode(const struct smq_replay *r, uint8_t ret_bytes[SMQ_REPLAY_ENCODED_LEN]);
SMQ_MUST_USE smq_err smq_replay_decode(smq_span bytes, struct smq_replay *ret_replay);

#endif
