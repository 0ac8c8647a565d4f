/* What every record store must do. */
#include "record_cases.h"

#include "app/record_sql.h"
#include "cmocka_all.h"

static const uint8_t boot_id[16] = "0123456789abcdef";
static const struct smq_record_reading readings[2] = {
	{ .type = { (const uint8_t *)"temp", 4 }, .unit = { (const uint8_t *)"C", 1 }, .value = 4.5 },
	{ .type = { (const uint8_t *)"state", 5 },
	  .unit = { (const uint8_t *)"", 0 },
	  .is_text = true,
	  .text = { (const uint8_t *)"a\tb\\c\n\"d\"", 9 } },
};

struct smq_record_row case_row(uint64_t counter, const char *raw, size_t reading_count)
{
	return (struct smq_record_row){
		.key = { .sender = "a",
			 .group = "g",
			 .epoch = 1,
			 .slot = SMQ_NO_SLOT,
			 .counter = counter,
			 .boot_id = boot_id },
		.topic = "plant/a",
		.measured_ms = 1000 * (int64_t)counter,
		.received_ms = 1000 * (int64_t)counter + 5,
		.proof = SMQ_PROOF_MEMBER,
		.raw = smq_span_str(raw),
		.readings = readings,
		.reading_count = reading_count,
	};
}

struct answer {
	uint64_t rows, sum;
	double value;
	char text[64];
	int64_t first, last;
};

static bool take_counts(void *self, const struct smq_record_cell *cells, size_t count)
{
	struct answer *a = self;
	assert_int_equal(count, 5);
	a->rows++;
	a->sum += (uint64_t)cells[2].integer;
	a->first = cells[3].integer;
	a->last = cells[4].integer;
	return true;
}

static struct smq_record_query any(enum smq_record_question question)
{
	return (struct smq_record_query){ .question = question, .from_ms = INT64_MIN, .to_ms = INT64_MAX };
}

uint64_t case_count(struct smq_record_store *store)
{
	struct answer a = { 0 };
	struct smq_record_query q = any(SMQ_RECORD_COUNTS);
	assert_int_equal(store->query(store->self, &q, take_counts, &a), SMQ_OK);
	return a.sum;
}

static struct smq_record_committed commit(struct smq_record_store *store)
{
	struct smq_record_committed done = { 0 };
	assert_int_equal(store->commit(store->self, &done), SMQ_OK);
	return done;
}

static void add(struct smq_record_store *store, struct smq_record_row row)
{
	assert_int_equal(store->add(store->self, &row), SMQ_OK);
}

void case_stores_once(struct smq_record_store *store)
{
	static const uint8_t other_life[16] = "fedcba9876543210";
	struct smq_record_committed done;
	add(store, case_row(1, "one", 2));
	add(store, case_row(2, "two", 0));
	add(store, case_row(1, "again, in the same commit", 2));
	done = commit(store);
	assert_int_equal(done.stored, 2);
	assert_int_equal(done.repeated, 1);
	add(store, case_row(2, "again", 0));
	add(store, case_row(3, "three", 1));
	done = commit(store);
	assert_int_equal(done.stored, 1);
	assert_int_equal(done.repeated, 1);
	/* each part of the key makes another message */
	struct smq_record_row row = case_row(3, "another life", 1);
	row.key.boot_id = other_life;
	add(store, row);
	row = case_row(3, "another sender", 1);
	row.key.sender = "b";
	add(store, row);
	row = case_row(3, "another epoch", 1);
	row.key.epoch = 2;
	add(store, row);
	row = case_row(3, "another group", 1);
	row.key.group = "h";
	add(store, row);
	row = case_row(3, "another slot", 1);
	row.key.slot = 4;
	add(store, row);
	done = commit(store);
	assert_int_equal(done.stored, 5);
	assert_int_equal(done.repeated, 0);
	assert_int_equal(case_count(store), 8);
	assert_int_equal(commit(store).stored, 0);
}

void case_abandons(struct smq_record_store *store)
{
	uint64_t before = case_count(store);
	struct smq_record_row row = case_row(100, "never", 2);
	row.key.sender = "nobody";
	row.topic = "plant/nowhere";
	add(store, row);
	store->abandon(store->self);
	assert_int_equal(commit(store).stored, 0);
	assert_int_equal(case_count(store), before);
	/* what was numbered in between is numbered anew */
	add(store, row);
	assert_int_equal(commit(store).stored, 1);
	assert_int_equal(case_count(store), before + 1);
}

static bool take_range(void *self, const struct smq_record_cell *cells, size_t count)
{
	struct answer *a = self;
	assert_int_equal(count, 9);
	a->rows++;
	if (cells[5].kind == SMQ_CELL_REAL)
		a->value = cells[5].real;
	if (cells[6].kind == SMQ_CELL_TEXT)
		memcpy(a->text, cells[6].text.p, cells[6].text.len);
	return a->rows < 3;
}

