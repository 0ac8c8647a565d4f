/* What an admin asks of the key server. */
#include <sealmq/admin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "core/ks_asker.h"
#include "core/policy.h"
#include "lib/admin_keys.h"
#include "lib/files.h"
#include "lib/line.h"
#include "lib/policy_text.h"
#include "lib/realm_internal.h"
#include "wire/ks_answer.h"
#include "wire/ks_topics.h"

enum { RETRY_MS = 2000 };

struct smq_admin {
	const struct smq_client_options *broker;
	int timeout_ms;
	struct smq_line line;
	char request_topic[SMQ_KS_TOPIC_MAX], answer_topic[SMQ_KS_TOPIC_MAX];
	struct smq_ks_asker_config asker_config;
	struct smq_ks_asker asker;
	bool ready;  /* the answers' topic is subscribed to */
	bool over;   /* answered, or given up */
	smq_err err; /* why it was given up */
	int64_t retry_ms;
	smq_span request;
	uint8_t request_room[SMQ_KS_REQUEST_MAX], policy_room[SMQ_POLICY_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	uint8_t document_room[SMQ_POLICY_MAX];
	uint8_t up[2][SMQ_KS_SEALED_ROOM(SMQ_KS_REQUEST_MAX + 64)];
	uint8_t answer_room[SMQ_KS_ANSWER_MAX];
	smq_span answer;
	struct smq_policy_strings strings;
	char group[SMQ_MEMBER_NAME_MAX + 1];
	char said[SMQ_KS_TEXT_MAX + 1]; /* with the last answer that was no refusal */
};

static _Thread_local char why_text[SMQ_WHY_MAX];

#define because(err, ...) smq_because(err, why_text, sizeof(why_text), __VA_ARGS__)

static smq_err finish(smq_err err, const char **ret_why)
{
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	return err;
}

/* ---- asking ---- */

static void give_up(struct smq_admin *a, smq_err err)
{
	a->err = err;
	a->over = true;
}

static void send(struct smq_admin *a, int i, size_t len)
{
	struct smq_mqtt_message m = { .topic = a->request_topic, .payload = smq_span_of(a->up[i], len), .qos = 1 };
	int id = 0;
	if (len > 0) /* what does not go out now is asked again */
		(void)!a->line.transport->ops->publish(a->line.transport, &m, &id);
}

static void ask_now(struct smq_admin *a)
{
	size_t len = 0;
	smq_err err = smq_ks_asker_start(&a->asker, &a->asker_config, smq_mspan_of(a->up[0], sizeof(a->up[0])), &len);
	if (err != SMQ_OK)
		give_up(a, err);
	else
		send(a, 0, len);
	a->retry_ms = smq_line_clock.now().mono_ms + RETRY_MS;
}

static void on_connected(void *self, int reason, bool session_present)
{
	struct smq_admin *a = self;
	int id = 0;
	(void)session_present;
	if (reason == 0 && a->line.transport->ops->subscribe(a->line.transport, a->answer_topic, SMQ_SUB_CONTROL, NULL,
							     0, &id) != SMQ_OK)
		give_up(a, SMQ_ERR_NO_CONNECTION);
}

static void on_disconnected(void *self, smq_err err, int reason)
{
	struct smq_admin *a = self;
	(void)reason;
	a->ready = false;
	if (err == SMQ_ERR_CONNECTION_REFUSED || err == SMQ_ERR_TLS || err == SMQ_ERR_NOT_AUTHORIZED ||
	    err == SMQ_ERR_HOST)
		give_up(a, err);
}

static void on_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct smq_admin *a = self;
	(void)id;
	if (count > 0 && reasons[0] >= 128) {
		give_up(a, SMQ_ERR_NOT_AUTHORIZED);
		return;
	}
	a->ready = true;
	ask_now(a);
}

