/*
 * Obeying commands. What must not happen twice is remembered in one item of the store, together with the values that
 * hold: a command either is in there with its effect, or neither is.
 */
#include "app/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "base/table.h"
#include "core/policy.h"
#include "wire/cbor.h"
#include "wire/fields.h"

enum { STATE_VERSION = 1, STATE_MAX = 24 * 1024 };
static const char state_key[] = "commands";

struct seen {
	uint8_t id[SMQ_COMMAND_ID_LEN];
	int64_t expires_ms;
};

/* One that waits until it is known whose signature it is. */
struct held {
	bool used;
	char sender[SMQ_MEMBER_NAME_MAX + 1], group[SMQ_MEMBER_NAME_MAX + 1];
	char topic[SMQ_COMMAND_TOPIC_MAX];
	uint64_t epoch, counter;
	uint8_t boot_id[16];
	int64_t until_ms;
	uint8_t *payload;
	size_t len;
};

struct smq_obeying {
	struct smq_commands_config c;
	struct seen seen[SMQ_COMMANDS_SEEN_MAX];
	size_t seen_count;
	/* Commands that ended by then may have been forgotten: none of them is taken, even if the clock jumps back. */
	int64_t forgotten_ms;
	struct held held[SMQ_COMMANDS_HELD_MAX];
	int64_t second_ms;
	unsigned acks;
};

/* ---- words ---- */

static const struct {
	const char *word;
	smq_err err;
} results[SMQ_COMMAND_RESULTS] = {
	[SMQ_COMMAND_APPLIED] = { "applied", SMQ_OK },
	[SMQ_COMMAND_EXPIRED] = { "expired", SMQ_ERR_STALE_EPOCH },
	[SMQ_COMMAND_EARLY] = { "in-the-future", SMQ_ERR_STALE_EPOCH },
	[SMQ_COMMAND_REPLAYED] = { "replayed", SMQ_ERR_REPLAY },
	[SMQ_COMMAND_UNSIGNED] = { "unsigned", SMQ_ERR_NOT_PROVEN },
	[SMQ_COMMAND_FORBIDDEN] = { "not-authorized", SMQ_ERR_NOT_AUTHORIZED },
	[SMQ_COMMAND_UNKNOWN_PARAMETER] = { "unknown-parameter", SMQ_ERR_USAGE },
	[SMQ_COMMAND_OUT_OF_BOUNDS] = { "out-of-bounds", SMQ_ERR_USAGE },
	[SMQ_COMMAND_WRONG_TYPE] = { "wrong-type", SMQ_ERR_USAGE },
	[SMQ_COMMAND_MALFORMED] = { "malformed", SMQ_ERR_MALFORMED },
	[SMQ_COMMAND_BUSY] = { "busy", SMQ_ERR_FULL },
	[SMQ_COMMAND_NOT_STORED] = { "not-stored", SMQ_ERR_STORE },
};

const char *smq_command_result_name(enum smq_command_result result)
{
	return (unsigned)result < SMQ_COMMAND_RESULTS ? results[result].word : "unknown";
}

enum smq_command_result smq_command_result_of(const char *name)
{
	int i = 0;
	while (i < SMQ_COMMAND_RESULTS && strcmp(results[i].word, name) != 0)
		i++;
	return (enum smq_command_result)i;
}

smq_err smq_command_result_err(enum smq_command_result result)
{
	return (unsigned)result < SMQ_COMMAND_RESULTS ? results[result].err : SMQ_ERR_PROTOCOL;
}

/* ---- parameters ---- */

static struct smq_parameter *find(const struct smq_parameters *p, smq_span name)
{
	for (size_t i = 0; i < p->count; i++) {
		if (smq_span_equal(smq_span_str(p->all[i].name), name))
			return (struct smq_parameter *)(uintptr_t)&p->all[i];
	}
	return NULL;
}