void case_answers(struct smq_record_store *store)
{
	struct answer a = { 0 };
	struct smq_record_query q = any(SMQ_RECORD_RANGE);
	for (uint64_t i = 200; i < 210; i++)
		add(store, case_row(i, "{}", 2));
	commit(store);
	q.from_ms = 200000;
	q.to_ms = 209000;
	assert_int_equal(store->query(store->self, &q, take_range, &a), SMQ_OK);
	assert_int_equal(a.rows, 3); /* as many as were wanted */
	assert_true(a.value == 4.5);
	assert_string_equal(a.text, "a\tb\\c\n\"d\"");
	struct answer counts = { 0 };
	q.question = SMQ_RECORD_COUNTS;
	assert_int_equal(store->query(store->self, &q, take_counts, &counts), SMQ_OK);
	assert_int_equal(counts.sum, 9); /* the end is not in it */
	assert_int_equal(counts.first, 200000);
	assert_int_equal(counts.last, 208000);
	static const char *const none[][3] = { { "z", NULL, NULL }, { NULL, "z", NULL }, { NULL, NULL, "z" } };
	for (size_t i = 0; i < 3; i++) {
		struct answer empty = { 0 };
		q.sender = none[i][0];
		q.type = none[i][1];
		q.topic = none[i][2];
		assert_int_equal(store->query(store->self, &q, take_counts, &empty), SMQ_OK);
		assert_int_equal(empty.rows, 0);
	}
}

static bool take_reasons(void *self, const struct smq_record_cell *cells, size_t count)
{
	struct answer *a = self;
	assert_int_equal(count, 5);
	a->rows++;
	a->sum += (uint64_t)cells[2].integer;
	return true;
}

void case_quarantines(struct smq_record_store *store)
{
	struct smq_record_row row = case_row(300, "bad\xff bytes", 0);
	struct smq_record_refused f = { .key = row.key,
					.topic = row.topic,
					.received_ms = 1,
					.reason = "out-of-range",
					.detail = "temp",
					.raw = row.raw,
					.times = 1 };
	struct smq_record_refused junk = { .key = { .sender = "", .group = "" },
					   .topic = "plant/a",
					   .received_ms = 2,
					   .reason = "not-sealed",
					   .detail = "",
					   .times = 40 };
	assert_int_equal(store->refuse(store->self, &f), SMQ_OK);
	assert_int_equal(store->refuse(store->self, &f), SMQ_OK);
	assert_int_equal(store->refuse(store->self, &junk), SMQ_OK);
	assert_int_equal(store->refuse(store->self, &junk), SMQ_OK);
	struct smq_record_committed done = commit(store);
	assert_int_equal(done.quarantined, 1);
	assert_int_equal(done.repeated, 1);
	struct answer a = { 0 };
	struct smq_record_query q = any(SMQ_RECORD_REASONS);
	assert_int_equal(store->query(store->self, &q, take_reasons, &a), SMQ_OK);
	assert_int_equal(a.rows, 2);
	assert_int_equal(a.sum, 81);
}

static bool take_proofs(void *self, const struct smq_record_cell *cells, size_t count)
{
	uint64_t *by_proof = self;
	(void)count;
	by_proof[cells[1].integer] += (uint64_t)cells[2].integer;
	return true;
}

void case_proves(struct smq_record_store *store)
{
	uint64_t by_proof[5] = { 0 };
	struct smq_record_query q = any(SMQ_RECORD_COUNTS);
	struct smq_record_committed done;
	uint64_t before = case_count(store);
	for (uint64_t i = 400; i < 406; i++) {
		struct smq_record_row row = case_row(i, "{}", 2);
		row.proof = SMQ_PROOF_PROVISIONAL;
		add(store, row);
		if (i == 403)
			commit(store);
	}
	/* proven in a later commit and in the same one; moved to quarantine likewise; 402 and 405 stay open */
	static const char *const reasons[] = { NULL, "forged", "", NULL, "not-proven", "" };
	for (uint64_t i = 0; i < 6; i++) {
		struct smq_record_row row = case_row(400 + i, "", 0);
		if (!reasons[i] || *reasons[i])
			assert_int_equal(store->prove(store->self, &row.key, reasons[i]), SMQ_OK);
	}
	done = commit(store);
	assert_int_equal(done.stored, 2);
	assert_int_equal(done.quarantined, 2);
	assert_int_equal(done.repeated, 0);
	/* a second word changes nothing */
	struct smq_record_row row = case_row(400, "", 0);
	assert_int_equal(store->prove(store->self, &row.key, "forged"), SMQ_OK);
	assert_int_equal(commit(store).quarantined, 0);
	assert_int_equal(case_count(store), before + 4);
	assert_int_equal(store->query(store->self, &q, take_proofs, by_proof), SMQ_OK);
	assert_int_equal(by_proof[SMQ_PROOF_PROVEN], 2);
	assert_int_equal(by_proof[SMQ_PROOF_PROVISIONAL], 2);
}

