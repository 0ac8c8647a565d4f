/* The key server's end of requests: a bounded table of EDHOC runs (PROTOCOL.md 7.2). */
#include "core/ks_desk.h"

#include <stdalign.h>
#include <stddef.h>

#include "base/text.h"
#include "base/wipe.h"
#include "core/ks_keys.h"
#include "core/limits.h"
#include "wire/registered_key.h"

enum {
	RUNS_DEFAULT = 1024,
	RUNS_MAX = 65536,
	STARTS_DEFAULT = 2000,
	RUN_TIMEOUT_MS = 10000,
	HOLD_MS = 120000,
	ID_TRIES = 8
};

enum run_state {
	RUN_FREE,
	RUN_OPEN,   /* message_2 is out; nobody is proven */
	RUN_PROVEN, /* message_3 was right; the request is to come */
	RUN_ASKED   /* the request was handed out; the answer is to come */
};

struct run {
	enum run_state state;
	uint64_t number;
	int64_t since_ms; /* mono: of this state */
	char from[SMQ_MEMBER_NAME_MAX + 1];
	uint8_t id[SMQ_KEY_ID_LEN];      /* ours (C_R) */
	uint8_t peer_id[SMQ_KEY_ID_LEN]; /* the asker's (C_I) */
	struct smq_edhoc edhoc;
};

struct smq_ks_desk {
	struct smq_ks_desk_config config;
	struct smq_edhoc_config edhoc_config, edhoc_by_kid;
	uint64_t next_number;
	uint64_t tokens_ms; /* starts that may be taken, in thousandths */
	int64_t refilled_ms;
	uint8_t body[SMQ_EDHOC_MESSAGE_MAX];
	size_t run_count;
	struct run runs[]; /* run_count */
};

/* ---- life ---- */

static size_t runs_of(const struct smq_ks_desk_config *c) { return c->runs_max ? c->runs_max : RUNS_DEFAULT; }

size_t smq_ks_desk_size(const struct smq_ks_desk_config *config)
{
	size_t runs = runs_of(config);
	return runs > RUNS_MAX ? 0 : offsetof(struct smq_ks_desk, runs) + runs * sizeof(struct run);
}

static void take_defaults(struct smq_ks_desk_config *c)
{
	c->starts_per_s = c->starts_per_s ? c->starts_per_s : STARTS_DEFAULT;
	c->run_timeout_ms = c->run_timeout_ms ? c->run_timeout_ms : RUN_TIMEOUT_MS;
	c->hold_ms = c->hold_ms ? c->hold_ms : HOLD_MS;
}

smq_err smq_ks_desk_init(void *memory, size_t len, const struct smq_ks_desk_config *config, smq_ks_desk **ret_desk)
{
	size_t need = smq_ks_desk_size(config);
	if (need == 0 || !smq_name_valid(smq_span_str(config->name)))
		return SMQ_ERR_USAGE;
	if (len < need)
		return SMQ_ERR_NO_ROOM;
	memset(memory, 0, need);
	smq_ks_desk *d = memory;
	d->config = *config;
	take_defaults(&d->config);
	d->run_count = runs_of(config);
	d->next_number = 1;
	d->tokens_ms = UINT64_C(1000) * d->config.starts_per_s;
	d->edhoc_config = (struct smq_edhoc_config){
		.crypto = config->crypto,
		.random = config->random,
		.credentials = config->credentials,
		.own = config->own,
		.methods_allowed = config->methods_allowed,
		.suites = config->suites,
		.suite_count = config->suite_count,
	};
	d->edhoc_by_kid = d->edhoc_config;
	d->edhoc_by_kid.own = config->own_by_kid;
	d->edhoc_by_kid.methods_allowed = 1u << 3;
	*ret_desk = d;
	return SMQ_OK;
}

static void drop(struct run *r)
{
	smq_edhoc_done(&r->edhoc);
	smq_wipe(r, sizeof(*r));
}

void smq_ks_desk_done(smq_ks_desk *d)
{
	for (size_t i = 0; i < d->run_count; i++)
		drop(&d->runs[i]);
	smq_wipe(d->body, sizeof(d->body));
}

void smq_ks_desk_tick(smq_ks_desk *d, struct smq_now now)
{
	for (size_t i = 0; i < d->run_count; i++) {
		struct run *r = &d->runs[i];
		int64_t most = r->state == RUN_ASKED ? d->config.hold_ms : d->config.run_timeout_ms;
		if (r->state != RUN_FREE && now.mono_ms - r->since_ms >= most)
			drop(r);
	}
}

size_t smq_ks_desk_runs(const smq_ks_desk *d)
{
	size_t count = 0;
	for (size_t i = 0; i < d->run_count; i++)
		count += d->runs[i].state != RUN_FREE;
	return count;
}

/* ---- the table ---- */

static struct run *find_by_id(smq_ks_desk *d, smq_span id)
{
	for (size_t i = 0; i < d->run_count; i++) {
		struct run *r = &d->runs[i];
		if (r->state != RUN_FREE && smq_span_equal(smq_span_of(r->id, sizeof(r->id)), id))
			return r;
	}
	return NULL;
}

