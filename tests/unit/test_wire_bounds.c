/* wire: what the encoders will not write, and the last limits of the decoders, one by one. */
#include "cmocka_all.h"

#include <stdio.h>

#include "base/table.h"
#include "base/varint.h"
#include "wire/cbor.h"
#include "wire/checkpoint.h"
#include "wire/edhoc_message.h"
#include "wire/group_file.h"
#include "wire/keyex.h"
#include "wire/ks_answer.h"
#include "wire/ks_topics.h"
#include "wire/manifest.h"
#include "wire/policy.h"
#include "wire/registered_key.h"
#include "wire/sealed_key_ref.h"
#include "wire/sender_card.h"
#include "wire/sign1.h"

static uint8_t room_bytes[SMQ_KS_ANSWER_MAX];
static const smq_mspan room = { room_bytes, sizeof(room_bytes) };
static const smq_mspan no_room = { room_bytes, 0 };

static smq_span zeroes(size_t len)
{
	static const uint8_t bytes[20000];
	assert_true(len <= sizeof(bytes));
	return smq_span_of(bytes, len);
}

static void checkpoints(void **state)
{
	static const struct {
		size_t len;
		uint64_t first;
		smq_err err;
	} rows[] = {
		/* 1 */ { SMQ_HASH_LEN, 0, SMQ_OK },
		/* 2 */ { SMQ_HASH_LEN, SMQ_VARINT_MAX, SMQ_OK },
		/* 3 */ { 0, 0, SMQ_ERR_MALFORMED },
		/* 4 */ { SMQ_HASH_LEN - 1, 0, SMQ_ERR_MALFORMED },
		/* 5 */ { SMQ_CHECKPOINT_MESSAGES_MAX * SMQ_HASH_LEN, 0, SMQ_OK },
		/* 6 */ { (SMQ_CHECKPOINT_MESSAGES_MAX + 1) * SMQ_HASH_LEN, 0, SMQ_ERR_MALFORMED },
		/* 7 */ { 2 * SMQ_HASH_LEN, SMQ_VARINT_MAX, SMQ_ERR_MALFORMED },
	};
	size_t len;
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_checkpoint c = { .first = rows[i].first, .digests = zeroes(rows[i].len) }, back;
		if (smq_checkpoint_encode_head(&c, room, &len) != rows[i].err)
			fail_msg("row %zu", i + 1);
		struct smq_writer w = smq_writer_on(room);
		smq_cbor_put_array(&w, 3);
		smq_cbor_put_bytes(&w, zeroes(SMQ_HASH_LEN));
		smq_cbor_put_uint(&w, c.first);
		smq_cbor_put_bytes(&w, c.digests);
		if (smq_checkpoint_decode(smq_writer_span(&w), &back) != rows[i].err)
			fail_msg("row %zu, decoding", i + 1);
	}
}

static void edhoc_messages(void **state)
{
	struct smq_edhoc_message_1 m;
	struct smq_edhoc_error e, unknown = { .code = 9 };
	struct smq_edhoc_ead item;
	struct smq_edhoc_plaintext p = { .id_cred = { .map = smq_span_str("\xa1\x04\x41\x2b\x00") },
					 .sig_or_mac = zeroes(8) };
	struct smq_reader failed = smq_reader_on(zeroes(4));
	size_t len;
	(void)state;
	assert_int_equal(smq_edhoc_message_1_decode(zeroes(SMQ_EDHOC_MESSAGE_MAX + 1), &m), SMQ_ERR_TOO_LARGE);
	assert_int_equal(smq_edhoc_error_decode(zeroes(SMQ_EDHOC_MESSAGE_MAX + 1), &e), SMQ_ERR_TOO_LARGE);
	assert_int_equal(smq_edhoc_error_decode(smq_span_of("\x39\x80\x00\xf6", 4), &e), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_edhoc_error_decode(smq_span_of("\x19\x80\x00\xf6", 4), &e), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_edhoc_error_encode(&unknown, room, &len), SMQ_ERR_BUG);
	smq_reader_fail(&failed, SMQ_ERR_TRUNCATED);
	assert_false(smq_edhoc_ead_next(&failed, &item));
	/* a map that begins like a lone kid, but is none, travels as it is */
	p.id_cred.map = smq_span_of("\xa1\x04\x41\x2b\x00", 5);
	assert_int_equal(smq_edhoc_plaintext_encode(3, &p, room, &len), SMQ_OK);
	assert_memory_equal(room_bytes, "\xa1\x04\x41\x2b\x00", 5);
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, 33);
	smq_cbor_put_bytes(&w, zeroes(SMQ_ID_CRED_MAX));
	smq_cbor_put_bytes(&w, zeroes(8));
	assert_int_equal(smq_edhoc_plaintext_decode(3, smq_writer_span(&w), &p), SMQ_ERR_TOO_LARGE);
}