static enum smq_command_result check_number(const struct smq_parameter *p, const char *text)
{
	char *end;
	errno = 0;
	double number = strtod(text, &end);
	bool plain = *text && strspn(text, "0123456789+-.eE") == strlen(text);
	if (!plain || *end || errno == ERANGE || number - number != 0)
		return SMQ_COMMAND_WRONG_TYPE;
	if (p->type == SMQ_PARAMETER_INTEGER && strspn(text, "0123456789+-") != strlen(text))
		return SMQ_COMMAND_WRONG_TYPE;
	return number >= p->min && number <= p->max ? SMQ_COMMAND_APPLIED : SMQ_COMMAND_OUT_OF_BOUNDS;
}

enum smq_command_result smq_parameter_check(const struct smq_parameters *parameters, smq_span name, smq_span value)
{
	const struct smq_parameter *p = find(parameters, name);
	char text[SMQ_COMMAND_VALUE_MAX + 1];
	if (!p)
		return SMQ_COMMAND_UNKNOWN_PARAMETER;
	if (value.len >= sizeof(text) || (value.len > 0 && memchr(value.p, 0, value.len)))
		return SMQ_COMMAND_WRONG_TYPE;
	memcpy(text, value.len ? (const void *)value.p : "", value.len);
	text[value.len] = 0;
	switch (p->type) {
	case SMQ_PARAMETER_NUMBER:
	case SMQ_PARAMETER_INTEGER:
		return check_number(p, text);
	case SMQ_PARAMETER_BOOLEAN:
		return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ? SMQ_COMMAND_APPLIED
									       : SMQ_COMMAND_WRONG_TYPE;
	case SMQ_PARAMETER_TEXT:
		break;
	}
	for (size_t i = 0; i < p->word_count; i++) {
		if (strcmp(p->words[i], text) == 0)
			return SMQ_COMMAND_APPLIED;
	}
	return SMQ_COMMAND_OUT_OF_BOUNDS;
}

static void set_value(struct smq_parameter *p, smq_span value)
{
	memcpy(p->value, value.len ? (const void *)value.p : "", value.len);
	p->value[value.len] = 0;
	p->is_set = true;
}

/* ---- what is remembered ---- */

/* A value that is being set goes before the one that holds. */
static smq_span value_of(const struct smq_parameter *p, const struct smq_command_document *c)
{
	for (size_t i = 0; c && i < c->setting_count; i++) {
		if (smq_span_equal(c->settings[i].name, smq_span_str(p->name)))
			return c->settings[i].value;
	}
	return p->is_set ? smq_span_str(p->value) : smq_span_of(NULL, 0);
}

static smq_err save(struct smq_obeying *o, const struct smq_command_document *c)
{
	const struct smq_parameters *p = o->c.parameters;
	uint8_t *room = malloc(STATE_MAX);
	size_t len = 0, count = 0;
	if (!room)
		return SMQ_ERR_NO_MEMORY;
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, STATE_MAX));
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_uint(&w, STATE_VERSION);
	smq_put_time(&w, o->forgotten_ms);
	smq_cbor_put_array(&w, o->seen_count);
	for (size_t i = 0; i < o->seen_count; i++) {
		smq_cbor_put_array(&w, 2);
		smq_cbor_put_bytes(&w, smq_span_of(o->seen[i].id, SMQ_COMMAND_ID_LEN));
		smq_put_time(&w, o->seen[i].expires_ms);
	}
	for (size_t i = 0; i < p->count; i++)
		count += value_of(&p->all[i], c).p != NULL;
	smq_cbor_put_array(&w, count);
	for (size_t i = 0; i < p->count; i++) {
		smq_span value = value_of(&p->all[i], c);
		if (!value.p)
			continue;
		smq_cbor_put_array(&w, 2);
		smq_cbor_put_text(&w, smq_span_str(p->all[i].name));
		smq_cbor_put_text(&w, value);
	}
	smq_err err = smq_writer_end(&w, &len);
	if (err == SMQ_OK)
		err = o->c.store.put(o->c.store.self, state_key, smq_span_of(room, len));
	free(room);
	return err;
}

