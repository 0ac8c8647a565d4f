/* wire/policy and core/policy: the document, who may have signed it, and what it says (PROTOCOL.md 6.5). */
#include <stdio.h>

#include "cmocka_all.h"

#include "base/table.h"
#include "base/text.h"
#include "core/policy.h"
#include "signing.h"

#define T(text)                                                                                                        \
	{                                                                                                              \
		(const uint8_t *)(text), sizeof(text) - 1                                                              \
	}

static struct signing admin, keyserver;
static const struct smq_policy_mark none;

static struct smq_policy usual(void)
{
	struct smq_policy p = {
		.realm = T("plant"),
		.group = T("temps"),
		.number = 3,
		.filter_count = 2,
		.filters = { T("plant/+/temp"), T("plant/alarms/#") },
		.mode = SMQ_MODE_UPDATE,
		.rotate_s = 300,
		.alg = smq_aead_alg_by_id(SMQ_A128GCM),
		.proof = SMQ_PROOF_CHECKPOINT,
		.proof_messages = 32,
		.proof_s = 5,
		.publisher_count = 2,
		.publishers = { { T("fridge-*"), 0 }, { T("*"), SMQ_ROLE_ADMIN } },
		.subscriber_count = 1,
		.subscribers = { { T("archive"), SMQ_ROLE_MEMBER } },
		.batch_ms = 200,
		.activation_ms = 500,
		.grace_ms = 10000,
		.validity_s = 86400,
		.lease_s = 3600,
		.history = SMQ_HISTORY_LAST,
		.history_epochs = 4,
		.members_max = 1000,
		.issued_s = 1795259500,
	};
	return p;
}

static struct smq_policy commanded(void)
{
	struct smq_policy p = usual();
	p.commander_count = 2;
	p.commanders[0] = (struct smq_policy_commander){ { T("ops-*"), SMQ_ROLE_MEMBER }, T("fridge-0?") };
	p.commanders[1] = (struct smq_policy_commander){ { T("*"), SMQ_ROLE_ADMIN }, T("*") };
	return p;
}

static struct smq_policy template_of(void)
{
	struct smq_policy p = usual();
	p.is_template = true;
	p.group = smq_span_str("room-*");
	p.filters[0] = smq_span_str("home/{group}/+");
	p.filters[1] = smq_span_str("{group}");
	return p;
}

static size_t encode(const struct smq_policy *p, uint8_t room[SMQ_POLICY_MAX])
{
	size_t len = 0;
	assert_int_equal(smq_policy_encode(p, smq_mspan_of(room, SMQ_POLICY_MAX), &len), SMQ_OK);
	return len;
}

static void there_and_back(void **state)
{
	(void)state;
	struct smq_policy p = usual(), back;
	uint8_t room[SMQ_POLICY_MAX], again[SMQ_POLICY_MAX];
	size_t len = encode(&p, room);
	printf("# a usual policy: %zu bytes\n", len);
	assert_int_equal(smq_policy_decode(smq_span_of(room, len), &back), SMQ_OK);
	assert_true(smq_span_equal(back.filters[1], p.filters[1]));
	assert_int_equal(back.proof_messages, 32);
	assert_int_equal(encode(&back, again), len);
	assert_memory_equal(again, room, len);
	back.number = 77;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_policy_decode(smq_span_of(room, cut), &back), SMQ_OK);
	assert_int_equal(back.number, 77);
	room[len] = 0;
	assert_int_equal(smq_policy_decode(smq_span_of(room, len + 1), &back), SMQ_ERR_TRAILING);
}

static void the_largest_fits(void **state)
{
	(void)state;
	static char text[SMQ_POLICY_FILTER_MAX];
	static uint8_t room[SMQ_POLICY_MAX];
	struct smq_policy p = usual(), back;
	memset(text, 'x', sizeof(text));
	p.realm = p.group = smq_span_of(text, SMQ_NAME_MAX);
	p.number = UINT64_MAX;
	p.filter_count = SMQ_POLICY_FILTERS_MAX;
	p.publisher_count = p.subscriber_count = SMQ_POLICY_RULES_MAX;
	for (size_t i = 0; i < SMQ_POLICY_FILTERS_MAX; i++)
		p.filters[i] = smq_span_of(text, SMQ_POLICY_FILTER_MAX);
	for (size_t i = 0; i < SMQ_POLICY_RULES_MAX; i++)
		p.publishers[i].pattern = p.subscribers[i].pattern = smq_span_of(text, SMQ_POLICY_PATTERN_MAX);
	p.commander_count = SMQ_POLICY_COMMANDERS_MAX;
	for (size_t i = 0; i < SMQ_POLICY_COMMANDERS_MAX; i++)
		p.commanders[i].who.pattern = p.commanders[i].whom = smq_span_of(text, SMQ_POLICY_PATTERN_MAX);
	size_t len = encode(&p, room);
	assert_int_equal(smq_policy_decode(smq_span_of(room, len), &back), SMQ_OK);
	printf("# the largest policy: %zu bytes; as a struct %zu\n", len, sizeof(back));
	assert_int_equal(smq_policy_encode(&p, smq_mspan_of(room, len - 1), &len), SMQ_ERR_NO_ROOM);
}