/* "FRONT", so many lines of LINE with numbers, "BACK" */
static smq_span group_text(const char *algorithm, const char *created, const char *line, int lines, const char *back)
{
	static char text[65536];
	int len = snprintf(text, sizeof(text),
			   "sealmq-group 1\nrealm plant\ngroup temps\nepoch 1\nalgorithm %s\ncreated %s\nmember a\n",
			   algorithm, created);
	for (int i = 0; i < lines; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%d\n", line, i);
	len += snprintf(text + len, sizeof(text) - (size_t)len, "%s", back);
	return smq_span_of(text, (size_t)len);
}

static const char a_secret[] = "secret 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

static void group_files(void **state)
{
	static struct smq_group_file file;
	const char *const long_name = "A128GCM-and-a-good-deal-more-than-fits";
	struct {
		const char *algorithm, *created, *line;
		int lines;
		const char *back;
		smq_err err;
	} rows[] = {
		/* 1 */ { "A128GCM", "1", "", 0, a_secret, SMQ_OK },
		/* 2 */ { "A128GCM", "72057594037927935", "", 0, a_secret, SMQ_OK },
		/* 3 */ { "A128GCM", "72057594037927936", "", 0, a_secret, SMQ_ERR_MALFORMED },
		/* 4 */ { "FOO", "1", "", 0, a_secret, SMQ_ERR_ALGORITHM },
		/* 5 */ { long_name, "1", "", 0, a_secret, SMQ_ERR_ALGORITHM },
		/* 6 */ { "A128GCM", "1", "member m", SMQ_GROUP_MEMBERS_MAX - 1, a_secret, SMQ_OK },
		/* 7 */ { "A128GCM", "1", "member m", SMQ_GROUP_MEMBERS_MAX, a_secret, SMQ_ERR_FULL },
		/* 8 */ { "A128GCM", "1", "filter f/", SMQ_GROUP_FILTERS_MAX, a_secret, SMQ_OK },
		/* 9 */ { "A128GCM", "1", "filter f/", SMQ_GROUP_FILTERS_MAX + 1, a_secret, SMQ_ERR_FULL },
		/* 10 */ { "A128GCM", "1", "member_m", 1, a_secret, SMQ_ERR_MALFORMED },
		/* 11 */
		{ "A128GCM", "1", "", 0, "secret zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
		  SMQ_ERR_MALFORMED },
	};
	size_t len, line;
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_span text =
		    group_text(rows[i].algorithm, rows[i].created, rows[i].line, rows[i].lines, rows[i].back);
		if (smq_group_file_decode(text, &file, &line) != rows[i].err)
			fail_msg("row %zu", i + 1);
	}
	assert_int_equal(smq_group_file_decode(group_text("A128GCM", "1", "", 0, a_secret), &file, NULL), SMQ_OK);
	assert_int_equal(smq_group_file_encode(&file, no_room, &len), SMQ_ERR_NO_ROOM);
}

static void envelopes(void **state)
{
	struct smq_keyex k = { SMQ_KEYEX_MESSAGE_1, smq_span_str("b"), smq_span_str("a"), smq_span_str("1234"),
			       smq_span_str("body") };
	size_t len;
	(void)state;
	assert_int_equal(smq_keyex_encode(&k, no_room, &len), SMQ_ERR_NO_ROOM);
	assert_int_equal(smq_keyex_topic("keyex/{to}", "b", no_room), SMQ_ERR_NO_ROOM);
	assert_int_equal(smq_keyex_topic("keyex/{to}", "#", room), SMQ_ERR_TOPIC);
	assert_int_equal(smq_keyex_topic("keyex/{to}", "b", room), SMQ_OK);
}

