/* The client: wires the adapters into the messenger and runs its loop. */
#include <sealmq/client.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/common_loader/loader.h"
#include "adapters/workers_posix/workers.h"
#include "adapters/mqtt_mosquitto/transport_mosquitto.h"
#include "adapters/outbox_sqlite/outbox_sqlite.h"
#include "app/messenger.h"
#include "app/outbox_memory.h"
#include "app/topic_filter.h"
#include "base/hot.h"
#include "lib/client_internal.h"
#include "lib/crl_line.h"
#include "lib/crl_watch.h"
#include "lib/groups_realm.h"
#include "lib/line.h"
#include "lib/realm_internal.h"
#include "lib/realm_tls.h"
#include "lib/wakeup.h"
#include "lib/will.h"

enum { LEAVE_MS = 2000 }; /* for the key server to let us go */

struct smq_client {
	struct smq_client_options options; /* shallow: what must be kept is copied by those who keep it */
	struct smq_messenger *messenger;
	struct smq_transport *transport; /* the messenger's; here for the loop */
	struct smq_wakeup wakeup;
	void *member_memory;
	smq_member *member;
	struct smq_proofs *proofs; /* the messenger's */
	struct smq_groups groups;
	struct smq_crl_watch crl;
	struct smq_crl_line crl_line;
	struct smq_transport_events events; /* the messenger's, behind ours */
	struct smq_will will;
	struct smq_realm_tls realm_tls;
	void (*rested)(void); /* the crypto port's; NULL: it does not want to know */
	bool stopped;
	bool leaving; /* groups, before the goodbye */
	int64_t leave_until_ms;
	int goodbye;
};

/* ---- clock ---- */

SMQ_HOT static struct smq_now now(void) { return smq_line_clock.now(); }

static int64_t mono_ms(void) { return smq_line_clock.now().mono_ms; }

/* ---- options ---- */

void smq_client_options_init(struct smq_client_options *o)
{
	*o = (struct smq_client_options){
		.host = "localhost",
		.keepalive_s = 60,
		.protocol = 5,
		.clean_start = true,
		.inflight_max = 20,
		.backoff_min_ms = 250,
		.backoff_max_ms = 30000,
		.connect_timeout_ms = 10000,
		.rotate_every_ms = 300000,
		.rotate_messages = UINT64_C(1) << 24,
		.grace_ms = 10000,
		.queue_max = 10000,
	};
}

static _Thread_local char why_text[512];

static smq_err because(smq_err err, const char **ret_why, const char *what, const char *detail)
{
	snprintf(why_text, sizeof(why_text), "%s%s%s", what, detail ? ": " : "", detail ? detail : "");
	if (ret_why)
		*ret_why = why_text;
	return err;
}

static smq_err parse_algorithms(const char *list, unsigned *ret_mask)
{
	char copy[128];
	char *rest = copy;
	unsigned mask = 0;
	if (strlen(list) >= sizeof(copy))
		return SMQ_ERR_ALGORITHM;
	memcpy(copy, list, strlen(list) + 1);
	for (char *word; (word = strsep(&rest, ", ")) != NULL;) {
		const struct smq_aead_alg *alg = *word ? smq_aead_alg_by_name(word) : NULL;
		if (*word && (!alg || alg->message_limit == 1))
			return SMQ_ERR_ALGORITHM;
		mask |= alg ? 1u << alg->id : 0;
	}
	*ret_mask = mask;
	return mask ? SMQ_OK : SMQ_ERR_ALGORITHM;
}

