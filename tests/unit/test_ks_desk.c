/* core/ks_asker and core/ks_desk: requests to the key server and their answers (PROTOCOL.md 7.2). */
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "core/ks_asker.h"
#include "core/ks_desk.h"
#include "world.h"

enum { SERVER = 0, ASKER = 1, RUNS = 4 };

static const int suites[] = { 2 };

/* One key server, one asker, and what is between them. */
struct talk {
	struct world world;
	void *memory;
	smq_ks_desk *desk;
	struct smq_ks_asker_config config;
	struct smq_ks_asker *asker;
	uint8_t up[2][SMQ_KS_EDHOC_ROOM], down[SMQ_KS_EDHOC_ROOM], request[SMQ_KS_REQUEST_MAX + 64];
	size_t up_len[2], down_len;
	uint8_t answer_room[4096];
	smq_span answer;
	struct smq_ks_asked asked;
};

static int setup(void **state)
{
	struct talk *t = calloc(1, sizeof(*t));
	assert_non_null(t);
	world_init(&t->world);
	t->world.roles[SERVER] = SMQ_ROLE_KEYSERVER;
	struct smq_ks_desk_config c = { .crypto = smq_crypto_openssl(),
					.random = smq_random_system(),
					.credentials = &t->world.credentials,
					.own = &t->world.members[SERVER].own,
					.name = "a",
					.methods_allowed = 0x0f,
					.suites = suites,
					.suite_count = 1,
					.runs_max = RUNS,
					.starts_per_s = 100 };
	size_t size = smq_ks_desk_size(&c);
	t->memory = malloc(size);
	assert_non_null(t->memory);
	assert_int_equal(smq_ks_desk_init(t->memory, size, &c, &t->desk), SMQ_OK);
	t->config = (struct smq_ks_asker_config){ .crypto = c.crypto,
						  .random = c.random,
						  .credentials = c.credentials,
						  .own = &t->world.members[ASKER].own,
						  .name = "b",
						  .suites = suites,
						  .suite_count = 1 };
	t->asker = calloc(1, sizeof(*t->asker));
	assert_non_null(t->asker);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct talk *t = *state;
	smq_ks_asker_done(t->asker);
	smq_ks_desk_done(t->desk);
	world_done(&t->world);
	free(t->asker);
	free(t->memory);
	free(t);
	return 0;
}

static smq_err start(struct talk *t)
{
	return smq_ks_asker_start(t->asker, &t->config, smq_mspan_of(t->up[0], sizeof(t->up[0])), &t->up_len[0]);
}

static smq_err to_desk(struct talk *t, int i)
{
	return smq_ks_desk_input(t->desk, smq_span_str("b"), smq_span_of(t->up[i], t->up_len[i]), t->world.now,
				 smq_mspan_of(t->down, sizeof(t->down)), &t->down_len,
				 smq_mspan_of(t->request, sizeof(t->request)), &t->asked);
}

static smq_err to_asker(struct talk *t, const char *request)
{
	smq_mspan rooms[2] = { smq_mspan_of(t->up[0], sizeof(t->up[0])), smq_mspan_of(t->up[1], sizeof(t->up[1])) };
	return smq_ks_asker_input(t->asker, smq_span_of(t->down, t->down_len), t->world.now.unix_ms,
				  smq_span_str(request), rooms, t->up_len,
				  smq_mspan_of(t->answer_room, sizeof(t->answer_room)), &t->answer);
}

/* Up to the request, as the desk hands it out. */
static void ask(struct talk *t, const char *request)
{
	assert_int_equal(start(t), SMQ_OK);
	assert_int_equal(to_desk(t, 0), SMQ_OK);
	assert_int_equal(to_asker(t, request), SMQ_OK);
	assert_true(t->up_len[0] > 0 && t->up_len[1] > 0);
	size_t len = t->up_len[1];
	assert_int_equal(to_desk(t, 0), SMQ_OK);
	assert_int_equal(to_asker(t, request), SMQ_OK); /* message_4 */
	assert_int_equal(t->up_len[0] + t->up_len[1], 0);
	t->up_len[1] = len;
	assert_int_equal(to_desk(t, 1), SMQ_OK);
	assert_true(t->asked.run > 0);
}

static smq_err reply(struct talk *t, const char *text)
{
	char to[SMQ_MEMBER_NAME_MAX + 1];
	smq_err err = smq_ks_desk_answer(t->desk, t->asked.run, smq_span_str(text),
					 smq_mspan_of(t->down, sizeof(t->down)), &t->down_len, to);
	if (err == SMQ_OK)
		assert_string_equal(to, "b");
	return err;
}

static void a_request_and_its_answer(void **state)
{
	struct talk *t = *state;
	ask(t, "what is the time");
	assert_string_equal(t->asked.from->name, "b");
	assert_true(smq_span_equal(t->asked.request, smq_span_str("what is the time")));
	assert_int_equal(reply(t, "late"), SMQ_OK);
	assert_int_equal(to_asker(t, ""), SMQ_OK);
	assert_int_equal(t->asker->state, SMQ_KS_ASKER_ANSWERED);
	assert_true(smq_span_equal(t->answer, smq_span_str("late")));
	assert_string_equal(smq_ks_asker_server(t->asker), "a");
	assert_int_equal(reply(t, "again"), SMQ_ERR_NOT_FOUND); /* the run's key seals once */
	assert_int_equal(to_asker(t, ""), SMQ_ERR_NO_KEY);      /* and is answered once */
}

