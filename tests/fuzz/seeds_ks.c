/* The corpus of the "ks" target: one of everything that travels between members and key server. */
#include "seeds.h"

#include "base/table.h"
#include "wire/checkpoint.h"
#include "wire/ks_answer.h"
#include "wire/ks_topics.h"
#include "wire/sender_card.h"

enum { REQUEST, ANSWER, GRANT, FETCHED, LIST, SHOW, MEMBERS, CARD, NODE, CHECKPOINT, TOPIC };

static uint8_t room[1 + SMQ_KS_ANSWER_MAX];
static size_t len;

static smq_mspan after_kind(void) { return smq_mspan_of(room + 1, sizeof(room) - 1); }

static void save_kind(int kind, const char *name)
{
	room[0] = (uint8_t)kind;
	save("ks", name, smq_span_of(room, 1 + len));
}

static void requests(void)
{
	static const enum smq_ks_what whats[] = { SMQ_KS_JOIN,    SMQ_KS_LEAVE,  SMQ_KS_FETCH,
						  SMQ_KS_POLICY,  SMQ_KS_LIST,   SMQ_KS_SHOW,
						  SMQ_KS_MEMBERS, SMQ_KS_ROTATE, SMQ_KS_EXPEL };
	for (size_t i = 0; i < SMQ_COUNT(whats); i++) {
		struct smq_ks_request q = { .what = whats[i],
					    .group = smq_span_str(whats[i] == SMQ_KS_LIST ? "" : "temps"),
					    .roles = SMQ_JOIN_PUBLISH,
					    .from_ms = 1000,
					    .until_ms = i ? INT64_MAX : 9000,
					    .boot_id = { 7 },
					    .node_count = 2,
					    .nodes = { { 1, 3 }, { 2, 0 } },
					    .sender_count = 1,
					    .senders = { 300 },
					    .policy = smq_span_str("policy"),
					    .admin = smq_span_str("\xa1\x04\x42k1"),
					    .offset = 64,
					    .name = smq_span_str("fridge-07") };
		char name[32];
		snprintf(name, sizeof(name), "request-%d", (int)whats[i]);
		FUZZ_CHECK(smq_ks_request_encode(&q, after_kind(), &len) == SMQ_OK);
		save_kind(REQUEST, name);
	}
}

static void answers(void)
{
	static const uint8_t no_seeds[] = { 0x80 };
	static struct smq_ks_grant g;
	struct smq_ks_answer refused = { SMQ_ERR_RATE, smq_span_str("later"), { NULL, 0 } };
	struct smq_ks_fetched f = { .manifest = smq_span_str("m"),
				    .policy = smq_span_str("p"),
				    .admin = smq_span_str("\xa1\x04\x42k1"),
				    .node_count = 1,
				    .nodes = { smq_span_str("n") },
				    .card_count = 1,
				    .cards = { smq_span_str("c") } };
	g = (struct smq_ks_grant){ .sender_id = 5,
				   .leaf = 3,
				   .roles = SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE,
				   .from_ms = 1,
				   .until_ms = 2,
				   .epoch = 7,
				   .secret = { 1 },
				   .manifest = smq_span_str("m"),
				   .policy = smq_span_str("p"),
				   .admin = smq_span_str("\xa1\x04\x42k1"),
				   .path_len = 3,
				   .path = { { 1, 1, { 1 } }, { 2, 1, { 2 } }, { 9, 7, { 3 } } },
				   .tree_count = 1,
				   .trees = { { 2, smq_span_of(no_seeds, sizeof(no_seeds)) } },
				   .history_count = 1,
				   .history = { { 6, { 1 }, { 2 } } } };
	FUZZ_CHECK(smq_ks_answer_encode(&refused, after_kind(), &len) == SMQ_OK);
	save_kind(ANSWER, "answer");
	FUZZ_CHECK(smq_ks_grant_encode(&g, after_kind(), &len) == SMQ_OK);
	save_kind(GRANT, "grant");
	FUZZ_CHECK(smq_ks_fetched_encode(&f, after_kind(), &len) == SMQ_OK);
	save_kind(FETCHED, "fetched");
}

static void listings(void)
{
	struct smq_ks_group_line g = { .group = smq_span_str("temps"),
				       .mode = SMQ_MODE_SLOTTED,
				       .epoch = 5,
				       .members = 2,
				       .height = 1,
				       .policy_number = 1,
				       .activate_at_ms = 1,
				       .expires_ms = 2,
				       .policy = smq_span_str("p"),
				       .admin = smq_span_str("\xa1\x04\x42k1") };
	struct smq_ks_member_line m = { smq_span_str("fridge-07"), 3, SMQ_JOIN_PUBLISH, 1, SMQ_NO_END };
	FUZZ_CHECK(smq_ks_list_encode(&g, 1, SMQ_KS_NO_MORE, after_kind(), &len) == SMQ_OK);
	save_kind(LIST, "list");
	FUZZ_CHECK(smq_ks_show_encode(&g, after_kind(), &len) == SMQ_OK);
	save_kind(SHOW, "show");
	FUZZ_CHECK(smq_ks_members_encode(&m, 1, 64, after_kind(), &len) == SMQ_OK);
	save_kind(MEMBERS, "members");
}

static void retained(void)
{
	static const uint8_t digests[2 * SMQ_HASH_LEN] = { 1 };
	struct smq_sender_card c = {
		smq_span_str("plant"), smq_span_str("temps"), 5, smq_span_str("fridge-07"), { 1 }, 1, SMQ_NO_END
	};
	struct smq_tree_node_message n = { .height = 1,
					   .index = 2,
					   .epoch = 3,
					   .wraps = { { true, 4, { 5 } }, { false, 0, { 0 } }, { true, 1, { 2 } } } };
	struct smq_checkpoint k = { { 9 }, 40, smq_span_of(digests, sizeof(digests)) };
	FUZZ_CHECK(smq_sender_card_encode(&c, after_kind(), &len) == SMQ_OK);
	save_kind(CARD, "card");
	FUZZ_CHECK(smq_tree_node_encode(&n, after_kind(), &len) == SMQ_OK);
	save_kind(NODE, "node");
	FUZZ_CHECK(smq_checkpoint_encode_head(&k, after_kind(), &len) == SMQ_OK);
	memcpy(room + 1 + len, digests, sizeof(digests));
	len += sizeof(digests);
	save_kind(CHECKPOINT, "checkpoint");
}

static void topics(void)
{
	static const char *const rows[] = { "ks/q/fridge-07", "ks/a/fridge-07", "ks/claim",   "g/temps/m",
					    "g/temps/p",      "g/temps/n/3/17", "g/temps/s/9" };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		char name[32];
		len = (size_t)snprintf((char *)room + 1, 200, "sealmq/plant/%s", rows[i]);
		snprintf(name, sizeof(name), "topic-%zu", i);
		save_kind(TOPIC, name);
	}
}

void ks_seeds(void)
{
	requests();
	answers();
	listings();
	retained();
	topics();
}
