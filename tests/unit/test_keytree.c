/* core/keytree: who can follow the tree, who cannot, and what it costs (PROTOCOL.md 6.2). */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "base/table.h"
#include "core/keytree.h"

enum { MEMBERS_MAX = 1200, MESSAGES_MAX = 4096 };

static struct smq_tree_scope scope;
static smq_keytree *tree;
static void *memory;
static unsigned seed;

/* The broker: the newest message of each node, and what the last epoch published. */
static struct smq_tree_node_message retained[MESSAGES_MAX];
static size_t retained_count, published, published_bytes;

static struct smq_keypath members[MEMBERS_MAX];
static bool there[MEMBERS_MAX];
static size_t member_count;

static smq_err emit(void *self, const struct smq_tree_node_message *m)
{
	uint8_t bytes[SMQ_TREE_NODE_MAX];
	size_t len = 0;
	struct smq_tree_node_message back;
	(void)self;
	assert_int_equal(smq_tree_node_encode(m, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	assert_int_equal(smq_tree_node_decode(smq_span_of(bytes, len), &back), SMQ_OK);
	published++;
	published_bytes += len;
	for (size_t i = 0; i < retained_count; i++) {
		if (retained[i].height == m->height && retained[i].index == m->index) {
			retained[i] = back;
			return SMQ_OK;
		}
	}
	assert_true(retained_count < MESSAGES_MAX);
	retained[retained_count++] = back;
	return SMQ_OK;
}

static void start(unsigned height)
{
	scope = (struct smq_tree_scope){ smq_crypto_openssl(), smq_random_system(), smq_span_str("world"),
					 smq_span_str("g") };
	size_t size = smq_keytree_size(height);
	memory = malloc(size);
	assert_non_null(memory);
	assert_int_equal(smq_keytree_init(memory, size, height, 1, &scope, &tree), SMQ_OK);
	retained_count = member_count = 0;
	seed = 5;
}

static int stop(void **state)
{
	(void)state;
	smq_keytree_done(tree);
	free(memory);
	return 0;
}

static size_t join(void)
{
	size_t i = member_count++;
	assert_true(i < MEMBERS_MAX);
	members[i] = (struct smq_keypath){ .scope = &scope };
	assert_int_equal(smq_keytree_join(tree, &members[i].leaf), SMQ_OK);
	there[i] = true;
	return i;
}

static void leave(size_t i)
{
	assert_int_equal(smq_keytree_leave(tree, members[i].leaf), SMQ_OK);
	there[i] = false;
}

static struct smq_tree_key advance(void)
{
	struct smq_tree_key secret;
	published = published_bytes = 0;
	assert_int_equal(smq_keytree_advance(tree, smq_keytree_epoch(tree) + 1, NULL, emit), SMQ_OK);
	const struct smq_tree_node *root = smq_keytree_node(tree, smq_keytree_height(tree), 0);
	assert_int_equal(smq_epoch_secret(&scope, &root->key, smq_keytree_epoch(tree), &secret), SMQ_OK);
	return secret;
}

/* What the join's answer carries. */
static void welcome(size_t i)
{
	struct smq_keypath *p = &members[i];
	p->height = smq_keytree_height(tree);
	p->epoch = smq_keytree_epoch(tree);
	assert_int_equal(smq_keytree_path(tree, p->leaf, p->nodes), SMQ_OK);
}

static smq_err follow(size_t i, struct smq_tree_key *ret_secret)
{
	const struct smq_tree_node_message *path[SMQ_TREE_HEIGHT_MAX] = { NULL };
	const struct smq_tree_node *root = smq_keytree_node(tree, smq_keytree_height(tree), 0);
	struct smq_tree_key secret;
	uint8_t commitment[SMQ_HASH_LEN];
	assert_int_equal(smq_epoch_secret(&scope, &root->key, smq_keytree_epoch(tree), &secret), SMQ_OK);
	assert_int_equal(smq_epoch_commitment(&scope, &secret, smq_keytree_epoch(tree), commitment), SMQ_OK);
	if (members[i].height < smq_keytree_height(tree))
		assert_int_equal(smq_keypath_grow(&members[i], smq_keytree_height(tree)), SMQ_OK);
	for (size_t r = 0; r < retained_count; r++) {
		const struct smq_tree_node_message *m = &retained[r];
		if (m->index == smq_keypath_index(&members[i], m->height))
			path[m->height - 1] = m;
	}
	return smq_keypath_follow(&members[i], smq_keytree_epoch(tree), path, root->version, commitment, ret_secret);
}

static void everyone_follows(void)
{
	const struct smq_tree_node *root = smq_keytree_node(tree, smq_keytree_height(tree), 0);
	struct smq_tree_key want, got;
	assert_int_equal(smq_epoch_secret(&scope, &root->key, smq_keytree_epoch(tree), &want), SMQ_OK);
	for (size_t i = 0; i < member_count; i++) {
		if (!there[i] || members[i].epoch == smq_keytree_epoch(tree))
			continue;
		assert_int_equal(follow(i, &got), SMQ_OK);
		assert_memory_equal(got.b, want.b, sizeof(want.b));
	}
}

static void populate(size_t n)
{
	for (size_t i = 0; i < n; i++)
		join();
	advance();
	for (size_t i = 0; i < n; i++)
		welcome(i);
}

static size_t dice(size_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* ---- tests ---- */

static void a_leave_is_followed_by_all_but_the_leaver(void **state)
{
	(void)state;
	struct smq_tree_key secret;
	start(3);
	populate(64);
	leave(17);
	advance();
	assert_int_equal(published, 3);
	everyone_follows();
	assert_int_not_equal(follow(17, &secret), SMQ_OK);
}

static void pooled_secrets_of_the_expelled_open_nothing(void **state)
{
	(void)state;
	struct smq_tree_key secret;
	start(3);
	populate(64);
	leave(0);
	leave(1);
	leave(63);
	advance();
	/* Each tries with every node that any of the three knew. */
	for (size_t a = 0; a < 64; a += a == 1 ? 62 : 1) {
		for (size_t b = 0; b < 64; b += b == 1 ? 62 : 1) {
			struct smq_keypath mixed = members[a];
			for (unsigned h = 0; h <= 3; h++) {
				if (smq_keypath_index(&members[a], h) == smq_keypath_index(&members[b], h))
					mixed.nodes[h] = members[b].nodes[h];
			}
			struct smq_keypath own = members[a];
			members[a] = mixed;
			assert_int_not_equal(follow(a, &secret), SMQ_OK);
			members[a] = own;
		}
	}
	everyone_follows();
}

static void a_newcomer_opens_nothing_older(void **state)
{
	(void)state;
	struct smq_tree_key old = { { 0 } }, got;
	start(2);
	populate(9);
	leave(3);
	struct smq_tree_key before = advance();
	everyone_follows();
	struct smq_tree_node_message kept[MESSAGES_MAX / 64];
	size_t kept_count = retained_count;
	memcpy(kept, retained, kept_count * sizeof(kept[0]));
	size_t n = join();
	advance();
	assert_int_equal(published, 0); /* a join costs the others nothing */
	welcome(n);
	everyone_follows();
	/* With its path keys at any version it cannot unwrap what was retained before it came. */
	struct smq_keypath p = members[n];
	p.epoch = 0;
	for (unsigned h = 0; h <= 2; h++)
		p.nodes[h].refreshed = 0;
	const struct smq_tree_node_message *path[SMQ_TREE_HEIGHT_MAX] = { NULL };
	for (size_t r = 0; r < kept_count; r++) {
		if (kept[r].index == smq_keypath_index(&p, kept[r].height))
			path[kept[r].height - 1] = &kept[r];
	}
	uint8_t commitment[SMQ_HASH_LEN];
	assert_int_equal(smq_epoch_commitment(&scope, &before, 3, commitment), SMQ_OK);
	assert_int_not_equal(smq_keypath_follow(&p, 3, path, 0, commitment, &got), SMQ_OK);
	assert_memory_equal(old.b, (uint8_t[32]){ 0 }, 32);
}

static void a_rotation_needs_one_message(void **state)
{
	(void)state;
	start(3);
	populate(50);
	smq_keytree_rotate(tree);
	advance();
	assert_int_equal(published, 1);
	everyone_follows();
}

static void sleepers_resynchronise_from_their_path(void **state)
{
	(void)state;
	start(4);
	populate(200);
	for (int epoch = 0; epoch < 60; epoch++) {
		size_t who = 1 + dice(199);
		if (there[who])
			leave(who);
		if (epoch % 3 == 0) {
			size_t n = join();
			advance();
			welcome(n);
		} else {
			advance();
		}
		for (size_t i = 1; i < member_count; i++) {
			struct smq_tree_key secret;
			if (there[i] && i % 2 && members[i].epoch < smq_keytree_epoch(tree))
				assert_int_equal(follow(i, &secret), SMQ_OK);
		}
	}
	everyone_follows(); /* those of even number slept through all of it */
}

static void random_histories_agree(void **state)
{
	(void)state;
	struct smq_tree_key secret;
	start(3);
	populate(20);
	for (int round = 0; round < 300; round++) {
		size_t first = member_count;
		for (size_t k = dice(3); k > 0 && smq_keytree_member_count(tree) < 64; k--)
			join();
		for (size_t k = dice(3); k > 0; k--) {
			size_t who = dice(first);
			if (there[who])
				leave(who);
		}
		if (dice(10) == 0)
			smq_keytree_rotate(tree);
		advance();
		for (size_t i = first; i < member_count; i++)
			welcome(i);
		for (size_t i = 0; i < member_count; i++) {
			if (!there[i])
				assert_int_not_equal(follow(i, &secret), SMQ_OK);
		}
		if (round % 4 == 0)
			everyone_follows();
		if (member_count > MEMBERS_MAX - 8)
			break;
	}
	everyone_follows();
}

static void the_tree_grows(void **state)
{
	(void)state;
	start(1);
	populate(4);
	uint64_t leaf;
	assert_int_equal(smq_keytree_join(tree, &leaf), SMQ_ERR_FULL);
	size_t size = smq_keytree_size(2);
	void *more = malloc(size);
	assert_non_null(more);
	assert_int_equal(smq_keytree_grow(tree, more, size, &tree), SMQ_OK);
	free(memory);
	memory = more;
	size_t n = join();
	advance();
	welcome(n);
	everyone_follows();
	leave(2);
	advance();
	everyone_follows();
}

/* A backup knows nothing of who joined after it, and still has the inner keys that he was given. */
static void after_a_restore_nobody_else_follows(void **state)
{
	(void)state;
	for (int renewed = 0; renewed < 2; renewed++) {
		start(3);
		populate(20);
		size_t size = smq_keytree_size(3);
		void *backup = malloc(size);
		assert_non_null(backup);
		smq_keytree *then;
		assert_int_equal(smq_keytree_init(backup, size, 3, smq_keytree_epoch(tree), &scope, &then), SMQ_OK);
		for (unsigned h = 0; h <= 3; h++) {
			for (uint64_t i = 0; smq_keytree_node(tree, h, i); i++) {
				if (h > 0 || i < 20)
					assert_int_equal(
					    smq_keytree_load(then, h, i, smq_keytree_node(tree, h, i), false), SMQ_OK);
			}
		}
		size_t late = join();
		advance();
		welcome(late);
		smq_keytree_done(tree);
		free(memory);
		tree = then;
		memory = backup;
		retained_count = 0;
		if (renewed)
			smq_keytree_renew(tree);
		else
			smq_keytree_rotate(tree);
		struct smq_tree_key secret;
		assert_int_equal(smq_keytree_advance(tree, smq_keytree_epoch(tree) + 1000, NULL, emit), SMQ_OK);
		assert_int_equal(follow(0, &secret), SMQ_OK);
		for (int i = 0; i < 3; i++) { /* until the backup's keys have come as far as those that he was given */
			smq_keytree_rotate(tree);
			advance();
		}
		if (renewed)
			assert_int_not_equal(follow(late, &secret), SMQ_OK);
		else
			assert_int_equal(follow(late, &secret), SMQ_OK); /* which is why a rotation is not enough */
		assert_int_equal(follow(0, &secret), SMQ_OK);
		if (!renewed)
			stop(NULL);
	}
}

static void a_forged_or_old_node_message_changes_nothing(void **state)
{
	(void)state;
	struct smq_tree_key secret;
	start(2);
	populate(16);
	leave(5);
	advance();
	struct smq_keypath before = members[0];
	for (size_t r = 0; r < retained_count; r++) {
		struct smq_tree_node_message genuine = retained[r];
		if (genuine.index != smq_keypath_index(&members[0], genuine.height))
			continue;
		for (size_t bit = 0; bit < 8 * SMQ_TREE_WRAP_LEN; bit += 13) {
			for (int c = 0; c < SMQ_TREE_ARITY; c++)
				retained[r].wraps[c].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(follow(0, &secret), SMQ_ERR_OPEN);
			assert_memory_equal(&members[0], &before, sizeof(before));
			retained[r] = genuine;
		}
		retained[r].wraps[0].version += UINT64_C(1) << 40;
		retained[r].wraps[1].version += UINT64_C(1) << 40;
		assert_int_not_equal(follow(0, &secret), SMQ_OK);
		retained[r] = genuine;
	}
	assert_int_equal(follow(0, &secret), SMQ_OK);
	assert_int_equal(follow(0, &secret), SMQ_ERR_STALE_EPOCH);
}

static void keys_before_a_wrap_are_gone_from_a_stolen_path(void **state)
{
	(void)state;
	struct smq_tree_key secret;
	start(2);
	populate(16);
	struct smq_keypath before = members[0];
	leave(15);
	advance();
	assert_int_equal(follow(0, &secret), SMQ_OK);
	/* The leaf's sibling subtree was wrapped for; the key that did it is not the one kept. */
	struct smq_keypath stolen = members[0];
	stolen.epoch = before.epoch;
	for (unsigned h = 0; h <= 2; h++)
		stolen.nodes[h].refreshed = 0;
	members[0] = stolen;
	assert_int_not_equal(follow(0, &secret), SMQ_OK);
}

static void costs_are_logarithmic(void **state)
{
	(void)state;
	start(9);
	uint64_t leaf = 0;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(smq_keytree_join(tree, &leaf), SMQ_OK);
	advance();
	assert_int_equal(smq_keytree_leave(tree, 54321), SMQ_OK);
	advance();
	print_message("# one leave among 100,000: %zu node messages, %zu bytes\n", published, published_bytes);
	assert_true(published <= 9 && published_bytes <= 2600);
	retained_count = 0;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(smq_keytree_leave(tree, i * 97 + 13), SMQ_OK);
	advance();
	print_message("# 1,000 leaves in one batch: %zu node messages, %zu bytes\n", published, published_bytes);
	assert_true(published_bytes < 700000);
}

static void malformed_node_messages_are_refused(void **state)
{
	(void)state;
	struct smq_tree_node_message m = { .height = 1, .index = 7, .epoch = 9 }, back;
	uint8_t bytes[SMQ_TREE_NODE_MAX];
	size_t len = 0;
	m.wraps[0].there = m.wraps[3].there = true;
	assert_int_equal(smq_tree_node_encode(&m, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_tree_node_decode(smq_span_of(bytes, cut), &back), SMQ_OK);
	bytes[1] = 2;
	assert_int_equal(smq_tree_node_decode(smq_span_of(bytes, len), &back), SMQ_ERR_VERSION);
	bytes[1] = 1;
	bytes[2] = 0;
	assert_int_equal(smq_tree_node_decode(smq_span_of(bytes, len), &back), SMQ_ERR_MALFORMED);
}

#define TREE_TEST(f) cmocka_unit_test_teardown(f, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TREE_TEST(a_leave_is_followed_by_all_but_the_leaver),
		TREE_TEST(pooled_secrets_of_the_expelled_open_nothing),
		TREE_TEST(a_newcomer_opens_nothing_older),
		TREE_TEST(a_rotation_needs_one_message),
		TREE_TEST(sleepers_resynchronise_from_their_path),
		TREE_TEST(random_histories_agree),
		TREE_TEST(the_tree_grows),
		TREE_TEST(after_a_restore_nobody_else_follows),
		TREE_TEST(a_forged_or_old_node_message_changes_nothing),
		TREE_TEST(keys_before_a_wrap_are_gone_from_a_stolen_path),
		TREE_TEST(costs_are_logarithmic),
		cmocka_unit_test(malformed_node_messages_are_refused),
	};
	return cmocka_run_group_tests_name("keytree", tests, NULL, NULL);
}
