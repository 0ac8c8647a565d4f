/* A small world for member machines. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "wire/cbor.h"

/* ---- credentials by kid ---- */

static void make_credential(struct world_member *member, int i)
{
	uint8_t secret[32] = { 0 };
	uint8_t key[SMQ_PUBLIC_KEY_MAX];
	size_t key_len = 0;
	uint8_t kid = (uint8_t)(0x40 + i);
	secret[31] = (uint8_t)(i + 7);
	member->name[0] = (char)('a' + i);
	member->own.dh_curve = SMQ_P256;
	assert_int_equal(smq_openssl_signer_from_raw(SMQ_P256, secret, &member->own.signer), SMQ_OK);
	assert_int_equal(smq_openssl_signer_public(&member->own.signer, key, &key_len), SMQ_OK);

	struct smq_writer w = smq_writer_on(smq_mspan_of(member->id_cred, sizeof(member->id_cred)));
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_uint(&w, 4);
	smq_cbor_put_bytes(&w, smq_span_of(&kid, 1));
	member->own.id_cred_full = smq_writer_span(&w);
	member->own.id_cred_short = member->own.id_cred_full;

	w = smq_writer_on(smq_mspan_of(member->cred, sizeof(member->cred)));
	smq_cbor_put_bytes(&w, smq_span_of(key, key_len)); /* a stand-in for CRED_x: any bytes both sides agree on */
	member->own.cred = smq_writer_span(&w);
}

static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	struct world *w = self;
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct world_member *member = &w->members[i];
		if (!smq_span_equal(id_cred, member->own.id_cred_full))
			continue;
		if (!w->known[i])
			return SMQ_ERR_CERT_CHAIN;
		if (now_ms >= w->expires_ms[i])
			return SMQ_ERR_CERT_EXPIRED;
		memset(ret_credential, 0, sizeof(*ret_credential));
		memcpy(ret_credential->name, member->name, sizeof(member->name));
		ret_credential->id[0] = (uint8_t)i;
		ret_credential->roles = w->roles[i];
		ret_credential->sig_alg = SMQ_ES256;
		ret_credential->dh_curve = SMQ_P256;
		ret_credential->expires_ms = w->expires_ms[i];
		assert_int_equal(smq_openssl_signer_public(&member->own.signer, ret_credential->public_key,
							   &ret_credential->public_key_len),
				 SMQ_OK);
		memcpy(ret_credential->cred, member->own.cred.p, member->own.cred.len);
		ret_credential->cred_len = member->own.cred.len;
		return SMQ_OK;
	}
	return SMQ_ERR_CREDENTIAL;
}

static smq_err holds(void *self, const uint8_t id[SMQ_HASH_LEN], int64_t now_ms)
{
	const struct world *w = self;
	if (id[0] >= WORLD_MEMBERS)
		return SMQ_ERR_CREDENTIAL;
	if (!w->known[id[0]])
		return SMQ_ERR_CERT_REVOKED;
	return now_ms < w->expires_ms[id[0]] ? SMQ_OK : SMQ_ERR_CERT_EXPIRED;
}

/* ---- life ---- */

static const int suites[] = { 2 };

void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->now = (struct smq_now){ 1000, INT64_C(1790000000000) };
	w->queue = calloc(WORLD_QUEUE, sizeof(*w->queue));
	assert_non_null(w->queue);
	w->credentials = (struct smq_credentials){ .self = w, .resolve = resolve, .holds = holds };
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		make_credential(&w->members[i], i);
		w->known[i] = true;
		w->expires_ms[i] = INT64_MAX;
		w->roles[i] = SMQ_ROLE_MEMBER;
	}
	w->config = (struct smq_member_config){
		.crypto = smq_crypto_openssl(),
		.random = smq_random_system(),
		.credentials = &w->credentials,
		.realm = "world",
		.keyex_topic = "sealmq/world/keyex/{to}",
		.suites = suites,
		.suite_count = 1,
		.any_peer = true,
		.peers_max = 8,
		.runs_max = 4,
	};
}

void world_down(struct world *w, int i)
{
	struct world_member *member = &w->members[i];
	if (!member->up)
		return;
	smq_member_done(member->m);
	free(member->memory);
	member->up = false;
	member->subscribed = false;
}

void world_done(struct world *w)
{
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		world_down(w, i);
		smq_openssl_signer_free(&w->members[i].own.signer);
	}
	free(w->queue);
}

void world_up(struct world *w, int i)
{
	struct world_member *member = &w->members[i];
	struct smq_member_config config = w->config;
	world_down(w, i);
	const struct world_member *identity = w->process_of[i] ? &w->members[w->process_of[i] - 1] : member;
	if (identity != member)
		memcpy(member->name, identity->name, sizeof(member->name));
	config.own = &identity->own;
	config.name = member->name;
	size_t size = smq_member_size(&config);
	member->memory = aligned_alloc(16, (size + 15) / 16 * 16);
	assert_non_null(member->memory);
	assert_int_equal(smq_member_init(member->memory, size, &config, w->now, &member->m), SMQ_OK);
	member->up = true;
	member->subscribed = true;
	smq_member_online(member->m, w->now);
}

