/* Requests, answers, cards and topics of the control plane (PROTOCOL.md 7): each way there and back, and every bound.
 */
#include "cmocka_all.h"

#include "wire/ks_answer.h"
#include "wire/ks_topics.h"
#include "wire/sender_card.h"

static const uint8_t boot_id[SMQ_BOOT_ID_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static struct smq_ks_request request_of(enum smq_ks_what what)
{
	struct smq_ks_request q = { .what = what, .group = smq_span_str("telemetry") };
	if (what == SMQ_KS_LIST || what >= SMQ_KS_REGISTER)
		q.group = smq_span_str("");
	q.roles = 3;
	q.from_ms = 1000;
	q.until_ms = SMQ_NO_END;
	memcpy(q.boot_id, boot_id, sizeof(boot_id));
	q.node_count = 2;
	q.nodes[0].height = 1;
	q.nodes[0].index = 7;
	q.nodes[1].height = 2;
	q.sender_count = 1;
	q.senders[0] = 300;
	q.policy = smq_span_str("policy");
	q.admin = smq_span_str("admin");
	q.offset = 64;
	q.name = smq_span_str("fridge-07");
	q.key[0] = 4;
	q.key[64] = 9;
	q.commit = true;
	q.keys = smq_span_str("keys");
	return q;
}

static const enum smq_ks_what whats[] = { SMQ_KS_JOIN,         SMQ_KS_LEAVE,    SMQ_KS_FETCH,      SMQ_KS_POLICY,
					  SMQ_KS_LIST,         SMQ_KS_SHOW,     SMQ_KS_MEMBERS,    SMQ_KS_ROTATE,
					  SMQ_KS_EXPEL,        SMQ_KS_REGISTER, SMQ_KS_UNREGISTER, SMQ_KS_REGISTERED,
					  SMQ_KS_REGISTER_MANY };
enum { WHATS = sizeof(whats) / sizeof(whats[0]) };

/* Encoded again, what was decoded is the same bytes; each truncation and a byte too many are refused. */
static void requests_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < WHATS; i++) {
		uint8_t bytes[512], again[512];
		size_t len = 0, again_len = 0;
		struct smq_ks_request q = request_of(whats[i]), back;
		assert_int_equal(smq_ks_request_encode(&q, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
		assert_int_equal(smq_ks_request_decode(smq_span_of(bytes, len), &back), SMQ_OK);
		assert_int_equal(back.what, whats[i]);
		assert_int_equal(smq_ks_request_encode(&back, smq_mspan_of(again, sizeof(again)), &again_len), SMQ_OK);
		assert_int_equal(again_len, len);
		assert_memory_equal(again, bytes, len);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_not_equal(smq_ks_request_decode(smq_span_of(bytes, cut), &back), SMQ_OK);
		bytes[len] = 0;
		assert_int_not_equal(smq_ks_request_decode(smq_span_of(bytes, len + 1), &back), SMQ_OK);
	}
}

static void requests_that_cannot_be_meant(void **state)
{
	(void)state;
	uint8_t bytes[512];
	size_t len = 0;
	smq_mspan room = smq_mspan_of(bytes, sizeof(bytes));
	struct smq_ks_request q = request_of(SMQ_KS_JOIN);
	q.roles = 0;
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q = request_of(SMQ_KS_JOIN);
	q.until_ms = q.from_ms;
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q = request_of(SMQ_KS_JOIN);
	q.group = smq_span_str("a/b");
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q = request_of(SMQ_KS_EXPEL);
	q.group = smq_span_str("");
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_OK);
	q = request_of(SMQ_KS_SHOW);
	q.group = smq_span_str("");
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	for (enum smq_ks_what what = SMQ_KS_REGISTER; what <= SMQ_KS_REGISTER_MANY; what++) {
		q = request_of(what);
		q.group = smq_span_str("g"); /* keys are registered for all groups */
		assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	}
	q = request_of(SMQ_KS_REGISTER);
	q.key[0] = 2; /* compressed */
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	q = request_of(SMQ_KS_UNREGISTER);
	q.name = smq_span_str("a/b");
	assert_int_equal(smq_ks_request_encode(&q, room, &len), SMQ_ERR_USAGE);
	/* A lease and a role do not run into each other: every field has its own place. */
	static const uint8_t lease[] = { 0x87, 1, 1, 0x61, 'g', 1, 0, 0x19, 0x0e, 0x10, 0x4f, 0, 0,
					 0,    0, 0, 0,    0,   0, 0, 0,    0,    0,    0,    0, 0 };
	struct smq_ks_request back;
	assert_int_equal(smq_ks_request_decode(smq_span_of(lease, sizeof(lease)), &back), SMQ_ERR_MALFORMED);
}

