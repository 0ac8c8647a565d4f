/* Obeying commands: what is applied, what is refused and why, what is known after a restart. */
#include "app/commands.h"

#include <stdio.h>

#include "base/table.h"
#include "cmocka_all.h"
#include "store_memory.h"

#define PREFIX "sealmq/plant"

static int64_t clock_ms, mono_ms;
static struct smq_now now(void) { return (struct smq_now){ mono_ms, clock_ms }; }

struct rig {
	struct store_memory memory;
	struct smq_parameters parameters;
	struct smq_obeying *o;
	smq_err policy;                /* what the group's policy says of anybody */
	enum smq_command_result told;  /* last */
	enum smq_command_result acked; /* last */
	unsigned tells, acks;
	char set[64], acked_to[64];
};

static void no_free(void *self) { (void)self; }

static smq_err may_command(void *self, const char *group, const char *name, unsigned roles)
{
	const struct rig *r = self;
	assert_string_equal(group, "g");
	assert_true(*name && roles);
	return r->policy;
}

static smq_err publish(void *self, const char *group, const char *topic, smq_span payload)
{
	struct rig *r = self;
	struct smq_ack_document a;
	smq_span name;
	char word[64];
	assert_string_equal(group, "g");
	assert_int_equal(smq_command_topic_read(PREFIX, smq_span_str(topic), NULL, &name), SMQ_TOPIC_ACK);
	assert_int_equal(smq_ack_decode(payload, &a), SMQ_OK);
	snprintf(word, sizeof(word), "%.*s", (int)a.result.len, (const char *)a.result.p);
	snprintf(r->acked_to, sizeof(r->acked_to), "%.*s", (int)name.len, (const char *)name.p);
	r->acked = smq_command_result_of(word);
	assert_true(r->acked < SMQ_COMMAND_RESULTS);
	r->acks++;
	return SMQ_OK;
}

static void on_event(void *self, const struct smq_command_event *e)
{
	struct rig *r = self;
	r->told = e->result;
	r->tells++;
	r->set[0] = 0;
	for (size_t i = 0; i < e->setting_count; i++)
		snprintf(r->set + strlen(r->set), sizeof(r->set) - strlen(r->set), "%s=%s ", e->settings[i].name,
			 e->settings[i].value);
	if (e->text)
		snprintf(r->set, sizeof(r->set), "%s: %s", e->severity, e->text);
}

static void start(struct rig *r)
{
	static const struct smq_parameter declared[] = {
		{ .name = "RATE", .type = SMQ_PARAMETER_NUMBER, .min = 0.5, .max = 10 },
		{ .name = "LEVEL", .type = SMQ_PARAMETER_INTEGER, .min = -1, .max = 3 },
		{ .name = "LED", .type = SMQ_PARAMETER_BOOLEAN },
		{ .name = "MODE", .type = SMQ_PARAMETER_TEXT, .words = { "day", "night" }, .word_count = 2 },
	};
	memset(&r->parameters, 0, sizeof(r->parameters));
	memcpy(r->parameters.all, declared, sizeof(declared));
	r->parameters.count = SMQ_COUNT(declared);
	struct smq_commands_config c = { .parameters = &r->parameters,
					 .prefix = PREFIX,
					 .name = "dev",
					 .store = store_memory_port(&r->memory),
					 .clock = { .now = now },
					 .self = r,
					 .may_command = may_command,
					 .publish = publish,
					 .event_self = r,
					 .on_event = on_event };
	c.store.free = no_free;
	assert_int_equal(smq_obeying_new(&c, &r->o), SMQ_OK);
}

static void restart(struct rig *r)
{
	smq_obeying_free(r->o);
	start(r);
}

static void begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	clock_ms = 1795345900000;
	mono_ms = 5000;
	start(r);
}

static void end(struct rig *r)
{
	smq_obeying_free(r->o);
	store_memory_done(&r->memory);
}