static void on_message(void *self, const struct smq_mqtt_message *m)
{
	struct smq_admin *a = self;
	smq_mspan rooms[2] = { smq_mspan_of(a->up[0], sizeof(a->up[0])), smq_mspan_of(a->up[1], sizeof(a->up[1])) };
	size_t lens[2];
	if (m->retain || strcmp(m->topic, a->answer_topic) != 0)
		return;
	smq_err err = smq_ks_asker_input(&a->asker, m->payload, smq_line_clock.now().unix_ms, a->request, rooms, lens,
					 smq_mspan_of(a->answer_room, sizeof(a->answer_room)), &a->answer);
	send(a, 0, lens[0]);
	send(a, 1, lens[1]);
	if (a->asker.state == SMQ_KS_ASKER_ANSWERED)
		a->over = true;
	else if (a->asker.state == SMQ_KS_ASKER_FAILED)
		give_up(a, err);
	else if (err == SMQ_ERR_PEER_REFUSED)
		a->err = err; /* what it will be given up with, if nothing better comes */
}

static void on_published(void *self, int id, int reason)
{
	struct smq_admin *a = self;
	(void)id;
	if (reason >= 128)
		give_up(a, SMQ_ERR_NOT_AUTHORIZED);
}

static void tick(void *self)
{
	struct smq_admin *a = self;
	if (a->ready && !a->over && smq_line_clock.now().mono_ms >= a->retry_ms)
		ask_now(a);
}

static int64_t wake_at(void *self)
{
	const struct smq_admin *a = self;
	return a->ready && !a->over ? a->retry_ms : INT64_MAX;
}

static smq_err open_line(struct smq_admin *a)
{
	const struct smq_transport_events events = { .self = a,
						     .connected = on_connected,
						     .disconnected = on_disconnected,
						     .message = on_message,
						     .published = on_published,
						     .subscribed = on_subscribed };
	const char *why = "";
	if (a->line.transport)
		return SMQ_OK;
	a->line.self = a;
	a->line.tick = tick;
	a->line.wake_at = wake_at;
	smq_err err = smq_line_open(&a->line, a->broker, &events, &why);
	return err == SMQ_OK ? err : because(err, "%s", why && *why ? why : smq_err_text(err));
}

/* The answer's body, in the admin's room until the next question. */
static smq_err ask(struct smq_admin *a, const struct smq_ks_request *request, smq_span *ret_body)
{
	size_t len = 0;
	struct smq_ks_answer answer;
	smq_err err = smq_ks_request_encode(request, smq_mspan_of(a->request_room, sizeof(a->request_room)), &len);
	if (err == SMQ_ERR_USAGE)
		return because(SMQ_ERR_NAME, "names are 1 to 64 of A-Z a-z 0-9 - _");
	if (err != SMQ_OK)
		return because(err, "the request is too long");
	a->request = smq_span_of(a->request_room, len);
	a->over = false;
	a->err = SMQ_ERR_TIMEOUT;
	err = open_line(a);
	if (err != SMQ_OK)
		return err;
	if (a->ready)
		ask_now(a);
	smq_line_run(&a->line, &a->over, a->timeout_ms);
	if (a->asker.state != SMQ_KS_ASKER_ANSWERED)
		return because(a->err,
			       a->err == SMQ_ERR_TIMEOUT ? "the key server does not answer: %s"
							 : "the key server could not be asked: %s",
			       smq_err_text(a->err));
	err = smq_ks_answer_decode(a->answer, &answer);
	if (err != SMQ_OK)
		return because(err, "the key server's answer cannot be read: %s", smq_err_text(err));
	if (answer.status != SMQ_OK)
		return because(answer.status, "the key server refused: %.*s%s", (int)answer.text.len,
			       (const char *)answer.text.p, answer.text.len ? "" : smq_err_text(answer.status));
	snprintf(a->said, sizeof(a->said), "%.*s", (int)answer.text.len, (const char *)answer.text.p);
	*ret_body = answer.body;
	return SMQ_OK;
}

/* ---- life ---- */