static smq_err member_config(const struct smq_client_options *o, struct smq_member_config *ret_config,
			     const char **ret_why)
{
	const struct smq_aead_alg *alg = smq_aead_alg_by_name(o->algorithm ? o->algorithm : "A128GCM");
	struct smq_member_config c = {
		.crypto = smq_crypto_best(),
		.random = smq_random_system(),
		.credentials = smq_realm_credentials(o->realm),
		.own = smq_realm_own(o->realm),
		.realm = smq_realm_name(o->realm),
		.name = smq_realm_member(o->realm),
		.keyex_topic = o->keyex_topic ? o->keyex_topic : smq_realm_keyex_topic(o->realm),
		.method = o->method,
		.suites = o->suites,
		.suite_count = o->suite_count,
		.rotate_every_ms = o->rotate_every_ms,
		.rotate_messages = o->rotate_messages,
		.grace_ms = o->grace_ms,
		.role = o->only_publishes    ? SMQ_MEMBER_WRITER
			: o->only_subscribes ? SMQ_MEMBER_READER
					     : SMQ_MEMBER_BOTH,
		.any_peer = o->any_peer,
		.stamp = o->stamp,
		.cose = o->cose,
		.peers_max = o->any_peer ? 1024 : o->peer_count + 16,
		.runs_max = 16,
	};
	/* Any method that we can do ourselves is fine from a peer: all authenticate both sides. */
	c.methods_allowed = c.own->signer.agree ? 0x0f : 0x01;
	if (!alg || alg->message_limit == 1)
		return because(SMQ_ERR_ALGORITHM, ret_why,
			       "the algorithm must be A128GCM, A256GCM or ChaCha20-Poly1305", o->algorithm);
	c.algorithm = alg->id;
	if (o->accept_algorithms && parse_algorithms(o->accept_algorithms, &c.accept_algorithms) != SMQ_OK)
		return because(SMQ_ERR_ALGORITHM, ret_why, "not a list of algorithms", o->accept_algorithms);
	if (o->rotate_every_ms < 1000)
		return because(SMQ_ERR_USAGE, ret_why, "keys rotate at most once a second: rotate_every is 1s or more",
			       NULL);
	if (o->method != 0 && !c.own->signer.agree)
		return because(SMQ_ERR_CERT_USAGE, ret_why,
			       "EDHOC methods 1 to 3 need a certificate for key agreement: ca issue --key-agreement",
			       NULL);
	*ret_config = c;
	return SMQ_OK;
}

static smq_err check_sender_topic(const struct smq_client_options *o, const char **ret_why)
{
	if (!o->sender_topic || smq_sender_pattern_valid(o->sender_topic))
		return SMQ_OK;
	return because(SMQ_ERR_USAGE, ret_why, "a pattern has one level {sender}, e.g. plant/{sender}/#; not",
		       o->sender_topic);
}

/* A registered key is known to the key server alone: no peer could check it, and nobody what it signs. */
static smq_err check_registered(struct smq_client_options *o, const char **ret_why)
{
	if (!smq_realm_is_registered(o->realm))
		return SMQ_OK;
	if (o->peer_count > 0)
		return because(SMQ_ERR_CERT_USAGE, ret_why,
			       "a member with a registered key has no sessions, only groups of a key server; a session "
			       "takes a certificate",
			       o->peers[0]);
	if (o->sign != SMQ_SIGN_NONE)
		return because(SMQ_ERR_CERT_USAGE, ret_why,
			       "a registered key signs nothing that others could check: that takes a certificate",
			       NULL);
	o->only_groups = true;
	return SMQ_OK;
}

static smq_err make_member(struct smq_client *c, const char **ret_why)
{
	const struct smq_client_options *o = &c->options;
	struct smq_member_config config;
	smq_err err = member_config(o, &config, ret_why);
	if (err != SMQ_OK)
		return err;
	size_t size = smq_member_size(&config);
	c->member_memory = size ? malloc(size) : NULL;
	if (!c->member_memory)
		return because(SMQ_ERR_NO_MEMORY, ret_why, "too many peers for this machine's memory", NULL);
	err = smq_member_init(c->member_memory, size, &config, now(), &c->member);
	if (err == SMQ_ERR_TOPIC)
		return because(err, ret_why, "the key-exchange topic must be a topic without wildcards",
			       config.keyex_topic);
	if (err != SMQ_OK)
		return because(err, ret_why, "cannot set up the member", smq_err_text(err));
	for (size_t i = 0; i < o->peer_count; i++) {
		err = smq_member_keep(c->member, o->peers[i], now());
		if (err != SMQ_OK)
			return because(err, ret_why,
				       strcmp(o->peers[i], config.name) == 0 ? "a member has no session with itself"
									     : smq_err_text(err),
				       o->peers[i]);
	}
	return SMQ_OK;
}

static smq_err open_outbox(struct smq_client *c, struct smq_outbox *ret_outbox, const char **ret_why)
{
	const char *file = c->options.outbox_file;
	smq_err err =
	    file ? smq_outbox_sqlite_new(file, ret_outbox) : smq_outbox_memory_new(c->options.queue_max, ret_outbox);
	return err == SMQ_OK ? SMQ_OK : because(err, ret_why, file ? file : "outbox", smq_library_text(err));
}