void world_keep(struct world *w, int i, int peer)
{
	assert_int_equal(smq_member_keep(w->members[i].m, w->members[peer].name, w->now), SMQ_OK);
}

/* ---- the bus ---- */

static void enqueue(struct world *w, int from, bool control, const char *topic, smq_span payload)
{
	assert_true(w->count < WORLD_QUEUE && payload.len <= WORLD_PAYLOAD);
	struct world_message *message = &w->queue[(w->first + w->count++) % WORLD_QUEUE];
	snprintf(message->topic, sizeof(message->topic), "%s", topic);
	if (payload.len > 0)
		memcpy(message->payload, payload.p, payload.len);
	message->len = payload.len;
	message->from = from;
	message->control = control;
}

void world_inject(struct world *w, const char *topic, smq_span payload) { enqueue(w, -1, false, topic, payload); }

bool world_publish(struct world *w, int from, int to, const char *topic, const char *text)
{
	uint8_t room[256];
	size_t len = 0;
	struct world_member *member = &w->members[from];
	smq_err err = smq_member_seal(member->m, w->members[to].name, topic, smq_span_str(text), w->now,
				      smq_mspan_of(room, sizeof(room)), &len);
	if (err == SMQ_ERR_NO_SESSION)
		return false;
	assert_int_equal(err, SMQ_OK);
	member->sent++;
	enqueue(w, from, false, topic, smq_span_of(room, len));
	return true;
}

static void note(struct world_member *member, const struct smq_note *n)
{
	if (n->kind == SMQ_NOTE_READY) {
		member->ready++;
		member->wire_bytes = n->wire_bytes;
	} else if (n->kind == SMQ_NOTE_FAILED) {
		member->failed++;
		member->last_failure = n->err;
	} else if (n->kind == SMQ_NOTE_ENDED) {
		member->ended++;
		member->last_end = n->err;
	} else if (n->kind == SMQ_NOTE_WIPED) {
		member->wiped++;
	} else {
		member->silent++;
	}
}

static void work(struct world *w, int i)
{
	struct smq_action action;
	struct world_member *member = &w->members[i];
	while (member->up && smq_member_next(member->m, w->now, &action)) {
		if (action.kind == SMQ_ACT_SEND)
			enqueue(w, i, true, action.topic, action.payload);
		else
			note(member, &action.note);
	}
}

static void receive(struct world *w, struct world_member *member, const struct world_message *message)
{
	uint8_t room[WORLD_PAYLOAD];
	struct smq_opened o = { .sender = "" };
	smq_span payload = smq_span_of(message->payload, message->len);
	smq_err err = smq_member_open(member->m, message->topic, payload, w->now, smq_mspan_of(room, sizeof(room)), &o);
	if (err != SMQ_OK) {
		member->refused++;
		member->last_refusal = err;
		snprintf(member->moved_from, sizeof(member->moved_from), "%s",
			 err == SMQ_ERR_MOVED ? smq_member_moved_from(member->m) : "");
		return;
	}
	member->received++;
	member->last_session = o.session;
	member->missing += o.missing;
	snprintf(member->last_sender, sizeof(member->last_sender), "%s", o.sender);
	snprintf(member->last_plain, sizeof(member->last_plain), "%.*s", (int)o.plain.len, (const char *)o.plain.p);
}

/* Data topics are "<reader>/...": a member reads those that begin with its own name. */
static bool reads(const struct world_member *member, const char *topic)
{
	return topic[0] == member->name[0] && topic[1] == '/';
}

static void deliver(struct world *w, const struct world_message *message)
{
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct world_member *member = &w->members[i];
		if (!member->up || !member->subscribed)
			continue;
		if (smq_member_takes(member->m, message->topic))
			(void)smq_member_input(member->m, message->topic, smq_span_of(message->payload, message->len),
					       false, w->now);
		else if (reads(member, message->topic))
			receive(w, member, message);
		work(w, i);
	}
}

void world_settle(struct world *w)
{
	for (int i = 0; i < WORLD_MEMBERS; i++)
		work(w, i);
	while (w->count > 0) {
		static struct world_message message;
		message = w->queue[w->first];
		w->first = (w->first + 1) % WORLD_QUEUE;
		w->count--;
		w->seen++;
		if (!w->broker || w->broker(w, &message))
			deliver(w, &message);
	}
}

void world_pass(struct world *w, int64_t ms, int64_t step_ms)
{
	for (int64_t t = 0; t < ms; t += step_ms) {
		w->now.mono_ms += step_ms;
		w->now.unix_ms += step_ms;
		world_settle(w);
	}
}