smq_err smq_admin_new(const struct smq_client_options *broker, const char *keyserver, int timeout_ms,
		      smq_admin **ret_admin, const char **ret_why)
{
	static const int suites[] = { 2, 6, 0 };
	struct smq_admin *a = calloc(1, sizeof(*a));
	if (!a)
		return finish(because(SMQ_ERR_NO_MEMORY, "out of memory"), ret_why);
	const smq_realm *realm = broker->realm;
	const char *prefix = smq_realm_control_prefix(realm), *name = smq_realm_member(realm);
	struct smq_ks_topic up = { .kind = SMQ_KS_TOPIC_REQUEST, .name = smq_span_str(name) };
	struct smq_ks_topic down = { .kind = SMQ_KS_TOPIC_ANSWER, .name = smq_span_str(name) };
	a->broker = broker;
	a->timeout_ms = timeout_ms > 0 ? timeout_ms : 10000;
	a->asker_config = (struct smq_ks_asker_config){ .crypto = smq_crypto_openssl(),
							.random = smq_random_system(),
							.credentials = smq_realm_credentials(realm),
							.own = smq_realm_own(realm),
							.name = name,
							.keyserver = keyserver,
							.suites = broker->suite_count ? broker->suites : suites,
							.suite_count = broker->suite_count ? broker->suite_count : 3 };
	smq_err err = smq_ks_topic_write(prefix, &up, smq_mspan_of(a->request_topic, sizeof(a->request_topic)));
	if (err == SMQ_OK)
		err = smq_ks_topic_write(prefix, &down, smq_mspan_of(a->answer_topic, sizeof(a->answer_topic)));
	if (err != SMQ_OK) {
		free(a);
		return finish(because(err, "the realm's control prefix is too long"), ret_why);
	}
	*ret_admin = a;
	return SMQ_OK;
}

void smq_admin_free(smq_admin *a)
{
	if (!a)
		return;
	if (a->line.transport && a->line.transport->ops->connected(a->line.transport) &&
	    a->line.transport->ops->disconnect(a->line.transport, 0, NULL, 0) == SMQ_OK) {
		bool gone = false;
		smq_line_run(&a->line, &gone, 20);
	}
	smq_line_close(&a->line);
	smq_ks_asker_done(&a->asker);
	free(a);
}

/* ---- policies ---- */

/* The policy that is in force, with its signature checked: an admin's of this realm. */
static smq_err check_policy(const struct smq_admin *a, const struct smq_ks_group_line *line,
			    struct smq_policy *ret_policy)
{
	struct smq_credential signer;
	const struct smq_policy_mark none = { 0 };
	struct smq_policy_mark mark;
	const struct smq_credentials *credentials = smq_realm_credentials(a->broker->realm);
	smq_err err = credentials->resolve(credentials->self, line->admin, smq_line_clock.now().unix_ms, &signer);
	if (err == SMQ_OK)
		err = smq_policy_accept(smq_crypto_openssl(), line->policy, &signer,
					smq_span_str(smq_realm_name(a->broker->realm)), smq_span_of(NULL, 0), &none,
					ret_policy, &mark);
	return err;
}

static smq_err show(struct smq_admin *a, const char *group, struct smq_ks_group_line *ret_line)
{
	struct smq_ks_request q = { .what = SMQ_KS_SHOW, .group = smq_span_str(group) };
	smq_span body;
	smq_err err = ask(a, &q, &body);
	if (err != SMQ_OK)
		return err;
	err = smq_ks_show_decode(body, ret_line);
	return err == SMQ_OK ? err : because(err, "the key server's answer cannot be read: %s", smq_err_text(err));
}

static smq_err next_number(struct smq_admin *a, const struct smq_group_policy *p, uint64_t *ret_number)
{
	struct smq_ks_group_line line;
	*ret_number = p->number ? p->number : 1;
	if (p->number || p->is_template)
		return SMQ_OK;
	smq_err err = show(a, p->group, &line);
	if (err == SMQ_OK)
		*ret_number = line.policy_number + 1;
	return err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err;
}

static smq_err sign(struct smq_admin *a, const struct smq_policy *policy, smq_span *ret_signed)
{
	size_t len = 0;
	const struct smq_own_credential *own = smq_realm_own(a->broker->realm);
	if (!own->signer.sign)
		return because(SMQ_ERR_CERT_USAGE, "a policy is signed by an admin's certificate; this realm has a "
						   "registered key, which signs nothing");
	smq_err err = smq_policy_encode(policy, smq_mspan_of(a->document_room, sizeof(a->document_room)), &len);
	if (err != SMQ_OK)
		return because(SMQ_ERR_USAGE, "this is no policy: a name, a filter, a pattern or a number is not "
					      "within its bounds (PROTOCOL.md 6.5)");
	err = smq_policy_sign(smq_span_of(a->document_room, len), own,
			      smq_mspan_of(a->policy_room, sizeof(a->policy_room)), &len);
	*ret_signed = smq_span_of(a->policy_room, len);
	return err == SMQ_OK ? err : because(err, "the policy cannot be signed: %s", smq_err_text(err));
}