/* Each row spoils one field of a good policy. */
static void out_of_bounds(void **state)
{
	(void)state;
	static char long_text[300];
	memset(long_text, 'x', sizeof(long_text) - 1);
#define SPOILED(n, change)                                                                                             \
	case n:                                                                                                        \
		change;                                                                                                \
		break
	for (int row = 1; row <= 36; row++) {
		struct smq_policy p = usual();
		uint8_t room[SMQ_POLICY_MAX];
		size_t len = 77;
		switch (row) {
			SPOILED(1, p.realm = smq_span_str("a/b"));
			SPOILED(2, p.group = smq_span_str(""));
			SPOILED(3, p.group = smq_span_str("room-*"));
			SPOILED(4, p.number = 0);
			SPOILED(5, p.filter_count = 0);
			SPOILED(6, p.filters[0] = smq_span_str("a/#/b"));
			SPOILED(7, p.filters[0] = smq_span_str(long_text));
			SPOILED(8, p.filters[0] = smq_span_str("$share/g/t"));
			SPOILED(9, p.filter_count = SMQ_POLICY_FILTERS_MAX + 1);
			SPOILED(10, p.mode = (enum smq_policy_mode)3);
			SPOILED(11, p.rotate_s = SMQ_POLICY_SPAN_MAX_S + UINT64_C(1));
			SPOILED(12, p.mode = SMQ_MODE_SLOTTED);
			SPOILED(13, p.alg = NULL);
			SPOILED(14, p.alg = smq_aead_alg_by_id(SMQ_AES_CCM_16_64_128));
			SPOILED(15, p.proof = (enum smq_policy_proof)3);
			SPOILED(16, p.proof = SMQ_PROOF_EVERY);
			SPOILED(17, p.proof_messages = 0);
			SPOILED(18, p.proof_messages = SMQ_POLICY_CHECKPOINT_MAX + 1);
			SPOILED(19, p.proof_s = 0);
			SPOILED(20, p.publishers[0].pattern = smq_span_str(""));
			SPOILED(21, p.publishers[0].pattern = smq_span_str("a b"));
			SPOILED(22, p.subscribers[0].pattern = smq_span_of(long_text, SMQ_POLICY_PATTERN_MAX + 1));
			SPOILED(23, p.subscribers[0].roles = 16);
			SPOILED(24, p.subscriber_count = SMQ_POLICY_RULES_MAX + 1);
			SPOILED(25, p.batch_ms = SMQ_POLICY_BATCH_MAX_MS + 1);
			SPOILED(26, p.activation_ms = SMQ_POLICY_ACTIVATION_MAX_MS + 1);
			SPOILED(27, p.grace_ms = SMQ_POLICY_GRACE_MAX_MS + 1);
			SPOILED(28, p.validity_s = 0);
			SPOILED(29, p.lease_s = UINT64_MAX);
			SPOILED(30, p.history = SMQ_HISTORY_NONE);
			SPOILED(31, p.history_epochs = 0);
			SPOILED(32, p.history_epochs = SMQ_POLICY_HISTORY_MAX + 1);
			SPOILED(33, p.members_max = 0);
			SPOILED(34, p.members_max = SMQ_POLICY_MEMBERS_MAX + 1);
			SPOILED(35, p.issued_s = UINT64_MAX);
			SPOILED(36, p.is_template = true; p.group = smq_span_str("room/*"));
		}
		if (smq_policy_encode(&p, smq_mspan_of(room, sizeof(room)), &len) != SMQ_ERR_USAGE || len != 77)
			fail_msg("row %d was encoded", row);
	}
}

