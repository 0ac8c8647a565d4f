/* Proof of the sender in a running client. */
#include "app/proofs.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/message_copy.h"
#include "app/proof_pool.h"
#include "base/wipe.h"
#include "core/keyschedule.h"
#include "core/proof_checker.h"
#include "core/proof_signer.h"
#include "wire/command.h"

enum {
	WAITING_MAX = 8192,       /* digests of messages, and of checkpoints, that wait for each other */
	SIGNED_WAITING_MAX = 256, /* signed messages whose sender's certificate is not there yet */
	UNSENT_MAX = 256,         /* checkpoints */
	CERTIFICATE_EVERY_MS = 60000,
	KEPT_PAYLOAD_MAX = 512, /* bytes; of a message that was delivered and waits for proof */
	KEPT_ROOM = 256,        /* bytes; of what most messages need while they wait */
	SPARES_MAX = 1024,      /* of those, between messages */
	TOPIC_MAX = 512
};

/* Gathers for one group or one member. */
struct stream {
	struct stream *next;
	char to[SMQ_MEMBER_NAME_MAX + 1];
	bool is_group;
	struct smq_proof_signer signer;
};

struct unsent {
	struct unsent *next;
	bool retain;
	size_t len;
	char topic[TOPIC_MAX];
	uint8_t payload[];
};

/* A message whose proof is still open: who and which, and where it is kept back, all of it. */
struct kept {
	struct kept *next; /* among those that wait for a certificate */
	struct kept *fresh_before, *fresh_next;
	bool fresh;                    /* not delivered yet: its checkpoint may come before its burst is committed */
	struct smq_message_copy *copy; /* of one that is fresh and large, or carries evidence; else it is all here */
	struct smq_message message;
	bool whole;
	struct smq_proof_input *input;  /* of one that is signed; else NULL: it is large */
	uint8_t signature[SMQ_SIG_LEN]; /* likewise, else undefined */
	int64_t since_ms;
	size_t room;
	uint8_t bytes[]; /* what the pointers above point to */
};

struct smq_proofs {
	struct smq_proofs_config config;
	struct smq_proofs_ports ports;
	char prefix[256], name[SMQ_MEMBER_NAME_MAX + 1];
	struct stream *streams;
	struct unsent *unsent, **unsent_end;
	size_t unsent_count;
	int64_t certificate_ms; /* mono: when ours is published again */
	bool online;

	bool checks;
	struct smq_proof_pool *pool; /* NULL: signatures are verified here and now */
	struct smq_proof_checker checker;
	struct smq_proof_entry *entries;
	uint32_t *buckets;
	struct smq_proof_key *keys;
	struct kept *signed_waiting;
	struct kept *fresh, *fresh_last;
	struct kept *spares; /* used again: the allocator takes as long as hashing a short message does */
	size_t spare_count;
	size_t signed_count;
	uint32_t wait_ms;
	uint8_t context_digest[SMQ_HASH_LEN]; /* of the context below, where there is one */
	size_t context_len;
	uint8_t context[SMQ_CONTEXT_MAX];
};

bool smq_proofs_wanted(const struct smq_client_options *o)
{
	return o->sign != SMQ_SIGN_NONE || o->check != SMQ_CHECK_NONE || o->sign_commands;
}

static bool signs(const struct smq_client_options *o) { return o->sign != SMQ_SIGN_NONE || o->sign_commands; }

static smq_err make_checker(struct smq_proofs *p)
{
	p->entries = calloc(2 * WAITING_MAX, sizeof(*p->entries));
	p->buckets = calloc(2 * WAITING_MAX, sizeof(*p->buckets));
	p->keys = calloc(SMQ_PROOF_SIGNERS_MAX, sizeof(*p->keys));
	if (!p->entries || !p->buckets || !p->keys)
		return SMQ_ERR_NO_MEMORY;
	p->wait_ms = p->config.options->proof_wait_ms ? p->config.options->proof_wait_ms : SMQ_PROOF_WAIT_MS;
	const struct smq_proof_checker_config config = {
		.crypto = p->config.crypto,
		.credentials = p->config.credentials,
		.wait_ms = p->wait_ms,
		.waiting = p->entries,
		.expected = p->entries + WAITING_MAX,
		.waiting_buckets = p->buckets,
		.expected_buckets = p->buckets + WAITING_MAX,
		.count = WAITING_MAX,
		.keys = p->keys,
		.key_count = SMQ_PROOF_SIGNERS_MAX,
	};
	smq_proof_checker_init(&p->checker, &config);
	p->checks = true;
	return p->config.workers ? smq_proof_pool_new(p->config.crypto, p->config.workers, &p->pool) : SMQ_OK;
}

