/* The key server's store over a channel: it is the same store; and what is malformed ends the conversation alone. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "adapters/keyserver_sqlite/audit.h"
#include "adapters/keyserver_sqlite/keyserver_sqlite.h"
#include "adapters/pipe_posix/channel.h"
#include "adapters/pipe_posix/store_desk.h"
#include "adapters/pipe_posix/store_pipe.h"
#include "world.h"

struct fixture {
	struct world world;
	char dir[64], path[96];
	int ends[2];
	struct smq_store_desk desk;
	struct smq_own_credential own; /* of the store: without the key */
	struct smq_keyserver_sqlite_config config;
};

static smq_err derive(void *self, const uint8_t salt[SMQ_KS_SALT_LEN], uint8_t ret_key[SMQ_KS_MASTER_KEY_LEN])
{
	(void)self;
	memcpy(ret_key, salt, SMQ_KS_MASTER_KEY_LEN);
	return SMQ_OK;
}

static int64_t unix_ms(void) { return INT64_C(1790000000000); }

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct smq_ks_store store;
	assert_non_null(f);
	world_init(&f->world);
	f->world.roles[0] = SMQ_ROLE_KEYSERVER;
	snprintf(f->dir, sizeof(f->dir), "/tmp/smq-pipe-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/db", f->dir);
	assert_int_equal(smq_channel_pair(f->ends), SMQ_OK);
	assert_int_equal(smq_store_desk_init(&f->desk, f->ends[1]), SMQ_OK);
	f->own = f->world.members[0].own;
	f->own.signer = smq_store_desk_signer(&f->desk, f->own.signer.alg);
	f->config = (struct smq_keyserver_sqlite_config){ .path = f->path,
							  .create = true,
							  .crypto = smq_crypto_openssl(),
							  .random = smq_random_system(),
							  .own = &f->own,
							  .self = f,
							  .derive = derive,
							  .unix_ms = unix_ms };
	assert_int_equal(smq_keyserver_sqlite_open(&f->config, &store), SMQ_OK);
	store.free(store.self);
	f->config.create = false;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];
	smq_store_desk_done(&f->desk);
	close(f->ends[0]);
	close(f->ends[1]);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	world_done(&f->world);
	free(f);
	return 0;
}

/* ---- the same store ---- */

/* The other process: opens, serves, and ends with the error as its status. */
static pid_t start_desk(struct fixture *f)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	struct smq_ks_store store;
	close(f->ends[0]);
	smq_err err = smq_keyserver_sqlite_open(&f->config, &store);
	if (err == SMQ_OK) {
		err = smq_store_desk_serve(&f->desk, &store);
		store.free(store.self);
	}
	_exit((int)err);
}