static void slotted(void **state)
{
	(void)state;
	static const struct {
		uint64_t ms;
		unsigned levels;
		smq_err err;
	} rows[] = { { 10000, 16, SMQ_OK },       { 100, 1, SMQ_OK },          { 86400000, 20, SMQ_OK },
		     { 99, 16, SMQ_ERR_USAGE },   { 0, 16, SMQ_ERR_USAGE },    { 86400001, 16, SMQ_ERR_USAGE },
		     { 10000, 0, SMQ_ERR_USAGE }, { 10000, 21, SMQ_ERR_USAGE } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_policy p = usual();
		uint8_t room[SMQ_POLICY_MAX];
		size_t len;
		p.mode = SMQ_MODE_SLOTTED;
		p.slot_ms = rows[i].ms;
		p.slot_levels = rows[i].levels;
		if (smq_policy_encode(&p, smq_mspan_of(room, sizeof(room)), &len) != rows[i].err)
			fail_msg("row %zu", i);
	}
}

/* ---- accepting ---- */

static smq_err accept(const struct smq_policy *p, const struct signing *by, const struct smq_policy_mark *have,
		      const char *realm, const char *group, struct smq_policy_mark *ret_mark)
{
	static uint8_t document[SMQ_POLICY_MAX], bytes[SMQ_POLICY_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	struct smq_policy accepted;
	size_t len = encode(p, document);
	assert_int_equal(
	    smq_policy_sign(smq_span_of(document, len), &by->own, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	return smq_policy_accept(smq_crypto_openssl(), smq_span_of(bytes, len), &by->credential, smq_span_str(realm),
				 smq_span_str(group), have, &accepted, ret_mark);
}

static void numbers_only_grow(void **state)
{
	(void)state;
	struct smq_policy p = usual();
	struct smq_policy_mark mark, again, untouched = { .number = 77 };
	assert_int_equal(accept(&p, &admin, &none, "plant", "temps", &mark), SMQ_OK);
	assert_int_equal(mark.number, 3);
	assert_int_equal(accept(&p, &admin, &mark, "plant", "temps", &again), SMQ_OK);
	assert_memory_equal(&again, &mark, sizeof(mark));
	p.grace_ms++;
	assert_int_equal(accept(&p, &admin, &mark, "plant", "temps", &untouched), SMQ_ERR_EXISTS);
	p.number = 2;
	assert_int_equal(accept(&p, &admin, &mark, "plant", "temps", &untouched), SMQ_ERR_STALE_EPOCH);
	assert_int_equal(untouched.number, 77);
	p.number = 4;
	assert_int_equal(accept(&p, &admin, &mark, "plant", "temps", &mark), SMQ_OK);
	assert_int_equal(mark.number, 4);
}

/* The digest is the document's: a second signature over it is the same policy, not another one. */
static void two_signatures_one_policy(void **state)
{
	(void)state;
	struct signing second;
	struct smq_policy p = usual();
	struct smq_policy_mark mark;
	signing_init(&second, SMQ_ED25519, 9, SMQ_ROLE_ADMIN, "boss-2");
	assert_int_equal(accept(&p, &admin, &none, "plant", "temps", &mark), SMQ_OK);
	assert_int_equal(accept(&p, &second, &mark, "plant", "temps", &mark), SMQ_OK);
	signing_done(&second);
}

static void only_admins_and_only_for_us(void **state)
{
	(void)state;
	struct smq_policy p = usual(), t = template_of();
	struct smq_policy_mark mark;
	assert_int_equal(accept(&p, &keyserver, &none, "plant", "temps", &mark), SMQ_ERR_CERT_USAGE);
	assert_int_equal(accept(&p, &admin, &none, "plant2", "temps", &mark), SMQ_ERR_REALM);
	assert_int_equal(accept(&p, &admin, &none, "plant", "temp", &mark), SMQ_ERR_NAME);
	assert_int_equal(accept(&p, &admin, &none, "plant", "", &mark), SMQ_OK);
	assert_int_equal(accept(&t, &admin, &none, "plant", "room-1", &mark), SMQ_OK);
	assert_int_equal(accept(&t, &admin, &none, "plant", "attic", &mark), SMQ_ERR_NAME);
	assert_int_equal(smq_policy_sign(smq_span_str("\x80"), &admin.own, smq_mspan_of(NULL, 0), &(size_t){ 0 }),
			 SMQ_ERR_MALFORMED);
}

static void templates(void **state)
{
	(void)state;
	struct smq_policy t = template_of(), p = usual(), made;
	uint8_t room[64];
	assert_int_equal(smq_policy_instantiate(&t, smq_span_str("room-12"), smq_mspan_of(room, sizeof(room)), &made),
			 SMQ_OK);
	assert_true(smq_span_equal(made.group, smq_span_str("room-12")));
	assert_true(smq_span_equal(made.filters[0], smq_span_str("home/room-12/+")));
	assert_true(smq_span_equal(made.filters[1], smq_span_str("room-12")));
	assert_false(made.is_template);
	assert_true(smq_policy_covers(&made, smq_span_str("home/room-12/temp")));
	assert_false(smq_policy_covers(&made, smq_span_str("home/room-13/temp")));
	assert_int_equal(smq_policy_instantiate(&t, smq_span_str("attic"), smq_mspan_of(room, sizeof(room)), &made),
			 SMQ_ERR_NAME);
	assert_int_equal(smq_policy_instantiate(&t, smq_span_str("room-#"), smq_mspan_of(room, sizeof(room)), &made),
			 SMQ_ERR_NAME);
	assert_int_equal(smq_policy_instantiate(&t, smq_span_str("room-12"), smq_mspan_of(room, 20), &made),
			 SMQ_ERR_NO_ROOM);
	assert_int_equal(smq_policy_instantiate(&p, smq_span_str("room-12"), smq_mspan_of(room, 20), &made),
			 SMQ_ERR_USAGE);
}

/* ---- asking ---- */

static void patterns(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *name;
		bool fits;
	} rows[] = {
		{ "*", "fridge-07", true },
		{ "*", "", true },
		{ "fridge-*", "fridge-07", true },
		{ "fridge-*", "fridge-", true },
		{ "fridge-*", "fridge", false },
		{ "fridge-??", "fridge-07", true },
		{ "fridge-??", "fridge-7", false },
		{ "?", "", false },
		{ "*-07", "fridge-07", true },
		{ "*-07", "fridge-07x", false },
		{ "a*b*c", "aXbXbXc", true },
		{ "a*b*c", "aXbX", false },
		{ "**", "x", true },
		{ "x", "x", true },
		{ "x", "xx", false },
		{ "xx", "x", false },
		{ "*?", "", false },
		{ "Fridge", "fridge", false },
		{ "", "", true },
		{ "", "x", false },
		{ "*a*?", "bab", true },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (smq_pattern_matches(smq_span_str(rows[i].pattern), smq_span_str(rows[i].name)) != rows[i].fits)
			fail_msg("row %zu: %s, %s", i, rows[i].pattern, rows[i].name);
	}
	/* stars against a long run that almost fits: comes back at once, or the runner's time limit ends it */
	static char stars[SMQ_POLICY_PATTERN_MAX + 1], run[100001];
	for (size_t i = 0; i + 1 < sizeof(stars) - 1; i += 2)
		memcpy(stars + i, "*a", 2);
	stars[SMQ_POLICY_PATTERN_MAX - 1] = 'b';
	memset(run, 'a', sizeof(run) - 1);
	assert_false(smq_pattern_matches(smq_span_str(stars), smq_span_str(run)));
}

static void who_may_what(void **state)
{
	(void)state;
	static const struct {
		const char *name, *topic;
		unsigned roles;
		enum smq_policy_act act;
		bool may;
	} rows[] = {
		{ "fridge-07", "plant/a/temp", SMQ_ROLE_MEMBER, SMQ_MAY_PUBLISH, true },
		{ "fridge-07", "plant/a/temp", SMQ_ROLE_MEMBER, SMQ_MAY_SUBSCRIBE, false },
		{ "fridge-07", "plant/a/b/temp", SMQ_ROLE_MEMBER, SMQ_MAY_PUBLISH, false },
		{ "fridge-07", "plant/alarms/x/y", 0, SMQ_MAY_PUBLISH, true },
		{ "oven-1", "plant/a/temp", SMQ_ROLE_MEMBER, SMQ_MAY_PUBLISH, false },
		{ "oven-1", "plant/a/temp", SMQ_ROLE_MEMBER | SMQ_ROLE_ADMIN, SMQ_MAY_PUBLISH, true },
		{ "archive", "plant/a/temp", SMQ_ROLE_MEMBER, SMQ_MAY_SUBSCRIBE, true },
		{ "archive", "plant/a/temp", SMQ_ROLE_BROKER, SMQ_MAY_SUBSCRIBE, false },
		{ "archive", "plant/a/temp", SMQ_ROLE_MEMBER, SMQ_MAY_PUBLISH, false },
		{ "archive2", "plant/a/temp", SMQ_ROLE_MEMBER, SMQ_MAY_SUBSCRIBE, false },
	};
	struct smq_policy p = usual();
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (smq_policy_may(&p, smq_span_str(rows[i].name), rows[i].roles, rows[i].act,
				   smq_span_str(rows[i].topic)) != rows[i].may)
			fail_msg("row %zu", i);
	}
}

static void who_may_command_whom(void **state)
{
	static const struct {
		const char *who;
		unsigned roles;
		const char *whom;
		bool may;
	} rows[] = {
		{ "ops-1", SMQ_ROLE_MEMBER, "fridge-07", true },
		{ "ops-1", SMQ_ROLE_MEMBER, "fridge-17", false },
		{ "ops-1", SMQ_ROLE_KEYSERVER, "fridge-07", false },
		{ "ops", SMQ_ROLE_MEMBER, "fridge-07", false },
		{ "fridge-07", SMQ_ROLE_MEMBER, "fridge-07", false },
		{ "x", SMQ_ROLE_ADMIN | SMQ_ROLE_MEMBER, "y", true },
		{ "x", 0, "y", false },
	};
	struct smq_policy p = commanded(), back, nobody = usual();
	uint8_t room[SMQ_POLICY_MAX], bare[SMQ_POLICY_MAX];
	size_t len = encode(&p, room), bare_len = encode(&nobody, bare);
	(void)state;
	assert_int_equal(smq_policy_decode(smq_span_of(room, len), &back), SMQ_OK);
	assert_int_equal(back.commander_count, 2);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_span who = smq_span_str(rows[i].who), whom = smq_span_str(rows[i].whom);
		assert_int_equal(smq_policy_commands(&back, who, rows[i].roles, whom), rows[i].may);
		assert_false(smq_policy_commands(&nobody, who, rows[i].roles, whom));
	}
	/* where nobody commands the document is as it was before there were commands */
	assert_int_equal(bare[0], 0x80 + 21);
	assert_int_equal(room[0], 0x80 + 22);
	assert_true(len > bare_len);
	p.commanders[0].whom = smq_span_str("a/b");
	assert_int_equal(smq_policy_encode(&p, smq_mspan_of(room, sizeof(room)), &len), SMQ_ERR_USAGE);
	p = commanded();
	p.commander_count = SMQ_POLICY_COMMANDERS_MAX + 1;
	assert_int_equal(smq_policy_encode(&p, smq_mspan_of(room, sizeof(room)), &len), SMQ_ERR_USAGE);
}