static const struct smq_ks_grant good_grant = { .roles = SMQ_JOIN_PUBLISH,
						.until_ms = 1,
						.epoch = 9,
						.path_len = 2,
						.history_count = 2,
						.history = { { .epoch = 3 }, { .epoch = 4 } } };

static void grants(void **state)
{
	static struct smq_ks_grant rows[12];
	size_t len;
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		rows[i] = good_grant;
	assert_int_equal(smq_ks_grant_encode(&good_grant, room, &len), SMQ_OK);
	rows[0].path_len = 1;
	rows[1].path_len = SMQ_TREE_HEIGHT_MAX + 2;
	rows[2].tree_count = SMQ_KS_TREES_MAX + 1;
	rows[3].history_count = SMQ_COUNT(rows[3].history) + 1;
	rows[4].roles = 0;
	rows[5].roles = 4;
	rows[6].epoch = 0;
	rows[7].from_ms = -1;
	rows[8].until_ms = 0;
	rows[9].history[1].epoch = 3;
	rows[10].history[1].epoch = 9;
	rows[11].history[0].epoch = 0;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (smq_ks_grant_encode(&rows[i], room, &len) != SMQ_ERR_USAGE)
			fail_msg("row %zu", i);
	}
}

static void answers(void **state)
{
	static const struct smq_ks_group_line line = { .group = { (const uint8_t *)"g", 1 } };
	static const struct smq_ks_member_line member = { .name = { (const uint8_t *)"m", 1 } };
	struct smq_ks_answer a;
	struct smq_ks_fetched f = { .node_count = SMQ_KS_FETCH_NODES_MAX + 1 };
	struct smq_ks_request q = { .what = (enum smq_ks_what)99, .group = smq_span_str("g") };
	size_t len;
	(void)state;
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_uint(&w, 1);
	smq_cbor_put_uint(&w, 0);
	char text[SMQ_KS_TEXT_MAX + 1];
	memset(text, 'x', sizeof(text));
	smq_cbor_put_text(&w, smq_span_of(text, sizeof(text)));
	smq_cbor_put_null(&w);
	assert_int_equal(smq_ks_answer_decode(smq_writer_span(&w), &a), SMQ_ERR_TOO_LARGE);
	assert_int_equal(smq_ks_fetched_encode(&f, room, &len), SMQ_ERR_USAGE);
	f.node_count = 0, f.card_count = SMQ_KS_FETCH_SENDERS_MAX + 1;
	assert_int_equal(smq_ks_fetched_encode(&f, room, &len), SMQ_ERR_USAGE);
	assert_int_equal(smq_ks_list_encode(&line, SMQ_KS_PAGE + 1, SMQ_KS_NO_MORE, room, &len), SMQ_ERR_USAGE);
	assert_int_equal(smq_ks_members_encode(&member, SMQ_KS_PAGE + 1, SMQ_KS_NO_MORE, room, &len), SMQ_ERR_USAGE);
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q = (struct smq_ks_request){ .what = SMQ_KS_FETCH, .group = q.group, .node_count = SMQ_KS_FETCH_NODES_MAX + 1 };
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q.node_count = 0, q.sender_count = SMQ_KS_FETCH_SENDERS_MAX + 1;
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q = (struct smq_ks_request){ .what = SMQ_KS_JOIN, .group = q.group, .roles = 4, .until_ms = 1 };
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q.roles = 1, q.from_ms = -1;
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q.from_ms = 1;
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q = (struct smq_ks_request){ .what = SMQ_KS_REGISTER, .name = smq_span_str("no/name"), .key = { 4 } };
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q.name = smq_span_str("m"), q.key[0] = 2;
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	a = (struct smq_ks_answer){ .status = SMQ_OK };
	assert_int_equal(smq_ks_answer_encode(&a, room, &len), SMQ_OK);
	struct smq_ks_topic none = { .kind = SMQ_KS_TOPIC_NONE };
	assert_int_equal(smq_ks_topic_write("p", &none, room), SMQ_ERR_USAGE);
}