static smq_err make_proofs(struct smq_client *c, struct smq_proofs **ret_proofs, const char **ret_why)
{
	const struct smq_client_options *o = &c->options;
	if (!o->realm || !smq_proofs_wanted(o))
		return SMQ_OK;
	struct smq_workers workers = { 0 };
	bool shares = o->before_ack && o->check != SMQ_CHECK_NONE && o->verify_threads > 0;
	if (shares && smq_workers_new(o->verify_threads, &workers) != SMQ_OK)
		return because(SMQ_ERR_NO_MEMORY, ret_why, "no thread could be started", NULL);
	/* The broker hands on what it kept for us before anything else, checkpoints too: their certificates must be
	 * known from before. Where nothing can be kept they come later, and such checkpoints prove nothing. */
	struct smq_store *store;
	if (o->check != SMQ_CHECK_NONE && !o->clean_start)
		(void)!smq_realm_store(o->realm, SMQ_STATE_READS, &store);
	const struct smq_proofs_config config = {
		.options = o,
		.workers = shares ? &workers : NULL,
		.crypto = smq_crypto_best(),
		.credentials = smq_realm_credentials(o->realm),
		.own = smq_realm_own(o->realm),
		.prefix = smq_realm_control_prefix(o->realm),
		.name = smq_realm_member(o->realm),
		.realm = smq_realm_name(o->realm),
		.with_groups = c->groups.self != NULL,
	};
	smq_err err = smq_proofs_new(&config, ret_proofs);
	if (err == SMQ_ERR_CERT_USAGE)
		return because(err, ret_why, "this member's key cannot sign: it is for key agreement", NULL);
	if (err == SMQ_ERR_USAGE)
		return because(err, ret_why, "a checkpoint covers 1 to 256 messages, every 10 ms to 60 s", NULL);
	return err == SMQ_OK ? SMQ_OK : because(err, ret_why, "out of memory", NULL);
}

/* ---- the will ---- */

static void tell_of_will(struct smq_client *c, smq_err err)
{
	struct smq_event e = { .kind = SMQ_EVENT_GROUP_WILL,
			       .peer = "",
			       .epoch = c->will.epoch,
			       .err = err,
			       .group = c->options.will_group };
	if (c->options.on_event)
		c->options.on_event(c->options.self, &e);
}

static void will_note(void *self, const struct smq_group_note *note, const char *group)
{
	struct smq_client *c = self;
	smq_will_note(&c->will, note, group, now());
}

static void will_taken(void *self)
{
	struct smq_client *c = self;
	if (c->will.epoch == 0 || c->will.told)
		return;
	c->will.told = true;
	tell_of_will(c, SMQ_OK);
}

/* For the connection that comes next. */
static smq_err exchange_will(struct smq_client *c)
{
	smq_err err = smq_will_seal(&c->will, now());
	return err == SMQ_OK ? c->transport->ops->set_will(c->transport, &c->will.sealed) : err;
}

/* The broker may have published it: the same bytes again would be a replay. */
static void will_used(void *self)
{
	struct smq_client *c = self;
	if (c->will.epoch != 0)
		(void)!exchange_will(c);
}

static void renew_will(struct smq_client *c)
{
	if (!smq_will_is_due(&c->will, now()) || c->leaving || !c->transport->ops->connected(c->transport))
		return;
	smq_err err = exchange_will(c);
	if (err == SMQ_OK)
		smq_messenger_renew(c->messenger);
	else if (err != SMQ_ERR_NO_SESSION)
		tell_of_will(c, err);
}

/* ---- what the transport tells: the messenger hears all but what is about revocation lists ---- */

static void on_connected(void *self, int reason, bool session_present)
{
	struct smq_client *c = self;
	if (reason == 0)
		smq_crl_line_subscribe(&c->crl_line, c->transport);
	c->events.connected(c->events.self, reason, session_present);
}

static void on_disconnected(void *self, smq_err err, int reason)
{
	const struct smq_client *c = self;
	c->events.disconnected(c->events.self, err, reason);
}

SMQ_HOT static void on_message(void *self, const struct smq_mqtt_message *m)
{
	struct smq_client *c = self;
	bool new = false;
	if (!smq_crl_line_topic(&c->crl_line, m->topic)) {
		c->events.message(c->events.self, m);
		return;
	}
	smq_err err = smq_crl_line_take(&c->crl_line, m->payload, &new);
	if (err != SMQ_OK)
		smq_crl_watch_refused(&c->crl, &c->options, err, now());
	else if (new)
		c->crl.due_ms = 0;
}

