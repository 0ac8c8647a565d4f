/*
 * What travels between members and key server, once it is open: requests, answers and their bodies, sender cards, node
 * messages, checkpoints. One spelling each. The input's first byte says which.
 */
#include "fuzz.h"

#include <string.h>

#include "base/table.h"
#include "wire/checkpoint.h"
#include "wire/ks_answer.h"
#include "wire/ks_topics.h"
#include "wire/sender_card.h"

static uint8_t room[SMQ_KS_ANSWER_MAX];

static smq_mspan all_of_room(void) { return smq_mspan_of(room, sizeof(room)); }

static void check_same(smq_span bytes, smq_err err, size_t len)
{
	FUZZ_CHECK(err == SMQ_OK);
	FUZZ_CHECK(len == bytes.len && memcmp(room, bytes.p, len) == 0);
}

static void request(smq_span bytes)
{
	struct smq_ks_request r;
	size_t len = 0;
	if (smq_ks_request_decode(bytes, &r) != SMQ_OK)
		return;
	FUZZ_CHECK(r.node_count <= SMQ_COUNT(r.nodes) && r.sender_count <= SMQ_COUNT(r.senders));
	smq_err err = smq_ks_request_encode(&r, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void answer(smq_span bytes)
{
	struct smq_ks_answer a;
	size_t len = 0;
	if (smq_ks_answer_decode(bytes, &a) != SMQ_OK)
		return;
	smq_err err = smq_ks_answer_encode(&a, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void grant(smq_span bytes)
{
	static struct smq_ks_grant g;
	size_t len = 0;
	if (smq_ks_grant_decode(bytes, &g) != SMQ_OK)
		return;
	FUZZ_CHECK(g.path_len <= SMQ_COUNT(g.path) && g.history_count <= SMQ_COUNT(g.history));
	FUZZ_CHECK(g.tree_count <= SMQ_COUNT(g.trees));
	smq_err err = smq_ks_grant_encode(&g, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void fetched(smq_span bytes)
{
	static struct smq_ks_fetched f;
	size_t len = 0;
	if (smq_ks_fetched_decode(bytes, &f) != SMQ_OK)
		return;
	smq_err err = smq_ks_fetched_encode(&f, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void list(smq_span bytes)
{
	static struct smq_ks_group_line lines[SMQ_KS_PAGE];
	size_t count = 0, len = 0;
	uint64_t next = 0;
	if (smq_ks_list_decode(bytes, lines, &count, &next) != SMQ_OK)
		return;
	smq_err err = smq_ks_list_encode(lines, count, next, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void show(smq_span bytes)
{
	struct smq_ks_group_line line;
	size_t len = 0;
	if (smq_ks_show_decode(bytes, &line) != SMQ_OK)
		return;
	smq_err err = smq_ks_show_encode(&line, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void members(smq_span bytes)
{
	static struct smq_ks_member_line lines[SMQ_KS_PAGE];
	size_t count = 0, len = 0;
	uint64_t next = 0;
	if (smq_ks_members_decode(bytes, lines, &count, &next) != SMQ_OK)
		return;
	smq_err err = smq_ks_members_encode(lines, count, next, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void card(smq_span bytes)
{
	struct smq_sender_card c;
	size_t len = 0;
	if (smq_sender_card_decode(bytes, &c) != SMQ_OK)
		return;
	FUZZ_CHECK(c.from_ms <= c.until_ms);
	smq_err err = smq_sender_card_encode(&c, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void node(smq_span bytes)
{
	struct smq_tree_node_message m;
	size_t len = 0;
	if (smq_tree_node_decode(bytes, &m) != SMQ_OK)
		return;
	FUZZ_CHECK(m.height >= 1 && m.height <= SMQ_TREE_HEIGHT_MAX && len <= SMQ_TREE_NODE_MAX);
	smq_err err = smq_tree_node_encode(&m, all_of_room(), &len);
	check_same(bytes, err, len);
}

static void checkpoint(smq_span bytes)
{
	struct smq_checkpoint c;
	size_t len = 0;
	if (smq_checkpoint_decode(bytes, &c) != SMQ_OK)
		return;
	size_t messages = c.digests.len / SMQ_HASH_LEN;
	FUZZ_CHECK(messages >= 1 && messages <= SMQ_CHECKPOINT_MESSAGES_MAX && c.digests.len % SMQ_HASH_LEN == 0);
	FUZZ_CHECK(c.first + messages > c.first);
	FUZZ_CHECK(smq_checkpoint_encode_head(&c, all_of_room(), &len) == SMQ_OK);
	FUZZ_CHECK(len + c.digests.len == bytes.len && memcmp(room, bytes.p, len) == 0);
}

static void topic(smq_span bytes)
{
	char text[SMQ_KS_TOPIC_MAX];
	if (bytes.len >= sizeof(text) || memchr(bytes.p, 0, bytes.len))
		return;
	memcpy(text, bytes.p, bytes.len);
	text[bytes.len] = '\0';
	struct smq_ks_topic t = smq_ks_topic_read("sealmq/plant", text);
	if (t.kind == SMQ_KS_TOPIC_NONE)
		return;
	FUZZ_CHECK(smq_ks_topic_write("sealmq/plant", &t, all_of_room()) == SMQ_OK);
	FUZZ_CHECK(strcmp((const char *)room, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(smq_span) = { request, answer, grant, fetched,    list, show,
						   members, card,   node,  checkpoint, topic };
	if (size > 0 && data[0] < SMQ_COUNT(kinds))
		kinds[data[0]](smq_span_of(data + 1, size - 1));
	return 0;
}
