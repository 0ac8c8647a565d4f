/* The key server's store: what is committed stays, secrets are not readable, the log tells of every change to it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "adapters/keyserver_sqlite/keyserver_sqlite.h"
#include "world.h"

static const char canary[] = "canary-canary-canary-canary-0123";

struct fixture {
	struct world world;
	char dir[64], path[96], copy[96];
	uint8_t password;
	struct smq_keyserver_sqlite_config config;
	struct smq_ks_store store;
};

static smq_err derive(void *self, const uint8_t salt[SMQ_KS_SALT_LEN], uint8_t ret_key[SMQ_KS_MASTER_KEY_LEN])
{
	const struct fixture *f = self;
	memcpy(ret_key, salt, SMQ_KS_MASTER_KEY_LEN);
	ret_key[0] ^= f->password;
	return SMQ_OK;
}

static int64_t unix_ms(void) { return INT64_C(1790000000000); }

static smq_err reopen(struct fixture *f)
{
	if (f->store.free)
		f->store.free(f->store.self);
	f->store.free = NULL;
	f->config.create = false;
	return smq_keyserver_sqlite_open(&f->config, &f->store);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	world_init(&f->world);
	f->world.roles[0] = SMQ_ROLE_KEYSERVER;
	snprintf(f->dir, sizeof(f->dir), "/tmp/smq-ks-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/db", f->dir);
	snprintf(f->copy, sizeof(f->copy), "%s/copy", f->dir);
	f->config = (struct smq_keyserver_sqlite_config){ .path = f->path,
							  .create = true,
							  .crypto = smq_crypto_openssl(),
							  .random = smq_random_system(),
							  .own = &f->world.members[0].own,
							  .self = f,
							  .derive = derive,
							  .unix_ms = unix_ms };
	assert_int_equal(smq_keyserver_sqlite_open(&f->config, &f->store), SMQ_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];
	if (f->store.free)
		f->store.free(f->store.self);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	world_done(&f->world);
	free(f);
	return 0;
}

static void put(struct fixture *f, enum smq_ks_item kind, uint64_t a, const char *text)
{
	struct smq_ks_store *s = &f->store;
	assert_int_equal(s->begin(s->self), SMQ_OK);
	assert_int_equal(s->put(s->self, kind, "g", a, 0, smq_span_str(text)), SMQ_OK);
	assert_int_equal(s->audit(s->self, "join", "fridge-07", "g", NULL, SMQ_OK), SMQ_OK);
	assert_int_equal(s->commit(s->self), SMQ_OK);
}

static smq_err get(struct fixture *f, enum smq_ks_item kind, uint64_t a, const char *want)
{
	char room[64];
	size_t len = 0;
	smq_err err = f->store.get(f->store.self, kind, "g", a, 0, smq_mspan_of(room, sizeof(room)), &len);
	if (err == SMQ_OK)
		assert_true(smq_span_equal(smq_span_of(room, len), smq_span_str(want)));
	return err;
}

static void sql(const struct fixture *f, const char *path, const char *text)
{
	sqlite3 *db;
	(void)f;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void what_is_committed_stays(void **state)
{
	struct fixture *f = *state;
	struct smq_ks_store *s = &f->store;
	put(f, SMQ_KS_ITEM_GROUP, 1, "one");
	assert_int_equal(s->begin(s->self), SMQ_OK);
	assert_int_equal(s->put(s->self, SMQ_KS_ITEM_GROUP, "g", 1, 0, smq_span_str("two")), SMQ_OK);
	s->rollback(s->self);
	assert_int_equal(get(f, SMQ_KS_ITEM_GROUP, 1, "one"), SMQ_OK);
	assert_int_equal(s->begin(s->self), SMQ_OK);
	assert_int_equal(s->put(s->self, SMQ_KS_ITEM_GROUP, "g", 1, 0, smq_span_str("two")), SMQ_OK);
	assert_int_equal(reopen(f), SMQ_OK); /* dies before the commit */
	assert_int_equal(get(f, SMQ_KS_ITEM_GROUP, 1, "one"), SMQ_OK);
	assert_int_equal(s->remove(s->self, SMQ_KS_ITEM_GROUP, "g", 1, 0), SMQ_OK);
	assert_int_equal(get(f, SMQ_KS_ITEM_GROUP, 1, ""), SMQ_ERR_NOT_FOUND);
}

