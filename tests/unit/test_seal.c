/* core/seal with the OpenSSL adapter: what a message is bound to, and what no opener takes (PROTOCOL.md 3.3 to 3.6). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include <sealmq/client.h>

#include "base/table.h"
#include "base/text.h"
#include "base/varint.h"
#include "core/keyschedule.h"
#include "core/seal.h"

enum { ROOM = 1024 };

static const struct smq_traffic_secret secret = { { 1, 2, 3, 4, 5 } };
static const char topic[] = "plant/fridge-07/temperature";
static const char plain[] = "{\"fridge_temperature\": 13.1, \"temp_condition\": \"high\"}";

static size_t allocations;

static void *count_malloc(size_t n, const char *file, int line)
{
	(void)file, (void)line;
	allocations++;
	return malloc(n);
}

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file, (void)line;
	allocations++;
	return realloc(p, n);
}

static void count_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	free(p);
}

static struct smq_seal_context context_of(enum smq_sealed_kind kind)
{
	struct smq_seal_context c = { .kind = kind,
				      .alg = smq_aead_alg_by_id(SMQ_A128GCM),
				      .realm = smq_span_str("plant"),
				      .group = smq_span_str("telemetry"),
				      .sender = smq_span_str("fridge-07"),
				      .recipient = smq_span_str("archive"),
				      .key_id = { 0x11, 0x22, 0x33, 0x44 },
				      .epoch = 3,
				      .slot = 9,
				      .sender_id = 7,
				      .manifest = { 0xaa },
				      .boot_id = { 0xb0, 0x07 } };
	return c;
}

struct pair {
	struct smq_sealer sealer;
	struct smq_opener opener;
};

static void pair_init(struct pair *p, const struct smq_seal_context *to, const struct smq_seal_context *from)
{
	assert_int_equal(smq_sealer_init(&p->sealer, smq_crypto_openssl(), &secret, to), SMQ_OK);
	assert_int_equal(smq_opener_init(&p->opener, smq_crypto_openssl(), &secret, from), SMQ_OK);
}

static void pair_done(struct pair *p)
{
	smq_sealer_done(&p->sealer);
	smq_opener_done(&p->opener);
}

static size_t seal_to(struct smq_sealer *s, int64_t stamp_ms, uint8_t *room)
{
	size_t len = 0;
	assert_int_equal(smq_seal(s, smq_span_str(topic), stamp_ms, smq_span_str(plain), smq_mspan_of(room, ROOM), &len),
			 SMQ_OK);
	return len;
}

/* Decodes and opens; any failure on the way is the result. */
static smq_err open_from(struct smq_opener *o, const char *under, const uint8_t *bytes, size_t len)
{
	uint8_t out[ROOM];
	size_t out_len = 0;
	struct smq_sealed sealed;
	smq_err err = smq_sealed_decode(smq_span_of(bytes, len), &sealed);
	if (err == SMQ_OK)
		err = smq_open(o, &sealed, smq_span_str(under), smq_mspan_of(out, sizeof(out)), &out_len, NULL);
	if (err == SMQ_OK) {
		assert_int_equal(out_len, strlen(plain));
		assert_memory_equal(out, plain, out_len);
	}
	return err;
}