static void documents(void **state)
{
	struct smq_policy p = { .filter_count = SMQ_POLICY_FILTERS_MAX + 1 }, back;
	struct smq_manifest m = { .epoch = 1 };
	struct smq_sender_card c = { smq_span_str("plant"), smq_span_str("g"), 1, smq_span_str("m"), { 0 }, 0, 1 };
	smq_span *const names[] = { &c.realm, &c.group, &c.name };
	size_t len;
	(void)state;
	assert_int_equal(smq_policy_encode(&p, room, &len), SMQ_ERR_USAGE);
	p.filter_count = 0, p.publisher_count = SMQ_POLICY_RULES_MAX + 1;
	assert_int_equal(smq_policy_encode(&p, room, &len), SMQ_ERR_USAGE);
	p.publisher_count = 0, p.subscriber_count = SMQ_POLICY_RULES_MAX + 1;
	assert_int_equal(smq_policy_encode(&p, room, &len), SMQ_ERR_USAGE);
	assert_int_equal(smq_policy_decode(zeroes(SMQ_POLICY_MAX + 1), &back), SMQ_ERR_TOO_LARGE);
	assert_int_equal(smq_manifest_encode(&m, no_room, &len), SMQ_ERR_NO_ROOM);
	assert_int_equal(smq_sender_card_encode(&c, room, &len), SMQ_OK);
	for (size_t i = 0; i < SMQ_COUNT(names); i++) {
		smq_span good = *names[i];
		*names[i] = smq_span_str("no/name");
		assert_int_equal(smq_sender_card_encode(&c, room, &len), SMQ_ERR_USAGE);
		*names[i] = good;
	}
	c.from_ms = -1;
	assert_int_equal(smq_sender_card_encode(&c, room, &len), SMQ_ERR_USAGE);
	c.from_ms = 1;
	assert_int_equal(smq_sender_card_encode(&c, room, &len), SMQ_ERR_USAGE);
	struct smq_writer w = smq_writer_on(room);
	smq_put_time(&w, -1);
	assert_int_equal(smq_writer_end(&w, &len), SMQ_ERR_USAGE);
	/* an interval that ends before it begins, from outside */
	struct smq_writer card = smq_writer_on(room);
	struct smq_sender_card taken;
	smq_cbor_put_array(&card, 8);
	smq_cbor_put_uint(&card, 1);
	smq_cbor_put_text(&card, smq_span_str("plant"));
	smq_cbor_put_text(&card, smq_span_str("g"));
	smq_cbor_put_uint(&card, 1);
	smq_cbor_put_text(&card, smq_span_str("m"));
	smq_cbor_put_bytes(&card, zeroes(SMQ_BOOT_ID_LEN));
	smq_cbor_put_uint(&card, 5);
	smq_cbor_put_uint(&card, 5);
	assert_int_equal(smq_sender_card_decode(smq_writer_span(&card), &taken), SMQ_ERR_MALFORMED);
}