/* A value that is not declared any more, or not within its bounds, is forgotten. */
static void load_values(struct smq_obeying *o, struct smq_reader *r)
{
	size_t count = smq_get_count(r, SMQ_PARAMETERS_MAX);
	for (size_t i = 0; i < count && r->err == SMQ_OK; i++) {
		if (smq_cbor_get_array(r) != 2)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		smq_span name = smq_cbor_get_text(r), value = smq_cbor_get_text(r);
		if (r->err == SMQ_OK && smq_parameter_check(o->c.parameters, name, value) == SMQ_COMMAND_APPLIED)
			set_value(find(o->c.parameters, name), value);
	}
}

static smq_err load(struct smq_obeying *o)
{
	uint8_t *room = malloc(STATE_MAX);
	size_t len = 0;
	smq_err err =
	    room ? o->c.store.get(o->c.store.self, state_key, smq_mspan_of(room, STATE_MAX), &len) : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK) {
		struct smq_reader r = smq_reader_on(smq_span_of(room, len));
		smq_get_head(&r, 4, STATE_VERSION);
		o->forgotten_ms = smq_get_time(&r);
		size_t count = smq_get_count(&r, SMQ_COMMANDS_SEEN_MAX);
		for (; o->seen_count < count && r.err == SMQ_OK; o->seen_count++) {
			struct seen *s = &o->seen[o->seen_count];
			if (smq_cbor_get_array(&r) != 2)
				smq_reader_fail(&r, SMQ_ERR_MALFORMED);
			smq_get_fixed(&r, smq_mspan_of(s->id, sizeof(s->id)));
			s->expires_ms = smq_get_time(&r);
		}
		load_values(o, &r);
		if (smq_reader_end(&r) != SMQ_OK)
			err = SMQ_ERR_CORRUPT;
	}
	free(room);
	return err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err;
}

/* Those that have ended need no place: their time alone refuses them. */
static void forget_ended(struct smq_obeying *o, int64_t now_ms)
{
	size_t kept = 0;
	for (size_t i = 0; i < o->seen_count; i++) {
		if (o->seen[i].expires_ms > now_ms)
			o->seen[kept++] = o->seen[i];
		else if (o->seen[i].expires_ms > o->forgotten_ms)
			o->forgotten_ms = o->seen[i].expires_ms;
	}
	o->seen_count = kept;
}

/* ---- judging ---- */

static bool is_seen(const struct smq_obeying *o, const uint8_t id[SMQ_COMMAND_ID_LEN])
{
	for (size_t i = 0; i < o->seen_count; i++) {
		if (memcmp(o->seen[i].id, id, SMQ_COMMAND_ID_LEN) == 0)
			return true;
	}
	return false;
}

static enum smq_command_result check_time(const struct smq_obeying *o, const struct smq_command_document *c,
					  int64_t now_ms)
{
	if (now_ms >= c->expires_ms || c->expires_ms <= o->forgotten_ms)
		return SMQ_COMMAND_EXPIRED;
	if (c->issued_ms > now_ms + SMQ_COMMANDS_EARLY_MS || c->expires_ms - c->issued_ms > SMQ_COMMAND_LIFE_MAX_MS)
		return SMQ_COMMAND_EARLY;
	return SMQ_COMMAND_APPLIED;
}

/* The file's own list narrows what the policy allows; where there is no policy it is all there is. */
static bool is_allowed(const struct smq_obeying *o, const struct smq_message *m)
{
	const struct smq_parameters *p = o->c.parameters;
	smq_err err = o->c.may_command(o->c.self, m->group, m->sender, m->signer_roles);
	bool listed = p->from_count == 0 && err == SMQ_OK;
	for (size_t i = 0; i < p->from_count && !listed; i++)
		listed = smq_pattern_matches(smq_span_str(p->from[i]), smq_span_str(m->sender));
	return listed && (err == SMQ_OK || err == SMQ_ERR_NOT_FOUND);
}