smq_err smq_admin_set_policy(smq_admin *a, const struct smq_group_policy *p, uint64_t *ret_number, const char **ret_why)
{
	struct smq_policy policy;
	uint64_t number = 0;
	smq_span body;
	struct smq_ks_request q = { .what = SMQ_KS_POLICY, .admin = smq_realm_own(a->broker->realm)->id_cred_full };
	/* A template is asked for without a group: its pattern is none. */
	snprintf(a->group, sizeof(a->group), "%s", p->group);
	smq_err err = next_number(a, p, &number);
	if (err == SMQ_OK)
		err = smq_policy_from_text(p, smq_realm_name(a->broker->realm), number, smq_line_clock.now().unix_ms,
					   &policy, why_text, sizeof(why_text));
	if (err == SMQ_OK)
		err = sign(a, &policy, &q.policy);
	if (err == SMQ_OK) {
		q.group = smq_span_str(p->is_template ? "" : a->group);
		err = ask(a, &q, &body);
	}
	if (err == SMQ_OK && ret_number)
		*ret_number = number;
	return finish(err, ret_why);
}

/* ---- questions ---- */

smq_err smq_admin_group(smq_admin *a, const char *group, struct smq_group_info *ret_info, const char **ret_why)
{
	struct smq_ks_group_line line;
	struct smq_policy policy;
	smq_err err = show(a, group, &line);
	if (err == SMQ_OK) {
		err = check_policy(a, &line, &policy);
		if (err != SMQ_OK)
			because(err, "the policy of %s is not one that an admin of this realm has signed: %s", group,
				smq_err_text(err));
	}
	if (err != SMQ_OK)
		return finish(err, ret_why);
	snprintf(a->group, sizeof(a->group), "%.*s", (int)line.group.len, (const char *)line.group.p);
	*ret_info = (struct smq_group_info){ .group = a->group,
					     .mode = smq_policy_mode_name(line.mode),
					     .epoch = line.epoch,
					     .members = line.members,
					     .height = line.height,
					     .policy_number = line.policy_number,
					     .activate_at_ms = line.activate_at_ms,
					     .expires_ms = line.expires_ms };
	smq_policy_to_text(&policy, &a->strings, &ret_info->policy);
	return SMQ_OK;
}

smq_err smq_admin_groups(smq_admin *a, void *self, void (*take)(void *self, const struct smq_group_info *info),
			 const char **ret_why)
{
	static _Thread_local struct smq_ks_group_line lines[SMQ_KS_PAGE];
	struct smq_ks_request q = { .what = SMQ_KS_LIST };
	smq_err err = SMQ_OK;
	while (err == SMQ_OK && q.offset != SMQ_KS_NO_MORE) {
		smq_span body;
		size_t count = 0;
		err = ask(a, &q, &body);
		if (err == SMQ_OK && (err = smq_ks_list_decode(body, lines, &count, &q.offset)) != SMQ_OK)
			because(err, "the key server's answer cannot be read: %s", smq_err_text(err));
		for (size_t i = 0; err == SMQ_OK && i < count; i++) {
			snprintf(a->group, sizeof(a->group), "%.*s", (int)lines[i].group.len,
				 (const char *)lines[i].group.p);
			struct smq_group_info info = { .group = a->group,
						       .mode = smq_policy_mode_name(lines[i].mode),
						       .epoch = lines[i].epoch,
						       .members = lines[i].members };
			take(self, &info);
		}
	}
	return finish(err, ret_why);
}