static struct smq_command_document setting(uint8_t id, const char *name, const char *value)
{
	struct smq_command_document c = { .id = { id },
					  .to = smq_span_str("dev"),
					  .issued_ms = clock_ms,
					  .expires_ms = clock_ms + 60000,
					  .body = SMQ_BODY_SET,
					  .setting_count = 1,
					  .settings = { { smq_span_str(name), smq_span_str(value) } } };
	return c;
}

static struct smq_message message(const char *topic, smq_span payload, enum smq_proof proof)
{
	struct smq_message m = { .mqtt = { .topic = topic, .payload = payload, .qos = 1 },
				 .proof = proof,
				 .sender = "centre",
				 .group = "g",
				 .counter = 7,
				 .signer_roles = proof == SMQ_PROOF_PROVEN ? SMQ_ROLE_MEMBER : 0 };
	return m;
}

/* A second later, so that no limit on answers interferes. */
static void send_as(struct rig *r, const struct smq_command_document *c, const char *topic, enum smq_proof proof)
{
	static uint8_t room[SMQ_COMMAND_MAX];
	size_t len = 0;
	assert_int_equal(smq_command_encode(c, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	struct smq_message m = message(topic, smq_span_of(room, len), proof);
	r->told = r->acked = SMQ_COMMAND_RESULTS;
	mono_ms += 1000;
	assert_true(smq_obeying_take(r->o, &m));
}

static void send(struct rig *r, const struct smq_command_document *c)
{
	send_as(r, c, PREFIX "/command/g/to/dev", SMQ_PROOF_PROVEN);
}

static void is(const struct rig *r, enum smq_command_result result)
{
	assert_int_equal(r->told, result);
	assert_int_equal(r->acked, result);
	assert_string_equal(r->acked_to, "centre");
}

static void values(void **state)
{
	static const struct {
		const char *name, *value;
		enum smq_command_result result;
	} rows[] = {
		{ "RATE", "0.5", SMQ_COMMAND_APPLIED },          { "RATE", "10", SMQ_COMMAND_APPLIED },
		{ "RATE", "1e1", SMQ_COMMAND_APPLIED },          { "RATE", "0.499", SMQ_COMMAND_OUT_OF_BOUNDS },
		{ "RATE", "10.001", SMQ_COMMAND_OUT_OF_BOUNDS }, { "RATE", "-1", SMQ_COMMAND_OUT_OF_BOUNDS },
		{ "RATE", "", SMQ_COMMAND_WRONG_TYPE },          { "RATE", " 1", SMQ_COMMAND_WRONG_TYPE },
		{ "RATE", "1 ", SMQ_COMMAND_WRONG_TYPE },        { "RATE", "0x5", SMQ_COMMAND_WRONG_TYPE },
		{ "RATE", "inf", SMQ_COMMAND_WRONG_TYPE },       { "RATE", "nan", SMQ_COMMAND_WRONG_TYPE },
		{ "RATE", "1e999", SMQ_COMMAND_WRONG_TYPE },     { "LEVEL", "-1", SMQ_COMMAND_APPLIED },
		{ "LEVEL", "3", SMQ_COMMAND_APPLIED },           { "LEVEL", "4", SMQ_COMMAND_OUT_OF_BOUNDS },
		{ "LEVEL", "1.0", SMQ_COMMAND_WRONG_TYPE },      { "LEVEL", "1e0", SMQ_COMMAND_WRONG_TYPE },
		{ "LED", "true", SMQ_COMMAND_APPLIED },          { "LED", "TRUE", SMQ_COMMAND_WRONG_TYPE },
		{ "MODE", "night", SMQ_COMMAND_APPLIED },        { "MODE", "nigh", SMQ_COMMAND_OUT_OF_BOUNDS },
		{ "MODE", "", SMQ_COMMAND_OUT_OF_BOUNDS },       { "rate", "1", SMQ_COMMAND_UNKNOWN_PARAMETER },
		{ "RATES", "1", SMQ_COMMAND_UNKNOWN_PARAMETER },
	};
	struct rig r;
	(void)state;
	begin(&r);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		print_message("# row %zu: %s=%s\n", i, rows[i].name, rows[i].value);
		struct smq_command_document c = setting((uint8_t)(i + 1), rows[i].name, rows[i].value);
		send(&r, &c);
		is(&r, rows[i].result);
	}
	end(&r);
}

static void all_of_a_command_or_nothing(void **state)
{
	struct rig r;
	(void)state;
	begin(&r);
	struct smq_command_document c = setting(1, "RATE", "2");
	c.settings[c.setting_count++] = (struct smq_command_setting){ smq_span_str("LEVEL"), smq_span_str("9") };
	send(&r, &c);
	is(&r, SMQ_COMMAND_OUT_OF_BOUNDS);
	restart(&r);
	smq_obeying_tell(r.o);
	assert_int_equal(r.told, SMQ_COMMAND_OUT_OF_BOUNDS); /* nothing was told since */
	/* refused, it may come again, corrected, under the same id */
	c = setting(1, "RATE", "2");
	send(&r, &c);
	is(&r, SMQ_COMMAND_APPLIED);
	end(&r);
}

static void times(void **state)
{
	static const struct {
		int64_t issued, expires;
		enum smq_command_result result;
	} rows[] = {
		{ 0, 1, SMQ_COMMAND_APPLIED },
		{ -1000, 0, SMQ_COMMAND_EXPIRED },
		{ -60000, -1, SMQ_COMMAND_EXPIRED },
		{ SMQ_COMMANDS_EARLY_MS, SMQ_COMMANDS_EARLY_MS + 1000, SMQ_COMMAND_APPLIED },
		{ SMQ_COMMANDS_EARLY_MS + 1, SMQ_COMMANDS_EARLY_MS + 1000, SMQ_COMMAND_EARLY },
		{ 0, SMQ_COMMAND_LIFE_MAX_MS, SMQ_COMMAND_APPLIED },
		{ 0, (int64_t)SMQ_COMMAND_LIFE_MAX_MS + 1, SMQ_COMMAND_EARLY },
	};
	struct rig r;
	(void)state;
	begin(&r);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_command_document c = setting((uint8_t)(i + 1), "RATE", "1");
		c.issued_ms = clock_ms + rows[i].issued;
		c.expires_ms = clock_ms + rows[i].expires;
		send(&r, &c);
		is(&r, rows[i].result);
	}
	end(&r);
}