smq_err smq_proofs_new(const struct smq_proofs_config *config, struct smq_proofs **ret_proofs)
{
	const struct smq_client_options *o = config->options;
	struct smq_proofs *p = calloc(1, sizeof(*p));
	struct smq_proof_signer *probe = malloc(sizeof(*probe));
	smq_err err = p && probe ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	/* the first checkpoint is too late to hear of a wrong option */
	if (err == SMQ_OK && signs(o))
		err = smq_proof_signer_init(probe, config->own, o->checkpoint_messages, o->checkpoint_every_ms);
	if (err == SMQ_OK) {
		p->config = *config;
		p->unsent_end = &p->unsent;
		snprintf(p->prefix, sizeof(p->prefix), "%s", config->prefix);
		snprintf(p->name, sizeof(p->name), "%s", config->name);
	}
	if (err == SMQ_OK && o->check != SMQ_CHECK_NONE)
		err = make_checker(p);
	free(probe);
	if (config->workers && !(p && p->pool))
		config->workers->free(config->workers->self);
	if (err != SMQ_OK) {
		smq_proofs_free(p);
		return err;
	}
	p->config.workers = NULL; /* the pool's */
	*ret_proofs = p;
	return SMQ_OK;
}

void smq_proofs_attach(struct smq_proofs *p, const struct smq_proofs_ports *ports) { p->ports = *ports; }

/* Not cleared; NULL: no memory. */
static struct kept *new_kept(struct smq_proofs *p, size_t len)
{
	struct kept *k = p->spares;
	if (len > KEPT_ROOM || !k) {
		size_t room = len > KEPT_ROOM ? len : KEPT_ROOM;
		k = malloc(sizeof(*k) + room);
		if (k)
			k->room = room;
		return k;
	}
	p->spares = k->next;
	p->spare_count--;
	return k;
}

static void wipe_payload(struct kept *k)
{
	smq_wipe((uint8_t *)(uintptr_t)k->message.mqtt.payload.p, k->message.mqtt.payload.len);
	k->message.mqtt.payload.len = 0;
}

static void free_kept(struct smq_proofs *p, struct kept *k)
{
	smq_message_copy_free(k->copy);
	free(k->input);
	wipe_payload(k);
	if (k->room != KEPT_ROOM || p->spare_count == SPARES_MAX) {
		free(k);
		return;
	}
	k->next = p->spares;
	p->spares = k;
	p->spare_count++;
}

/* Messages that still wait are forgotten without a word: nobody is there to hear it. */
static void free_waiting(struct smq_proofs *p)
{
	uint64_t tag;
	enum smq_proof_verdict verdict;
	if (!p->checks)
		return;
	smq_proof_checker_give_up(&p->checker);
	while (smq_proof_checker_next(&p->checker, (struct smq_now){ 0 }, &tag, &verdict))
		free_kept(p, (struct kept *)(uintptr_t)tag);
	while (p->signed_waiting) {
		struct kept *k = p->signed_waiting;
		p->signed_waiting = k->next;
		free_kept(p, k);
	}
	while (p->spares) {
		struct kept *k = p->spares;
		p->spares = k->next;
		free(k);
	}
}

void smq_proofs_free(struct smq_proofs *p)
{
	if (!p)
		return;
	free_waiting(p);
	smq_proof_pool_free(p->pool);
	while (p->streams) {
		struct stream *s = p->streams;
		p->streams = s->next;
		free(s);
	}
	while (p->unsent) {
		struct unsent *u = p->unsent;
		p->unsent = u->next;
		free(u);
	}
	free(p->entries);
	free(p->buckets);
	free(p->keys);
	free(p);
}

/* ---- sending ---- */

