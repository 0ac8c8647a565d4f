/* Seeds of a slotted group's seed tree on the wire (PROTOCOL.md 6.3). */
#include "wire/slot_seeds.h"

#include <stdbool.h>

#include "base/wipe.h"
#include "wire/cbor.h"

enum { FIELDS = 3 };

uint64_t smq_slot_seed_first(const struct smq_slot_seed *seed) { return seed->index << seed->level; }

uint64_t smq_slot_seed_last(const struct smq_slot_seed *seed) { return ((seed->index + 1) << seed->level) - 1; }

unsigned smq_slot_level_at(uint64_t first, uint64_t last, unsigned top)
{
	unsigned level = 0;
	while (level < top && (first >> level) % 2 == 0 && first + (UINT64_C(2) << level) - 1 <= last)
		level++;
	return level;
}

smq_err smq_slot_seeds_encode(const struct smq_slot_seeds *seeds, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, seeds->count);
	for (size_t i = 0; i < seeds->count; i++) {
		const struct smq_slot_seed *s = &seeds->seeds[i];
		smq_cbor_put_array(&w, FIELDS);
		smq_cbor_put_uint(&w, s->level);
		smq_cbor_put_uint(&w, s->index);
		smq_cbor_put_bytes(&w, smq_span_of(s->key.b, sizeof(s->key.b)));
	}
	return smq_writer_end(&w, ret_len);
}

static void read_seed(struct smq_reader *r, unsigned levels, struct smq_slot_seed *s)
{
	if (smq_cbor_get_array(r) != FIELDS)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	uint64_t level = smq_cbor_get_uint(r);
	s->index = smq_cbor_get_uint(r);
	smq_span key = smq_cbor_get_bytes(r);
	if (level > levels || key.len != sizeof(s->key.b) || s->index >> (levels - level) != 0) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return;
	}
	s->level = (unsigned)level;
	memcpy(s->key.b, key.p, sizeof(s->key.b));
}

/* Anything but the shortest list would let a holder's seeds outgrow their room when it splits one of them. */
static bool is_interval(const struct smq_slot_seeds *s, unsigned levels)
{
	uint64_t at = s->count ? smq_slot_seed_first(&s->seeds[0]) : 0;
	uint64_t last = s->count ? smq_slot_seed_last(&s->seeds[s->count - 1]) : 0;
	for (size_t i = 0; i < s->count; i++) {
		if (smq_slot_seed_first(&s->seeds[i]) != at || s->seeds[i].level != smq_slot_level_at(at, last, levels))
			return false;
		at = smq_slot_seed_last(&s->seeds[i]) + 1;
	}
	return true;
}

smq_err smq_slot_seeds_decode(smq_span bytes, unsigned levels, struct smq_slot_seeds *ret_seeds)
{
	struct smq_slot_seeds s = { 0 };
	struct smq_reader r = smq_reader_on(bytes);
	size_t count = smq_cbor_get_array(&r);
	if (levels > SMQ_SLOT_LEVELS_MAX || count > SMQ_SLOT_SEEDS_MAX)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	while (r.err == SMQ_OK && s.count < count)
		read_seed(&r, levels, &s.seeds[s.count++]);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK && !is_interval(&s, levels))
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK)
		*ret_seeds = s;
	smq_wipe(&s, sizeof(s));
	return err;
}