static void a_member_in_the_key_servers_place_is_told_nothing(void **state)
{
	struct talk *t = *state;
	t->world.roles[SERVER] = SMQ_ROLE_MEMBER | SMQ_ROLE_ADMIN;
	assert_int_equal(start(t), SMQ_OK);
	assert_int_equal(to_desk(t, 0), SMQ_OK);
	assert_int_equal(to_asker(t, "join"), SMQ_ERR_CERT_USAGE);
	assert_int_equal(t->up_len[0] + t->up_len[1], 0);
	assert_int_equal(t->asker->state, SMQ_KS_ASKER_FAILED);
}

static void a_key_server_of_another_name_is_told_nothing(void **state)
{
	struct talk *t = *state;
	t->config.keyserver = "other";
	assert_int_equal(start(t), SMQ_OK);
	assert_int_equal(to_desk(t, 0), SMQ_ERR_NAME);
	t->config.keyserver = NULL;
	assert_int_equal(start(t), SMQ_OK);
	assert_int_equal(to_desk(t, 0), SMQ_OK);
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct talk *t = *state;
	ask(t, "join");
	uint8_t sealed[512];
	size_t len = t->up_len[1];
	assert_int_equal(reply(t, "welcome"), SMQ_OK);
	len = t->down_len;
	assert_true(len < sizeof(sealed));
	memcpy(sealed, t->down, len);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		memcpy(t->down, sealed, len);
		t->down[bit / 8] ^= (uint8_t)(1u << bit % 8);
		smq_err err = to_asker(t, "");
		/* The sender's name in the envelope is not what anybody relies on. */
		if (err == SMQ_OK)
			assert_true(smq_span_equal(t->answer, smq_span_str("welcome")));
		if (t->asker->state == SMQ_KS_ASKER_ANSWERED)
			t->asker->state = SMQ_KS_ASKER_ASKING;
	}
	memcpy(t->down, sealed, len);
	assert_int_equal(to_asker(t, ""), SMQ_OK);
}

static void another_members_topic_is_not_taken(void **state)
{
	struct talk *t = *state;
	assert_int_equal(start(t), SMQ_OK);
	assert_int_equal(smq_ks_desk_input(t->desk, smq_span_str("c"), smq_span_of(t->up[0], t->up_len[0]),
					   t->world.now, smq_mspan_of(t->down, sizeof(t->down)), &t->down_len,
					   smq_mspan_of(t->request, sizeof(t->request)), &t->asked),
			 SMQ_ERR_NAME);
	assert_int_equal(t->down_len, 0);
}

static void a_request_comes_once(void **state)
{
	struct talk *t = *state;
	ask(t, "join");
	uint64_t first = t->asked.run;
	assert_int_equal(start(t), SMQ_OK); /* the envelope of another run in between changes nothing */
	assert_int_equal(to_desk(t, 1), SMQ_ERR_STATE);
	assert_int_equal(t->asked.run, 0);
	t->asked.run = first;
	assert_int_equal(reply(t, "yes"), SMQ_OK);
	assert_int_equal(to_desk(t, 1), SMQ_ERR_NO_SESSION);
}

static void a_flood_of_starts_is_bounded(void **state)
{
	struct talk *t = *state;
	ask(t, "join");
	uint64_t honest = t->asked.run;
	size_t taken = 0, refused = 0;
	for (int i = 0; i < 300; i++) {
		assert_int_equal(start(t), SMQ_OK);
		smq_err err = to_desk(t, 0);
		taken += err == SMQ_OK;
		refused += err == SMQ_ERR_RATE;
		assert_true(smq_ks_desk_runs(t->desk) <= RUNS);
	}
	assert_true(taken < 101 && taken + refused == 300);
	assert_true(refused >= 199);
	t->asked.run = honest; /* whoever was proven keeps its place */
	assert_int_equal(reply(t, "yes"), SMQ_OK);
	t->world.now.mono_ms += 20000;
	smq_ks_desk_tick(t->desk, t->world.now);
	assert_int_equal(smq_ks_desk_runs(t->desk), 0);
}

static void garbage_gets_no_answer(void **state)
{
	struct talk *t = *state;
	for (size_t len = 0; len < 200; len++) {
		memset(t->up[0], (int)(len * 37), len);
		t->up_len[0] = len;
		assert_int_not_equal(to_desk(t, 0), SMQ_OK);
		assert_int_equal(t->down_len, 0);
	}
	assert_int_equal(start(t), SMQ_OK);
	size_t whole = t->up_len[0];
	for (t->up_len[0] = 0; t->up_len[0] < whole; t->up_len[0]++) {
		assert_int_not_equal(to_desk(t, 0), SMQ_OK);
		assert_int_equal(t->down_len, 0);
	}
	assert_int_equal(smq_ks_desk_runs(t->desk), 0);
}

static void an_unknown_identity_ends_the_run(void **state)
{
	struct talk *t = *state;
	assert_int_equal(start(t), SMQ_OK);
	assert_int_equal(to_desk(t, 0), SMQ_OK);
	assert_int_equal(to_asker(t, "join"), SMQ_OK);
	t->world.known[ASKER] = false;
	assert_int_not_equal(to_desk(t, 0), SMQ_OK);
	assert_int_not_equal(to_desk(t, 1), SMQ_OK);
	assert_int_equal(t->asked.run, 0);
}

#define row(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(a_request_and_its_answer),
		row(a_member_in_the_key_servers_place_is_told_nothing),
		row(a_key_server_of_another_name_is_told_nothing),
		row(every_flipped_bit_is_noticed),
		row(another_members_topic_is_not_taken),
		row(a_request_comes_once),
		row(a_flood_of_starts_is_bounded),
		row(garbage_gets_no_answer),
		row(an_unknown_identity_ends_the_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
