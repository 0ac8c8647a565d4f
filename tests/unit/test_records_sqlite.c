/* The record store in an SQLite file. */
#include "cmocka_all.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/records_sqlite/records_sqlite.h"
#include "record_cases.h"

static char dir[64], path[96];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/sealmq-records-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/r.db", dir);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char name[128];
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	return rmdir(dir);
}

static struct smq_record_store opened(void)
{
	struct smq_record_store store;
	assert_int_equal(smq_records_sqlite_open(path, true, &store), SMQ_OK);
	return store;
}

static void behaves(void **state)
{
	struct smq_record_store store = opened();
	struct stat st;
	(void)state;
	case_stores_once(&store);
	case_abandons(&store);
	case_answers(&store);
	case_quarantines(&store);
	case_proves(&store);
	case_keeps(&store);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	uint64_t count = case_count(&store);
	/* another one reads it meanwhile, and it is all there after a restart */
	struct smq_record_store reader;
	assert_int_equal(smq_records_sqlite_open(path, false, &reader), SMQ_OK);
	assert_int_equal(case_count(&reader), count);
	reader.free(reader.self);
	store.free(store.self);
	store = opened();
	assert_int_equal(case_count(&store), count);
	struct smq_record_row row = case_row(1, "stored by the former life", 2);
	struct smq_record_committed done;
	assert_int_equal(store.add(store.self, &row), SMQ_OK);
	assert_int_equal(store.commit(store.self, &done), SMQ_OK);
	assert_int_equal(done.repeated, 1);
	store.free(store.self);
}

static void two_share_a_file(void **state)
{
	struct smq_record_store a = opened(), b = opened();
	struct smq_record_committed done;
	(void)state;
	for (uint64_t i = 0; i < 20; i++) {
		struct smq_record_store *s = i % 2 ? &a : &b;
		for (uint64_t n = i; n < i + 2; n++) {
			struct smq_record_row row = case_row(n, "x", 1);
			assert_int_equal(s->add(s->self, &row), SMQ_OK);
		}
		assert_int_equal(s->commit(s->self, &done), SMQ_OK);
		assert_int_equal(done.stored, i == 0 ? 2 : 1);
	}
	assert_int_equal(case_count(&a), 21);
	a.free(a.self);
	b.free(b.self);
}

static void execute(const char *sql)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void refuses_what_is_not_its_own(void **state)
{
	struct smq_record_store store;
	(void)state;
	assert_int_equal(smq_records_sqlite_open(path, false, &store), SMQ_ERR_NOT_FOUND);
	execute("CREATE TABLE somebody_elses (a)");
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(smq_records_sqlite_open(path, true, &store), SMQ_ERR_CORRUPT);
	assert_int_equal(smq_records_sqlite_open(path, false, &store), SMQ_ERR_CORRUPT);
	unlink(path);
	store = opened();
	store.free(store.self);
	execute("PRAGMA user_version = 1000");
	assert_int_equal(smq_records_sqlite_open(path, true, &store), SMQ_ERR_VERSION);
	assert_int_equal(chmod(path, 0622), 0);
	assert_int_equal(smq_records_sqlite_open(path, true, &store), SMQ_ERR_UNSAFE_FILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(behaves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_share_a_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_what_is_not_its_own, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("records_sqlite", tests, NULL, NULL);
}