static void replayed_across_restarts_and_clock_jumps(void **state)
{
	struct rig r;
	(void)state;
	begin(&r);
	struct smq_command_document c = setting(1, "RATE", "2"), later = setting(2, "RATE", "3");
	send(&r, &c);
	is(&r, SMQ_COMMAND_APPLIED);
	assert_string_equal(r.set, "RATE=2 ");
	send(&r, &c);
	is(&r, SMQ_COMMAND_REPLAYED);
	restart(&r);
	send(&r, &c);
	is(&r, SMQ_COMMAND_REPLAYED);
	assert_string_equal(r.parameters.all[0].value, "2");
	/* past its end it is forgotten, and its time refuses it, even when the clock jumps back */
	clock_ms += 120000;
	later.issued_ms = clock_ms;
	later.expires_ms = clock_ms + 60000;
	send(&r, &later);
	is(&r, SMQ_COMMAND_APPLIED);
	clock_ms -= 120000;
	send(&r, &c);
	is(&r, SMQ_COMMAND_EXPIRED);
	restart(&r);
	send(&r, &c);
	is(&r, SMQ_COMMAND_EXPIRED);
	end(&r);
}

static void who(void **state)
{
	static const struct {
		smq_err policy;
		const char *from; /* the file's own list */
		enum smq_command_result result;
	} rows[] = {
		{ SMQ_OK, NULL, SMQ_COMMAND_APPLIED },
		{ SMQ_OK, "cent*", SMQ_COMMAND_APPLIED },
		{ SMQ_OK, "ops", SMQ_COMMAND_FORBIDDEN },
		{ SMQ_ERR_NOT_AUTHORIZED, NULL, SMQ_COMMAND_FORBIDDEN },
		{ SMQ_ERR_NOT_AUTHORIZED, "centre", SMQ_COMMAND_FORBIDDEN },
		{ SMQ_ERR_NOT_FOUND, NULL, SMQ_COMMAND_FORBIDDEN },
		{ SMQ_ERR_NOT_FOUND, "centre", SMQ_COMMAND_APPLIED },
		{ SMQ_ERR_NOT_FOUND, "centr", SMQ_COMMAND_FORBIDDEN },
	};
	struct rig r;
	(void)state;
	begin(&r);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_command_document c = setting((uint8_t)(i + 1), "RATE", "1");
		r.policy = rows[i].policy;
		r.parameters.from_count = rows[i].from != NULL;
		snprintf(r.parameters.from[0], sizeof(r.parameters.from[0]), "%s", rows[i].from ? rows[i].from : "");
		send(&r, &c);
		is(&r, rows[i].result);
	}
	end(&r);
}