smq_err smq_admin_members(smq_admin *a, const char *group, void *self,
			  void (*take)(void *self, const struct smq_group_member_info *member), const char **ret_why)
{
	static _Thread_local struct smq_ks_member_line lines[SMQ_KS_PAGE];
	struct smq_ks_request q = { .what = SMQ_KS_MEMBERS, .group = smq_span_str(group) };
	smq_err err = SMQ_OK;
	while (err == SMQ_OK && q.offset != SMQ_KS_NO_MORE) {
		smq_span body;
		size_t count = 0;
		err = ask(a, &q, &body);
		if (err == SMQ_OK && (err = smq_ks_members_decode(body, lines, &count, &q.offset)) != SMQ_OK)
			because(err, "the key server's answer cannot be read: %s", smq_err_text(err));
		for (size_t i = 0; err == SMQ_OK && i < count; i++) {
			char name[SMQ_MEMBER_NAME_MAX + 1];
			snprintf(name, sizeof(name), "%.*s", (int)lines[i].name.len, (const char *)lines[i].name.p);
			struct smq_group_member_info info = { .name = name,
							      .sender_id = lines[i].sender_id,
							      .publishes = lines[i].roles & SMQ_JOIN_PUBLISH,
							      .subscribes = lines[i].roles & SMQ_JOIN_SUBSCRIBE,
							      .by_key = lines[i].roles & SMQ_KS_BY_KEY,
							      .from_ms = lines[i].from_ms,
							      .until_ms = lines[i].until_ms };
			take(self, &info);
		}
	}
	return finish(err, ret_why);
}

smq_err smq_admin_rotate(smq_admin *a, const char *group, const char **ret_why)
{
	struct smq_ks_request q = { .what = SMQ_KS_ROTATE, .group = smq_span_str(group) };
	smq_span body;
	return finish(ask(a, &q, &body), ret_why);
}

smq_err smq_admin_expel(smq_admin *a, const char *group, const char *name, const char **ret_why)
{
	struct smq_ks_request q = { .what = SMQ_KS_EXPEL,
				    .group = smq_span_str(group ? group : ""),
				    .name = smq_span_str(name) };
	smq_span body;
	smq_err err = ask(a, &q, &body);
	if (err == SMQ_OK && ret_why)
		*ret_why = a->said;
	return finish(err, ret_why);
}

/* ---- registered keys ---- */

smq_err smq_admin_register(smq_admin *a, const char *name, const char *key_file, const char **ret_why)
{
	struct smq_ks_request q = { .what = SMQ_KS_REGISTER, .name = smq_span_str(name) };
	smq_span body;
	smq_err err = smq_key_file_read(key_file, q.key, why_text, sizeof(why_text));
	return finish(err == SMQ_OK ? ask(a, &q, &body) : err, ret_why);
}

struct bad_rows {
	void *self;
	void (*tell)(void *self, uint64_t line, const char *why);
};

/* What the key server finds wrong with some of these rows: told; *bad counts them. */
static smq_err tell_bad(smq_span body, const struct smq_key_row *rows, size_t count, const struct bad_rows *to,
			uint64_t *bad)
{
	static _Thread_local struct smq_ks_bad_key found[SMQ_KS_KEYS_MAX];
	char text[SMQ_KS_TEXT_MAX + 1], shown[4 * SMQ_KS_TEXT_MAX];
	size_t found_count = 0;
	if (body.len == 1 && *body.p == 0xf6)
		return SMQ_OK;
	smq_err err = smq_ks_bad_keys_decode(body, found, &found_count);
	if (err != SMQ_OK)
		return because(err, "the key server's answer cannot be read: %s", smq_err_text(err));
	for (size_t i = 0; i < found_count; i++) {
		if (found[i].index >= count)
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)found[i].text.len, (const char *)found[i].text.p);
		(void)smq_escape(smq_span_str(text), shown, sizeof(shown));
		if (to->tell)
			to->tell(to->self, rows[found[i].index].line, shown);
		++*bad;
	}
	return SMQ_OK;
}