SMQ_HOT static smq_err before_ack(void *self)
{
	const struct smq_client *c = self;
	return c->events.before_ack(c->events.self);
}

static bool more_before_ack(void *self)
{
	const struct smq_client *c = self;
	return c->events.more_before_ack(c->events.self);
}

SMQ_HOT static void on_published(void *self, int id, int reason)
{
	const struct smq_client *c = self;
	c->events.published(c->events.self, id, reason);
}

static void on_subscribed(void *self, int id, const int *reasons, size_t count)
{
	const struct smq_client *c = self;
	if (!smq_crl_line_subscribed(&c->crl_line, id))
		c->events.subscribed(c->events.self, id, reasons, count);
}

static void on_unsubscribed(void *self, int id)
{
	const struct smq_client *c = self;
	c->events.unsubscribed(c->events.self, id);
}

static void on_log(void *self, int level, const char *line)
{
	const struct smq_client *c = self;
	c->events.log(c->events.self, level, line);
}

static struct smq_transport_events events_of(struct smq_client *c)
{
	return (struct smq_transport_events){ .self = c,
					      .connected = on_connected,
					      .disconnected = on_disconnected,
					      .message = on_message,
					      .before_ack = c->events.before_ack ? before_ack : NULL,
					      .more_before_ack = c->events.more_before_ack ? more_before_ack : NULL,
					      .published = on_published,
					      .subscribed = on_subscribed,
					      .unsubscribed = on_unsubscribed,
					      .log = c->events.log ? on_log : NULL };
}

static smq_err make_messenger(struct smq_client *c, const char **ret_why)
{
	struct smq_messenger_config config = {
		.options = &c->options,
		.clock = smq_line_clock,
		.member = c->member,
		.groups = c->groups.self ? &c->groups : NULL,
		.outbox_durable = c->options.outbox_file != NULL,
		.heed = { c, will_note, will_taken, will_used },
	};
	smq_err err = make_proofs(c, &config.proofs, ret_why);
	if (err != SMQ_OK)
		return err;
	err = open_outbox(c, &config.outbox, ret_why);
	if (err != SMQ_OK) {
		smq_proofs_free(config.proofs);
		return err;
	}
	err = smq_messenger_new(&config, &c->messenger);
	if (err != SMQ_OK) {
		config.outbox.free(config.outbox.self);
		smq_proofs_free(config.proofs);
		return because(err, ret_why, "out of memory", NULL);
	}
	c->proofs = config.proofs;
	c->events = smq_messenger_events(c->messenger);
	struct smq_transport_events events = events_of(c);
	err = smq_transport_mosquitto_new(&c->options, &events, &c->transport, ret_why);
	if (err == SMQ_OK)
		smq_messenger_attach(c->messenger, c->transport);
	return err;
}

static smq_err tls_by_realm(struct smq_client *c, const char **ret_why)
{
	if (c->options.tls.by_realm && !c->options.realm)
		return because(SMQ_ERR_REALM, ret_why, "TLS by the realm needs an open realm", NULL);
	smq_err err = smq_realm_tls_fill(&c->realm_tls, c->options.realm, &c->options.tls);
	return err == SMQ_OK ? err : because(err, ret_why, "the realm's path is too long", NULL);
}

static smq_err build(struct smq_client *c, const char **ret_why)
{
	const struct smq_client_options *o = &c->options;
	smq_err err = SMQ_OK;
	if (!o->realm && !o->plain)
		return because(SMQ_ERR_REALM, ret_why, "no realm is open, and plain messages were not asked for", NULL);
	c->crl = smq_crl_watch_on(o->realm, now());
	c->crl_line = smq_crl_line_on(o->plain ? NULL : o->realm);
	err = check_sender_topic(o, ret_why);
	if (err == SMQ_OK)
		err = tls_by_realm(c, ret_why);
	if (err == SMQ_OK && o->realm)
		err = check_registered(&c->options, ret_why);
	if (err == SMQ_OK && o->realm && !o->only_groups)
		err = make_member(c, ret_why);
	if (err == SMQ_OK && o->realm) {
		err = smq_groups_realm_open(o, now(), &c->groups, ret_why);
		c->rested = smq_crypto_best()->aead_rested;
	}
	if (err == SMQ_OK)
		err = smq_will_begin(&c->will, &c->options, &c->groups, now(), ret_why);
	return err == SMQ_OK ? make_messenger(c, ret_why) : err;
}