static void unsigned_or_not_for_us(void **state)
{
	static const struct {
		const char *topic, *to;
		enum smq_proof proof;
		enum smq_command_result result;
	} rows[] = {
		{ PREFIX "/command/g/to/dev", "dev", SMQ_PROOF_MEMBER, SMQ_COMMAND_UNSIGNED },
		{ PREFIX "/command/g/all", "", SMQ_PROOF_MEMBER, SMQ_COMMAND_UNSIGNED },
		{ PREFIX "/command/g/to/dev", "", SMQ_PROOF_PROVEN, SMQ_COMMAND_MALFORMED },
		{ PREFIX "/command/g/to/dev", "other", SMQ_PROOF_PROVEN, SMQ_COMMAND_MALFORMED },
		{ PREFIX "/command/g/to/other", "dev", SMQ_PROOF_PROVEN, SMQ_COMMAND_MALFORMED },
		{ PREFIX "/command/g/all", "dev", SMQ_PROOF_PROVEN, SMQ_COMMAND_MALFORMED },
		{ PREFIX "/command/h/to/dev", "dev", SMQ_PROOF_PROVEN, SMQ_COMMAND_MALFORMED },
		{ PREFIX "/command/g/all", "", SMQ_PROOF_PROVEN, SMQ_COMMAND_APPLIED },
	};
	struct rig r;
	(void)state;
	begin(&r);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_command_document c = setting((uint8_t)(i + 1), "RATE", "1");
		c.to = smq_span_str(rows[i].to);
		send_as(&r, &c, rows[i].topic, rows[i].proof);
		is(&r, rows[i].result);
	}
	struct smq_message m = message("plant/a", smq_span_str("x"), SMQ_PROOF_PROVEN);
	assert_false(smq_obeying_take(r.o, &m));
	unsigned acks = r.acks;
	m = message(PREFIX "/command/g/ack/dev", smq_span_str("x"), SMQ_PROOF_PROVEN);
	assert_true(smq_obeying_take(r.o, &m)); /* never answered: two devices would talk for ever */
	assert_int_equal(r.acks, acks);
	m = message(PREFIX "/command/g/to/dev", smq_span_str("no CBOR"), SMQ_PROOF_PROVEN);
	assert_true(smq_obeying_take(r.o, &m));
	is(&r, SMQ_COMMAND_MALFORMED);
	end(&r);
}