static void send_unsent(struct smq_proofs *p)
{
	while (p->online && p->unsent) {
		struct unsent *u = p->unsent;
		smq_err err = p->ports.publish(p->ports.self, u->topic, smq_span_of(u->payload, u->len), u->retain);
		if (err == SMQ_ERR_FULL || err == SMQ_ERR_NO_CONNECTION)
			return; /* what fails otherwise would always, and hold up the rest */
		p->unsent = u->next;
		if (!p->unsent)
			p->unsent_end = &p->unsent;
		p->unsent_count--;
		free(u);
	}
}

/* Where too many wait the new one is dropped: its messages stay provisional, those before are not less proven. */
static void send(struct smq_proofs *p, const char *topic, smq_span payload, bool retain)
{
	struct unsent *u = p->unsent_count < UNSENT_MAX ? malloc(sizeof(*u) + payload.len) : NULL;
	if (!u)
		return;
	*u = (struct unsent){ .retain = retain, .len = payload.len };
	snprintf(u->topic, sizeof(u->topic), "%s", topic);
	memcpy(u->payload, payload.p, payload.len);
	*p->unsent_end = u;
	p->unsent_end = &u->next;
	p->unsent_count++;
	send_unsent(p);
}

static void send_checkpoint(struct smq_proofs *p, struct stream *s)
{
	uint8_t room[SMQ_CHECKPOINT_MAX];
	char topic[TOPIC_MAX];
	size_t len = 0;
	if (smq_proof_signer_take(&s->signer, smq_mspan_of(room, sizeof(room)), &len) != SMQ_OK)
		return;
	snprintf(topic, sizeof(topic), "%s/proof/%s/%s/%s", p->prefix, s->is_group ? "group" : "to", s->to, p->name);
	send(p, topic, smq_span_of(room, len), false);
}

static void send_certificate(struct smq_proofs *p, int64_t mono_ms)
{
	char topic[TOPIC_MAX];
	snprintf(topic, sizeof(topic), "%s/cert/%s", p->prefix, p->name);
	send(p, topic, p->config.own->id_cred_full, true);
	p->certificate_ms = mono_ms + CERTIFICATE_EVERY_MS;
}

static bool is_command(const struct smq_proofs *p, const char *group, const char *topic)
{
	return p->config.options->sign_commands && group &&
	       smq_command_topic_is_of(p->prefix, smq_span_str(group), smq_span_str(topic));
}

bool smq_proofs_prepare(const struct smq_proofs *p, const char *group, const char *topic, bool retain,
			struct smq_seal_proof *ret_proof)
{
	const struct smq_client_options *o = p->config.options;
	/* a retained message outlives the checkpoint that would cover it */
	bool each =
	    o->sign == SMQ_SIGN_EVERY || (o->sign == SMQ_SIGN_CHECKPOINT && retain) || is_command(p, group, topic);
	bool covered = o->sign == SMQ_SIGN_CHECKPOINT && !each;
	*ret_proof = (struct smq_seal_proof){ .signer = each ? &p->config.own->signer : NULL,
					      .covered = covered,
					      .wants_digest = covered };
	return each || covered;
}

static struct stream *stream_for(struct smq_proofs *p, const char *to, bool is_group)
{
	const struct smq_client_options *o = p->config.options;
	struct stream *s = p->streams;
	while (s && (s->is_group != is_group || strcmp(s->to, to) != 0))
		s = s->next;
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s || smq_proof_signer_init(&s->signer, p->config.own, o->checkpoint_messages, o->checkpoint_every_ms) !=
		      SMQ_OK) {
		free(s);
		return NULL;
	}
	snprintf(s->to, sizeof(s->to), "%s", to);
	s->is_group = is_group;
	s->next = p->streams;
	p->streams = s;
	return s;
}

void smq_proofs_sealed(struct smq_proofs *p, const char *to, const char *group, const struct smq_seal_proof *proof,
		       struct smq_now now)
{
	struct stream *s = proof->covered ? stream_for(p, group ? group : to, group != NULL) : NULL;
	if (!s)
		return;
	if (!smq_proof_signer_fits(&s->signer, proof))
		send_checkpoint(p, s);
	smq_err err = smq_proof_signer_add(&s->signer, proof, now.mono_ms);
	if (err == SMQ_OK && smq_proof_signer_due(&s->signer) <= now.mono_ms)
		send_checkpoint(p, s);
}

void smq_proofs_flush(struct smq_proofs *p, struct smq_now now)
{
	(void)now;
	for (struct stream *s = p->streams; s; s = s->next)
		send_checkpoint(p, s);
	send_unsent(p);
}