static enum smq_command_result check_settings(const struct smq_obeying *o, const struct smq_command_document *c,
					      smq_span *ret_which)
{
	for (size_t i = 0; i < c->setting_count; i++) {
		enum smq_command_result r =
		    smq_parameter_check(o->c.parameters, c->settings[i].name, c->settings[i].value);
		*ret_which = c->settings[i].name;
		if (r != SMQ_COMMAND_APPLIED)
			return r;
	}
	*ret_which = smq_span_of(NULL, 0);
	return SMQ_COMMAND_APPLIED;
}

/* The topic says for whom, and the document says the same. */
static bool is_for_us(const struct smq_obeying *o, const struct smq_message *m, const struct smq_command_document *c)
{
	smq_span name = { NULL, 0 }, group;
	enum smq_command_topic kind = smq_command_topic_read(o->c.prefix, smq_span_str(m->mqtt.topic), &group, &name);
	smq_span us = smq_span_str(o->c.name);
	if (!m->group || !smq_span_equal(group, smq_span_str(m->group)))
		return false;
	if (kind == SMQ_TOPIC_TO)
		return smq_span_equal(name, us) && smq_span_equal(c->to, us);
	return kind == SMQ_TOPIC_ALL && c->to.len == 0;
}

/* In this order, so that who may not command learns nothing about what there is to set. */
static enum smq_command_result judge(struct smq_obeying *o, const struct smq_message *m,
				     const struct smq_command_document *c, smq_span *ret_which)
{
	int64_t now_ms = o->c.clock.now().unix_ms;
	*ret_which = smq_span_of(NULL, 0);
	if (!is_for_us(o, m, c))
		return SMQ_COMMAND_MALFORMED;
	if (m->proof != SMQ_PROOF_PROVEN || m->signer_roles == 0)
		return SMQ_COMMAND_UNSIGNED;
	if (!is_allowed(o, m))
		return SMQ_COMMAND_FORBIDDEN;
	/* an id of before is a replay, whether it is still good or not */
	if (is_seen(o, c->id))
		return SMQ_COMMAND_REPLAYED;
	enum smq_command_result r = check_time(o, c, now_ms);
	if (r == SMQ_COMMAND_APPLIED)
		r = check_settings(o, c, ret_which);
	forget_ended(o, now_ms);
	if (r == SMQ_COMMAND_APPLIED && o->seen_count == SMQ_COMMANDS_SEEN_MAX)
		r = SMQ_COMMAND_BUSY;
	return r;
}

/* ---- saying ---- */

static bool may_ack(struct smq_obeying *o)
{
	int64_t now_ms = o->c.clock.now().mono_ms;
	if (now_ms - o->second_ms >= 1000) {
		o->second_ms = now_ms;
		o->acks = 0;
	}
	return o->acks++ < SMQ_COMMANDS_ACKS_PER_S;
}

static void acknowledge(struct smq_obeying *o, const struct smq_message *m, const uint8_t id[SMQ_COMMAND_ID_LEN],
			enum smq_command_result result, smq_span detail)
{
	char topic[SMQ_COMMAND_TOPIC_MAX];
	uint8_t room[SMQ_COMMAND_VALUE_MAX + 128];
	size_t len = 0;
	struct smq_ack_document a = { .result = smq_span_str(smq_command_result_name(result)), .detail = detail };
	memcpy(a.id, id, sizeof(a.id));
	if (!m->group || !may_ack(o))
		return;
	smq_err err = smq_ack_encode(&a, smq_mspan_of(room, sizeof(room)), &len);
	if (err == SMQ_OK)
		err = smq_command_topic_write(o->c.prefix, m->group, SMQ_TOPIC_ACK, m->sender, topic);
	if (err == SMQ_OK)
		err = o->c.publish(o->c.self, m->group, topic, smq_span_of(room, len));
	(void)err; /* who sent it hears nothing, and asks again with another command */
}