static int ended(pid_t pid)
{
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

struct seen {
	size_t count;
	uint64_t sum;
};

static smq_err look(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct seen *seen = context;
	assert_string_equal(group, "plant");
	assert_int_equal(value.len, 3000);
	seen->count++;
	seen->sum += a + b;
	return seen->count == 1000 ? SMQ_ERR_STATE : SMQ_OK;
}

static void it_is_the_same_store(void **state)
{
	struct fixture *f = *state;
	struct smq_ks_store s;
	static uint8_t value[3000], room[4000];
	size_t len = 0;
	struct seen seen = { 0 };
	struct smq_ks_audit_end end;
	pid_t pid = start_desk(f);
	assert_int_equal(smq_store_pipe_open(f->ends[0], &f->world.members[0].own.signer, SMQ_KS_AUDIT_KIND, &s),
			 SMQ_OK);
	assert_int_equal(s.begin(s.self), SMQ_OK);
	for (uint64_t i = 0; i < 300; i++)
		assert_int_equal(
		    s.put(s.self, SMQ_KS_ITEM_NODE, "plant", i, UINT64_C(1) << 60, smq_span_of(value, sizeof(value))),
		    SMQ_OK);
	assert_int_equal(s.audit(s.self, "join", "fridge", "plant", "", SMQ_OK), SMQ_OK);
	assert_int_equal(s.commit(s.self), SMQ_OK);
	assert_int_equal(s.each(s.self, SMQ_KS_ITEM_NODE, "plant", &seen, look), SMQ_OK);
	assert_int_equal(seen.count, 300);
	assert_int_equal(
	    s.get(s.self, SMQ_KS_ITEM_NODE, "plant", 7, UINT64_C(1) << 60, smq_mspan_of(room, sizeof(room)), &len),
	    SMQ_OK);
	assert_int_equal(len, 3000);
	assert_int_equal(s.get(s.self, SMQ_KS_ITEM_NODE, "plant", 7, UINT64_C(1) << 60, smq_mspan_of(room, 100), &len),
			 SMQ_ERR_NO_ROOM);
	assert_int_equal(s.get(s.self, SMQ_KS_ITEM_NODE, "plant", 999, 0, smq_mspan_of(room, 100), &len),
			 SMQ_ERR_NOT_FOUND);
	/* what is undone is undone */
	assert_int_equal(s.begin(s.self), SMQ_OK);
	assert_int_equal(s.remove(s.self, SMQ_KS_ITEM_NODE, "plant", 7, UINT64_C(1) << 60), SMQ_OK);
	s.rollback(s.self);
	assert_int_equal(
	    s.get(s.self, SMQ_KS_ITEM_NODE, "plant", 7, UINT64_C(1) << 60, smq_mspan_of(room, sizeof(room)), &len),
	    SMQ_OK);
	/* a callback's error is the outcome, and the conversation goes on */
	seen = (struct seen){ .count = 999 };
	assert_int_equal(s.each(s.self, SMQ_KS_ITEM_NODE, NULL, &seen, look), SMQ_ERR_STATE);
	assert_int_equal(
	    s.get(s.self, SMQ_KS_ITEM_NODE, "plant", 8, UINT64_C(1) << 60, smq_mspan_of(room, sizeof(room)), &len),
	    SMQ_OK);
	assert_false(smq_store_pipe_lost(&s));
	s.free(s.self);
	close(f->ends[0]);
	f->ends[0] = -1;
	close(f->ends[1]);
	f->ends[1] = -1;
	assert_int_equal(ended(pid), SMQ_OK);
	/* signed by the one who has the key, over the channel */
	assert_int_equal(smq_keyserver_sqlite_audit(f->path, smq_crypto_openssl(), &f->world.credentials, unix_ms(),
						    NULL, NULL, &end),
			 SMQ_OK);
	assert_int_equal(end.lines, 1);
}

/* ---- the other end gone, or not itself ---- */

static void a_store_that_is_gone(void **state)
{
	struct fixture *f = *state;
	struct smq_ks_store s;
	uint8_t room[10];
	size_t len = 0;
	assert_int_equal(smq_store_pipe_open(f->ends[0], &f->world.members[0].own.signer, SMQ_KS_AUDIT_KIND, &s),
			 SMQ_OK);
	close(f->ends[1]);
	f->ends[1] = -1;
	assert_int_equal(s.begin(s.self), SMQ_ERR_STORE);
	assert_true(smq_store_pipe_lost(&s));
	assert_int_equal(s.get(s.self, SMQ_KS_ITEM_NODE, "plant", 1, 1, smq_mspan_of(room, 10), &len), SMQ_ERR_STORE);
	s.free(s.self);
}

static size_t frame(enum smq_frame_kind kind, smq_span part, uint8_t *room)
{
	struct smq_frame f = { .kind = kind, .parts = { part } };
	size_t len = 0;
	assert_int_equal(smq_frame_encode(&f, smq_mspan_of(room, 4096), &len), SMQ_OK);
	return len;
}

/* What a store that was taken over says to a commit, and what the signer makes of it. */
static void a_store_that_lies(void **state)
{
	static const struct {
		enum smq_frame_kind kind;
		const char *part;
	} rows[] = {
		/* 01 */ { SMQ_FRAME_ITEM, "" },
		/* 02 */ { SMQ_FRAME_BEGIN, "" },
		/* 03 */ { SMQ_FRAME_VALUE, "x" },
		/* 04: a signature under anything */ { SMQ_FRAME_SIGN, "please" },
		/* 05: ... under a manifest */
		{ SMQ_FRAME_SIGN, "\x84\x6aSignature1\x41z\x50sealmq1 manifest\x41x" },
		/* 06: ... under a key exchange */ { SMQ_FRAME_SIGN, "\x84\x6aSignature1\x41z\x41y\x41x" },
		/* 07: an error that there is not */ { SMQ_FRAME_RESULT, NULL },
		/* 08: no frame */ { SMQ_FRAME_KINDS, "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture *f = *state;
		struct smq_ks_store s;
		uint8_t bytes[4096], answer[4096];
		int ends[2];
		size_t len = 3;
		assert_int_equal(smq_channel_pair(ends), SMQ_OK);
		assert_int_equal(smq_store_pipe_open(ends[0], &f->world.members[0].own.signer, SMQ_KS_AUDIT_KIND, &s),
				 SMQ_OK);
		memset(bytes, 0xee, sizeof(bytes));
		if (rows[i].kind == SMQ_FRAME_RESULT) {
			struct smq_frame result = { .kind = SMQ_FRAME_RESULT, .numbers = { 9999 } };
			assert_int_equal(smq_frame_encode(&result, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
		} else if (rows[i].kind != SMQ_FRAME_KINDS)
			len = frame(rows[i].kind, smq_span_str(rows[i].part), bytes);
		assert_int_equal(send(ends[1], bytes, len, 0), len);
		if (s.commit(s.self) != SMQ_ERR_STORE || !smq_store_pipe_lost(&s))
			fail_msg("row %zu", i + 1);
		/* the question, and no signature */
		assert_int_equal(recv(ends[1], answer, sizeof(answer), MSG_DONTWAIT), 1);
		assert_int_equal(recv(ends[1], answer, sizeof(answer), MSG_DONTWAIT), -1);
		s.free(s.self);
		close(ends[0]);
		close(ends[1]);
	}
}

/* ---- junk for the store ---- */

static uint64_t seed = 0x5ea1ed5ea1edULL;

static uint32_t draw(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * UINT64_C(0x2545f4914f6cdd1d)) >> 32);
}

static size_t some_question(uint8_t room[4096])
{
	struct smq_frame f = { .kind = (enum smq_frame_kind)(1 + draw() % (SMQ_FRAME_KINDS - 1)),
			       .numbers = { draw() % 16, draw() % 4, draw() % 3, draw() % 3 ? 4096 : UINT64_MAX },
			       .parts = { smq_span_str("plant"), smq_span_str("value"), smq_span_str("a"),
					  smq_span_str("b") } };
	size_t len = 0;
	if (draw() % 2) /* something that is in turn */
		f.kind = draw() % 2 ? SMQ_FRAME_BEGIN : SMQ_FRAME_PUT;
	assert_int_equal(smq_frame_encode(&f, smq_mspan_of(room, 4096), &len), SMQ_OK);
	return len;
}

static void spoil(uint8_t *bytes, size_t *len)
{
	switch (draw() % 4) {
	case 0:
		bytes[draw() % *len] ^= (uint8_t)(1u << draw() % 8);
		break;
	case 1:
		*len = 1 + draw() % *len;
		break;
	case 2:
		for (size_t i = 0; i < *len; i++)
			bytes[i] = (uint8_t)draw();
		break;
	default:
		break;
	}
}

static smq_err count(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	(void)group;
	(void)a;
	(void)b;
	(void)value;
	++*(unsigned *)context;
	return SMQ_OK;
}

/* A thousand conversations of whole and spoilt questions: none ends the store, and none leaves anything behind. */
static void junk_ends_the_conversation_alone(void **state)
{
	struct fixture *f = *state;
	struct smq_ks_store store;
	unsigned malformed = 0, items = 0;
	uint8_t bytes[4096];
	assert_int_equal(smq_keyserver_sqlite_open(&f->config, &store), SMQ_OK);
	for (int talk = 0; talk < 1000; talk++) {
		int ends[2];
		assert_int_equal(smq_channel_pair(ends), SMQ_OK);
		f->desk.channel.fd = ends[1];
		for (int i = 0; i < 12; i++) {
			size_t len = some_question(bytes);
			if (draw() % 4 == 0)
				spoil(bytes, &len);
			if (bytes[0] !=
			    SMQ_FRAME_COMMIT) /* its signature is asked for, and nobody is there to answer */
				assert_int_equal(send(ends[0], bytes, len, 0), len);
		}
		shutdown(ends[0], SHUT_WR);
		smq_err err = smq_store_desk_serve(&f->desk, &store);
		malformed += err != SMQ_OK;
		close(ends[0]);
		close(ends[1]);
	}
	assert_true(malformed > 500);
	for (int kind = SMQ_KS_ITEM_SERVER; kind <= SMQ_KS_ITEM_KEY; kind++)
		assert_int_equal(store.each(store.self, (enum smq_ks_item)kind, NULL, &items, count), SMQ_OK);
	assert_int_equal(items, 0); /* all of it was undone */
	assert_int_equal(store.begin(store.self), SMQ_OK);
	store.rollback(store.self);
	store.free(store.self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_the_same_store, setup, teardown),
		cmocka_unit_test_setup_teardown(a_store_that_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_store_that_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(junk_ends_the_conversation_alone, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