/* Neither the file nor its log of changes shows a secret, and a secret does not open in another's place. */
static void secrets_are_not_readable(void **state)
{
	struct fixture *f = *state;
	char command[256];
	put(f, SMQ_KS_ITEM_NODE, 1, canary);
	put(f, SMQ_KS_ITEM_EPOCH, 1, canary);
	put(f, SMQ_KS_ITEM_SLOTS, 1, canary);
	snprintf(command, sizeof(command), "grep -qr %.14s %s", canary, f->dir);
	assert_int_not_equal(system(command), 0);
	put(f, SMQ_KS_ITEM_GROUP, 9, canary); /* the check can fail: this kind is no secret */
	assert_int_equal(system(command), 0);
	assert_int_equal(get(f, SMQ_KS_ITEM_NODE, 1, canary), SMQ_OK);
	sql(f, f->path, "INSERT INTO item SELECT kind, grp, 2, b, value FROM item WHERE kind = 5");
	assert_int_equal(get(f, SMQ_KS_ITEM_NODE, 2, canary), SMQ_ERR_CORRUPT);
	sql(f, f->path, "UPDATE item SET value = zeroblob(64) WHERE kind = 8");
	assert_int_equal(get(f, SMQ_KS_ITEM_EPOCH, 1, canary), SMQ_ERR_CORRUPT);
}

static void another_master_key_is_refused(void **state)
{
	struct fixture *f = *state;
	put(f, SMQ_KS_ITEM_NODE, 1, canary);
	f->password = 1;
	assert_int_equal(reopen(f), SMQ_ERR_OPEN);
	f->password = 0;
	assert_int_equal(reopen(f), SMQ_OK);
	assert_int_equal(get(f, SMQ_KS_ITEM_NODE, 1, canary), SMQ_OK);
}

static void one_key_server_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct smq_ks_store second;
	f->config.create = false;
	assert_int_equal(smq_keyserver_sqlite_open(&f->config, &second), SMQ_ERR_LOCKED);
	f->config.create = true;
	assert_int_equal(reopen(f), SMQ_OK);
	f->store.free(f->store.self);
	f->store.free = NULL;
	f->config.create = true;
	assert_int_equal(smq_keyserver_sqlite_open(&f->config, &f->store), SMQ_ERR_EXISTS);
	f->store.free = NULL;
	unlink(f->path);
	f->config.create = false;
	assert_int_equal(smq_keyserver_sqlite_open(&f->config, &f->store), SMQ_ERR_NOT_FOUND);
	f->store.free = NULL;
}

static void a_readable_file_is_refused(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(chmod(f->path, 0644), 0);
	assert_int_equal(reopen(f), SMQ_ERR_UNSAFE_FILE);
}

static smq_err audit(struct fixture *f, struct smq_ks_audit_end *ret_end)
{
	return smq_keyserver_sqlite_audit(f->path, smq_crypto_openssl(), &f->world.credentials, unix_ms(), NULL, NULL,
					  ret_end);
}

static void every_change_to_the_log_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct smq_ks_audit_end end;
	static const struct {
		const char *change;
		smq_err want;
	} rows[] = {
		{ "UPDATE audit SET who = 'mallory' WHERE number = 2", SMQ_ERR_CORRUPT },
		{ "UPDATE audit SET outcome = 1 WHERE number = 3", SMQ_ERR_CORRUPT },
		{ "UPDATE audit SET time_ms = 0 WHERE number = 1", SMQ_ERR_CORRUPT },
		{ "DELETE FROM audit WHERE number = 2", SMQ_ERR_CORRUPT },
		{ "DELETE FROM audit WHERE number = 3", SMQ_ERR_TRUNCATED },
		{ "DELETE FROM audit", SMQ_ERR_TRUNCATED },
		{ "DELETE FROM meta WHERE name = 'audit'", SMQ_ERR_SIGNATURE },
		{ "UPDATE meta SET value = CAST(substr(value, 1, length(value) - 1) || CASE substr(value, -1) WHEN "
		  "x'7f' THEN x'7e' ELSE x'7f' END AS BLOB) WHERE name = "
		  "'audit'",
		  SMQ_ERR_SIGNATURE },
	};
	for (int i = 0; i < 3; i++)
		put(f, SMQ_KS_ITEM_GROUP, (uint64_t)i, "x");
	assert_int_equal(audit(f, &end), SMQ_OK);
	assert_int_equal(end.lines, 3);
	assert_string_equal(end.signer, "a");
	assert_int_equal(smq_keyserver_sqlite_backup(f->path, f->copy), SMQ_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char path[96];
		snprintf(path, sizeof(path), "%s/altered", f->dir);
		assert_int_equal(smq_keyserver_sqlite_backup(f->copy, path), SMQ_OK);
		sql(f, path, rows[i].change);
		smq_err err = smq_keyserver_sqlite_audit(path, smq_crypto_openssl(), &f->world.credentials, unix_ms(),
							 NULL, NULL, &end);
		if (err != rows[i].want)
			print_message("%s: %s\n", rows[i].change, smq_err_name(err));
		assert_int_equal(err, rows[i].want);
		unlink(path);
	}
	f->world.roles[0] = SMQ_ROLE_MEMBER; /* the end is signed by somebody who is no key server */
	assert_int_equal(audit(f, &end), SMQ_ERR_CERT_USAGE);
}