static void every_kind_algorithm_and_form_round_trips(void **state)
{
	(void)state;
	static const int algs[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	for (int kind = 0; kind < 5; kind++) {
		for (size_t a = 0; a < SMQ_COUNT(algs); a++) {
			for (int form = 0; form < 4; form++) {
				struct smq_seal_context c = context_of((enum smq_sealed_kind)kind);
				struct pair p;
				uint8_t bytes[ROOM];
				c.alg = smq_aead_alg_by_id(algs[a]);
				pair_init(&p, &c, &c);
				p.sealer.cose = form & 1;
				for (int i = 0; i < 3; i++) {
					size_t len = seal_to(&p.sealer, form & 2 ? 1795259500123 : -1, bytes);
					assert_true(len <= smq_sealed_room(strlen(plain)));
					assert_int_equal(bytes[0] == 0xd0, form & 1);
					assert_int_equal(open_from(&p.opener, topic, bytes, len), SMQ_OK);
					assert_int_equal(open_from(&p.opener, topic, bytes, len), SMQ_ERR_REPLAY);
				}
				pair_done(&p);
			}
		}
	}
}

/* What both ends must agree on. Where the header names a field, the opener does not even try: those rows patch the
 * message to name the opener's value, so that it is the tag that refuses. */
static void change(struct smq_seal_context *c, int field)
{
	switch (field) {
	case 0: c->alg = smq_aead_alg_by_id(SMQ_A256GCM); break;
	case 1: c->realm = smq_span_str("plant2"); break;
	case 2: c->group = smq_span_str("telemetri"); break;
	case 3: c->sender = smq_span_str("fridge-08"); break;
	case 4: c->recipient = smq_span_str("archive2"); break;
	case 5: c->key_id[3] ^= 1; break;
	case 6: c->epoch++; break;
	case 7: c->slot--; break;
	case 8: c->sender_id++; break;
	case 9: c->manifest[31] ^= 1; break;
	case 10: c->boot_id[15] ^= 1; break;
	case 11: c->group = smq_span_str("telemetryf"), c->sender = smq_span_str("ridge-07"); break;
	default: break;
	}
}

static void swapping_any_one_context_field_makes_open_fail(void **state)
{
	(void)state;
	static const struct {
		int number;
		const char *what;
		enum smq_sealed_kind kind;
		int field;
	} rows[] = {
		{ 1, "algorithm, session", SMQ_SEALED_SESSION, 0 },
		{ 2, "algorithm, group", SMQ_SEALED_GROUP, 0 },
		{ 3, "realm", SMQ_SEALED_SESSION, 1 },
		{ 4, "realm, group", SMQ_SEALED_GROUP, 1 },
		{ 5, "group", SMQ_SEALED_GROUP, 2 },
		{ 6, "sender", SMQ_SEALED_SESSION, 3 },
		{ 7, "sender, group", SMQ_SEALED_GROUP, 3 },
		{ 8, "recipient", SMQ_SEALED_SESSION, 4 },
		{ 9, "key id", SMQ_SEALED_SESSION, 5 },
		{ 10, "epoch", SMQ_SEALED_GROUP, 6 },
		{ 11, "epoch, slot", SMQ_SEALED_SLOT, 6 },
		{ 12, "slot", SMQ_SEALED_SLOT, 7 },
		{ 13, "slot, boot id", SMQ_SEALED_SLOT_BOOT, 7 },
		{ 14, "sender id", SMQ_SEALED_GROUP, 8 },
		{ 15, "manifest, session", SMQ_SEALED_SESSION, 9 },
		{ 16, "manifest, group", SMQ_SEALED_GROUP, 9 },
		{ 17, "boot id, session", SMQ_SEALED_SESSION, 10 },
		{ 18, "boot id, bound to the sender id", SMQ_SEALED_GROUP, 10 },
		{ 19, "boot id in full", SMQ_SEALED_GROUP_BOOT, 10 },
		{ 20, "boot id in full, slot", SMQ_SEALED_SLOT_BOOT, 10 },
		{ 21, "a letter moved between group and sender", SMQ_SEALED_GROUP, 11 },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_seal_context mine = context_of(rows[i].kind), theirs = mine;
		struct pair p;
		uint8_t bytes[ROOM], patched[ROOM], out[ROOM];
		struct smq_sealed s;
		size_t len = 0;
		change(&theirs, rows[i].field);
		pair_init(&p, &mine, &theirs);
		assert_int_equal(smq_sealed_decode(smq_span_of(bytes, seal_to(&p.sealer, -1, bytes)), &s), SMQ_OK);
		struct smq_sealed renamed = p.opener.key.header;
		renamed.counter = s.counter;
		renamed.ciphertext = s.ciphertext;
		assert_int_equal(smq_sealed_encode(&renamed, smq_mspan_of(patched, ROOM), &len), SMQ_OK);
		if (open_from(&p.opener, topic, patched, len) != SMQ_ERR_OPEN)
			fail_msg("row %d: %s", rows[i].number, rows[i].what);
		assert_false(smq_opens_under(&p.opener, &s, smq_span_str(topic), smq_mspan_of(out, ROOM)));
		pair_done(&p);
		/* and that it is this field alone that refused */
		pair_init(&p, &theirs, &theirs);
		len = seal_to(&p.sealer, -1, bytes);
		assert_int_equal(open_from(&p.opener, topic, bytes, len), SMQ_OK);
		pair_done(&p);
	}
}

static void kinds_do_not_share_a_key(void **state)
{
	(void)state;
	uint8_t digests[5][SMQ_HASH_LEN];
	for (int kind = 0; kind < 5; kind++) {
		struct smq_seal_context c = context_of((enum smq_sealed_kind)kind);
		assert_int_equal(smq_context_digest(smq_crypto_openssl(), &c, digests[kind]), SMQ_OK);
		for (int other = 0; other < kind; other++)
			assert_memory_not_equal(digests[kind], digests[other], SMQ_HASH_LEN);
	}
}

static void a_message_belongs_to_its_topic(void **state)
{
	(void)state;
	static char longest[SMQ_TOPIC_AAD_MAX + 2];
	static const size_t lengths[] = { 1, 23, 24, 255, 256, 511, 512, 513, 1024, 65534, 65535 };
	struct smq_seal_context c = context_of(SMQ_SEALED_SESSION);
	struct pair p;
	uint8_t bytes[ROOM], out[ROOM];
	size_t len = 0, out_len = 0;
	struct smq_sealed s;
	memset(longest, 'a', sizeof(longest));
	pair_init(&p, &c, &c);
	for (size_t i = 0; i < SMQ_COUNT(lengths); i++) {
		smq_span at = smq_span_of(longest, lengths[i]), elsewhere = smq_span_of(longest, lengths[i] - 1);
		smq_mspan room = smq_mspan_of(out, sizeof(out));
		assert_int_equal(smq_seal(&p.sealer, at, -1, smq_span_str(plain), smq_mspan_of(bytes, ROOM), &len), SMQ_OK);
		assert_int_equal(smq_sealed_decode(smq_span_of(bytes, len), &s), SMQ_OK);
		assert_int_equal(smq_open(&p.opener, &s, elsewhere, room, &out_len, NULL), SMQ_ERR_OPEN);
		assert_true(smq_opens_under(&p.opener, &s, at, room));
		assert_false(smq_opens_under(&p.opener, &s, elsewhere, room));
		longest[lengths[i] - 1] = 'b';
		assert_false(smq_opens_under(&p.opener, &s, at, room));
		longest[lengths[i] - 1] = 'a';
		assert_int_equal(smq_open(&p.opener, &s, at, room, &out_len, NULL), SMQ_OK);
	}
	uint64_t next = p.sealer.next_counter;
	assert_int_equal(smq_seal(&p.sealer, smq_span_of(longest, SMQ_TOPIC_AAD_MAX + 1), -1, smq_span_str(plain),
				  smq_mspan_of(bytes, ROOM), &len),
			 SMQ_ERR_TOPIC);
	assert_true(p.sealer.next_counter == next);
	pair_done(&p);
}

/* A topic whose text is the hash of a long one must not stand for it. */
static void a_hashed_topic_is_no_other_topic(void **state)
{
	(void)state;
	static char longer[600];
	uint8_t hash[SMQ_HASH_LEN], one[ROOM], other[ROOM];
	size_t one_len = 0, other_len = 0;
	struct smq_seal_context c = context_of(SMQ_SEALED_SESSION);
	struct smq_opener o;
	struct smq_sealed s = { 0 };
	memset(longer, 'x', sizeof(longer));
	smq_span part = smq_span_of(longer, sizeof(longer));
	assert_int_equal(smq_crypto_openssl()->sha256(&part, 1, hash), SMQ_OK);
	assert_int_equal(smq_opener_init(&o, smq_crypto_openssl(), &secret, &c), SMQ_OK);
	assert_int_equal(smq_seal_external_aad(&o.key, &s, part, smq_mspan_of(one, ROOM), &one_len), SMQ_OK);
	assert_int_equal(smq_seal_external_aad(&o.key, &s, smq_span_of(hash, sizeof(hash)), smq_mspan_of(other, ROOM),
					       &other_len),
			 SMQ_OK);
	assert_false(smq_span_equal(smq_span_of(one, one_len), smq_span_of(other, other_len)));
	smq_opener_done(&o);
}

static void stamp_and_signature_flag_are_authenticated(void **state)
{
	(void)state;
	struct smq_seal_context c = context_of(SMQ_SEALED_GROUP);
	static const uint8_t signature[SMQ_SIG_LEN] = { 1 };
	struct pair p;
	uint8_t bytes[ROOM], out[ROOM];
	struct smq_sealed s, t;
	smq_mspan room = smq_mspan_of(out, sizeof(out));
	pair_init(&p, &c, &c);
	assert_int_equal(smq_sealed_decode(smq_span_of(bytes, seal_to(&p.sealer, 0x1234567, bytes)), &s), SMQ_OK);
	assert_int_equal(s.stamp, 0x234567);
	t = s, t.stamp++;
	assert_false(smq_opens_under(&p.opener, &t, smq_span_str(topic), room));
	t = s, t.has_stamp = false, t.stamp = 0;
	assert_false(smq_opens_under(&p.opener, &t, smq_span_str(topic), room));
	t = s, t.signature = smq_span_of(signature, sizeof(signature));
	assert_false(smq_opens_under(&p.opener, &t, smq_span_str(topic), room));
	t = s, t.covered = true;
	assert_false(smq_opens_under(&p.opener, &t, smq_span_str(topic), room));
	t = s, t.counter++;
	assert_false(smq_opens_under(&p.opener, &t, smq_span_str(topic), room));
	assert_true(smq_opens_under(&p.opener, &s, smq_span_str(topic), room));
	pair_done(&p);
}

/* Every prefix and every single flipped bit of a real message, in both forms, for every kind. */
static void truncations_and_flips_are_refused(void **state)
{
	(void)state;
	for (int kind = 0; kind < 5; kind++) {
		for (int form = 0; form < 4; form++) {
			struct smq_seal_context c = context_of((enum smq_sealed_kind)kind);
			struct pair p;
			uint8_t bytes[ROOM];
			pair_init(&p, &c, &c);
			p.sealer.cose = form & 1;
			p.sealer.next_counter = 300;
			size_t len = seal_to(&p.sealer, form & 2 ? 99999999 : -1, bytes);
			for (size_t cut = 0; cut < len; cut++)
				assert_int_not_equal(open_from(&p.opener, topic, bytes, cut), SMQ_OK);
			for (size_t bit = 0; bit < 8 * len; bit++) {
				bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
				if (open_from(&p.opener, topic, bytes, len) == SMQ_OK)
					fail_msg("kind %d form %d bit %zu", kind, form, bit);
				bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			}
			bytes[len] = 0;
			assert_int_not_equal(open_from(&p.opener, topic, bytes, len + 1), SMQ_OK);
			assert_int_equal(p.opener.replay.next, 0); /* refusals move no window */
			assert_int_equal(open_from(&p.opener, topic, bytes, len), SMQ_OK);
			pair_done(&p);
		}
	}
}

static void every_counter_has_its_own_nonce(void **state)
{
	(void)state;
	static const uint64_t counters[] = { 0,	    1,	   2,	       255,	   256,		   65535, 65536, 1 << 24,
					     (UINT64_C(1) << 32) - 1, UINT64_C(1) << 32, SMQ_VARINT_MAX - 1, SMQ_VARINT_MAX };
	struct smq_seal_context c = context_of(SMQ_SEALED_SESSION);
	struct smq_opener o;
	uint8_t nonces[SMQ_COUNT(counters)][SMQ_AEAD_NONCE_MAX];
	assert_int_equal(smq_opener_init(&o, smq_crypto_openssl(), &secret, &c), SMQ_OK);
	for (size_t i = 0; i < SMQ_COUNT(counters); i++) {
		assert_int_equal(smq_seal_nonce(&o.key, counters[i], nonces[i]), SMQ_OK);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(nonces[i], nonces[j], 12);
	}
	assert_memory_equal(nonces[0], o.key.base_iv, 12);
	assert_int_equal(nonces[1][11], o.key.base_iv[11] ^ 1);
	assert_int_equal(smq_seal_nonce(&o.key, SMQ_VARINT_MAX + 1, nonces[0]), SMQ_ERR_TOO_LARGE);
	smq_opener_done(&o);
}

/* Two senders, two lives of one sender, two directions: 32 bytes of key and IV that agree nowhere. */
static void senders_and_lives_never_share_a_key(void **state)
{
	(void)state;
	struct smq_seal_context c[4];
	uint8_t digest[SMQ_HASH_LEN], keys[4][16], ivs[4][12];
	for (int i = 0; i < 4; i++) {
		c[i] = context_of(SMQ_SEALED_GROUP_BOOT);
		if (i == 1)
			c[i].sender_id++;
		if (i == 2)
			c[i].boot_id[0]++;
		if (i == 3)
			c[i].sender = smq_span_str("archive"), c[i].recipient = smq_span_str("fridge-07");
		assert_int_equal(smq_context_digest(smq_crypto_openssl(), &c[i], digest), SMQ_OK);
		assert_int_equal(smq_derive_key_iv(smq_crypto_openssl(), &secret, digest, smq_mspan_of(keys[i], 16),
						   smq_mspan_of(ivs[i], 12)),
				 SMQ_OK);
		for (int j = 0; j < i; j++) {
			assert_memory_not_equal(keys[i], keys[j], 16);
			assert_memory_not_equal(ivs[i], ivs[j], 12);
		}
	}
}

static void a_sealer_stops_hard_at_its_limits(void **state)
{
	(void)state;
	struct smq_seal_context c = context_of(SMQ_SEALED_SESSION);
	struct pair p;
	uint8_t bytes[ROOM];
	size_t len = 4711;
	smq_span at = smq_span_str(topic), text = smq_span_str(plain);
	smq_mspan room = smq_mspan_of(bytes, sizeof(bytes));
	pair_init(&p, &c, &c);
	assert_true(p.sealer.counter_limit == SMQ_VARINT_MAX);
	p.sealer.counter_limit = 2; /* a reservation */
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_OK);
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_OK);
	len = 4711;
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_ERR_KEY_SPENT);
	p.sealer.counter_limit = 3;
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, smq_mspan_of(bytes, strlen(plain) + 21), &len), SMQ_ERR_NO_ROOM);
	assert_true(len == 4711 && p.sealer.next_counter == 2);
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_OK);
	p.sealer.counter_limit = UINT64_MAX; /* a limit beyond the algorithm's does not count */
	p.sealer.next_counter = c.alg->message_limit - 1;
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_OK);
	assert_int_equal(open_from(&p.opener, topic, bytes, len), SMQ_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_ERR_KEY_SPENT);
	p.sealer.first_counter = 1; /* a key that began one later may seal one more: the limit is on seals, not counters */
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_OK);
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_ERR_KEY_SPENT);
	p.sealer.next_counter = p.sealer.first_counter = SMQ_VARINT_MAX;
	assert_int_equal(smq_seal(&p.sealer, at, -1, text, room, &len), SMQ_ERR_KEY_SPENT);
	pair_done(&p);
}

