/* Looking at messages, and handing them to the store. */
#include "app/recorder.h"

#include <stdlib.h>

#include "app/id_cache.h"
#include "app/record_settle.h"

enum { ROOM_STEP = 4096, REFUSALS_MAX = 4096, REMEMBERED_MAX = 16384 };
/* Settling what was left behind takes at most a fiftieth of the time, and is not tried more often than each second. */
enum { SETTLE_SHARE = 50, SETTLE_EVERY_MS = 1000 };

/* Messages that did not open, alike but for their counters, until the next commit. Names are claimed: kept short. */
struct junk {
	char sender[65];
	char topic[129];
	smq_err reason;
	uint64_t times;
	int64_t received_ms;
};

struct smq_record_book {
	struct smq_record_book_config config;
	struct smq_record_counts counts;
	uint8_t *room;
	size_t room_len;
	struct smq_record_result result;
	smq_err failed; /* of the open batch */
	bool open;      /* something waits for a commit */
	struct junk *junk;
	size_t junk_count, junk_max;
	struct smq_id_cache kept; /* hashes of what is in the store, so that it is handed over once */
	/* provisional messages that were in the store when we came */
	int64_t came_ms, settle_at_ms; /* Unix; mono */
	uint64_t left;
	bool checkpointed; /* a checkpoint was stored since that was looked at */
};

