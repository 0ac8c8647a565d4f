/* core/slots: which slots a seed opens, which it does not, and what time does to them (PROTOCOL.md 6.3). */
#include <stdio.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "base/table.h"
#include "core/keyschedule.h"
#include "core/slots.h"

enum { SMALL = 5, SMALL_SLOTS = 1 << SMALL };

/* ---- a crypto port that counts derivations ---- */

static struct smq_crypto counting;
static size_t derivations;

static smq_err count_hmac(smq_span key, const smq_span *parts, size_t count, uint8_t ret_mac[SMQ_HASH_LEN])
{
	derivations++;
	return smq_crypto_openssl()->hmac_sha256(key, parts, count, ret_mac);
}

static int start(void **state)
{
	(void)state;
	counting = *smq_crypto_openssl();
	counting.hmac_sha256 = count_hmac;
	return 0;
}

static smq_err seven(void *self, smq_mspan room)
{
	memset(room.p, *(const uint8_t *)self, room.len);
	return SMQ_OK;
}

static struct smq_slot_tree tree_of(unsigned levels, uint64_t number, uint8_t seed)
{
	struct smq_slot_tree t;
	struct smq_random random = { &seed, seven };
	assert_int_equal(smq_slot_tree_init(&t, &counting, &random, number, levels), SMQ_OK);
	return t;
}