static void keep_older(struct run **oldest, struct run *r)
{
	if (!*oldest || r->since_ms < (*oldest)->since_ms)
		*oldest = r;
}

/* A free place. Of one claimed name, and of all where the table is full, the oldest that has proven nothing goes. */
static struct run *take_run(smq_ks_desk *d, smq_span from)
{
	struct run *free_one = NULL, *oldest = NULL, *oldest_of_name = NULL;
	int of_name = 0;
	for (size_t i = 0; i < d->run_count; i++) {
		struct run *r = &d->runs[i];
		if (r->state == RUN_FREE)
			free_one = free_one ? free_one : r;
		if (r->state != RUN_OPEN)
			continue;
		keep_older(&oldest, r);
		if (smq_span_equal(smq_span_str(r->from), from)) {
			of_name++;
			keep_older(&oldest_of_name, r);
		}
	}
	struct run *place = of_name >= SMQ_ANSWERS_PER_NAME ? oldest_of_name : free_one ? free_one : oldest;
	if (place)
		drop(place);
	return place;
}

static bool take_token(smq_ks_desk *d, struct smq_now now)
{
	uint64_t most = UINT64_C(1000) * d->config.starts_per_s;
	int64_t passed = now.mono_ms - d->refilled_ms;
	if (passed > 0) {
		uint64_t more = passed > 1000 ? most : (uint64_t)passed * d->config.starts_per_s;
		d->tokens_ms = d->tokens_ms + more > most ? most : d->tokens_ms + more;
		d->refilled_ms = now.mono_ms;
	}
	if (d->tokens_ms < 1000)
		return false;
	d->tokens_ms -= 1000;
	return true;
}

/* A connection identifier that no other run has. */
static smq_err draw_id(smq_ks_desk *d, uint8_t ret_id[SMQ_KEY_ID_LEN])
{
	for (int i = 0; i < ID_TRIES; i++) {
		smq_err err = d->config.random->fill(d->config.random->self, smq_mspan_of(ret_id, SMQ_KEY_ID_LEN));
		if (err != SMQ_OK || !find_by_id(d, smq_span_of(ret_id, SMQ_KEY_ID_LEN)))
			return err;
	}
	return SMQ_ERR_CRYPTO;
}

/* ---- what arrives ---- */

static smq_err send(const smq_ks_desk *d, const struct run *r, enum smq_keyex_kind kind, size_t body_len,
		    smq_mspan room, size_t *ret_len)
{
	struct smq_keyex k = { .kind = kind,
			       .to = smq_span_str(r->from),
			       .from = smq_span_str(d->config.name),
			       .id = smq_span_of(r->peer_id, sizeof(r->peer_id)),
			       .body = smq_span_of(d->body, body_len) };
	return smq_keyex_encode(&k, room, ret_len);
}

/* Whoever knows our key asks for the short answer in EAD_1; what it asks for is part of the transcript. */
static const struct smq_edhoc_config *config_for(const smq_ks_desk *d, smq_span message_1)
{
	struct smq_edhoc_message_1 m;
	struct smq_edhoc_ead item;
	if (!d->config.own_by_kid || smq_edhoc_message_1_decode(message_1, &m) != SMQ_OK)
		return &d->edhoc_config;
	struct smq_reader r = smq_reader_on(m.ead);
	while (smq_edhoc_ead_next(&r, &item)) {
		if (item.label == SMQ_EAD_BY_KID && m.method == 3)
			return &d->edhoc_by_kid;
	}
	return &d->edhoc_config;
}

static smq_err on_message_1(smq_ks_desk *d, const struct smq_keyex *k, struct smq_now now, smq_mspan room,
			    size_t *ret_len)
{
	uint8_t id[SMQ_KEY_ID_LEN];
	size_t len = 0;
	if (!take_token(d, now))
		return SMQ_ERR_RATE;
	smq_err err = draw_id(d, id);
	if (err != SMQ_OK)
		return err;
	struct run *r = take_run(d, k->from);
	if (!r)
		return SMQ_ERR_FULL;
	memcpy(r->from, k->from.p, k->from.len);
	memcpy(r->id, id, sizeof(id));
	memcpy(r->peer_id, k->id.p, sizeof(r->peer_id));
	err = smq_edhoc_accept(&r->edhoc, config_for(d, k->body), smq_span_of(r->id, sizeof(r->id)), k->body,
			       now.unix_ms, smq_mspan_of(d->body, sizeof(d->body)), &len);
	/* What the envelope says is where answers go: the C_I inside must be the same. */
	if (err == SMQ_OK && !smq_span_equal(smq_edhoc_peer_cid(&r->edhoc), k->id)) {
		drop(r);
		return SMQ_ERR_MALFORMED;
	}
	smq_err sent =
	    len > 0 ? send(d, r, err == SMQ_OK ? SMQ_KEYEX_MESSAGE_2 : SMQ_KEYEX_ERROR, len, room, ret_len) : SMQ_OK;
	if (err != SMQ_OK || sent != SMQ_OK) {
		drop(r);
		return err != SMQ_OK ? err : sent;
	}
	r->state = RUN_OPEN;
	r->since_ms = now.mono_ms;
	r->number = d->next_number++;
	return SMQ_OK;
}

