/* core/keygroup: who is in, under which sender id, and when the epoch moves (PROTOCOL.md 7.1). */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "core/keygroup.h"

static struct smq_tree_scope scope;
static smq_keygroup *group;
static void *memory;
static unsigned emitted;

static smq_err emit(void *self, const struct smq_tree_node_message *m)
{
	(void)self;
	(void)m;
	emitted++;
	return SMQ_OK;
}

static void start(enum smq_policy_mode mode, uint64_t members_max)
{
	scope = (struct smq_tree_scope){ smq_crypto_openssl(), smq_random_system(), smq_span_str("world"),
					 smq_span_str("g") };
	struct smq_keygroup_config config = { &scope, mode, members_max, 0, 1 };
	size_t size = smq_keygroup_size(&config);
	memory = malloc(size);
	assert_non_null(memory);
	assert_int_equal(smq_keygroup_init(memory, size, &config, &group), SMQ_OK);
}

static int stop(void **state)
{
	(void)state;
	smq_keygroup_done(group);
	free(memory);
	return 0;
}

static smq_err join_as(const char *name, uint8_t boot, bool *ret_pending)
{
	struct smq_join j = { smq_span_str(name), SMQ_JOIN_SUBSCRIBE, 0, SMQ_NO_END, { boot } };
	return smq_keygroup_join(group, &j, ret_pending);
}

static bool joined(const char *name)
{
	bool pending = false;
	assert_int_equal(join_as(name, 1, &pending), SMQ_OK);
	return pending;
}

static struct smq_epoch_keys commit(void)
{
	struct smq_epoch_keys keys;
	emitted = 0;
	assert_int_equal(smq_keygroup_commit(group, smq_keygroup_epoch(group) + 1, NULL, emit, &keys), SMQ_OK);
	return keys;
}

static struct smq_grant grant(const char *name)
{
	struct smq_grant g;
	assert_int_equal(smq_keygroup_grant(group, smq_span_str(name), &g), SMQ_OK);
	return g;
}

/* Whether this place leads to the secret of the present epoch. */
static bool opens(const struct smq_grant *g)
{
	struct smq_epoch_keys keys;
	struct smq_tree_key secret;
	assert_int_equal(smq_keygroup_keys(group, &keys), SMQ_OK);
	assert_int_equal(smq_epoch_secret(&scope, &g->path[g->height].key, g->epoch, &secret), SMQ_OK);
	return memcmp(secret.b, keys.secret.b, sizeof(secret.b)) == 0;
}

/* ---- lessons: key server and groups ---- */

static void a_repeated_join_changes_nothing(void **state)
{
	(void)state;
	bool pending;
	start(SMQ_MODE_STATIC, 10);
	joined("a");
	commit();
	struct smq_grant first = grant("a");
	assert_int_equal(join_as("a", 1, &pending), SMQ_OK);
	struct smq_grant again = grant("a");
	assert_false(pending);
	assert_int_equal(again.sender_id, first.sender_id);
	assert_int_equal(again.leaf, first.leaf);
	assert_int_equal(smq_keygroup_member_count(group), 1);
}

static void a_members_restart_gives_a_new_sender_id_and_the_same_place(void **state)
{
	(void)state;
	bool pending;
	start(SMQ_MODE_UPDATE, 10);
	joined("a");
	commit();
	struct smq_grant first = grant("a");
	assert_int_equal(join_as("a", 2, &pending), SMQ_OK);
	assert_false(pending); /* no epoch for a restart */
	struct smq_grant again = grant("a");
	assert_int_not_equal(again.sender_id, first.sender_id);
	assert_int_equal(again.leaf, first.leaf);
	assert_true(opens(&again));
}

static void joins_in_quick_succession_all_count(void **state)
{
	(void)state;
	char name[16];
	start(SMQ_MODE_UPDATE, 100);
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		assert_true(joined(name)); /* they wait for the epoch, together */
	}
	struct smq_grant g;
	assert_int_equal(smq_keygroup_grant(group, smq_span_str("m3"), &g), SMQ_ERR_STATE);
	commit();
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		g = grant(name);
		assert_true(opens(&g));
		assert_int_equal(g.sender_id, i + 1);
	}
}

static void a_newcomer_in_update_mode_opens_nothing_older(void **state)
{
	(void)state;
	start(SMQ_MODE_UPDATE, 10);
	joined("a");
	struct smq_epoch_keys before = commit();
	joined("b");
	struct smq_epoch_keys after = commit();
	struct smq_grant b = grant("b");
	struct smq_tree_key secret;
	assert_true(opens(&b));
	assert_int_equal(smq_epoch_secret(&scope, &b.path[b.height].key, before.epoch, &secret), SMQ_OK);
	assert_memory_not_equal(secret.b, before.secret.b, sizeof(secret.b));
	assert_memory_not_equal(after.secret.b, before.secret.b, sizeof(secret.b));
}