static void the_log_goes_on_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct smq_ks_audit_end end;
	put(f, SMQ_KS_ITEM_GROUP, 1, "x");
	assert_int_equal(reopen(f), SMQ_OK);
	put(f, SMQ_KS_ITEM_GROUP, 2, "x");
	assert_int_equal(f->store.begin(f->store.self), SMQ_OK);
	assert_int_equal(f->store.audit(f->store.self, "leave", "x", "g", NULL, SMQ_OK), SMQ_OK);
	f->store.rollback(f->store.self); /* what did not happen is not in the log */
	put(f, SMQ_KS_ITEM_GROUP, 3, "x");
	assert_int_equal(audit(f, &end), SMQ_OK);
	assert_int_equal(end.lines, 3);
}

static void a_backup_of_a_running_server_opens(void **state)
{
	struct fixture *f = *state;
	put(f, SMQ_KS_ITEM_NODE, 1, canary);
	assert_int_equal(smq_keyserver_sqlite_backup(f->path, f->copy), SMQ_OK);
	assert_int_equal(smq_keyserver_sqlite_backup(f->path, f->copy), SMQ_ERR_EXISTS);
	assert_int_equal(smq_keyserver_sqlite_check(f->copy), SMQ_OK);
	f->config.path = f->copy;
	assert_int_equal(reopen(f), SMQ_OK);
	assert_int_equal(get(f, SMQ_KS_ITEM_NODE, 1, canary), SMQ_OK);
}

static smq_err count(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	uint64_t *last = context;
	(void)b;
	(void)value;
	assert_string_equal(group, "g");
	assert_true(a > *last);
	*last = a;
	return a == 7 ? SMQ_ERR_FULL : SMQ_OK;
}

static void items_come_in_order(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;
	for (uint64_t i = 5; i > 0; i--)
		put(f, SMQ_KS_ITEM_NODE, i, "node");
	assert_int_equal(f->store.each(f->store.self, SMQ_KS_ITEM_NODE, NULL, &last, count), SMQ_OK);
	assert_int_equal(last, 5);
	put(f, SMQ_KS_ITEM_NODE, 7, "node");
	put(f, SMQ_KS_ITEM_NODE, 8, "node");
	last = 0;
	assert_int_equal(f->store.each(f->store.self, SMQ_KS_ITEM_NODE, "g", &last, count), SMQ_ERR_FULL);
	assert_int_equal(last, 7);
}

static void a_full_disk_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct smq_ks_store *s = &f->store;
	static char large[200000];
	memset(large, 'x', sizeof(large) - 1);
	put(f, SMQ_KS_ITEM_GROUP, 1, "one");
	struct smq_ks_audit_end end;
	f->store.free(f->store.self);
	f->store.free = NULL;
	assert_int_equal(smq_keyserver_sqlite_open(
			     &(struct smq_keyserver_sqlite_config){
				 .path = f->path,
				 .crypto = f->config.crypto,
				 .random = f->config.random,
				 .own = f->config.own,
				 .self = f,
				 .derive = derive,
				 .unix_ms = unix_ms,
				 .pages_max = 20,
			     },
			     s),
			 SMQ_OK);
	assert_int_equal(s->begin(s->self), SMQ_OK);
	assert_int_equal(s->put(s->self, SMQ_KS_ITEM_GROUP, "g", 1, 0, smq_span_str("two")), SMQ_OK);
	assert_int_equal(s->put(s->self, SMQ_KS_ITEM_NODE, "g", 2, 0, smq_span_str(large)), SMQ_ERR_DISK_FULL);
	s->rollback(s->self);
	assert_int_equal(get(f, SMQ_KS_ITEM_GROUP, 1, "one"), SMQ_OK);
	put(f, SMQ_KS_ITEM_GROUP, 1, "two");
	assert_int_equal(audit(f, &end), SMQ_OK);
}

#define row(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(what_is_committed_stays),
		row(secrets_are_not_readable),
		row(another_master_key_is_refused),
		row(one_key_server_at_a_time),
		row(a_readable_file_is_refused),
		row(every_change_to_the_log_is_noticed),
		row(the_log_goes_on_after_a_restart),
		row(a_backup_of_a_running_server_opens),
		row(items_come_in_order),
		row(a_full_disk_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
