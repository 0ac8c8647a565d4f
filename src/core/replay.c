/* The sliding replay window (RFC 6479's bitmap; PROTOCOL.md 3.6). */
#include "core/replay.h"

#include "base/big_endian.h"
#include "base/hot.h"

enum { WORD_BITS = 64 };

/* One word more than the width needs, so that a whole word can be cleared while the others still cover the width. */
SMQ_HOT static uint64_t *word_of(struct smq_replay *r, uint64_t counter)
{
	return &r->words[counter / WORD_BITS % SMQ_REPLAY_WORDS];
}

static uint64_t bit_of(uint64_t counter) { return UINT64_C(1) << counter % WORD_BITS; }

SMQ_HOT smq_err smq_replay_check_any(const struct smq_replay *r, uint64_t counter)
{
	if (counter > SMQ_VARINT_MAX)
		return SMQ_ERR_REPLAY;
	if (counter >= r->next)
		return SMQ_OK;
	if (r->next - counter > SMQ_REPLAY_WIDTH)
		return SMQ_ERR_REPLAY;
	return r->words[counter / WORD_BITS % SMQ_REPLAY_WORDS] & bit_of(counter) ? SMQ_ERR_REPLAY : SMQ_OK;
}

/* Clears the words that lie above the highest counter so far, up to and with the new one's. */
SMQ_HOT static void advance(struct smq_replay *r, uint64_t counter)
{
	uint64_t from = r->next == 0 ? 0 : (r->next - 1) / WORD_BITS + 1;
	uint64_t to = counter / WORD_BITS;
	if (to >= from + SMQ_REPLAY_WORDS)
		from = to - SMQ_REPLAY_WORDS + 1;
	for (uint64_t i = from; i <= to; i++)
		r->words[i % SMQ_REPLAY_WORDS] = 0;
}

SMQ_HOT uint64_t smq_replay_commit_any(struct smq_replay *r, uint64_t counter)
{
	uint64_t skipped = 0;
	if (counter >= r->next) {
		skipped = r->next == 0 ? 0 : counter - r->next;
		advance(r, counter);
		r->next = counter + 1;
	}
	*word_of(r, counter) |= bit_of(counter);
	return skipped;
}

void smq_replay_refuse_below(struct smq_replay *r, uint64_t floor)
{
	if (floor <= r->next)
		return;
	r->next = floor;
	memset(r->words, 0xff, sizeof(r->words));
	/* Above the floor the last word is clean, as advance() leaves it. */
	if (floor % WORD_BITS != 0)
		*word_of(r, floor) = bit_of(floor) - 1;
}

/* ---- kept across restarts ---- */

void smq_replay_encode(const struct smq_replay *r, uint8_t ret_bytes[SMQ_REPLAY_ENCODED_LEN])
{
	uint8_t *at = smq_put_be(ret_bytes, r->next, sizeof(uint64_t));
	for (size_t i = 0; i < SMQ_REPLAY_WORDS; i++)
		at = smq_put_be(at, r->words[i], sizeof(uint64_t));
}

/* Bits above the highest counter, or a highest counter that was not seen: nothing that commit leaves behind. */
static smq_err check_encoded(struct smq_replay *r)
{
	uint64_t any = 0;
	for (size_t i = 0; i < SMQ_REPLAY_WORDS; i++)
		any |= r->words[i];
	if (r->next == 0)
		return any ? SMQ_ERR_CORRUPT : SMQ_OK;
	if (r->next - 1 > SMQ_VARINT_MAX)
		return SMQ_ERR_CORRUPT;
	uint64_t high = bit_of(r->next - 1);
	return *word_of(r, r->next - 1) / high == 1 ? SMQ_OK : SMQ_ERR_CORRUPT;
}

smq_err smq_replay_decode(smq_span bytes, struct smq_replay *ret_replay)
{
	struct smq_replay r;
	if (bytes.len != SMQ_REPLAY_ENCODED_LEN)
		return SMQ_ERR_CORRUPT;
	r.next = smq_get_be(bytes.p, sizeof(uint64_t));
	for (size_t i = 0; i < SMQ_REPLAY_WORDS; i++)
		r.words[i] = smq_get_be(bytes.p + 8 + 8 * i, sizeof(uint64_t));
	smq_err err = check_encoded(&r);
	if (err == SMQ_OK)
		*ret_replay = r;
	return err;
}