smq_err smq_client_new(const struct smq_client_options *options, smq_client **ret_client, const char **ret_why)
{
	struct smq_client *c = calloc(1, sizeof(*c));
	if (!c)
		return because(SMQ_ERR_NO_MEMORY, ret_why, "out of memory", NULL);
	c->options = *options;
	smq_err err = smq_wakeup_init(&c->wakeup);
	if (err != SMQ_OK) {
		free(c);
		return because(err, ret_why, "no descriptors left", NULL);
	}
	err = build(c, ret_why);
	if (err != SMQ_OK) {
		smq_client_free(c);
		return err;
	}
	*ret_client = c;
	return SMQ_OK;
}

void smq_client_free(smq_client *c)
{
	if (!c)
		return;
	if (c->messenger)
		smq_messenger_free(c->messenger);
	else if (c->groups.self)
		c->groups.free(c->groups.self);
	if (c->member)
		smq_member_done(c->member);
	free(c->member_memory);
	smq_will_end(&c->will);
	smq_wakeup_done(&c->wakeup);
	free(c);
}

/* ---- the loop ---- */

SMQ_HOT static int64_t wake_at(const struct smq_client *c)
{
	int64_t a = c->transport->ops->wake_at(c->transport);
	int64_t b = smq_messenger_wake_at(c->messenger);
	a = a < b ? a : b;
	a = c->leaving && c->leave_until_ms < a ? c->leave_until_ms : a;
	if (c->transport->ops->connected(c->transport) && c->will.due_ms < a && c->will.options)
		a = c->will.due_ms;
	return a < c->crl.due_ms ? a : c->crl.due_ms;
}

SMQ_HOT static void watch(struct smq_client *c)
{
	const struct smq_transport_ops *ops = c->transport->ops;
	smq_wakeup_watch(&c->wakeup, ops->fd(c->transport), ops->want_write(c->transport), wake_at(c));
}

static smq_err say_goodbye(smq_client *c)
{
	c->leaving = false;
	return c->transport->ops->disconnect(c->transport, c->goodbye, c->options.properties,
					     c->options.property_count);
}

/* Until the key servers have let us go, or too long. */
static void leave_on(smq_client *c)
{
	if (!c->leaving)
		return;
	bool done = !smq_messenger_in_groups(c->messenger) || mono_ms() >= c->leave_until_ms;
	if (done || !c->transport->ops->connected(c->transport))
		(void)!say_goodbye(c);
}

/* To the broker with the next connection, and to those who check what we sign now. */
static void show_identity(struct smq_client *c)
{
	struct smq_tls_options *tls = &c->options.tls;
	if (tls->by_realm && smq_realm_tls_renew(&c->realm_tls, c->options.realm, tls) == SMQ_OK)
		(void)!c->transport->ops->set_tls(c->transport, tls);
	if (c->proofs)
		smq_proofs_identity(c->proofs, now());
}

SMQ_HOT static void turn(struct smq_client *c, int timeout_ms)
{
	const struct smq_transport_ops *ops = c->transport->ops;
	int before = ops->fd(c->transport);
	struct smq_wakeup_ready ready;
	watch(c);
	ready = smq_wakeup_wait(&c->wakeup, timeout_ms);
	if (c->rested)
		c->rested();
	c->stopped = c->stopped || ready.stopped;
	int64_t at = mono_ms();
	ops->service(c->transport, ready.readable, ready.writable, at);
	if (at >= c->crl.due_ms) {
		unsigned generation = c->crl.generation;
		unsigned identity = c->crl.identity;
		smq_crl_watch_look(&c->crl, c->member, &c->options, now());
		if (c->crl.identity != identity)
			show_identity(c);
		if (c->proofs && c->crl.generation != generation)
			smq_proofs_review(c->proofs);
	}
	smq_messenger_tick(c->messenger);
	renew_will(c);
	leave_on(c);
	/* A reconnect may be given the number of the socket that it closed; epoll has forgotten that one. */
	if (!ops->connected(c->transport) || ops->fd(c->transport) != before)
		smq_wakeup_forget(&c->wakeup);
	watch(c);
}