/* One request. */
static smq_err register_some(struct smq_admin *a, const struct smq_key_row *rows, size_t count, bool commit,
			     const struct bad_rows *to, uint64_t *bad)
{
	static _Thread_local struct smq_ks_key keys[SMQ_KS_KEYS_MAX];
	static _Thread_local uint8_t room[SMQ_KS_REQUEST_MAX - 64];
	struct smq_ks_request q = { .what = SMQ_KS_REGISTER_MANY, .commit = commit };
	size_t len = 0;
	smq_span body;
	for (size_t i = 0; i < count; i++) {
		keys[i].name = smq_span_str(rows[i].name);
		memcpy(keys[i].key, rows[i].point, sizeof(keys[i].key));
	}
	smq_err err = smq_ks_keys_encode(keys, count, smq_mspan_of(room, sizeof(room)), &len);
	if (err != SMQ_OK)
		return because(err, "the request is too long");
	q.keys = smq_span_of(room, len);
	err = ask(a, &q, &body);
	return err == SMQ_OK ? tell_bad(body, rows, count, to, bad) : err;
}

static smq_err register_rows(struct smq_admin *a, const struct smq_key_rows *rows, bool commit,
			     const struct bad_rows *to, uint64_t *bad)
{
	smq_err err = SMQ_OK;
	for (size_t at = 0; at < rows->count && err == SMQ_OK && !(commit && *bad); at += SMQ_KS_KEYS_MAX) {
		size_t left = rows->count - at;
		err =
		    register_some(a, rows->all + at, left < SMQ_KS_KEYS_MAX ? left : SMQ_KS_KEYS_MAX, commit, to, bad);
	}
	return err;
}

smq_err smq_admin_register_file(smq_admin *a, const char *csv_file, void *self,
				void (*bad_row)(void *self, uint64_t line, const char *why), uint64_t *ret_count,
				const char **ret_why)
{
	struct smq_key_rows rows = { 0 };
	const struct bad_rows to = { self, bad_row };
	smq_err err = smq_key_rows_read(csv_file, self, bad_row, &rows, why_text, sizeof(why_text));
	if (err != SMQ_OK)
		return finish(err, ret_why);
	uint64_t bad = rows.bad;
	/* one request is all or none by itself */
	if (bad == 0 && rows.count > SMQ_KS_KEYS_MAX)
		err = register_rows(a, &rows, false, &to, &bad);
	if (err == SMQ_OK && bad == 0)
		err = register_rows(a, &rows, true, &to, &bad);
	if (err == SMQ_OK && bad > 0)
		err = because(SMQ_ERR_DATA, "%s: %llu of its rows are wrong, and nothing was registered", csv_file,
			      (unsigned long long)bad);
	if (err == SMQ_OK)
		*ret_count = rows.count;
	smq_key_rows_free(&rows);
	return finish(err, ret_why);
}

smq_err smq_admin_unregister(smq_admin *a, const char *name, const char **ret_why)
{
	struct smq_ks_request q = { .what = SMQ_KS_UNREGISTER, .name = smq_span_str(name) };
	smq_span body;
	return finish(ask(a, &q, &body), ret_why);
}

static void take_key(const struct smq_ks_key_line *line, void *self,
		     void (*take)(void *self, const struct smq_registered_info *key))
{
	char name[SMQ_MEMBER_NAME_MAX + 1], kid[2 * SMQ_KID_LEN + 1] = "";
	snprintf(name, sizeof(name), "%.*s", (int)line->name.len, (const char *)line->name.p);
	if (smq_hex_encode(smq_span_of(line->kid, sizeof(line->kid)), kid, sizeof(kid)) != SMQ_OK)
		return;
	struct smq_registered_info info = { .name = name, .kid = kid, .since_ms = line->since_ms };
	take(self, &info);
}

smq_err smq_admin_registered(smq_admin *a, void *self, void (*take)(void *self, const struct smq_registered_info *key),
			     const char **ret_why)
{
	static _Thread_local struct smq_ks_key_line lines[SMQ_KS_PAGE];
	struct smq_ks_request q = { .what = SMQ_KS_REGISTERED };
	smq_err err = SMQ_OK;
	while (err == SMQ_OK && q.offset != SMQ_KS_NO_MORE) {
		smq_span body;
		size_t count = 0;
		err = ask(a, &q, &body);
		if (err == SMQ_OK && (err = smq_ks_registered_decode(body, lines, &count, &q.offset)) != SMQ_OK)
			because(err, "the key server's answer cannot be read: %s", smq_err_text(err));
		for (size_t i = 0; err == SMQ_OK && i < count; i++)
			take_key(&lines[i], self, take);
	}
	return finish(err, ret_why);
}