bool smq_proofs_behind(struct smq_proofs *p)
{
	send_unsent(p);
	return p->unsent_count > 0;
}

size_t smq_proofs_pending(const struct smq_proofs *p) { return p->unsent_count; }

/* ---- what waits for proof ---- */

/* text may be NULL: its len is 0 then, and else 1 more than its length. */
static const char *put_text(uint8_t **at, const char *text, size_t len)
{
	char *copy = len > 0 ? memcpy(*at, text, len) : NULL;
	*at += len;
	return copy;
}

static size_t text_len(const char *text) { return text ? strlen(text) + 1 : 0; }

/* Properties are left behind: what they say was never sealed. */
static struct kept *keep(struct smq_proofs *p, const struct smq_message *m, const struct smq_opened_proof *opened,
			 bool whole, int64_t mono_ms)
{
	size_t cipher_len = opened->is_signed ? opened->input.ciphertext.len : 0;
	size_t topic_len = text_len(m->mqtt.topic), sender_len = text_len(m->sender), group_len = text_len(m->group);
	struct kept *k =
	    new_kept(p, topic_len + sender_len + group_len + cipher_len + (whole ? m->mqtt.payload.len : 0));
	if (!k)
		return NULL;
	uint8_t *at = k->bytes;
	k->fresh = false;
	k->copy = NULL;
	k->input = NULL;
	k->next = k->fresh_before = k->fresh_next = NULL;
	k->message = *m;
	k->message.mqtt.topic = put_text(&at, m->mqtt.topic, topic_len);
	k->message.sender = put_text(&at, m->sender, sender_len);
	k->message.group = put_text(&at, m->group, group_len);
	k->message.evidence = NULL;
	k->message.mqtt.properties = NULL;
	k->message.mqtt.property_count = 0;
	k->message.mqtt.payload = smq_span_of(at, 0);
	k->whole = whole;
	k->since_ms = mono_ms;
	if (whole && m->mqtt.payload.len > 0) {
		k->message.mqtt.payload =
		    smq_span_of(memcpy(at, m->mqtt.payload.p, m->mqtt.payload.len), m->mqtt.payload.len);
		at += m->mqtt.payload.len;
	}
	if (opened->is_signed) {
		k->input = malloc(sizeof(*k->input));
		if (!k->input) {
			free_kept(p, k);
			return NULL;
		}
		*k->input = opened->input;
		k->input->ciphertext = smq_span_of(memcpy(at, opened->input.ciphertext.p, cipher_len), cipher_len);
		memcpy(k->signature, opened->signature, sizeof(k->signature));
	}
	return k;
}

static void unlink_fresh(struct smq_proofs *p, struct kept *k)
{
	*(k->fresh_before ? &k->fresh_before->fresh_next : &p->fresh) = k->fresh_next;
	*(k->fresh_next ? &k->fresh_next->fresh_before : &p->fresh_last) = k->fresh_before;
}

static struct smq_message *fresh_message(struct kept *k) { return k->copy ? &k->copy->message : &k->message; }

/* Delivers what was not delivered yet, as it stands now. */
static void deliver_fresh(struct smq_proofs *p, struct kept *k, enum smq_proof proof)
{
	struct smq_message *message = fresh_message(k);
	unlink_fresh(p, k);
	k->fresh = false;
	message->proof = proof;
	p->ports.deliver(p->ports.self, message);
	smq_message_copy_free(k->copy);
	k->copy = NULL;
	wipe_payload(k);
}

/* The last word on one that was not delivered yet; true: nothing more is to be said. */
static bool settle_fresh(struct smq_proofs *p, struct kept *k, enum smq_proof_verdict verdict)
{
	if (verdict == SMQ_VERDICT_FORGED) {
		unlink_fresh(p, k);
		fresh_message(k)->proof = SMQ_PROOF_PROVISIONAL;
		p->ports.refuse(p->ports.self, fresh_message(k), SMQ_ERR_SIGNATURE);
		return true;
	}
	deliver_fresh(p, k, verdict == SMQ_VERDICT_PROVEN ? SMQ_PROOF_PROVEN : SMQ_PROOF_PROVISIONAL);
	return verdict == SMQ_VERDICT_PROVEN;
}

