/*
 * The recorder as a whole: messages, proofs, refusals, witnesses, commits and restarts in any order, over a store that
 * fails where the input says so. What is acknowledged is durable, once, as it was sent, and as declared; what a failed
 * commit held is not there.
 */
#include "fuzz.h"

#include <string.h>

#include <sealmq/client.h>

#include "app/recorder.h"
#include "base/table.h"

enum { TAKEN_MAX = 64, ROWS_MAX = 64, SENDERS = 3, OPS_MAX = 48 };

/* ---- chance ---- */

static smq_span input;

static unsigned draw(unsigned below)
{
	unsigned byte = 0;
	if (input.len > 0) {
		byte = input.p[0];
		input = smq_span_of(input.p + 1, input.len - 1);
	}
	return byte % below;
}

/* ---- the store ---- */

struct row {
	unsigned id; /* sender, life and counter in one number */
	bool quarantined, provisional;
};

struct rows {
	struct row at[ROWS_MAX];
	size_t count;
};

static struct rows durable, open_rows;
static bool stuck; /* something failed: nothing goes any more, and commit may not be asked for */
static unsigned fails_in;
static bool sent[SENDERS * 256]; /* taken by the recorder at any time */
static struct smq_record_options options;
static struct smq_record_schema schema;
static struct smq_now time_now;

static smq_err step(void)
{
	if (stuck)
		return SMQ_ERR_STORE;
	if (fails_in > 0 && --fails_in == 0) {
		stuck = true;
		return SMQ_ERR_DISK_FULL;
	}
	return SMQ_OK;
}

static unsigned id_of(const struct smq_record_key *k)
{
	FUZZ_CHECK(k->boot_id && k->sender[0] >= 'a' && k->sender[0] < 'a' + SENDERS);
	return (unsigned)(k->sender[0] - 'a') * 256 + k->boot_id[0] * 16U + (unsigned)k->counter;
}

static struct row *row_of(struct rows *r, unsigned id)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->at[i].id == id)
			return &r->at[i];
	}
	return NULL;
}

static void put(unsigned id, bool quarantined, bool provisional)
{
	FUZZ_CHECK(sent[id]);
	if (!row_of(&open_rows, id) && open_rows.count < ROWS_MAX)
		open_rows.at[open_rows.count++] = (struct row){ id, quarantined, provisional };
}

static smq_err add(void *self, const struct smq_record_row *row)
{
	smq_err err = step();
	(void)self;
	if (err != SMQ_OK)
		return err;
	bool proven = row->proof == SMQ_PROOF_PROVEN || row->proof == SMQ_PROOF_PROVISIONAL;
	FUZZ_CHECK(proven || !options.require_proof);
	FUZZ_CHECK(row->reading_count >= 1 && strncmp(row->topic, "plant/", 6) == 0);
	FUZZ_CHECK(row->topic[6] == row->key.sender[0]);
	FUZZ_CHECK(row->received_ms - row->measured_ms <= schema.past_ms);
	FUZZ_CHECK(row->measured_ms - row->received_ms <= schema.future_ms);
	for (size_t i = 0; i < row->reading_count; i++)
		FUZZ_CHECK(row->readings[i].is_text ||
			   (row->readings[i].value >= -50 && row->readings[i].value <= 150));
	put(id_of(&row->key), false, row->proof == SMQ_PROOF_PROVISIONAL);
	return SMQ_OK;
}

static smq_err refuse(void *self, const struct smq_record_refused *refused)
{
	smq_err err = step();
	(void)self;
	FUZZ_CHECK(refused->reason && refused->reason[0] && refused->detail && refused->times > 0);
	if (err == SMQ_OK && refused->key.boot_id)
		put(id_of(&refused->key), true, false);
	return err;
}

static smq_err prove(void *self, const struct smq_record_key *key, const char *reason)
{
	smq_err err = step();
	(void)self;
	struct row *row = row_of(&open_rows, id_of(key));
	if (err == SMQ_OK && row && row->provisional) {
		row->provisional = false;
		row->quarantined = reason != NULL;
	}
	return err;
}

static smq_err keep(void *self, enum smq_record_kept what, const struct smq_record_key *life,
		    const struct smq_record_value *values, size_t count)
{
	(void)self, (void)life, (void)values;
	FUZZ_CHECK(options.evidence && what < SMQ_KEPT_KINDS && count <= SMQ_KEPT_VALUES_MAX);
	return step();
}