/* Many keys: there and back, at both ends of how many, and what is none. */
static void keys_in_one_request(void **state)
{
	static struct smq_ks_key keys[SMQ_KS_KEYS_MAX + 1], back[SMQ_KS_KEYS_MAX];
	static uint8_t room[SMQ_KS_REQUEST_MAX], whole[SMQ_KS_REQUEST_MAX];
	static const char longest[] = "n234567890123456789012345678901234567890123456789012345678901234";
	size_t len, count, whole_len;
	(void)state;
	for (size_t i = 0; i <= SMQ_KS_KEYS_MAX; i++)
		keys[i] = (struct smq_ks_key){ smq_span_str(longest), { 4, (uint8_t)i } };
	assert_int_equal(strlen(longest), 64);
	assert_int_equal(smq_ks_keys_encode(keys, 0, smq_mspan_of(room, sizeof(room)), &len), SMQ_ERR_USAGE);
	assert_int_equal(smq_ks_keys_encode(keys, SMQ_KS_KEYS_MAX + 1, smq_mspan_of(room, sizeof(room)), &len),
			 SMQ_ERR_USAGE);
	assert_int_equal(smq_ks_keys_encode(keys, SMQ_KS_KEYS_MAX, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	/* the longest names of all leave room for what is around them */
	struct smq_ks_request q = request_of(SMQ_KS_REGISTER_MANY);
	q.keys = smq_span_of(room, len);
	assert_int_equal(smq_ks_request_encode(&q, smq_mspan_of(whole, sizeof(whole)), &whole_len), SMQ_OK);
	assert_int_equal(smq_ks_keys_decode(q.keys, back, &count), SMQ_OK);
	assert_int_equal(count, SMQ_KS_KEYS_MAX);
	assert_int_equal(back[99].key[1], 99);
	assert_true(smq_span_equal(back[99].name, keys[99].name));
	assert_int_equal(smq_ks_keys_encode(keys, 1, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_ks_keys_decode(smq_span_of(room, cut), back, &count), SMQ_OK);
	assert_int_not_equal(smq_ks_keys_decode(smq_span_of(room, len + 1), back, &count), SMQ_OK);
	assert_int_equal(smq_ks_keys_encode(keys, 2, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	room[1] = 0x83; /* a row of three, and another */
	assert_int_equal(smq_ks_keys_decode(smq_span_of(room, len), back, &count), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_ks_keys_encode(keys, 1, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	assert_int_equal(smq_ks_keys_decode(smq_span_of(room, len), back, &count), SMQ_OK);
	room[len - 65] = 2; /* compressed */
	assert_int_equal(smq_ks_keys_decode(smq_span_of(room, len), back, &count), SMQ_ERR_MALFORMED);
	assert_int_not_equal(smq_ks_keys_decode(smq_span_of("\x80", 1), back, &count), SMQ_OK);
	keys[0].key[0] = 2;
	assert_int_equal(smq_ks_keys_encode(keys, 1, smq_mspan_of(room, sizeof(room)), &len), SMQ_ERR_USAGE);
	keys[0].key[0] = 4;
	keys[0].name = smq_span_str("a/b");
	assert_int_equal(smq_ks_keys_encode(keys, 1, smq_mspan_of(room, sizeof(room)), &len), SMQ_ERR_USAGE);

	const struct smq_ks_bad_key bad[] = { { 3, smq_span_str("why") }, { 99, smq_span_str("") } };
	struct smq_ks_bad_key found[SMQ_KS_KEYS_MAX];
	assert_int_equal(smq_ks_bad_keys_encode(bad, 2, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	assert_int_equal(smq_ks_bad_keys_decode(smq_span_of(room, len), found, &count), SMQ_OK);
	assert_int_equal(count, 2);
	assert_int_equal(found[1].index, 99);
	assert_true(smq_span_equal(found[0].text, bad[0].text));
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_ks_bad_keys_decode(smq_span_of(room, cut), found, &count), SMQ_OK);
}

static void fill_grant(struct smq_ks_grant *g)
{
	memset(g, 0, sizeof(*g));
	g->sender_id = 9;
	g->leaf = 3;
	g->roles = 1;
	g->from_ms = 5;
	g->until_ms = 6000;
	g->epoch = 12;
	g->secret[31] = 7;
	g->manifest = smq_span_str("manifest");
	g->policy = smq_span_str("policy");
	g->admin = smq_span_str("admin");
	g->path_len = 3;
	g->path[2].version = 40;
	g->tree_count = 1;
	g->trees[0].tree = 2;
	static const uint8_t seeds[] = { 0x80 };
	g->trees[0].seeds = smq_span_of(seeds, 1);
	g->history_count = 2;
	g->history[0].epoch = 10;
	g->history[1].epoch = 11;
}

static void grants_there_and_back(void **state)
{
	(void)state;
	uint8_t bytes[2048], again[2048];
	size_t len = 0, again_len = 0;
	struct smq_ks_grant g, back;
	fill_grant(&g);
	assert_int_equal(smq_ks_grant_encode(&g, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	assert_int_equal(smq_ks_grant_decode(smq_span_of(bytes, len), &back), SMQ_OK);
	assert_int_equal(smq_ks_grant_encode(&back, smq_mspan_of(again, sizeof(again)), &again_len), SMQ_OK);
	assert_int_equal(len, again_len);
	assert_memory_equal(bytes, again, len);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_ks_grant_decode(smq_span_of(bytes, cut), &back), SMQ_OK);
	fill_grant(&g);
	g.history[1].epoch = 12; /* the present one is no history */
	assert_int_equal(smq_ks_grant_encode(&g, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_ERR_USAGE);
	fill_grant(&g);
	g.path_len = 1;
	assert_int_equal(smq_ks_grant_encode(&g, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_ERR_USAGE);
}

static void answers_pages_and_cards(void **state)
{
	(void)state;
	uint8_t bytes[8192];
	size_t len = 0, count = 0;
	uint64_t next = 0;
	smq_mspan room = smq_mspan_of(bytes, sizeof(bytes));
	struct smq_ks_answer a = { SMQ_ERR_RATE, smq_span_str("later"), { NULL, 0 } }, back;
	assert_int_equal(smq_ks_answer_encode(&a, room, &len), SMQ_OK);
	assert_int_equal(smq_ks_answer_decode(smq_span_of(bytes, len), &back), SMQ_OK);
	assert_int_equal(back.status, SMQ_ERR_RATE);
	bytes[len - 1] = 1; /* a refusal with a body */
	assert_int_equal(smq_ks_answer_decode(smq_span_of(bytes, len), &back), SMQ_ERR_MALFORMED);

	struct smq_ks_member_line lines[SMQ_KS_PAGE], got[SMQ_KS_PAGE];
	for (size_t i = 0; i < SMQ_KS_PAGE; i++)
		lines[i] = (struct smq_ks_member_line){ smq_span_str("fridge"), i, 3, 0, SMQ_NO_END };
	assert_int_equal(smq_ks_members_encode(lines, SMQ_KS_PAGE, 64, room, &len), SMQ_OK);
	assert_int_equal(smq_ks_members_decode(smq_span_of(bytes, len), got, &count, &next), SMQ_OK);
	assert_int_equal(count, SMQ_KS_PAGE);
	assert_int_equal(next, 64);
	assert_int_equal(smq_ks_members_encode(lines, SMQ_KS_PAGE + 1, 64, room, &len), SMQ_ERR_USAGE);
	struct smq_ks_key_line keys[SMQ_KS_PAGE], got_keys[SMQ_KS_PAGE];
	for (size_t i = 0; i < SMQ_KS_PAGE; i++)
		keys[i] = (struct smq_ks_key_line){ smq_span_str("tag"), { 1, 2, 3, (uint8_t)i }, 77 };
	assert_int_equal(smq_ks_registered_encode(keys, SMQ_KS_PAGE, SMQ_KS_NO_MORE, room, &len), SMQ_OK);
	assert_int_equal(smq_ks_registered_decode(smq_span_of(bytes, len), got_keys, &count, &next), SMQ_OK);
	assert_true(count == SMQ_KS_PAGE && next == SMQ_KS_NO_MORE && got_keys[9].kid[3] == 9);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_ks_registered_decode(smq_span_of(bytes, cut), got_keys, &count, &next),
				     SMQ_OK);
	assert_int_equal(smq_ks_registered_encode(keys, SMQ_KS_PAGE + 1, 64, room, &len), SMQ_ERR_USAGE);
	struct smq_ks_group_line g = { .group = smq_span_str("g"), .mode = SMQ_MODE_SLOTTED, .epoch = 5, .members = 2 };
	struct smq_ks_group_line groups[SMQ_KS_PAGE];
	assert_int_equal(smq_ks_list_encode(&g, 1, SMQ_KS_NO_MORE, room, &len), SMQ_OK);
	assert_int_equal(smq_ks_list_decode(smq_span_of(bytes, len), groups, &count, &next), SMQ_OK);
	assert_true(count == 1 && next == SMQ_KS_NO_MORE && groups[0].epoch == 5);
	assert_int_equal(smq_ks_show_encode(&g, room, &len), SMQ_OK);
	assert_int_equal(smq_ks_show_decode(smq_span_of(bytes, len), &g), SMQ_OK);

	struct smq_sender_card c = {
		smq_span_str("plant"), smq_span_str("g"), 7, smq_span_str("fridge-07"), { 1 }, 5, 9
	};
	struct smq_sender_card card;
	assert_int_equal(smq_sender_card_encode(&c, room, &len), SMQ_OK);
	assert_int_equal(smq_sender_card_decode(smq_span_of(bytes, len), &card), SMQ_OK);
	assert_int_equal(card.sender_id, 7);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_sender_card_decode(smq_span_of(bytes, cut), &card), SMQ_OK);
	c.until_ms = 5;
	assert_int_equal(smq_sender_card_encode(&c, room, &len), SMQ_ERR_USAGE);
}

static void topics_have_one_spelling(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum smq_ks_topic_kind kind;
	} rows[] = {
		{ "r/x/ks/q/fridge-07", SMQ_KS_TOPIC_REQUEST },
		{ "r/x/ks/a/fridge-07", SMQ_KS_TOPIC_ANSWER },
		{ "r/x/ks/claim", SMQ_KS_TOPIC_CLAIM },
		{ "r/x/g/telemetry/m", SMQ_KS_TOPIC_MANIFEST },
		{ "r/x/g/telemetry/p", SMQ_KS_TOPIC_POLICY },
		{ "r/x/g/telemetry/n/3/41", SMQ_KS_TOPIC_NODE },
		{ "r/x/g/telemetry/s/0", SMQ_KS_TOPIC_SENDER },
		{ "r/x/g/telemetry/s/00", SMQ_KS_TOPIC_NONE },
		{ "r/x/g/telemetry/s/-1", SMQ_KS_TOPIC_NONE },
		{ "r/x/g/telemetry/s/99999999999999999999", SMQ_KS_TOPIC_NONE },
		{ "r/x/g/telemetry/n/3", SMQ_KS_TOPIC_NONE },
		{ "r/x/g/telemetry/m/", SMQ_KS_TOPIC_NONE },
		{ "r/x/g//m", SMQ_KS_TOPIC_NONE },
		{ "r/x/ks/q/", SMQ_KS_TOPIC_NONE },
		{ "r/x/ks/q/a/b", SMQ_KS_TOPIC_NONE },
		{ "r/xx/ks/q/a", SMQ_KS_TOPIC_NONE },
		{ "r/x", SMQ_KS_TOPIC_NONE },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[SMQ_KS_TOPIC_MAX];
		struct smq_ks_topic t = smq_ks_topic_read("r/x", rows[i].text);
		assert_int_equal(t.kind, rows[i].kind);
		if (t.kind == SMQ_KS_TOPIC_NONE)
			continue;
		assert_int_equal(smq_ks_topic_write("r/x", &t, smq_mspan_of(text, sizeof(text))), SMQ_OK);
		assert_string_equal(text, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_in_one_request),           cmocka_unit_test(requests_there_and_back),
		cmocka_unit_test(requests_that_cannot_be_meant), cmocka_unit_test(grants_there_and_back),
		cmocka_unit_test(answers_pages_and_cards),       cmocka_unit_test(topics_have_one_spelling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