/* The last word on a message. */
static void settle(struct smq_proofs *p, struct kept *k, enum smq_proof_verdict verdict)
{
	const struct smq_client_options *o = p->config.options;
	bool proven = verdict == SMQ_VERDICT_PROVEN;
	smq_err reason = verdict == SMQ_VERDICT_FORGED ? SMQ_ERR_SIGNATURE : SMQ_ERR_NOT_PROVEN;
	const struct smq_evidence evidence = { .signature = k->signature, .certificate = p->checker.signer };
	if (k->fresh && settle_fresh(p, k, verdict)) {
		free_kept(p, k);
		return;
	}
	k->message.proof = proven ? SMQ_PROOF_PROVEN : SMQ_PROOF_PROVISIONAL;
	if (proven && k->input)
		k->message.signer_roles = p->checker.signer_roles;
	if (o->evidence && proven && k->input)
		k->message.evidence = &evidence;
	if (k->whole && proven)
		p->ports.deliver(p->ports.self, &k->message);
	else if (k->whole)
		p->ports.refuse(p->ports.self, &k->message, reason);
	else if (o->on_proof)
		o->on_proof(o->self, &k->message, proven ? SMQ_OK : reason);
	free_kept(p, k);
}

static void take_verdicts(struct smq_proofs *p, struct smq_now now)
{
	uint64_t tag;
	enum smq_proof_verdict verdict;
	while (p->checks && smq_proof_checker_next(&p->checker, now, &tag, &verdict))
		settle(p, (struct kept *)(uintptr_t)tag, verdict);
}

/* ---- messages ---- */

static enum smq_proofs_answer stands(struct smq_message *m, enum smq_proof_verdict verdict, smq_err *ret_reason)
{
	m->proof = verdict == SMQ_VERDICT_PROVEN ? SMQ_PROOF_PROVEN : SMQ_PROOF_PROVISIONAL;
	if (verdict == SMQ_VERDICT_PROVEN)
		return SMQ_PROOFS_DELIVER;
	*ret_reason = verdict == SMQ_VERDICT_FORGED ? SMQ_ERR_SIGNATURE : SMQ_ERR_NOT_PROVEN;
	return SMQ_PROOFS_REFUSE;
}

static enum smq_proofs_answer wait_for_certificate(struct smq_proofs *p, struct smq_message *m,
						   const struct smq_opened_proof *opened, struct smq_now now,
						   smq_err *ret_reason)
{
	bool whole = p->config.options->check == SMQ_CHECK_REQUIRE;
	struct kept *k = p->signed_count < SIGNED_WAITING_MAX ? keep(p, m, opened, whole, now.mono_ms) : NULL;
	m->proof = SMQ_PROOF_PROVISIONAL;
	*ret_reason = SMQ_ERR_NOT_PROVEN;
	if (!k)
		return whole ? SMQ_PROOFS_REFUSE : SMQ_PROOFS_DELIVER;
	struct kept **at = &p->signed_waiting;
	while (*at)
		at = &(*at)->next;
	*at = k;
	p->signed_count++;
	return whole ? SMQ_PROOFS_KEEP : SMQ_PROOFS_DELIVER;
}

/* Whether others verify it: then it is told of by smq_proofs_join. */
static bool leave_to_others(struct smq_proofs *p, const struct smq_message *m, const struct smq_opened_proof *opened,
			    const struct smq_proof_verifier *verifier)
{
	struct smq_message message = *m;
	struct smq_evidence room;
	if (p->config.options->evidence)
		smq_proofs_add_evidence(p, opened, &message, &room);
	if (smq_proof_pool_add(p->pool, &message, opened, verifier))
		return true;
	smq_proofs_join(p); /* too many: there is room now */
	return smq_proof_pool_add(p->pool, &message, opened, verifier);
}