static void sealed_messages(void **state)
{
	struct smq_sealed s = { .kind = SMQ_SEALED_SESSION, .ciphertext = zeroes(16) }, back;
	size_t len;
	(void)state;
	assert_false(smq_sealed_has_slot((enum smq_sealed_kind)99));
	assert_true(smq_sealed_has_slot(SMQ_SEALED_SLOT));
	assert_int_equal(smq_sealed_check(&s), SMQ_ERR_ALGORITHM);
	assert_int_equal(smq_sealed_encode_cose_header(&s, 16, room, &len), SMQ_ERR_ALGORITHM);
	struct smq_aead_alg unknown = { .id = 9999 };
	s.alg = &unknown;
	assert_int_equal(smq_sealed_encode_cose_header(&s, 16, room, &len), SMQ_ERR_ALGORITHM);
	assert_int_equal(smq_sealed_encode_header(&s, room, &len), SMQ_ERR_ALGORITHM);
	s.alg = smq_aead_alg_by_id(SMQ_A128GCM);
	s.covered = true, s.signature = zeroes(SMQ_SIG_LEN);
	assert_int_equal(smq_sealed_check(&s), SMQ_ERR_MALFORMED);
	s.covered = false, s.signature = zeroes(0), s.counter = UINT64_MAX;
	assert_int_equal(smq_sealed_check(&s), SMQ_ERR_TOO_LARGE);
	assert_int_equal(smq_sealed_encode_cose_header(&s, 16, room, &len), SMQ_OK);
	s.counter = 0, s.kind = (enum smq_sealed_kind)99;
	assert_int_equal(smq_sealed_check(&s), SMQ_ERR_MALFORMED);
	struct smq_writer w = smq_writer_on(room);
	smq_write_key_ref(&w, &s);
	assert_int_equal(smq_writer_end(&w, &len), SMQ_ERR_MALFORMED);
	struct smq_reader r = smq_reader_on(zeroes(3));
	s.kind = SMQ_SEALED_SESSION, s.key_id[0] = 7;
	smq_read_key_ref(&r, &s);
	assert_int_equal(r.err, SMQ_ERR_TRUNCATED);
	assert_int_equal(s.key_id[0], 7);
	/* another tag; an algorithm beyond any registry */
	assert_int_equal(smq_sealed_encode_cose(&s, room, &len), SMQ_OK);
	room_bytes[0] ^= 1;
	assert_int_equal(smq_sealed_decode_cose(smq_span_of(room_bytes, len), &back), SMQ_ERR_MALFORMED);
	const int64_t ids[] = { INT16_MAX + 1, INT16_MIN - 1 };
	for (size_t i = 0; i < SMQ_COUNT(ids); i++) {
		struct smq_writer c = smq_writer_on(room);
		uint8_t map[8];
		struct smq_writer h = smq_writer_on(smq_mspan_of(map, sizeof(map)));
		smq_cbor_put_map(&h, 1);
		smq_cbor_put_int(&h, 1);
		smq_cbor_put_int(&h, ids[i]);
		smq_cbor_put_tag(&c, 16);
		smq_cbor_put_array(&c, 3);
		smq_cbor_put_bytes(&c, smq_writer_span(&h));
		smq_cbor_put_map(&c, 0);
		smq_cbor_put_bytes(&c, zeroes(16));
		assert_int_equal(smq_sealed_decode_cose(smq_writer_span(&c), &back), SMQ_ERR_ALGORITHM);
	}
}

/* What is hashed is kept instead. */
static uint8_t hashed[256];
static size_t hashed_len;

static smq_err keep_hashed(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN])
{
	assert_true(count == 1 && parts->len <= sizeof(hashed));
	memcpy(hashed, parts->p, parts->len);
	hashed_len = parts->len;
	memset(ret_hash, 7, SMQ_HASH_LEN);
	return SMQ_OK;
}

static void registered_keys(void **state)
{
	static const uint8_t point[SMQ_PUBLIC_KEY_MAX] = { 4, 1 };
	static const struct smq_crypto crypto = { .sha256 = keep_hashed };
	static const struct {
		const char *bytes;
		size_t len;
		bool good;
	} rows[] = {
		/* 1 */ { "\xa1\x04\x44wxyz", 7, true },
		/* 2 */ { "\xa1\x04\x43wxy", 6, false },
		/* 3 */ { "\xa1\x05\x44wxyz", 7, false },
		/* 4 */ { "\xa1\x04\x44wxyz\x00", 8, false },
		/* 5 */ { "\xa2\x04\x44wxyz", 7, false },
		/* 6 */ { "", 0, false },
	};
	struct smq_credential c = { .name = "m", .id = { 1, 2, 3, 4 } };
	uint8_t hash[SMQ_HASH_LEN], id_cred[SMQ_REGISTERED_ID_CRED_LEN];
	(void)state;
	assert_int_equal(smq_registered_key_thumbprint(&crypto, point, hash), SMQ_OK);
	assert_int_equal(hash[0], 7);
	assert_true(hashed_len == 1 + 2 + 2 + 3 + 32 + 3 + 32);
	assert_memory_equal(hashed, "\xa4\x01\x02\x20\x01\x21\x58\x20\x01", 9);
	assert_int_equal(smq_registered_key_credential(point, &c), SMQ_OK);
	assert_true(c.registered && c.cred_len > hashed_len && c.public_key_len == SMQ_PUBLIC_KEY_MAX);
	smq_registered_key_id_cred(c.id, id_cred);
	assert_memory_equal(smq_registered_key_kid(smq_span_of(id_cred, sizeof(id_cred))), c.id, SMQ_KID_LEN);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if ((smq_registered_key_kid(smq_span_of(rows[i].bytes, rows[i].len)) != NULL) != rows[i].good)
			fail_msg("row %zu", i + 1);
	}
}