/* What follows the commanders' head in a document, put by hand: no encoder writes these. */
static void commanders_out_of_bounds(void **state)
{
	static const struct {
		uint8_t head, item; /* of the list, and of its first commander */
		const char *whom;
		smq_err err;
	} rows[] = {
		/* 1 */ { 0x81, 0x83, "*", SMQ_OK },
		/* 2 */ { 0x80, 0x83, "*", SMQ_ERR_MALFORMED },
		/* 3 */ { 0x81, 0x82, "*", SMQ_ERR_MALFORMED },
		/* 4 */ { 0x81, 0x84, "*", SMQ_ERR_MALFORMED },
		/* 5 */ { 0x97, 0x83, "*", SMQ_ERR_FULL },
		/* 6 */ { 0x81, 0x83, "/", SMQ_ERR_NAME },
		/* 7 */ { 0x82, 0x83, "*", SMQ_ERR_TRUNCATED },
	};
	const struct smq_policy p = usual();
	struct smq_policy back;
	uint8_t room[SMQ_POLICY_MAX + 16];
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		size_t len = encode(&p, room);
		room[0] = 0x80 + 22;
		const uint8_t list[] = { rows[i].head, rows[i].item, 0x61, 'a', 1, 0x61, (uint8_t)rows[i].whom[0] };
		memcpy(room + len, list, sizeof(list));
		smq_err err = smq_policy_decode(smq_span_of(room, len + sizeof(list)), &back);
		if (err != rows[i].err)
			fail_msg("row %zu: %s", i + 1, smq_err_name(err));
	}
	struct smq_policy q = commanded();
	q.commanders[0].who.pattern = smq_span_str("a/b");
	size_t len;
	assert_int_equal(smq_policy_encode(&q, smq_mspan_of(room, sizeof(room)), &len), SMQ_ERR_USAGE);
}