/* ---- evidence ---- */

static struct smq_record_value number(int64_t n)
{
	return (struct smq_record_value){ .kind = SMQ_VALUE_NUMBER, .number = n };
}

static struct smq_record_value bytes(const char *text)
{
	return (struct smq_record_value){ .kind = SMQ_VALUE_BYTES, .bytes = smq_span_str(text) };
}

static void keep(struct smq_record_store *store, enum smq_record_kept what, const struct smq_record_key *life,
		 const struct smq_record_value *values, size_t count)
{
	assert_int_equal(store->keep(store->self, what, life, values, count), SMQ_OK);
}

static bool take_message(void *self, const struct smq_record_cell *cells, size_t count)
{
	struct answer *a = self;
	assert_int_equal(count, 9);
	if (cells[1].integer < 500)
		return true;
	a->rows++;
	assert_true(smq_span_equal(cells[4].text, smq_span_str("{}")));
	if (cells[1].integer == 500) {
		assert_int_equal(cells[5].integer, 77);
		assert_true(smq_span_equal(cells[6].text, smq_span_str("signature")));
		assert_true(smq_span_equal(cells[7].text, smq_span_str("thumb-2")));
		assert_true(smq_span_equal(cells[8].text, smq_span_str("lists")));
	} else {
		for (size_t i = 5; i < 9; i++)
			assert_int_equal(cells[i].kind, SMQ_CELL_NULL);
	}
	return true;
}

static bool take_first_text(void *self, const struct smq_record_cell *cells, size_t count)
{
	struct answer *a = self;
	size_t i = 0;
	while (i < count && cells[i].kind != SMQ_CELL_TEXT)
		i++;
	assert_true(i < count && cells[i].text.len < sizeof(a->text));
	memcpy(a->text, cells[i].text.p, cells[i].text.len);
	a->text[cells[i].text.len] = 0;
	a->rows++;
	return true;
}

static void one_row(struct smq_record_store *store, int question, const char *text)
{
	struct answer a = { 0 };
	struct smq_record_query q = any((enum smq_record_question)question);
	q.sender = "a";
	assert_int_equal(store->query(store->self, &q, take_first_text, &a), SMQ_OK);
	assert_int_equal(a.rows, 1);
	assert_string_equal(a.text, text);
}

void case_keeps(struct smq_record_store *store)
{
	const struct smq_record_value none = { .kind = SMQ_VALUE_NONE };
	const struct smq_record_row row = case_row(500, "{}", 0);
	const struct smq_record_value name = { .kind = SMQ_VALUE_TEXT, .bytes = smq_span_str("a") };
	const struct smq_record_value certificate[] = { bytes("thumb"), name, bytes("chain") };
	const struct smq_record_value lists[] = { bytes("lists"), number(5), bytes("pem") };
	const struct smq_record_value stream[] = { bytes("stream"), bytes("context"), bytes("key"), bytes("iv") };
	const struct smq_record_value seal[] = { number(500), number(77), bytes("signature"), none, none };
	const struct smq_record_value signer[] = { number(500), bytes("thumb-2"), bytes("lists") };
	const struct smq_record_value checkpoint[] = { bytes("hash"), bytes("stream"),   number(500),    number(2),
						       number(9),     bytes("document"), bytes("thumb"), none };
	struct answer a = { 0 };
	struct smq_record_query q = any((enum smq_record_question)SMQ_RECORD_EV_MESSAGES);
	keep(store, SMQ_KEPT_CERTIFICATE, NULL, certificate, 3);
	store->abandon(store->self);
	/* twice, as after a failed commit or by another recorder; the second time with nothing else beside it */
	for (int i = 0; i < 2; i++) {
		if (i == 0) {
			add(store, row);
			add(store, case_row(501, "{}", 0));
			keep(store, SMQ_KEPT_SEAL, &row.key, seal, 5);
		}
		keep(store, SMQ_KEPT_CERTIFICATE, NULL, certificate, 3);
		keep(store, SMQ_KEPT_CRL, NULL, lists, 3);
		keep(store, SMQ_KEPT_STREAM, &row.key, stream, 4);
		keep(store, SMQ_KEPT_SIGNER, &row.key, signer, 3);
		keep(store, SMQ_KEPT_CHECKPOINT, NULL, checkpoint, 8);
		commit(store);
	}
	assert_int_equal(store->query(store->self, &q, take_message, &a), SMQ_OK);
	assert_int_equal(a.rows, 2);
	one_row(store, SMQ_RECORD_EV_CERTIFICATES, "thumb");
	one_row(store, SMQ_RECORD_EV_CRLS, "lists");
	one_row(store, SMQ_RECORD_EV_STREAMS, "stream");
	one_row(store, SMQ_RECORD_EV_CHECKPOINTS, "stream");
}