static enum smq_proofs_answer check_signed(struct smq_proofs *p, struct smq_message *m,
					   const struct smq_opened_proof *opened, struct smq_now now,
					   smq_err *ret_reason)
{
	struct smq_proof_verifier verifier;
	smq_err err = smq_proof_checker_verifier(&p->checker, m->sender, now, &verifier);
	if (err == SMQ_OK && p->pool && leave_to_others(p, m, opened, &verifier))
		return SMQ_PROOFS_KEEP;
	if (err == SMQ_OK)
		err = smq_proof_checker_signature(&p->checker, m->sender, &opened->input, opened->signature, now);
	if (err == SMQ_ERR_CREDENTIAL)
		return wait_for_certificate(p, m, opened, now, ret_reason);
	m->proof = err == SMQ_OK ? SMQ_PROOF_PROVEN : SMQ_PROOF_MEMBER;
	m->signer_roles = err == SMQ_OK ? p->checker.signer_roles : 0;
	*ret_reason = err;
	return err == SMQ_OK ? SMQ_PROOFS_DELIVER : SMQ_PROOFS_REFUSE;
}

/* A small payload may stay with what waits for proof, as long as that; a large one goes when it is delivered. */
static bool fits_kept(const struct smq_proofs *p, const struct smq_message *m)
{
	return !p->config.options->evidence && m->mqtt.payload.len <= KEPT_PAYLOAD_MAX;
}

/* What is stored once, as proven, need not be stored as provisional before. */
static enum smq_proofs_answer keep_fresh(struct smq_proofs *p, struct kept *k, const struct smq_message *m,
					 const struct smq_opened_proof *opened)
{
	if (!fits_kept(p, m)) {
		struct smq_message message = *m;
		struct smq_evidence room;
		if (p->config.options->evidence)
			smq_proofs_add_evidence(p, opened, &message, &room);
		k->copy = smq_message_copy_new(&message);
		if (!k->copy)
			return SMQ_PROOFS_DELIVER;
	}
	k->fresh = true;
	k->fresh_before = p->fresh_last;
	*(p->fresh_last ? &p->fresh_last->fresh_next : &p->fresh) = k;
	p->fresh_last = k;
	return SMQ_PROOFS_KEEP;
}

static enum smq_proofs_answer check_covered(struct smq_proofs *p, struct smq_message *m,
					    const struct smq_opened_proof *opened, struct smq_now now,
					    smq_err *ret_reason)
{
	bool whole = p->config.options->check == SMQ_CHECK_REQUIRE;
	enum smq_proof_verdict verdict;
	uint8_t digest[SMQ_HASH_LEN];
	smq_err err = smq_proof_input_digest(p->config.crypto, &opened->input, digest);
	bool fresh = !whole && p->config.options->before_ack;
	bool with_payload = whole || (fresh && fits_kept(p, m));
	struct kept *k = err == SMQ_OK ? keep(p, m, opened, with_payload, now.mono_ms) : NULL;
	*ret_reason = err == SMQ_OK ? SMQ_ERR_NO_MEMORY : err;
	if (!k)
		return SMQ_PROOFS_REFUSE;
	k->whole = whole;
	smq_proof_checker_message(&p->checker, m->sender, opened->stream, m->counter, digest, (uint64_t)(uintptr_t)k,
				  now, &verdict);
	if (verdict != SMQ_VERDICT_OPEN) {
		free_kept(p, k);
		return stands(m, verdict, ret_reason);
	}
	m->proof = SMQ_PROOF_PROVISIONAL;
	if (fresh)
		return keep_fresh(p, k, m, opened);
	return whole ? SMQ_PROOFS_KEEP : SMQ_PROOFS_DELIVER;
}

enum smq_proofs_answer smq_proofs_opened(struct smq_proofs *p, struct smq_message *m,
					 const struct smq_opened_proof *opened, struct smq_now now, smq_err *ret_reason)
{
	if (!p->checks)
		return SMQ_PROOFS_DELIVER;
	if (opened && opened->is_signed)
		return check_signed(p, m, opened, now, ret_reason);
	if (opened && opened->covered)
		return check_covered(p, m, opened, now, ret_reason);
	*ret_reason = SMQ_ERR_NOT_PROVEN;
	return p->config.options->check == SMQ_CHECK_REQUIRE ? SMQ_PROOFS_REFUSE : SMQ_PROOFS_DELIVER;
}