static void grants(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t from, until, now, cert;
		smq_err err;
		int64_t got_from, got_until;
	} rows[] = {
		{ "as asked", 1000, 2000, 500, 9999999, SMQ_OK, 1000, 2000 },
		{ "from now on", 0, 2000, 500, 9999999, SMQ_OK, 500, 2000 },
		{ "the lease", 0, INT64_MAX, 500, INT64_MAX, SMQ_OK, 500, 3600500 },
		{ "not stretched by a late start", 3600000, INT64_MAX, 500, INT64_MAX, SMQ_OK, 3600000, 3600500 },
		{ "the certificate", 0, INT64_MAX, 500, 700, SMQ_OK, 500, 700 },
		{ "a millisecond", 500, 501, 500, 9999999, SMQ_OK, 500, 501 },
		{ "empty", 600, 600, 500, 9999999, SMQ_ERR_USAGE, 0, 0 },
		{ "backwards", 700, 600, 500, 9999999, SMQ_ERR_USAGE, 0, 0 },
		{ "over", 0, 499, 500, 9999999, SMQ_ERR_USAGE, 0, 0 },
		{ "expired", 0, 1000, 500, 400, SMQ_ERR_USAGE, 0, 0 },
		{ "beyond the lease", 3600501, INT64_MAX, 500, INT64_MAX, SMQ_ERR_USAGE, 0, 0 },
		{ "at the end of time", INT64_MAX - 2, INT64_MAX, INT64_MAX - 2, INT64_MAX, SMQ_OK, INT64_MAX - 2,
		  INT64_MAX },
		{ "all of time", INT64_MIN, INT64_MAX, INT64_MIN, INT64_MAX, SMQ_OK, INT64_MIN, INT64_MIN + 3600000 },
	};
	struct smq_policy p = usual();
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		int64_t from = 0, until = 0;
		smq_err err =
		    smq_policy_grant(&p, rows[i].from, rows[i].until, rows[i].now, rows[i].cert, &from, &until);
		if (err != rows[i].err || from != rows[i].got_from || until != rows[i].got_until)
			fail_msg("row %zu, %s: %s %lld %lld", i, rows[i].what, smq_err_name(err), (long long)from,
				 (long long)until);
	}
}