static smq_err commit(void *self, struct smq_record_committed *ret)
{
	FUZZ_CHECK(!stuck);
	smq_err err = step();
	(void)self;
	if (err != SMQ_OK)
		return err;
	*ret = (struct smq_record_committed){ .stored = open_rows.count - durable.count };
	durable = open_rows;
	return SMQ_OK;
}

static void abandon(void *self)
{
	(void)self;
	open_rows = durable;
	stuck = false;
}

static smq_err query(void *self, const struct smq_record_query *q, smq_record_row_fn on_row, void *row_self)
{
	(void)self, (void)q, (void)on_row, (void)row_self;
	return SMQ_OK;
}

static const char *why(void *self)
{
	(void)self;
	return "the disk is full";
}

static void no_free(void *self) { (void)self; }

/* ---- what a recorder is told ---- */

static struct smq_now now(void) { return time_now; }

struct words {
	char sender[8], topic[40], text[200];
	size_t len;
	uint8_t hash[32];
	struct smq_evidence evidence;
};

static void make_payload(struct words *w)
{
	static const char *const forms[] = {
		"{\"at\":%lld,\"temp\":4.5,\"who\":\"%c\"}",
		"{\"at\":%lld,\"temp\":151,\"who\":\"%c\"}",
		"{\"at\":%lld,\"temp\":-50,\"who\":\"%c\",\"note\":\"x\"}",
		"{\"at\":%lld,\"who\":\"%c\"}",
	};
	static const int64_t ages[] = { 0, 1000, -1000, 3600000, -3600000, 40 * INT64_C(86400000) };
	int64_t at = time_now.unix_ms - ages[draw(SMQ_COUNT(ages))];
	char form[64];
	snprintf(form, sizeof(form), "%s", forms[draw(SMQ_COUNT(forms))]);
	char who = draw(8) == 7 ? 'z' : w->sender[0];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	w->len = (size_t)snprintf(w->text, sizeof(w->text), form, (long long)at, who);
#pragma GCC diagnostic pop
	for (unsigned n = draw(4); n > 0; n--)
		w->text[draw((unsigned)w->len)] = (char)draw(256);
}

static struct smq_message make_message(struct words *w)
{
	static const enum smq_proof proofs[] = { SMQ_PROOF_PROVEN, SMQ_PROOF_PROVISIONAL, SMQ_PROOF_MEMBER,
						 SMQ_PROOF_PEER };
	struct smq_message m = { .counter = draw(16), .slot = SMQ_NO_SLOT, .age_ms = SMQ_NO_AGE };
	memset(w, 0, sizeof(*w));
	w->sender[0] = (char)('a' + draw(SENDERS));
	snprintf(w->topic, sizeof(w->topic), "plant/%c/t", draw(8) == 7 ? 'z' : w->sender[0]);
	make_payload(w);
	m.mqtt = (struct smq_mqtt_message){ .topic = w->topic, .payload = smq_span_of(w->text, w->len) };
	m.sender = w->sender;
	m.group = draw(2) ? "g" : NULL;
	m.proof = proofs[draw(SMQ_COUNT(proofs))];
	m.repeated = draw(4) == 3;
	m.boot_id[0] = (uint8_t)draw(16);
	w->evidence = (struct smq_evidence){ .stream = w->hash, .certificate = draw(2) ? w->hash : NULL };
	w->hash[0] = (uint8_t)draw(3);
	m.evidence = draw(2) ? &w->evidence : NULL;
	return m;
}

/* ---- a run ---- */

static void start(struct smq_record_book **b)
{
	const struct smq_record_book_config c = { .options = &options,
						  .schema = &schema,
						  .store = { NULL, add, refuse, prove, keep, commit, abandon, query,
							     why, no_free },
						  .clock = { .now = now },
						  .crypto = smq_crypto_openssl() };
	open_rows = durable;
	stuck = false;
	FUZZ_CHECK(smq_record_book_new(&c, b) == SMQ_OK);
}

static void op_take(struct smq_record_book *b)
{
	struct words w;
	struct smq_message m = make_message(&w);
	sent[(unsigned)(w.sender[0] - 'a') * 256 + m.boot_id[0] * 16U + (unsigned)m.counter] = true;
	smq_record_book_take(b, &m);
	if (!stuck && open_rows.count < ROWS_MAX) {
		const struct smq_record_key k = { .sender = m.sender, .boot_id = m.boot_id, .counter = m.counter };
		FUZZ_CHECK(row_of(&open_rows, id_of(&k))); /* stored or in quarantine, never dropped */
	}
}