/* The context of a message's key, as CBOR: made anew where it is not the last one's, which its digest tells. */
static bool find_context(struct smq_proofs *p, const struct smq_opened_proof *opened, const struct smq_message *m)
{
	const struct smq_seal_key *key = opened->group_key;
	const struct smq_sealed *h = &opened->sealed;
	if (p->context_len > 0 && memcmp(p->context_digest, key->context_digest, SMQ_HASH_LEN) == 0)
		return true;
	struct smq_seal_context c = { .kind = h->kind,
				      .alg = h->alg,
				      .realm = smq_span_str(p->config.realm),
				      .group = smq_span_str(m->group),
				      .sender = smq_span_str(m->sender),
				      .epoch = h->epoch,
				      .slot = h->slot,
				      .sender_id = h->sender_id };
	memcpy(c.manifest, key->manifest, sizeof(c.manifest));
	memcpy(c.boot_id, m->boot_id, sizeof(c.boot_id));
	p->context_len = 0;
	if (smq_context_encode(&c, smq_mspan_of(p->context, sizeof(p->context)), &p->context_len) != SMQ_OK)
		return false;
	memcpy(p->context_digest, key->context_digest, SMQ_HASH_LEN);
	return true;
}

void smq_proofs_add_evidence(struct smq_proofs *p, const struct smq_opened_proof *opened, struct smq_message *m,
			     struct smq_evidence *room)
{
	const struct smq_seal_key *key = opened->group_key;
	const struct smq_sealed *h = &opened->sealed;
	if (!key || !p->checks || !m->group || !find_context(p, opened, m))
		return;
	*room = (struct smq_evidence){ .stream = key->context_digest,
				       .context = smq_span_of(p->context, p->context_len),
				       .key = smq_span_of(key->raw, h->alg->key_len),
				       .base_iv = smq_span_of(key->base_iv, h->alg->nonce_len),
				       .has_stamp = h->has_stamp,
				       .stamp = h->stamp,
				       .signature = opened->is_signed ? opened->signature : NULL };
	if (opened->is_signed && m->proof == SMQ_PROOF_PROVEN)
		room->certificate = p->checker.signer;
	m->evidence = room;
}

static void tell_verified(void *self, struct smq_message *m, smq_err err)
{
	const struct smq_proofs *p = self;
	if (err == SMQ_OK)
		p->ports.deliver(p->ports.self, m);
	else
		p->ports.refuse(p->ports.self, m, err);
}

void smq_proofs_join(struct smq_proofs *p)
{
	if (p->pool)
		smq_proof_pool_join(p->pool, tell_verified, p);
	while (p->fresh)
		deliver_fresh(p, p->fresh, SMQ_PROOF_PROVISIONAL);
}

bool smq_proofs_holds_back(const struct smq_proofs *p) { return p->fresh != NULL; }

/* ---- topics of proof ---- */

/* What follows PREFIX/, or NULL. */
static const char *below(const struct smq_proofs *p, const char *topic)
{
	size_t len = strlen(p->prefix);
	return strncmp(topic, p->prefix, len) == 0 && topic[len] == '/' ? topic + len + 1 : NULL;
}

bool smq_proofs_takes(const struct smq_proofs *p, const char *topic)
{
	const char *rest = below(p, topic);
	return rest && (strncmp(rest, "proof/", 6) == 0 || strncmp(rest, "cert/", 5) == 0);
}

/* Those of this sender that waited for its certificate, and those who waited too long. */
static void check_waiting(struct smq_proofs *p, const char *sender, struct smq_now now)
{
	for (struct kept **at = &p->signed_waiting; *at;) {
		struct kept *k = *at;
		bool late = now.mono_ms - k->since_ms >= p->wait_ms;
		smq_err err = SMQ_ERR_CREDENTIAL;
		if (sender && strcmp(k->message.sender, sender) == 0)
			err = smq_proof_checker_signature(&p->checker, sender, k->input, k->signature, now);
		if (err == SMQ_ERR_CREDENTIAL && !late) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		p->signed_count--;
		settle(p, k,
		       err == SMQ_OK               ? SMQ_VERDICT_PROVEN
		       : err == SMQ_ERR_CREDENTIAL ? SMQ_VERDICT_UNPROVEN
						   : SMQ_VERDICT_FORGED);
	}
}

static void tell_witness(struct smq_proofs *p, const struct smq_witness *witness)
{
	const struct smq_client_options *o = p->config.options;
	struct smq_witness w = *witness;
	w.certificate = p->checker.signer;
	if (o->evidence && o->on_witness)
		o->on_witness(o->self, &w);
}

/* A checkpoint names its certificate by hash. Senders publish it before their first checkpoint, and it is retained;
 * where it is not there all the same, what the checkpoint covers stays unproven. */