static void history(void **state)
{
	(void)state;
	static const struct {
		enum smq_policy_history kind;
		uint64_t joined, present, oldest;
	} rows[] = {
		{ SMQ_HISTORY_NONE, 5, 9, 9 },  { SMQ_HISTORY_JOIN, 5, 9, 5 }, { SMQ_HISTORY_JOIN, 9, 9, 9 },
		{ SMQ_HISTORY_JOIN, 10, 9, 9 }, { SMQ_HISTORY_LAST, 9, 9, 5 }, { SMQ_HISTORY_LAST, 1, 4, 1 },
		{ SMQ_HISTORY_LAST, 1, 5, 1 },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_policy p = usual();
		p.history = rows[i].kind;
		if (smq_policy_oldest_epoch(&p, rows[i].joined, rows[i].present) != rows[i].oldest)
			fail_msg("row %zu", i);
	}
}

static int start(void **state)
{
	(void)state;
	signing_init(&admin, SMQ_P256, 7, SMQ_ROLE_ADMIN | SMQ_ROLE_MEMBER, "boss");
	signing_init(&keyserver, SMQ_P256, 8, SMQ_ROLE_KEYSERVER | SMQ_ROLE_MEMBER, "keys");
	return 0;
}

static int stop(void **state)
{
	(void)state;
	signing_done(&admin);
	signing_done(&keyserver);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(the_largest_fits),
		cmocka_unit_test(out_of_bounds),
		cmocka_unit_test(slotted),
		cmocka_unit_test(numbers_only_grow),
		cmocka_unit_test(two_signatures_one_policy),
		cmocka_unit_test(only_admins_and_only_for_us),
		cmocka_unit_test(templates),
		cmocka_unit_test(patterns),
		cmocka_unit_test(who_may_what),
		cmocka_unit_test(who_may_command_whom),
		cmocka_unit_test(commanders_out_of_bounds),
		cmocka_unit_test(grants),
		cmocka_unit_test(history),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