static void op_prove(struct smq_record_book *b)
{
	static const smq_err errs[] = { SMQ_OK, SMQ_ERR_SIGNATURE, SMQ_ERR_TIMEOUT };
	struct words w;
	struct smq_message m = make_message(&w);
	smq_record_book_prove(b, &m, errs[draw(SMQ_COUNT(errs))]);
}

static void op_other(struct smq_record_book *b)
{
	static const char *const topics[] = { "a", "plant/a/t",
					      "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9" };
	const struct smq_refusal r = { .reason = draw(2) ? SMQ_ERR_OPEN : SMQ_ERR_REPLAY,
				       .topic = topics[draw(3)],
				       .sender = draw(2) ? "a" : "" };
	const uint8_t hash[32] = { (uint8_t)draw(3) };
	const struct smq_witness w = { .kind = draw(2) ? SMQ_WITNESS_CERTIFICATE : SMQ_WITNESS_CHECKPOINT,
				       .name = "a",
				       .certificate = hash,
				       .bytes = smq_span_str("bytes"),
				       .stream = hash,
				       .count = 1 };
	if (draw(2))
		smq_record_book_refuse(b, &r);
	else
		smq_record_book_witness(b, &w);
}

static void op_commit(struct smq_record_book *b)
{
	const struct rows before = durable;
	bool was_stuck = stuck;
	smq_err err = smq_record_book_commit(b);
	FUZZ_CHECK(!stuck && (err != SMQ_OK || !was_stuck));
	FUZZ_CHECK(open_rows.count == durable.count);
	if (err != SMQ_OK)
		FUZZ_CHECK(memcmp(&before, &durable, sizeof(before)) == 0);
}

static void op_restart(struct smq_record_book **b)
{
	fails_in = 0;
	smq_record_book_free(*b); /* commits what is open */
	start(b);
}

static void op_time(void)
{
	static const int64_t steps[] = { 1, 1000, 60000, -60000, 3600000 };
	int64_t by = steps[draw(SMQ_COUNT(steps))];
	time_now.unix_ms += by;
	time_now.mono_ms += by > 0 ? by : 0;
}

static void make_schema(void)
{
	char bad[256];
	smq_record_schema_init(&schema);
	snprintf(schema.name, sizeof(schema.name), "fuzz");
	snprintf(schema.time_field, sizeof(schema.time_field), "at");
	snprintf(schema.topic, sizeof(schema.topic), "plant/{sender}/#");
	schema.time_format = SMQ_RECORD_UNIX_MS;
	static const struct smq_record_field fields[] = {
		{ .name = "at", .type = SMQ_RECORD_INTEGER },
		{ .name = "temp", .type = SMQ_RECORD_NUMBER, .has_min = true, .has_max = true, .min = -50, .max = 150 },
		{ .name = "who", .type = SMQ_RECORD_TEXT, .is_sender = true, .max_len = 8 },
		{ .name = "note", .type = SMQ_RECORD_TEXT, .optional = true, .max_len = 8 },
	};
	memcpy(schema.fields, fields, sizeof(fields));
	schema.field_count = SMQ_COUNT(fields);
	FUZZ_CHECK(smq_record_schema_check(&schema, bad, sizeof(bad)) == SMQ_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smq_record_book *b = NULL;
	if (schema.field_count == 0)
		make_schema();
	input = smq_span_of(data, size);
	durable.count = open_rows.count = 0;
	memset(&durable, 0, sizeof(durable));
	memset(sent, 0, sizeof(sent));
	fails_in = 0;
	time_now = (struct smq_now){ 5000, INT64_C(1795259500000) };
	smq_record_options_init(&options);
	unsigned first = draw(8);
	options.require_proof = first & 1;
	options.evidence = first & 2;
	options.refusals_max = first & 4 ? 2 : 64;
	start(&b);
	for (int n = 0; n < OPS_MAX && input.len > 0; n++) {
		fuzz_operation();
		switch (draw(8)) {
		case 0:
		case 1:
		case 2:
			op_take(b);
			break;
		case 3:
			op_prove(b);
			break;
		case 4:
			op_other(b);
			break;
		case 5:
			op_commit(b);
			break;
		case 6:
			if (draw(2))
				op_time();
			else
				fails_in = 1 + draw(6);
			break;
		default:
			op_restart(&b);
		}
	}
	fails_in = 0;
	smq_record_book_free(b);
	return 0;
}
