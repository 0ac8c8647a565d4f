/*
 * The record store in a PostgreSQL database, on the URL that is handed in; test_record_postgres.py starts one.
 *
 * usage: records_postgres URL
 */
#include "cmocka_all.h"

#include <stdio.h>

#include "adapters/records_postgres/records_postgres.h"
#include "record_cases.h"

static const char *url;

static struct smq_record_store opened(void)
{
	struct smq_record_store store;
	char why[200] = "";
	smq_err err = smq_records_postgres_open(url, true, &store, why, sizeof(why));
	if (err != SMQ_OK)
		fail_msg("%s: %s", smq_err_name(err), why);
	return store;
}

static void behaves(void **state)
{
	struct smq_record_store store = opened();
	(void)state;
	case_stores_once(&store);
	case_abandons(&store);
	case_answers(&store);
	case_quarantines(&store);
	case_proves(&store);
	case_keeps(&store);
	uint64_t count = case_count(&store);
	store.free(store.self);
	store = opened();
	assert_int_equal(case_count(&store), count);
	store.free(store.self);
}

/* The same messages to two recorders, in opposite orders. */
static void two_share_a_database(void **state)
{
	struct smq_record_store a = opened(), b = opened();
	struct smq_record_committed done_a, done_b;
	uint64_t before = case_count(&a);
	(void)state;
	for (uint64_t batch = 0; batch < 20; batch++) {
		for (uint64_t i = 0; i < 50; i++) {
			struct smq_record_row up = case_row(1000 + 50 * batch + i, "x", 2);
			struct smq_record_row down = case_row(1000 + 50 * batch + 49 - i, "x", 2);
			assert_int_equal(a.add(a.self, &up), SMQ_OK);
			assert_int_equal(b.add(b.self, &down), SMQ_OK);
		}
		assert_int_equal(a.commit(a.self, &done_a), SMQ_OK);
		assert_int_equal(b.commit(b.self, &done_b), SMQ_OK);
		assert_int_equal(done_a.stored + done_b.stored, 50);
		assert_int_equal(done_a.repeated + done_b.repeated, 50);
	}
	assert_int_equal(case_count(&a), before + 1000);
	a.free(a.self);
	b.free(b.self);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(behaves), cmocka_unit_test(two_share_a_database) };
	if (argc != 2)
		return 2;
	url = argv[1];
	return cmocka_run_group_tests_name("records_postgres", tests, NULL, NULL);
}