static void tell(struct smq_obeying *o, const struct smq_message *m, enum smq_command_result result, smq_span detail)
{
	char text[SMQ_COMMAND_VALUE_MAX * 4 + 1];
	smq_escape(detail, text, sizeof(text));
	const struct smq_command_event e = { .result = result, .from = m->sender, .group = m->group, .detail = text };
	if (o->c.on_event)
		o->c.on_event(o->c.event_self, &e);
}

static void tell_alert(struct smq_obeying *o, const struct smq_message *m, const struct smq_command_document *c)
{
	char severity[SMQ_COMMAND_WORD_MAX * 4 + 1], text[SMQ_COMMAND_TEXT_MAX * 4 + 1];
	smq_escape(c->severity, severity, sizeof(severity));
	smq_escape(c->text, text, sizeof(text));
	const struct smq_command_event e = { .result = SMQ_COMMAND_APPLIED,
					     .from = m->sender,
					     .group = m->group,
					     .detail = "",
					     .severity = severity,
					     .text = text };
	if (o->c.on_event)
		o->c.on_event(o->c.event_self, &e);
}

/* ---- obeying ---- */

static void apply(struct smq_obeying *o, const struct smq_message *m, const struct smq_command_document *c)
{
	struct smq_setting settings[SMQ_COMMAND_SETTINGS_MAX];
	for (size_t i = 0; i < c->setting_count; i++) {
		struct smq_parameter *p = find(o->c.parameters, c->settings[i].name);
		set_value(p, c->settings[i].value);
		settings[i] = (struct smq_setting){ p->name, p->value };
	}
	const struct smq_command_event e = { .result = SMQ_COMMAND_APPLIED,
					     .from = m->sender,
					     .group = m->group,
					     .detail = "",
					     .settings = settings,
					     .setting_count = c->setting_count };
	if (o->c.on_event)
		o->c.on_event(o->c.event_self, &e);
}

static void obey(struct smq_obeying *o, const struct smq_message *m, const struct smq_command_document *c)
{
	const smq_span nothing = { NULL, 0 };
	struct seen *s = &o->seen[o->seen_count++];
	memcpy(s->id, c->id, sizeof(s->id));
	s->expires_ms = c->expires_ms;
	if (save(o, c) != SMQ_OK) {
		o->seen_count--;
		tell(o, m, SMQ_COMMAND_NOT_STORED, nothing);
		acknowledge(o, m, c->id, SMQ_COMMAND_NOT_STORED, nothing);
		return;
	}
	if (c->body == SMQ_BODY_ALERT)
		tell_alert(o, m, c);
	else
		apply(o, m, c);
	acknowledge(o, m, c->id, SMQ_COMMAND_APPLIED, nothing);
}

static void judge_message(struct smq_obeying *o, const struct smq_message *m)
{
	static const uint8_t no_id[SMQ_COMMAND_ID_LEN];
	struct smq_command_document c;
	smq_span which = { NULL, 0 };
	bool readable = smq_command_decode(m->mqtt.payload, &c) == SMQ_OK;
	enum smq_command_result result = readable ? judge(o, m, &c, &which) : SMQ_COMMAND_MALFORMED;
	if (result == SMQ_COMMAND_APPLIED) {
		obey(o, m, &c);
		return;
	}
	tell(o, m, result, which);
	acknowledge(o, m, readable ? c.id : no_id, result, which);
}

/* ---- what waits for a certificate ---- */

static bool is_same(const struct held *h, const struct smq_message *m)
{
	return h->used && h->counter == m->counter && h->epoch == m->epoch &&
	       memcmp(h->boot_id, m->boot_id, sizeof(h->boot_id)) == 0 && strcmp(h->sender, m->sender) == 0;
}

static void drop(struct held *h)
{
	free(h->payload);
	*h = (struct held){ 0 };
}