/* A signed document whose protected header is { 1: -7, label: value }. */
static smq_err sign1_named(int label, smq_span value)
{
	uint8_t header[256];
	struct smq_sign1 s;
	struct smq_writer h = smq_writer_on(smq_mspan_of(header, sizeof(header))), w = smq_writer_on(room);
	smq_cbor_put_map(&h, 2);
	smq_cbor_put_int(&h, 1);
	smq_cbor_put_int(&h, SMQ_ES256);
	smq_cbor_put_int(&h, label);
	if (label == 34) {
		smq_cbor_put_array(&h, 2);
		smq_cbor_put_int(&h, -16);
	}
	smq_cbor_put_bytes(&h, value);
	smq_cbor_put_tag(&w, 18);
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_bytes(&w, smq_writer_span(&h));
	smq_cbor_put_map(&w, 0);
	smq_cbor_put_bytes(&w, zeroes(3));
	smq_cbor_put_bytes(&w, zeroes(SMQ_SIG_LEN));
	return smq_sign1_decode(smq_writer_span(&w), &s);
}

static smq_err sign_nothing(void *self, const smq_span *parts, size_t count, uint8_t *ret_signature)
{
	(void)self, (void)parts, (void)count;
	memset(ret_signature, 0, SMQ_SIG_LEN);
	return SMQ_OK;
}

static smq_err sign_not(void *self, const smq_span *parts, size_t count, uint8_t *ret_signature)
{
	(void)self, (void)parts, (void)count, (void)ret_signature;
	return SMQ_ERR_CRYPTO;
}

static void signed_documents(void **state)
{
	const struct smq_signer signer = { .alg = SMQ_ES256, .sign = sign_nothing };
	struct smq_credential nobody = { .roles = SMQ_ROLE_MEMBER };
	struct smq_sign1 s;
	size_t len;
	(void)state;
	assert_int_equal(sign1_named(4, zeroes(SMQ_SIGN1_KID_MAX)), SMQ_OK);
	assert_int_equal(sign1_named(4, zeroes(SMQ_SIGN1_KID_MAX + 1)), SMQ_ERR_MALFORMED);
	assert_int_equal(sign1_named(34, zeroes(32)), SMQ_OK);
	assert_int_equal(sign1_named(34, zeroes(SMQ_SIGN1_ID_MAX)), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_sign1_encode(&signer, smq_span_str("nothing"), zeroes(0), zeroes(3), false, room, &len),
			 SMQ_ERR_CREDENTIAL);
	const struct smq_signer broken = { .alg = SMQ_ES256, .sign = sign_not };
	assert_int_equal(
	    smq_sign1_encode(&broken, smq_span_of("\xa1\x04\x41\x01", 4), zeroes(0), zeroes(3), false, room, &len),
	    SMQ_ERR_CRYPTO);
	/* what no document of ours is: without a payload, with a header unprotected, of nobody */
	for (int row = 0; row < 3; row++) {
		assert_int_equal(smq_sign1_encode(&signer, smq_span_of("\xa1\x04\x41\x01", 4), zeroes(0), zeroes(3),
						  row == 0, room, &len),
				 SMQ_OK);
		assert_int_equal(smq_sign1_decode(smq_span_of(room_bytes, len), &s), SMQ_OK);
		s.bare = row != 1;
		s.id_cred_len = row == 2 ? 0 : s.id_cred_len;
		assert_int_equal(smq_sign1_verify_document(&s, NULL, &nobody, SMQ_ROLE_MEMBER, "x"), SMQ_ERR_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checkpoints),     cmocka_unit_test(edhoc_messages),
		cmocka_unit_test(group_files),     cmocka_unit_test(envelopes),
		cmocka_unit_test(grants),          cmocka_unit_test(answers),
		cmocka_unit_test(documents),       cmocka_unit_test(sealed_messages),
		cmocka_unit_test(registered_keys), cmocka_unit_test(signed_documents),
	};
	return cmocka_run_group_tests_name("wire_bounds", tests, NULL, NULL);
}