static smq_err on_message_3(smq_ks_desk *d, struct run *r, smq_span body, struct smq_now now, smq_mspan room,
			    size_t *ret_len)
{
	size_t len = 0;
	if (r->state != RUN_OPEN)
		return SMQ_ERR_STATE;
	smq_err err = smq_edhoc_input(&r->edhoc, body, now.unix_ms, smq_mspan_of(d->body, sizeof(d->body)), &len);
	const struct smq_credential *c = smq_edhoc_peer(&r->edhoc);
	if (err == SMQ_OK && (!c || strcmp(c->name, r->from) != 0))
		err = SMQ_ERR_CERT_NAME;
	else if (len > 0) /* message_4, or why not */
		err = err == SMQ_OK ? send(d, r, SMQ_KEYEX_MESSAGE_4, len, room, ret_len) : err;
	if (err == SMQ_OK) {
		r->state = RUN_PROVEN;
		r->since_ms = now.mono_ms;
	} else if (smq_edhoc_state(&r->edhoc) == SMQ_EDHOC_FAILED || smq_edhoc_state(&r->edhoc) == SMQ_EDHOC_DONE) {
		drop(r);
	}
	return err;
}

static smq_err on_request(smq_ks_desk *d, struct run *r, smq_span body, struct smq_now now, smq_mspan request_room,
			  struct smq_ks_asked *ret_asked)
{
	if (r->state != RUN_PROVEN)
		return SMQ_ERR_STATE;
	smq_err err = smq_ks_open(&r->edhoc, d->config.crypto, SMQ_KS_TO_SERVER, smq_span_of(r->id, sizeof(r->id)),
				  body, request_room, &ret_asked->request);
	if (err != SMQ_OK)
		return err;
	r->state = RUN_ASKED;
	r->since_ms = now.mono_ms;
	ret_asked->run = r->number;
	ret_asked->from = smq_edhoc_peer(&r->edhoc);
	return SMQ_OK;
}

smq_err smq_ks_desk_input(smq_ks_desk *d, smq_span from, smq_span payload, struct smq_now now, smq_mspan room,
			  size_t *ret_len, smq_mspan request_room, struct smq_ks_asked *ret_asked)
{
	struct smq_keyex k;
	*ret_len = 0;
	*ret_asked = (struct smq_ks_asked){ .run = 0 };
	smq_err err = smq_keyex_decode(payload, &k);
	if (err != SMQ_OK)
		return err;
	bool for_us = smq_span_equal(k.to, smq_span_str(d->config.name)) || smq_span_equal(k.to, smq_span_str("all"));
	if (!for_us || !smq_span_equal(k.from, from))
		return SMQ_ERR_NAME;
	if (k.kind == SMQ_KEYEX_MESSAGE_1)
		return on_message_1(d, &k, now, room, ret_len);
	struct run *r = k.id.len == SMQ_KEY_ID_LEN ? find_by_id(d, k.id) : NULL;
	if (!r || !smq_span_equal(smq_span_str(r->from), from))
		return SMQ_ERR_NO_SESSION;
	if (k.kind == SMQ_KEYEX_MESSAGE_3)
		return on_message_3(d, r, k.body, now, room, ret_len);
	if (k.kind == SMQ_KEYEX_REQUEST)
		return on_request(d, r, k.body, now, request_room, ret_asked);
	return SMQ_ERR_STATE;
}

/* ---- answers ---- */

smq_err smq_ks_desk_answer(smq_ks_desk *d, uint64_t run, smq_span answer, smq_mspan room, size_t *ret_len,
			   char ret_to[SMQ_MEMBER_NAME_MAX + 1])
{
	struct run *r = NULL;
	for (size_t i = 0; i < d->run_count && !r; i++) {
		if (d->runs[i].state == RUN_ASKED && d->runs[i].number == run)
			r = &d->runs[i];
	}
	if (!r)
		return SMQ_ERR_NOT_FOUND;
	struct smq_writer w = smq_writer_on(room);
	struct smq_keyex k = { .kind = SMQ_KEYEX_ANSWER,
			       .to = smq_span_str(r->from),
			       .from = smq_span_str(d->config.name),
			       .id = smq_span_of(r->peer_id, sizeof(r->peer_id)) };
	size_t len = answer.len + SMQ_KS_TAG_LEN;
	uint8_t *body = smq_keyex_put(&w, &k, len);
	smq_err err = body ? smq_ks_seal(&r->edhoc, d->config.crypto, SMQ_KS_FROM_SERVER, k.id, answer,
					 smq_mspan_of(body, len), &len)
			   : SMQ_ERR_NO_ROOM;
	if (err == SMQ_OK)
		err = smq_writer_end(&w, ret_len);
	if (err == SMQ_OK)
		memcpy(ret_to, r->from, sizeof(r->from));
	drop(r); /* its key has sealed; a second answer under it there must not be */
	return err;
}