static bool hold(struct smq_obeying *o, const struct smq_message *m)
{
	for (size_t i = 0; i < SMQ_COMMANDS_HELD_MAX; i++) {
		struct held *h = &o->held[i];
		if (h->used || m->mqtt.payload.len > SMQ_COMMAND_MAX)
			continue;
		h->payload = malloc(m->mqtt.payload.len + 1);
		if (!h->payload)
			return false;
		memcpy(h->payload, m->mqtt.payload.p, m->mqtt.payload.len);
		h->len = m->mqtt.payload.len;
		snprintf(h->sender, sizeof(h->sender), "%s", m->sender);
		snprintf(h->group, sizeof(h->group), "%s", m->group);
		snprintf(h->topic, sizeof(h->topic), "%s", m->mqtt.topic);
		h->epoch = m->epoch;
		h->counter = m->counter;
		memcpy(h->boot_id, m->boot_id, sizeof(h->boot_id));
		h->until_ms = o->c.clock.now().mono_ms + SMQ_COMMANDS_HELD_MS;
		h->used = true;
		return true;
	}
	return false;
}

static void judge_held(struct smq_obeying *o, struct held *h, bool proven, unsigned roles)
{
	struct smq_message m = { .mqtt = { .topic = h->topic, .payload = smq_span_of(h->payload, h->len) },
				 .proof = proven ? SMQ_PROOF_PROVEN : SMQ_PROOF_PROVISIONAL,
				 .sender = h->sender,
				 .group = h->group,
				 .epoch = h->epoch,
				 .counter = h->counter,
				 .signer_roles = proven ? roles : 0 };
	judge_message(o, &m);
	drop(h);
}

/* ---- the outside ---- */

bool smq_obeying_take(struct smq_obeying *o, const struct smq_message *m)
{
	enum smq_command_topic kind = smq_command_topic_read(o->c.prefix, smq_span_str(m->mqtt.topic), NULL, NULL);
	if (kind == SMQ_TOPIC_OTHER)
		return false;
	/* what others are told, and are answered, is not for us */
	if (kind == SMQ_TOPIC_ACK || !m->group)
		return true;
	if (m->proof == SMQ_PROOF_PROVISIONAL && hold(o, m))
		return true;
	judge_message(o, m);
	return true;
}

void smq_obeying_prove(struct smq_obeying *o, const struct smq_message *m, smq_err err)
{
	for (size_t i = 0; i < SMQ_COMMANDS_HELD_MAX; i++) {
		if (is_same(&o->held[i], m))
			judge_held(o, &o->held[i], err == SMQ_OK, m->signer_roles);
	}
}

void smq_obeying_tick(struct smq_obeying *o)
{
	int64_t now_ms = o->c.clock.now().mono_ms;
	for (size_t i = 0; i < SMQ_COMMANDS_HELD_MAX; i++) {
		if (o->held[i].used && o->held[i].until_ms <= now_ms)
			judge_held(o, &o->held[i], false, 0);
	}
}

void smq_obeying_tell(struct smq_obeying *o)
{
	struct smq_setting settings[SMQ_PARAMETERS_MAX];
	size_t count = 0;
	for (size_t i = 0; i < o->c.parameters->count; i++) {
		const struct smq_parameter *p = &o->c.parameters->all[i];
		if (p->is_set)
			settings[count++] = (struct smq_setting){ p->name, p->value };
	}
	const struct smq_command_event e = {
		.from = "", .group = "", .detail = "", .settings = settings, .setting_count = count, .at_start = true
	};
	if (count > 0 && o->c.on_event)
		o->c.on_event(o->c.event_self, &e);
}

smq_err smq_obeying_new(const struct smq_commands_config *config, struct smq_obeying **ret_obeying)
{
	struct smq_obeying *o = calloc(1, sizeof(*o));
	smq_err err = SMQ_ERR_NO_MEMORY;
	if (o) {
		o->c = *config;
		err = load(o);
	}
	if (err != SMQ_OK) {
		free(o);
		return err;
	}
	*ret_obeying = o;
	return SMQ_OK;
}

void smq_obeying_free(struct smq_obeying *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < SMQ_COMMANDS_HELD_MAX; i++)
		free(o->held[i].payload);
	o->c.store.free(o->c.store.self);
	free(o);
}