static void algorithms_of_edhoc_seal_no_messages(void **state)
{
	(void)state;
	struct smq_seal_context c = context_of(SMQ_SEALED_SESSION);
	struct smq_sealer s;
	c.alg = smq_aead_alg_by_id(SMQ_AES_CCM_16_64_128);
	assert_int_equal(smq_sealer_init(&s, smq_crypto_openssl(), &secret, &c), SMQ_ERR_ALGORITHM);
	c.alg = NULL;
	assert_int_equal(smq_sealer_init(&s, smq_crypto_openssl(), &secret, &c), SMQ_ERR_ALGORITHM);
}

static void gaps_are_told_and_windows_slide(void **state)
{
	(void)state;
	struct smq_seal_context c = context_of(SMQ_SEALED_SESSION);
	struct pair p;
	uint8_t bytes[ROOM], out[ROOM];
	struct smq_sealed s;
	size_t len = 0;
	uint64_t missing = 4711;
	pair_init(&p, &c, &c);
	for (int i = 0; i < 8; i++) {
		len = seal_to(&p.sealer, -1, bytes);
		if (i == 3 || i == 4)
			continue; /* lost */
		assert_int_equal(smq_sealed_decode(smq_span_of(bytes, len), &s), SMQ_OK);
		assert_int_equal(smq_open(&p.opener, &s, smq_span_str(topic), smq_mspan_of(out, ROOM), &len, &missing),
				 SMQ_OK);
		assert_int_equal(missing, i == 5 ? 2 : 0);
	}
	pair_done(&p);
}