void smq_proofs_input(struct smq_proofs *p, const char *topic, smq_span payload, struct smq_now now)
{
	const char *rest = below(p, topic), *name = strrchr(topic, '/') + 1;
	if (!p->checks)
		return;
	if (strncmp(rest, "cert/", 5) == 0) {
		if (smq_proof_checker_certificate(&p->checker, name, payload, now) != SMQ_OK)
			return;
		tell_witness(p,
			     &(struct smq_witness){ .kind = SMQ_WITNESS_CERTIFICATE, .name = name, .bytes = payload });
		check_waiting(p, name, now);
		return;
	}
	struct smq_checkpoint c;
	/* what a refused one covers stays open, and is given up in time */
	if (smq_proof_checker_checkpoint(&p->checker, name, payload, now, &c) == SMQ_OK)
		tell_witness(p, &(struct smq_witness){ .kind = SMQ_WITNESS_CHECKPOINT,
						       .name = name,
						       .bytes = payload,
						       .stream = c.stream,
						       .first = c.first,
						       .count = c.digests.len / SMQ_HASH_LEN });
	take_verdicts(p, now);
}

/* ---- the connection, and time ---- */

static void subscribe_to(struct smq_proofs *p, const char *kind, const char *name)
{
	char filter[TOPIC_MAX];
	snprintf(filter, sizeof(filter), "%s/%s/%s", p->prefix, kind, name);
	p->ports.subscribe(p->ports.self, filter);
}

static void subscribe_all(struct smq_proofs *p)
{
	const struct smq_client_options *o = p->config.options;
	char name[SMQ_MEMBER_NAME_MAX + 3];
	for (size_t i = 0; p->config.with_groups && i < o->group_count; i++) {
		snprintf(name, sizeof(name), "%s/+", o->groups[i]);
		subscribe_to(p, "proof/group", name);
	}
	if (p->config.with_groups && o->group_count == 0)
		subscribe_to(p, "proof/group", "+/+");
	snprintf(name, sizeof(name), "%s/+", p->name);
	subscribe_to(p, "proof/to", name);
	/* all of them, so that a certificate is there before the first checkpoint that names it by hash */
	subscribe_to(p, "cert", "+");
}

void smq_proofs_online(struct smq_proofs *p, struct smq_now now)
{
	p->online = true;
	if (p->checks)
		subscribe_all(p);
	if (signs(p->config.options))
		send_certificate(p, now.mono_ms);
	send_unsent(p);
}

void smq_proofs_identity(struct smq_proofs *p, struct smq_now now)
{
	if (p->online && p->config.options->sign != SMQ_SIGN_NONE)
		send_certificate(p, now.mono_ms);
}

void smq_proofs_offline(struct smq_proofs *p) { p->online = false; }

void smq_proofs_review(struct smq_proofs *p)
{
	if (p->checks)
		smq_proof_checker_review(&p->checker);
}

void smq_proofs_tick(struct smq_proofs *p, struct smq_now now)
{
	smq_proofs_join(p);
	for (struct stream *s = p->streams; s; s = s->next) {
		if (smq_proof_signer_due(&s->signer) <= now.mono_ms)
			send_checkpoint(p, s);
	}
	if (p->online && signs(p->config.options) && now.mono_ms >= p->certificate_ms)
		send_certificate(p, now.mono_ms);
	send_unsent(p);
	if (p->checks)
		check_waiting(p, NULL, now);
	take_verdicts(p, now);
}

int64_t smq_proofs_wake_at(const struct smq_proofs *p)
{
	if (p->fresh || (p->pool && !smq_proof_pool_is_empty(p->pool)))
		return INT64_MIN;
	int64_t at = p->online && signs(p->config.options) ? p->certificate_ms : INT64_MAX;
	for (const struct stream *s = p->streams; s; s = s->next) {
		int64_t due = smq_proof_signer_due(&s->signer);
		at = due < at ? due : at;
	}
	if (p->checks) {
		int64_t due = smq_proof_checker_wake_at(&p->checker);
		at = due < at ? due : at;
	}
	for (const struct kept *k = p->signed_waiting; k; k = k->next) {
		int64_t due = k->since_ms + p->wait_ms;
		at = due < at ? due : at;
	}
	return at;
}