/* What goes over the wire and into a holder. */
static void grant(const struct smq_slot_tree *t, uint64_t first, uint64_t last, uint64_t floor,
		  struct smq_slot_holder *h)
{
	struct smq_slot_seeds seeds, back;
	uint8_t bytes[SMQ_SLOT_SEEDS_BYTES_MAX];
	size_t len = 0;
	assert_int_equal(smq_slot_cover(t, first, last, &seeds), SMQ_OK);
	assert_int_equal(smq_slot_seeds_encode(&seeds, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	assert_int_equal(smq_slot_seeds_decode(smq_span_of(bytes, len), t->levels, &back), SMQ_OK);
	assert_int_equal(smq_slot_holder_init(h, &counting, t->number, t->levels, floor, &back), SMQ_OK);
}

/* Every key of a small tree, each derived from a grant for that slot alone. */
static struct smq_slot_key truth[SMALL_SLOTS];

static void learn_truth(const struct smq_slot_tree *t)
{
	for (uint64_t s = 0; s < SMALL_SLOTS; s++) {
		struct smq_slot_holder h;
		grant(t, s, s, 0, &h);
		assert_int_equal(h.seeds.count, 1);
		assert_int_equal(h.seeds.seeds[0].level, 0);
		truth[s] = h.seeds.seeds[0].key;
		for (uint64_t other = 0; other < s; other++)
			assert_memory_not_equal(&truth[other], &truth[s], sizeof(truth[s]));
	}
}

/* Whether the holder has the right key for the slots first to last, and none for the others. */
static bool opens_exactly(const struct smq_slot_holder *h, uint64_t first, uint64_t last)
{
	for (uint64_t s = 0; s < SMALL_SLOTS; s++) {
		struct smq_slot_key key;
		bool has = smq_slot_holder_key(h, s, &key) == SMQ_OK;
		if (has != (s >= first && s <= last) || (has && memcmp(&key, &truth[s], sizeof(key)) != 0))
			return false;
	}
	return true;
}

static void every_interval_opens_itself(void **state)
{
	(void)state;
	struct smq_slot_tree t = tree_of(SMALL, 0, 7);
	struct smq_slot_holder h;
	learn_truth(&t);
	for (uint64_t a = 0; a < SMALL_SLOTS; a++) {
		for (uint64_t b = a; b < SMALL_SLOTS; b++) {
			grant(&t, a, b, 0, &h);
			assert_true(opens_exactly(&h, a, b));
			assert_true(h.seeds.count <= 2 * SMALL - 2);
			/* the check itself tells one slot more or less on either side */
			assert_false(opens_exactly(&h, a + 1, b));
			assert_false(opens_exactly(&h, a, b + 1) && b + 1 < SMALL_SLOTS);
			assert_false(a > 0 && opens_exactly(&h, a - 1, b));
		}
	}
}

/* No seed of a grant may be an ancestor of a slot outside of it, whatever a holder does with it. */
static void two_holders_together(void **state)
{
	(void)state;
	struct smq_slot_tree t = tree_of(4, 0, 7);
	for (uint64_t a = 0; a < 16; a++) {
		for (uint64_t b = a; b < 16; b++) {
			for (uint64_t c = 0; c < 16; c += 3) {
				struct smq_slot_seeds pool[2];
				uint64_t d = (c + b) % 16 < c ? c : (c + b) % 16;
				assert_int_equal(smq_slot_cover(&t, a, b, &pool[0]), SMQ_OK);
				assert_int_equal(smq_slot_cover(&t, c, d, &pool[1]), SMQ_OK);
				for (uint64_t s = 0; s < 16; s++) {
					bool covered = false;
					for (size_t i = 0; i < pool[0].count + pool[1].count; i++) {
						const struct smq_slot_seed *x = i < pool[0].count
										    ? &pool[0].seeds[i]
										    : &pool[1].seeds[i - pool[0].count];
						covered |= s >> x->level == x->index;
					}
					assert_int_equal(covered, (s >= a && s <= b) || (s >= c && s <= d));
				}
			}
		}
	}
}

static void forgetting_at_every_floor(void **state)
{
	(void)state;
	struct smq_slot_tree t = tree_of(SMALL, 0, 7);
	struct smq_slot_holder h, late;
	struct smq_slot_key key;
	learn_truth(&t);
	for (uint64_t a = 0; a < SMALL_SLOTS; a += 3) {
		for (uint64_t b = a; b < SMALL_SLOTS; b++) {
			grant(&t, a, b, 0, &h);
			for (uint64_t floor = 1; floor <= SMALL_SLOTS; floor++) {
				assert_int_equal(smq_slot_holder_forget(&h, floor), SMQ_OK);
				assert_true(opens_exactly(&h, a > floor ? a : floor, b));
				for (size_t i = 0; i < h.seeds.count; i++)
					assert_true(smq_slot_seed_first(&h.seeds.seeds[i]) >= floor);
				assert_int_equal(smq_slot_holder_key(&h, floor - 1, &key), SMQ_ERR_STALE_EPOCH);
				/* the clock jumps back */
				assert_int_equal(smq_slot_holder_forget(&h, floor - 1), SMQ_OK);
				assert_int_equal(h.floor, floor);
			}
			assert_int_equal(h.seeds.count, 0);
			/* granted again after a restart with a persisted floor: what has passed stays closed */
			grant(&t, a, b, b, &late);
			assert_true(opens_exactly(&late, b, b));
		}
	}
}

static void trees_of_all_sizes(void **state)
{
	(void)state;
	static const struct {
		unsigned levels;
		size_t most_seeds, most_derivations;
	} rows[] = { { 0, 1, 0 }, { 1, 1, 1 }, { 2, 2, 2 }, { 16, 30, 16 }, { 20, 38, 20 } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_slot_tree t = tree_of(rows[i].levels, 3, 9);
		struct smq_slot_holder whole, h;
		struct smq_slot_key key, same;
		uint64_t n = UINT64_C(1) << rows[i].levels, base = 3 * n, a = n > 2 ? 1 : 0, b = n > 2 ? n - 2 : n - 1;
		uint8_t bytes[SMQ_SLOT_SEEDS_BYTES_MAX];
		size_t len = 0;
		grant(&t, 0, n - 1, 0, &whole);
		assert_int_equal(whole.seeds.count, 1);
		derivations = 0;
		assert_int_equal(smq_slot_holder_key(&whole, base + b, &key), SMQ_OK);
		assert_int_equal(derivations, rows[i].most_derivations);
		derivations = 0;
		assert_int_equal(smq_slot_cover(&t, a, b, &h.seeds), SMQ_OK);
		printf("# %2u levels: [%llu, %llu] takes %zu seeds and %zu derivations", rows[i].levels,
		       (unsigned long long)a, (unsigned long long)b, h.seeds.count, derivations);
		assert_int_equal(h.seeds.count, rows[i].most_seeds);
		assert_int_equal(smq_slot_seeds_encode(&h.seeds, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
		printf(", %zu bytes; a slot's key from the root %zu derivations\n", len, rows[i].most_derivations);
		grant(&t, a, b, 0, &h);
		assert_int_equal(smq_slot_holder_key(&h, base + b, &same), SMQ_OK);
		assert_memory_equal(&key, &same, sizeof(key));
		assert_int_equal(smq_slot_holder_key(&h, base + n, &key), SMQ_ERR_NO_KEY);
		assert_int_equal(smq_slot_holder_key(&h, base - 1, &key), SMQ_ERR_NO_KEY);
		for (uint64_t s = a; s <= b; s += n / 7 + 1) {
			assert_int_equal(smq_slot_holder_forget(&h, base + s), SMQ_OK);
			assert_true(h.seeds.count <= 2 * rows[i].levels + 1);
			assert_int_equal(smq_slot_holder_key(&h, base + s, &same), SMQ_OK);
		}
		assert_int_equal(smq_slot_holder_forget(&h, base + n), SMQ_OK);
		assert_int_equal(h.seeds.count, 0);
	}
}

static void no_interval(void **state)
{
	(void)state;
	struct smq_slot_tree t = tree_of(SMALL, 0, 7);
	struct smq_slot_seeds seeds;
	struct smq_random random = { &(uint8_t){ 1 }, seven };
	assert_int_equal(smq_slot_cover(&t, 3, 2, &seeds), SMQ_ERR_USAGE);
	assert_int_equal(smq_slot_cover(&t, 0, SMALL_SLOTS, &seeds), SMQ_ERR_USAGE);
	assert_int_equal(smq_slot_cover(&t, SMALL_SLOTS, SMALL_SLOTS, &seeds), SMQ_ERR_USAGE);
	assert_int_equal(smq_slot_cover(&t, 0, UINT64_MAX, &seeds), SMQ_ERR_USAGE);
	assert_int_equal(smq_slot_tree_init(&t, &counting, &random, 0, SMQ_SLOT_LEVELS_MAX + 1), SMQ_ERR_USAGE);
	assert_int_equal(smq_slot_tree_init(&t, &counting, &random, SMQ_SLOT_MAX, 1), SMQ_ERR_USAGE);
}

/* ---- the wire ---- */

static void other_spellings_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		size_t count;
		unsigned at[3][2];
		smq_err want;
	} rows[] = {
		{ "nothing", 0, { { 0 } }, SMQ_OK },
		{ "one slot", 1, { { 0, 3 } }, SMQ_OK },
		{ "3 to 5", 2, { { 0, 3 }, { 1, 2 } }, SMQ_OK },
		{ "3 to 8", 3, { { 0, 3 }, { 2, 1 }, { 0, 8 } }, SMQ_OK },
		{ "all", 1, { { 5, 0 } }, SMQ_OK },
		{ "beyond the end", 1, { { 0, 32 } }, SMQ_ERR_MALFORMED },
		{ "beyond the end, higher", 1, { { 4, 2 } }, SMQ_ERR_MALFORMED },
		{ "above the root", 1, { { 6, 0 } }, SMQ_ERR_MALFORMED },
		{ "level 64", 1, { { 64, 0 } }, SMQ_ERR_MALFORMED },
		{ "a gap", 2, { { 0, 3 }, { 0, 5 } }, SMQ_ERR_MALFORMED },
		{ "overlap", 2, { { 0, 3 }, { 1, 1 } }, SMQ_ERR_MALFORMED },
		{ "falling", 2, { { 1, 2 }, { 0, 3 } }, SMQ_ERR_MALFORMED },
		{ "twice", 2, { { 0, 3 }, { 0, 3 } }, SMQ_ERR_MALFORMED },
		{ "more than needed", 2, { { 0, 2 }, { 0, 3 } }, SMQ_ERR_MALFORMED },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_slot_seeds seeds = { .count = rows[i].count }, back;
		uint8_t bytes[SMQ_SLOT_SEEDS_BYTES_MAX];
		size_t len = 0;
		for (size_t k = 0; k < rows[i].count; k++) {
			seeds.seeds[k].level = rows[i].at[k][0];
			seeds.seeds[k].index = rows[i].at[k][1];
		}
		assert_int_equal(smq_slot_seeds_encode(&seeds, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
		if (smq_slot_seeds_decode(smq_span_of(bytes, len), SMALL, &back) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].what);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_not_equal(smq_slot_seeds_decode(smq_span_of(bytes, cut), SMALL, &back), SMQ_OK);
		assert_int_equal(smq_slot_seeds_decode(smq_span_of(bytes, len), SMQ_SLOT_LEVELS_MAX + 1, &back),
				 SMQ_ERR_MALFORMED);
	}
	struct smq_slot_seeds back;
	assert_int_equal(smq_slot_seeds_decode(smq_span_of("\x98\x29\x00", 3), SMALL, &back), SMQ_ERR_MALFORMED);
}

/* ---- time ---- */

#define DAY_MS INT64_C(86400000)

static void times(void **state)
{
	(void)state;
	static const struct {
		int64_t start;
		uint64_t slot_ms;
		int64_t at;
		smq_err err;
		uint64_t slot;
	} rows[] = {
		{ 1000, 10000, 999, SMQ_ERR_STATE, 0 },
		{ 1000, 10000, 1000, SMQ_OK, 0 },
		{ 1000, 10000, 10999, SMQ_OK, 0 },
		{ 1000, 10000, 11000, SMQ_OK, 1 },
		{ 0, 10000, 655360000 - 1, SMQ_OK, 65535 },
		{ 0, 10000, 655360000, SMQ_OK, 65536 }, /* day 7.6: the next tree, no end */
		{ 0, 1, INT64_MAX, SMQ_OK, SMQ_SLOT_MAX },
		{ INT64_MIN, UINT64_MAX, INT64_MAX, SMQ_OK, 1 },
		{ INT64_MIN, 1, INT64_MAX, SMQ_OK, SMQ_SLOT_MAX },
		{ INT64_MAX, 1, INT64_MIN, SMQ_ERR_STATE, 0 },
		{ -5000, 1000, -1, SMQ_OK, 4 },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_slot_times t = { rows[i].start, rows[i].slot_ms, 16, 0 };
		uint64_t slot = 0;
		if (smq_slot_at(&t, rows[i].at, &slot) != rows[i].err || slot != rows[i].slot)
			fail_msg("row %zu: slot %llu", i, (unsigned long long)slot);
		if (rows[i].err == SMQ_OK && slot < SMQ_SLOT_MAX) {
			assert_true(smq_slot_begins_ms(&t, slot) <= rows[i].at);
			assert_true(smq_slot_begins_ms(&t, slot + 1) > rows[i].at ||
				    smq_slot_begins_ms(&t, slot + 1) == INT64_MAX);
		}
	}
	struct smq_slot_times t = { 0, 10000, 16, 0 };
	assert_true(smq_slot_begins_ms(&t, SMQ_SLOT_MAX) == INT64_MAX);
	assert_true(smq_slot_begins_ms(&t, 65536) == 655360000);
	assert_int_equal(smq_slot_tree_of(16, 65535), 0);
	assert_int_equal(smq_slot_tree_of(16, 65536), 1);
}

/* "Leases shorter than a slot, very long, or overflowing got no answer." */
static void leases(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t from, until;
		smq_err err;
		uint64_t first, last;
	} rows[] = {
		{ "a millisecond", 15000, 15001, SMQ_OK, 1, 1 },
		{ "a millisecond, to the boundary", 19999, 20000, SMQ_OK, 1, 1 },
		{ "across a boundary", 19999, 20001, SMQ_OK, 1, 2 },
		{ "one slot", 10000, 20000, SMQ_OK, 1, 1 },
		{ "from before the start", -50000, 20000, SMQ_OK, 0, 1 },
		{ "8 days", 0, 8 * DAY_MS, SMQ_OK, 0, 69119 },
		{ "for ever", 0, INT64_MAX, SMQ_OK, 0, SMQ_SLOT_MAX },
		{ "all of time", INT64_MIN, INT64_MAX, SMQ_OK, 0, SMQ_SLOT_MAX },
		{ "empty", 15000, 15000, SMQ_ERR_USAGE, 0, 0 },
		{ "backwards", 15000, 14999, SMQ_ERR_USAGE, 0, 0 },
		{ "backwards through all of time", INT64_MAX, INT64_MIN, SMQ_ERR_USAGE, 0, 0 },
		{ "over before the start", -50000, 0, SMQ_ERR_USAGE, 0, 0 },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_slot_times t = { 0, 10000, 16, 0 };
		uint64_t first = 0, last = 0;
		if (rows[i].last == SMQ_SLOT_MAX)
			t.slot_ms = 1;
		smq_err err = smq_slot_interval(&t, rows[i].from, rows[i].until, &first, &last);
		if (err != rows[i].err || first != rows[i].first || last != rows[i].last)
			fail_msg("row %zu, %s: %s [%llu, %llu]", i, rows[i].what, smq_err_name(err),
				 (unsigned long long)first, (unsigned long long)last);
	}
}

/* "After 65,536 slots of 10 s the tree ended": a lease that runs on into the next tree is served from both. */
static void a_lease_over_two_trees(void **state)
{
	(void)state;
	struct smq_slot_tree t[2] = { tree_of(16, 0, 1), tree_of(16, 1, 2) };
	struct smq_slot_holder h[2];
	struct smq_slot_key key;
	uint64_t first = 65530, last = 65540, a, b;
	for (unsigned i = 0; i < 2; i++) {
		assert_true(smq_slot_part(16, i, first, last, &a, &b));
		assert_int_equal(a, i == 0 ? 65530 : 0);
		assert_int_equal(b, i == 0 ? 65535 : 4);
		grant(&t[i], a, b, 0, &h[i]);
	}
	assert_false(smq_slot_part(16, 2, first, last, &a, &b));
	assert_false(smq_slot_part(16, 0, 5, 4, &a, &b));
	assert_true(smq_slot_part(16, 7, 0, SMQ_SLOT_MAX, &a, &b) && a == 0 && b == 65535);
	for (uint64_t s = first - 1; s <= last + 1; s++) {
		smq_err err = smq_slot_holder_key(&h[s >> 16], s, &key);
		assert_int_equal(err, s >= first && s <= last ? SMQ_OK : SMQ_ERR_NO_KEY);
	}
	/* time goes on into the second tree: the first is forgotten as a whole */
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(smq_slot_holder_forget(&h[i], 65537), SMQ_OK);
	assert_int_equal(h[0].seeds.count, 0);
	assert_int_equal(smq_slot_holder_key(&h[0], 65530, &key), SMQ_ERR_STALE_EPOCH);
	assert_int_equal(smq_slot_holder_key(&h[1], 65536, &key), SMQ_ERR_STALE_EPOCH);
	assert_int_equal(smq_slot_holder_key(&h[1], 65537, &key), SMQ_OK);
	/* a holder of a tree to come keeps all of it */
	grant(&t[1], 0, 65535, 65530, &h[0]);
	assert_int_equal(smq_slot_holder_key(&h[0], 65536, &key), SMQ_OK);
}

static void skew(void **state)
{
	(void)state;
	struct smq_slot_times t = { 0, 10000, 16, 2000 };
	static const struct {
		int64_t now;
		uint64_t slot;
		bool due;
	} rows[] = {
		{ 15000, 1, true },  { 15000, 0, false },     { 15000, 2, false },     { 11999, 0, true },
		{ 12000, 0, false }, { 17999, 2, false },     { 18000, 2, true },      { -2000, 0, true },
		{ -2001, 0, false }, { INT64_MIN, 0, false }, { INT64_MAX, 0, false },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (smq_slot_is_due(&t, rows[i].slot, rows[i].now) != rows[i].due)
			fail_msg("row %zu", i);
	}
	assert_int_equal(smq_slot_floor(&t, 11999), 0);
	assert_int_equal(smq_slot_floor(&t, 12000), 1);
	assert_int_equal(smq_slot_floor(&t, INT64_MIN), 0);
	/* two clocks that are as far apart as they may be understand each other at every moment */
	for (int64_t now = 0; now < 60000; now += 250) {
		uint64_t theirs;
		assert_int_equal(smq_slot_at(&t, now, &theirs), SMQ_OK);
		assert_true(smq_slot_is_due(&t, theirs, now + 2000));
		assert_true(smq_slot_is_due(&t, theirs, now - 2000));
		assert_true(smq_slot_floor(&t, now + 2000) <= theirs);
	}
}

static void traffic_takes_both_secrets(void **state)
{
	(void)state;
	struct smq_epoch_secret epoch = { { 1 } }, other_epoch = { { 2 } };
	struct smq_slot_key slot = { { 3 } }, other_slot = { { 4 } };
	struct smq_traffic_secret s[5];
	smq_span realm = smq_span_str("plant"), group = smq_span_str("g");
	const struct smq_crypto *c = &counting;
	assert_int_equal(smq_slot_traffic_secret(c, &epoch, &slot, realm, group, 5, 6, &s[0]), SMQ_OK);
	assert_int_equal(smq_slot_traffic_secret(c, &other_epoch, &slot, realm, group, 5, 6, &s[1]), SMQ_OK);
	assert_int_equal(smq_slot_traffic_secret(c, &epoch, &other_slot, realm, group, 5, 6, &s[2]), SMQ_OK);
	assert_int_equal(smq_slot_traffic_secret(c, &epoch, &slot, realm, group, 5, 7, &s[3]), SMQ_OK);
	assert_int_equal(smq_group_traffic_secret(c, &epoch, realm, group, 5, &s[4]), SMQ_OK);
	for (size_t i = 0; i < SMQ_COUNT(s); i++) {
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(&s[i], &s[k], sizeof(s[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_interval_opens_itself),
		cmocka_unit_test(two_holders_together),
		cmocka_unit_test(forgetting_at_every_floor),
		cmocka_unit_test(trees_of_all_sizes),
		cmocka_unit_test(no_interval),
		cmocka_unit_test(other_spellings_are_refused),
		cmocka_unit_test(times),
		cmocka_unit_test(leases),
		cmocka_unit_test(a_lease_over_two_trees),
		cmocka_unit_test(skew),
		cmocka_unit_test(traffic_takes_both_secrets),
	};
	return cmocka_run_group_tests(tests, start, NULL);
}