static void no_allocation_per_message(void **state)
{
	(void)state;
	for (int form = 0; form < 2; form++) {
		struct smq_seal_context c = context_of(SMQ_SEALED_SESSION);
		struct pair p;
		uint8_t bytes[ROOM];
		pair_init(&p, &c, &c);
		p.sealer.cose = form;
		assert_int_equal(open_from(&p.opener, topic, bytes, seal_to(&p.sealer, -1, bytes)), SMQ_OK);
		size_t before = allocations;
		assert_true(before > 0); /* the counter counts */
		for (int i = 0; i < 100; i++)
			assert_int_equal(open_from(&p.opener, topic, bytes, seal_to(&p.sealer, i, bytes)), SMQ_OK);
		assert_int_equal(allocations, before);
		pair_done(&p);
	}
}

static void ages_are_read_from_24_bits(void **state)
{
	(void)state;
	static const struct {
		int64_t sealed_ms, now_ms;
	} rows[] = {
		{ 1795259500123, 1795259500123 }, { 1795259500123, 1795259500124 },    { 1795259500123, 1795259500100 },
		{ 16777215, 16777216 },		  { 16777216, 16777215 },	       { 1795259500123, 1795267888730 },
		{ 0, 8388607 },			  { 1795259500123, 1795251111515 + 1 },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		assert_true(smq_stamp_age((uint32_t)(rows[i].sealed_ms & 0xffffff), rows[i].now_ms) ==
			    rows[i].now_ms - rows[i].sealed_ms);
}

/* The example of PROTOCOL.md 3.8: these bytes may not change within version 1. */
static void the_example_of_the_specification(void **state)
{
	(void)state;
	struct smq_seal_context c = { .kind = SMQ_SEALED_GROUP,
				      .alg = smq_aead_alg_by_id(SMQ_A128GCM),
				      .realm = smq_span_str("plant"),
				      .group = smq_span_str("telemetry"),
				      .sender = smq_span_str("fridge-07"),
				      .epoch = 3,
				      .sender_id = 7 };
	struct smq_traffic_secret ts;
	struct smq_opener o;
	struct smq_sealer s;
	struct smq_sealed sealed;
	uint8_t bytes[ROOM], again[ROOM], aad[ROOM], nonce[SMQ_AEAD_NONCE_MAX];
	size_t len = 0, aad_len = 0, cose_len = 0;
	char hex[2 * ROOM + 1];
	for (int i = 0; i < SMQ_TRAFFIC_SECRET_LEN; i++)
		ts.b[i] = (uint8_t)i;
	for (int i = 0; i < SMQ_BOOT_ID_LEN; i++)
		c.boot_id[i] = (uint8_t)(0xb0 + i);
	assert_int_equal(smq_sealer_init(&s, smq_crypto_openssl(), &ts, &c), SMQ_OK);
	assert_int_equal(smq_opener_init(&o, smq_crypto_openssl(), &ts, &c), SMQ_OK);
	s.next_counter = 1000;
	assert_int_equal(smq_seal(&s, smq_span_str("plant/fridge-07"), -1, smq_span_str("13.1"), smq_mspan_of(bytes, ROOM),
				  &len),
			 SMQ_OK);
	assert_int_equal(smq_sealed_decode(smq_span_of(bytes, len), &sealed), SMQ_OK);
	assert_int_equal(smq_seal_enc_structure(&s.key, &sealed, smq_span_str("plant/fridge-07"), smq_mspan_of(aad, ROOM),
						&aad_len),
			 SMQ_OK);
	assert_int_equal(smq_sealed_encode_cose(&sealed, smq_mspan_of(again, ROOM), &cose_len), SMQ_OK);
	assert_int_equal(smq_seal_nonce(&s.key, 1000, nonce), SMQ_OK);
	const struct {
		const char *what, *hex;
		smq_span bytes;
	} rows[] = {
		{ "context digest", "e32884cbd8c35d7021188704362b7434b6ee6c955c5eae6a9cb73508ae6ba4e1",
		  smq_span_of(s.key.context_digest, sizeof(s.key.context_digest)) },
		{ "base IV", "7ce0c91b77ccc1cd012c2c23", smq_span_of(s.key.base_iv, 12) },
		{ "nonce", "7ce0c91b77ccc1cd012c2fcb", smq_span_of(nonce, 12) },
		{ "Enc_structure",
		  "8368456e63727970743043a101015835845820e32884cbd8c35d7021188704362b7434b6ee6c955c5eae6a9cb73508ae6ba4e1"
		  "6f706c616e742f6672696467652d3037f6f4",
		  smq_span_of(aad, aad_len) },
		{ "COSE_Encrypt0", "d08343a10101a20443010307064203e854e64a252bdeeffa3fbe47584d7d6de069dae810c6",
		  smq_span_of(again, cose_len) },
		{ "compact", "82030783e8e64a252bdeeffa3fbe47584d7d6de069dae810c6", smq_span_of(bytes, len) },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		assert_int_equal(smq_hex_encode(rows[i].bytes, hex, sizeof(hex)), SMQ_OK);
		if (strcmp(hex, rows[i].hex) != 0)
			fail_msg("%s: %s", rows[i].what, hex);
	}
	smq_sealer_done(&s);
	smq_opener_done(&o);
}

int main(void)
{
	if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_algorithm_and_form_round_trips),
		cmocka_unit_test(swapping_any_one_context_field_makes_open_fail),
		cmocka_unit_test(kinds_do_not_share_a_key),
		cmocka_unit_test(a_message_belongs_to_its_topic),
		cmocka_unit_test(a_hashed_topic_is_no_other_topic),
		cmocka_unit_test(stamp_and_signature_flag_are_authenticated),
		cmocka_unit_test(truncations_and_flips_are_refused),
		cmocka_unit_test(every_counter_has_its_own_nonce),
		cmocka_unit_test(senders_and_lives_never_share_a_key),
		cmocka_unit_test(a_sealer_stops_hard_at_its_limits),
		cmocka_unit_test(algorithms_of_edhoc_seal_no_messages),
		cmocka_unit_test(gaps_are_told_and_windows_slide),
		cmocka_unit_test(no_allocation_per_message),
		cmocka_unit_test(ages_are_read_from_24_bits),
		cmocka_unit_test(the_example_of_the_specification),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