static void an_expulsion_moves_the_epoch_in_every_mode(void **state)
{
	(void)state;
	for (int mode = SMQ_MODE_STATIC; mode <= SMQ_MODE_SLOTTED; mode++) {
		bool moves = false;
		start((enum smq_policy_mode)mode, 10);
		joined("a");
		joined("b");
		commit();
		struct smq_grant gone = grant("b");
		assert_int_equal(smq_keygroup_leave(group, smq_span_str("b"), true, &moves), SMQ_OK);
		assert_true(moves && smq_keygroup_is_dirty(group));
		commit();
		assert_true(emitted > 0);
		gone.epoch = smq_keygroup_epoch(group);
		assert_false(opens(&gone));
		struct smq_grant a = grant("a");
		assert_true(opens(&a));
		assert_int_equal(smq_keygroup_leave(group, smq_span_str("b"), true, &moves), SMQ_ERR_NOT_FOUND);
		if (mode != SMQ_MODE_SLOTTED)
			stop(NULL);
	}
}

static void a_foreseen_leave_costs_nothing_at_once(void **state)
{
	(void)state;
	bool pending;
	start(SMQ_MODE_SLOTTED, 10);
	struct smq_join j = { smq_span_str("a"), SMQ_JOIN_PUBLISH, 0, 5000, { 1 } };
	assert_int_equal(smq_keygroup_join(group, &j, &pending), SMQ_OK);
	joined("b");
	commit();
	assert_int_equal(smq_keygroup_lapse(group, 4999), 0);
	assert_int_equal(smq_keygroup_lapse(group, 5000), 1);
	assert_false(smq_keygroup_is_dirty(group));
	assert_int_equal(smq_keygroup_member_count(group), 1);
}

static void wrong_joins_are_refused(void **state)
{
	(void)state;
	bool pending;
	start(SMQ_MODE_STATIC, 4);
	struct smq_join rows[] = {
		{ smq_span_str("a/b"), 1, 0, 1, { 0 } }, { smq_span_str("a"), 0, 0, 1, { 0 } },
		{ smq_span_str("a"), 8, 0, 1, { 0 } },   { smq_span_str("a"), 1, 5, 5, { 0 } },
		{ smq_span_str("a"), 1, 5, 4, { 0 } },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_not_equal(smq_keygroup_join(group, &rows[i], &pending), SMQ_OK);
	assert_int_equal(smq_keygroup_member_count(group), 0);
	for (const char *n = "wxyz"; *n; n++)
		joined((char[]){ *n, 0 });
	assert_int_equal(join_as("late", 1, &pending), SMQ_ERR_FULL);
}

static void sender_ids_are_never_given_out_twice(void **state)
{
	(void)state;
	bool moves;
	struct smq_keygroup_member m;
	uint64_t last = 0;
	start(SMQ_MODE_STATIC, 4);
	for (int i = 0; i < 200; i++) {
		joined("a");
		struct smq_grant g = grant("a");
		assert_true(g.sender_id > last);
		last = g.sender_id;
		assert_int_equal(smq_keygroup_leave(group, smq_span_str("a"), false, &moves), SMQ_OK);
		while (smq_keygroup_next_changed(group, &m))
			;
	}
	assert_int_equal(smq_keygroup_member_count(group), 0);
}

static void many_come_and_go_and_the_table_stays_right(void **state)
{
	(void)state;
	bool in[500] = { false };
	bool moves;
	unsigned seed = 11;
	char name[16];
	struct smq_keygroup_member m;
	start(SMQ_MODE_UPDATE, 512);
	for (int i = 0; i < 20000; i++) {
		seed = seed * 1664525u + 1013904223u;
		unsigned who = (seed >> 8) % 500;
		snprintf(name, sizeof(name), "m%u", who);
		if (in[who])
			assert_int_equal(smq_keygroup_leave(group, smq_span_str(name), false, &moves), SMQ_OK);
		else
			joined(name);
		in[who] = !in[who];
		if (i % 100 == 0) {
			commit();
			while (smq_keygroup_next_changed(group, &m))
				;
		}
	}
	uint64_t count = 0;
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		assert_int_equal(smq_keygroup_find(group, smq_span_str(name)) != NULL, in[i]);
		count += in[i];
	}
	assert_int_equal(smq_keygroup_member_count(group), count);
}