static bool need_room(struct smq_record_book *b, size_t len)
{
	if (len <= b->room_len)
		return true;
	size_t want = (len + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
	uint8_t *room = realloc(b->room, want);
	if (!room)
		return false;
	b->room = room;
	b->room_len = want;
	return true;
}

static void note(struct smq_record_book *b, smq_err err)
{
	b->open = true;
	if (b->failed == SMQ_OK)
		b->failed = err;
}

static struct smq_record_key key_of(const struct smq_message *m)
{
	return (struct smq_record_key){
		.sender = m->sender,
		.group = m->group ? m->group : "",
		.epoch = m->epoch,
		.slot = m->slot,
		.counter = m->counter,
		.boot_id = m->boot_id,
	};
}

/* A word for messages that are as declared, but whose sender is not proven; NULL where that is all right. */
static const char *lacks_proof(const struct smq_record_book *b, const struct smq_message *m)
{
	bool may = m->proof == SMQ_PROOF_PROVEN || m->proof == SMQ_PROOF_PROVISIONAL;
	return b->config.options->require_proof && !may ? "not-proven" : NULL;
}

static void quarantine(struct smq_record_book *b, const struct smq_message *m, int64_t now_ms)
{
	const struct smq_record_options *o = b->config.options;
	const struct smq_quarantined what = {
		.reason = b->result.reason,
		.detail = b->result.detail,
		.sender = m->sender,
		.topic = m->mqtt.topic,
		.counter = m->counter,
	};
	const struct smq_record_refused refused = {
		.key = key_of(m),
		.topic = m->mqtt.topic,
		.received_ms = now_ms,
		.reason = what.reason,
		.detail = what.detail,
		.raw = m->mqtt.payload,
		.times = 1,
	};
	note(b, b->config.store.refuse(b->config.store.self, &refused));
	if (o->on_quarantined && !m->repeated)
		o->on_quarantined(o->self, &what);
}

/* ---- evidence ---- */

static struct smq_record_value number(int64_t n)
{
	return (struct smq_record_value){ .kind = SMQ_VALUE_NUMBER, .number = n };
}

static struct smq_record_value bytes(smq_span s)
{
	return (struct smq_record_value){ .kind = s.p ? SMQ_VALUE_BYTES : SMQ_VALUE_NONE, .bytes = s };
}

static struct smq_record_value hash(const uint8_t *h) { return bytes(smq_span_of(h, h ? SMQ_HASH_LEN : 0)); }

static void keep(struct smq_record_book *b, enum smq_record_kept what, const struct smq_record_key *life,
		 const struct smq_record_value *values, size_t count)
{
	note(b, b->config.store.keep(b->config.store.self, what, life, values, count));
}

/* The same for what has a hash of its own. */
static void keep_once(struct smq_record_book *b, enum smq_record_kept what, const uint8_t *name,
		      const struct smq_record_key *life, const struct smq_record_value *values, size_t count)
{
	int64_t is_there;
	if (smq_id_cache_find(&b->kept, smq_span_of(name, SMQ_HASH_LEN), &is_there))
		return;
	keep(b, what, life, values, count);
	smq_id_cache_put(&b->kept, smq_span_of(name, SMQ_HASH_LEN), 1);
}

/* The lists in force, by which signers are judged now. */
static struct smq_record_value keep_lists(struct smq_record_book *b)
{
	const struct smq_record_lists *l = &b->config.lists;
	const uint8_t *digest = l->digest ? l->digest(l->self) : NULL;
	int64_t is_there;
	if (!digest || smq_id_cache_find(&b->kept, smq_span_of(digest, SMQ_HASH_LEN), &is_there))
		return hash(digest);
	smq_span pem = l->read(l->self, digest);
	const struct smq_record_value values[] = { hash(digest), number(b->config.clock.now().unix_ms), bytes(pem) };
	if (pem.len > 0)
		keep_once(b, SMQ_KEPT_CRL, digest, NULL, values, 3);
	return hash(digest);
}

/* A message that a checkpoint covers needs nothing of its own, but for a stamp. */
static void keep_seal(struct smq_record_book *b, const struct smq_message *m)
{
	const struct smq_evidence *e = m->evidence;
	const struct smq_record_key key = key_of(m);
	const struct smq_record_value stream[] = { hash(e->stream), bytes(e->context), bytes(e->key),
						   bytes(e->base_iv) };
	keep_once(b, SMQ_KEPT_STREAM, e->stream, &key, stream, 4);
	if (!e->has_stamp && !e->signature)
		return;
	const struct smq_record_value seal[] = {
		number((int64_t)m->counter),
		e->has_stamp ? number(e->stamp) : hash(NULL),
		bytes(smq_span_of(e->signature, e->signature ? SMQ_SIG_LEN : 0)),
		hash(e->certificate),
		e->certificate ? keep_lists(b) : hash(NULL),
	};
	keep(b, SMQ_KEPT_SEAL, &key, seal, 5);
}

void smq_record_book_witness(struct smq_record_book *b, const struct smq_witness *w)
{
	uint8_t name[SMQ_HASH_LEN];
	if (!b->config.options->evidence || b->failed != SMQ_OK)
		return;
	if (w->kind == SMQ_WITNESS_CERTIFICATE) {
		const struct smq_record_value text = { .kind = SMQ_VALUE_TEXT, .bytes = smq_span_str(w->name) };
		const struct smq_record_value values[] = { hash(w->certificate), text, bytes(w->bytes) };
		keep_once(b, SMQ_KEPT_CERTIFICATE, w->certificate, NULL, values, 3);
		return;
	}
	if (b->config.crypto->sha256(&w->bytes, 1, name) != SMQ_OK)
		return;
	const struct smq_record_value values[] = { hash(name),
						   hash(w->stream),
						   number((int64_t)w->first),
						   number((int64_t)w->count),
						   number(b->config.clock.now().unix_ms),
						   bytes(w->bytes),
						   hash(w->certificate),
						   keep_lists(b) };
	keep(b, SMQ_KEPT_CHECKPOINT, NULL, values, 8);
	b->checkpointed = true;
}

/* ---- messages ---- */

static void store(struct smq_record_book *b, const struct smq_message *m, int64_t now_ms)
{
	const struct smq_record_row row = {
		.key = key_of(m),
		.topic = m->mqtt.topic,
		.measured_ms = b->result.measured_ms,
		.received_ms = now_ms,
		.proof = m->proof,
		.raw = m->mqtt.payload,
		.readings = b->result.readings,
		.reading_count = b->result.reading_count,
	};
	note(b, b->config.store.add(b->config.store.self, &row));
	if (b->config.options->evidence && m->evidence)
		keep_seal(b, m);
}

void smq_record_book_take(struct smq_record_book *b, const struct smq_message *m)
{
	int64_t now_ms = b->config.clock.now().unix_ms;
	const struct smq_record_input input = {
		.topic = m->mqtt.topic, .sender = m->sender, .payload = m->mqtt.payload, .now_ms = now_ms
	};
	if (b->failed != SMQ_OK)
		return;
	if (!need_room(b, m->mqtt.payload.len + 1)) {
		note(b, SMQ_ERR_NO_MEMORY);
		return;
	}
	smq_record_look(b->config.schema, &input, b->room, &b->result);
	if (!b->result.reason)
		b->result.reason = lacks_proof(b, m);
	if (b->result.reason)
		quarantine(b, m, now_ms);
	else
		store(b, m, now_ms);
}

/* What was stored as provisional; where proof is not asked for, one that never comes changes nothing. */
void smq_record_book_prove(struct smq_record_book *b, const struct smq_message *m, smq_err err)
{
	const struct smq_record_options *o = b->config.options;
	const struct smq_record_key key = key_of(m);
	const char *reason = err == SMQ_OK ? NULL : err == SMQ_ERR_SIGNATURE ? "forged" : "not-proven";
	if (b->failed != SMQ_OK || (reason && !o->require_proof && err != SMQ_ERR_SIGNATURE))
		return;
	note(b, b->config.store.prove(b->config.store.self, &key, reason));
	if (o->evidence && m->evidence && !reason) {
		const struct smq_record_value values[] = { number((int64_t)m->counter), hash(m->evidence->certificate),
							   keep_lists(b) };
		keep(b, SMQ_KEPT_SIGNER, &key, values, 3);
	}
	if (reason && o->on_quarantined)
		o->on_quarantined(o->self, &(struct smq_quarantined){ .reason = reason,
								      .detail = "",
								      .sender = m->sender,
								      .topic = m->mqtt.topic,
								      .counter = m->counter });
}

/* ---- what did not open ---- */

static void copy_cut(char *to, size_t room, const char *from)
{
	size_t len = strnlen(from, room - 1);
	/* not in the middle of a character */
	while (len > 0 && from[len] && ((uint8_t)from[len] & 0xc0) == 0x80)
		len--;
	memcpy(to, from, len);
	to[len] = 0;
}

/* Where there are too many different ones the rest goes into one without names. */
static struct junk *junk_for(struct smq_record_book *b, const struct smq_refusal *r)
{
	struct junk wanted = { .reason = r->reason };
	copy_cut(wanted.sender, sizeof(wanted.sender), r->sender ? r->sender : "");
	copy_cut(wanted.topic, sizeof(wanted.topic), r->topic);
	for (size_t i = 0; i < b->junk_count; i++) {
		const struct junk *j = &b->junk[i];
		if (j->reason == wanted.reason && strcmp(j->sender, wanted.sender) == 0 &&
		    strcmp(j->topic, wanted.topic) == 0)
			return &b->junk[i];
	}
	if (b->junk_count == b->junk_max)
		return &b->junk[b->junk_max - 1];
	struct junk *j = &b->junk[b->junk_count++];
	*j = wanted;
	if (b->junk_count == b->junk_max)
		j->sender[0] = j->topic[0] = 0;
	return j;
}

void smq_record_book_refuse(struct smq_record_book *b, const struct smq_refusal *r)
{
	struct junk *j = junk_for(b, r);
	j->times++;
	j->received_ms = b->config.clock.now().unix_ms;
	b->open = true;
}

static void hand_over_junk(struct smq_record_book *b)
{
	for (size_t i = 0; i < b->junk_count; i++) {
		const struct junk *j = &b->junk[i];
		const struct smq_record_refused refused = {
			.key = { .sender = j->sender, .group = "" },
			.topic = j->topic,
			.received_ms = j->received_ms,
			.reason = smq_err_name(j->reason),
			.detail = "",
			.times = j->times,
		};
		if (b->failed == SMQ_OK)
			note(b, b->config.store.refuse(b->config.store.self, &refused));
	}
}

/* ---- commit ---- */

static uint64_t junk_times(const struct smq_record_book *b)
{
	uint64_t times = 0;
	for (size_t i = 0; i < b->junk_count; i++)
		times += b->junk[i].times;
	return times;
}

/* What fails here is tried again with the next checkpoint: nothing is lost by it. */
static void settle_left(struct smq_record_book *b)
{
	struct smq_now now = b->config.clock.now();
	uint64_t settled;
	if (!b->checkpointed || b->left == 0 || now.mono_ms < b->settle_at_ms)
		return;
	b->checkpointed = false;
	if (smq_record_settle(&b->config.store, b->config.crypto, b->came_ms, &settled, &b->left) == SMQ_OK)
		b->counts.settled += settled;
	int64_t then_ms = b->config.clock.now().mono_ms, pause_ms = (then_ms - now.mono_ms) * SETTLE_SHARE;
	b->settle_at_ms = then_ms + (pause_ms > SETTLE_EVERY_MS ? pause_ms : SETTLE_EVERY_MS);
}

smq_err smq_record_book_commit(struct smq_record_book *b)
{
	struct smq_record_committed done = { 0 };
	if (!b->open) {
		settle_left(b);
		return SMQ_OK;
	}
	hand_over_junk(b);
	smq_err err = b->failed;
	if (err == SMQ_OK)
		err = b->config.store.commit(b->config.store.self, &done);
	if (err != SMQ_OK) {
		b->config.store.abandon(b->config.store.self);
		smq_id_cache_clear(&b->kept);
		b->counts.failed_commits++;
	} else {
		b->counts.stored += done.stored;
		b->counts.repeated += done.repeated;
		b->counts.quarantined += done.quarantined;
		b->counts.refused += junk_times(b);
		b->counts.commits++;
	}
	b->failed = SMQ_OK;
	b->open = false;
	b->junk_count = 0;
	memset(b->junk, 0, b->junk_max * sizeof(b->junk[0]));
	if (err == SMQ_OK)
		settle_left(b);
	return err;
}

struct smq_record_counts smq_record_book_counts(const struct smq_record_book *b) { return b->counts; }

const char *smq_record_book_why(const struct smq_record_book *b) { return b->config.store.why(b->config.store.self); }

smq_err smq_record_book_new(const struct smq_record_book_config *config, struct smq_record_book **ret_book)
{
	struct smq_record_book *b = calloc(1, sizeof(*b));
	uint64_t max = config->options->refusals_max;
	if (!b)
		return SMQ_ERR_NO_MEMORY;
	b->junk_max = max < 1 ? 1 : max > REFUSALS_MAX ? REFUSALS_MAX : (size_t)max;
	b->junk = calloc(b->junk_max, sizeof(b->junk[0]));
	if (!b->junk) {
		free(b);
		return SMQ_ERR_NO_MEMORY;
	}
	b->config = *config;
	smq_id_cache_init(&b->kept, REMEMBERED_MAX);
	if (config->options->evidence) {
		b->left = 1; /* whether there are any is seen at once */
		b->checkpointed = true;
		b->came_ms = config->clock.now().unix_ms;
		settle_left(b);
	}
	*ret_book = b;
	return SMQ_OK;
}

void smq_record_book_free(struct smq_record_book *b)
{
	if (!b)
		return;
	smq_err err = smq_record_book_commit(b);
	(void)err; /* what is not stored was not acknowledged */
	b->config.store.free(b->config.store.self);
	smq_id_cache_clear(&b->kept);
	free(b->room);
	free(b->junk);
	free(b);
}