static void waits_for_the_certificate(void **state)
{
	struct rig r;
	(void)state;
	begin(&r);
	struct smq_command_document c = setting(1, "RATE", "2");
	struct smq_message m = message("", smq_span_of(NULL, 0), SMQ_PROOF_PROVEN);
	send_as(&r, &c, PREFIX "/command/g/to/dev", SMQ_PROOF_PROVISIONAL);
	assert_int_equal(r.tells + r.acks, 0);
	smq_obeying_prove(r.o, &m, SMQ_OK);
	is(&r, SMQ_COMMAND_APPLIED);
	c = setting(2, "RATE", "3");
	send_as(&r, &c, PREFIX "/command/g/to/dev", SMQ_PROOF_PROVISIONAL);
	smq_obeying_prove(r.o, &m, SMQ_ERR_SIGNATURE);
	is(&r, SMQ_COMMAND_UNSIGNED);
	send_as(&r, &c, PREFIX "/command/g/to/dev", SMQ_PROOF_PROVISIONAL);
	mono_ms += SMQ_COMMANDS_HELD_MS;
	smq_obeying_tick(r.o);
	is(&r, SMQ_COMMAND_UNSIGNED);
	/* those that never get one do not fill our memory: the next ones are judged as they stand */
	for (int i = 0; i <= SMQ_COMMANDS_HELD_MAX; i++)
		send_as(&r, &c, PREFIX "/command/g/to/dev", SMQ_PROOF_PROVISIONAL);
	is(&r, SMQ_COMMAND_UNSIGNED);
	end(&r);
}

static void what_cannot_be_remembered_is_not_obeyed(void **state)
{
	struct rig r;
	(void)state;
	begin(&r);
	struct smq_command_document c = setting(1, "RATE", "2");
	r.memory.fail = SMQ_ERR_DISK_FULL;
	send(&r, &c);
	is(&r, SMQ_COMMAND_NOT_STORED);
	assert_false(r.parameters.all[0].is_set);
	r.memory.fail = SMQ_OK;
	send(&r, &c);
	is(&r, SMQ_COMMAND_APPLIED);
	for (int i = 1; i < SMQ_COMMANDS_SEEN_MAX; i++) {
		c = setting(2, "RATE", "2");
		c.id[1] = (uint8_t)i;
		c.id[2] = (uint8_t)(i >> 8);
		send(&r, &c);
		is(&r, SMQ_COMMAND_APPLIED);
	}
	c = setting(3, "RATE", "2");
	send(&r, &c);
	is(&r, SMQ_COMMAND_BUSY);
	clock_ms += 60000;
	c = setting(4, "RATE", "2");
	send(&r, &c);
	is(&r, SMQ_COMMAND_APPLIED);
	end(&r);
}

static void answers_are_limited(void **state)
{
	struct rig r;
	(void)state;
	begin(&r);
	struct smq_message m = message(PREFIX "/command/g/to/dev", smq_span_str("junk"), SMQ_PROOF_PROVEN);
	for (int i = 0; i < 100; i++)
		assert_true(smq_obeying_take(r.o, &m));
	assert_int_equal(r.tells, 100);
	assert_int_equal(r.acks, SMQ_COMMANDS_ACKS_PER_S);
	end(&r);
}

static void alerts_and_what_holds_at_the_start(void **state)
{
	struct rig r;
	(void)state;
	begin(&r);
	struct smq_command_document a = { .id = { 9 },
					  .issued_ms = clock_ms,
					  .expires_ms = clock_ms + 1000,
					  .body = SMQ_BODY_ALERT,
					  .severity = smq_span_str("info"),
					  .text = smq_span_str("a\x1b[31mb") };
	send_as(&r, &a, PREFIX "/command/g/all", SMQ_PROOF_PROVEN);
	is(&r, SMQ_COMMAND_APPLIED);
	assert_string_equal(r.set, "info: a\\x1b[31mb");
	struct smq_command_document c = setting(1, "MODE", "night");
	send(&r, &c);
	restart(&r);
	smq_obeying_tell(r.o);
	assert_string_equal(r.set, "MODE=night ");
	/* what is not declared so any more is not set any more */
	smq_obeying_free(r.o);
	start(&r);
	assert_true(r.parameters.all[3].is_set);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(all_of_a_command_or_nothing),
		cmocka_unit_test(times),
		cmocka_unit_test(replayed_across_restarts_and_clock_jumps),
		cmocka_unit_test(who),
		cmocka_unit_test(unsigned_or_not_for_us),
		cmocka_unit_test(waits_for_the_certificate),
		cmocka_unit_test(what_cannot_be_remembered_is_not_obeyed),
		cmocka_unit_test(answers_are_limited),
		cmocka_unit_test(alerts_and_what_holds_at_the_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