smq_realm *smq_client_realm(const smq_client *c) { return c->options.realm; }

smq_err smq_client_may_command(const smq_client *c, const char *group, const char *name, unsigned roles,
			       const char *whom)
{
	return c->groups.self ? c->groups.may_command(c->groups.self, group, name, roles, whom)
			      : SMQ_ERR_NOT_AUTHORIZED;
}

SMQ_HOT int smq_client_fd(const smq_client *c) { return c->wakeup.poll_fd; }

smq_err smq_client_service(smq_client *c)
{
	turn(c, 0);
	return SMQ_OK;
}

SMQ_HOT smq_err smq_client_run(smq_client *c, int timeout_ms)
{
	int64_t until = timeout_ms < 0 ? INT64_MAX : mono_ms() + timeout_ms;
	c->stopped = false;
	do {
		int64_t left = until == INT64_MAX ? INT64_MAX : until - mono_ms();
		turn(c, left > INT32_MAX ? -1 : left > 0 ? (int)left : 0);
	} while (!c->stopped && mono_ms() < until);
	return SMQ_OK;
}

void smq_client_stop(smq_client *c) { smq_wakeup_stop(&c->wakeup); }

/* ---- the rest hands on ---- */

smq_err smq_client_connect(smq_client *c)
{
	smq_err err = c->transport->ops->connect(c->transport);
	watch(c);
	return err;
}

smq_err smq_client_disconnect(smq_client *c, int reason)
{
	smq_messenger_flush(c->messenger);
	smq_err err = SMQ_OK;
	c->goodbye = reason;
	if (c->options.leave_on_exit && !c->leaving && c->transport->ops->connected(c->transport) &&
	    smq_messenger_in_groups(c->messenger)) {
		smq_messenger_leave_groups(c->messenger);
		c->leaving = true;
		c->leave_until_ms = mono_ms() + LEAVE_MS;
	} else {
		err = say_goodbye(c);
	}
	watch(c);
	return err;
}

bool smq_client_group_ready(const smq_client *c, const char *group)
{
	return smq_messenger_group_ready(c->messenger, group);
}

void smq_client_leave_groups(smq_client *c)
{
	smq_messenger_leave_groups(c->messenger);
	watch(c);
}

smq_err smq_client_subscribe(smq_client *c, const char *filter, int options, const struct smq_property *properties,
			     size_t property_count, int *ret_id)
{
	smq_err err = smq_messenger_subscribe(c->messenger, filter, options, properties, property_count, ret_id);
	watch(c);
	return err;
}

smq_err smq_client_unsubscribe(smq_client *c, const char *filter, const struct smq_property *properties,
			       size_t property_count, int *ret_id)
{
	smq_err err = smq_messenger_unsubscribe(c->messenger, filter, properties, property_count, ret_id);
	watch(c);
	return err;
}

SMQ_HOT smq_err smq_client_publish(smq_client *c, const struct smq_publish *message, uint64_t *ret_ticket)
{
	const struct smq_client_options *o = &c->options;
	if (o->sender_topic && o->realm && !o->plain && !message->plain && message->topic &&
	    !smq_topic_names_sender(o->sender_topic, message->topic, smq_realm_member(o->realm)))
		return SMQ_ERR_TOPIC;
	smq_err err = smq_messenger_publish(c->messenger, message, ret_ticket);
	watch(c);
	return err;
}

bool smq_client_connected(const smq_client *c) { return c->transport->ops->connected(c->transport); }

size_t smq_client_pending(const smq_client *c) { return smq_messenger_pending(c->messenger); }

struct smq_counts smq_client_counts(const smq_client *c) { return smq_messenger_counts(c->messenger); }

bool smq_client_has_session(const smq_client *c, const char *peer)
{
	return c->member && smq_member_ready(c->member, peer, now());
}

smq_err smq_client_rotate(smq_client *c, const char *peer)
{
	if (!c->member)
		return SMQ_ERR_REALM;
	smq_err err = smq_member_rotate(c->member, peer);
	watch(c);
	return err;
}

const char *smq_proof_name(enum smq_proof proof)
{
	static const char *const names[] = { "plain", "member", "peer", "provisional", "proven" };
	return (unsigned)proof < sizeof(names) / sizeof(names[0]) ? names[proof] : "unknown";
}