/* The key server's restart: what the store was told makes the same group again. */
static void what_was_stored_makes_the_same_group(void **state)
{
	(void)state;
	static struct smq_keygroup_member stored[64];
	static struct smq_tree_node nodes[3][64];
	static bool known[3][64], dirty[3][64];
	size_t count = 0;
	char name[16];
	bool moves;
	unsigned height;
	uint64_t index;
	memset(known, 0, sizeof(known));
	start(SMQ_MODE_UPDATE, 16);
	for (int i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		joined(name);
	}
	commit();
	assert_int_equal(smq_keygroup_leave(group, smq_span_str("m4"), true, &moves), SMQ_OK);
	struct smq_epoch_keys keys = commit();
	struct smq_grant before = grant("m7");
	while (smq_keygroup_next_changed(group, &stored[count]))
		count += stored[count].roles != 0;
	smq_keytree *tree = smq_keygroup_tree(group);
	while (smq_keytree_next_changed(tree, &height, &index)) {
		nodes[height][index] = *smq_keytree_node(tree, height, index);
		known[height][index] = true;
		dirty[height][index] = smq_keytree_is_dirty(tree, height, index);
	}
	uint64_t next_id = smq_keygroup_next_sender_id(group);
	stop(NULL);

	struct smq_keygroup_config config = { &scope, SMQ_MODE_UPDATE, 16, keys.epoch, next_id };
	size_t size = smq_keygroup_size(&config);
	memory = malloc(size);
	assert_int_equal(smq_keygroup_init(memory, size, &config, &group), SMQ_OK);
	tree = smq_keygroup_tree(group);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(smq_keygroup_load(group, &stored[i]), SMQ_OK);
		assert_int_equal(smq_keytree_load(tree, 0, stored[i].leaf, &nodes[0][stored[i].leaf], false), SMQ_OK);
	}
	for (height = 1; height <= 2; height++) {
		for (index = 0; index < 64; index++) {
			if (known[height][index])
				assert_int_equal(
				    smq_keytree_load(tree, height, index, &nodes[height][index], dirty[height][index]),
				    SMQ_OK);
		}
	}
	struct smq_grant after = grant("m7");
	assert_memory_equal(after.path, before.path, sizeof(after.path));
	assert_int_equal(smq_keygroup_member_count(group), 8);
	struct smq_epoch_keys again;
	assert_int_equal(smq_keygroup_keys(group, &again), SMQ_OK);
	assert_memory_equal(again.secret.b, keys.secret.b, sizeof(keys.secret.b));
	assert_int_equal(smq_keygroup_load(group, &stored[0]), SMQ_ERR_CORRUPT); /* twice */
	joined("new");
	commit();
	assert_int_equal(grant("new").sender_id, next_id);
}

/* A leave that waits for its epoch, a restart, a rotation: the leaver must not follow. */
static void a_restart_forgets_no_leave(void **state)
{
	(void)state;
	unsigned height;
	uint64_t index;
	bool moves;
	start(SMQ_MODE_STATIC, 16);
	joined("a");
	joined("b");
	commit();
	smq_keytree *tree = smq_keygroup_tree(group);
	while (smq_keytree_next_changed(tree, &height, &index))
		;
	assert_int_equal(smq_keygroup_leave(group, smq_span_str("b"), false, &moves), SMQ_OK);
	assert_false(moves);
	unsigned dirty = 0;
	while (smq_keytree_next_changed(tree, &height, &index))
		dirty += smq_keytree_is_dirty(tree, height, index);
	assert_int_equal(dirty, 2); /* both nodes above the leaf are told to the store as such */
	struct smq_tree_node node = *smq_keytree_node(tree, 1, 3);
	assert_int_equal(smq_keytree_load(tree, 1, 3, &node, true), SMQ_OK);
	commit();
	assert_memory_not_equal(smq_keytree_node(tree, 1, 3)->key.b, node.key.b, sizeof(node.key.b));
}

static void memory_per_member_is_small(void **state)
{
	(void)state;
	struct smq_keygroup_config config = { &scope, SMQ_MODE_UPDATE, 100000, 0, 1 };
	size_t size = smq_keygroup_size(&config);
	print_message("# %zu bytes for each of 100,000 members\n", size / 100000);
	assert_true(size / 100000 < 1024);
	start(SMQ_MODE_STATIC, 1);
}

#define GROUP_TEST(f) cmocka_unit_test_teardown(f, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GROUP_TEST(a_repeated_join_changes_nothing),
		GROUP_TEST(a_members_restart_gives_a_new_sender_id_and_the_same_place),
		GROUP_TEST(joins_in_quick_succession_all_count),
		GROUP_TEST(a_newcomer_in_update_mode_opens_nothing_older),
		GROUP_TEST(an_expulsion_moves_the_epoch_in_every_mode),
		GROUP_TEST(a_foreseen_leave_costs_nothing_at_once),
		GROUP_TEST(wrong_joins_are_refused),
		GROUP_TEST(sender_ids_are_never_given_out_twice),
		GROUP_TEST(many_come_and_go_and_the_table_stays_right),
		GROUP_TEST(what_was_stored_makes_the_same_group),
		GROUP_TEST(a_restart_forgets_no_leave),
		GROUP_TEST(memory_per_member_is_small),
	};
	return cmocka_run_group_tests_name("keygroup", tests, NULL, NULL);
}
