/* Commands on real realms and clients: sending them, and obeying them. */
#include <sealmq/command.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "adapters/config_yaml/commands_yaml.h"
#include "adapters/store_files/store_files.h"
#include "app/commands.h"
#include "lib/client_internal.h"
#include "lib/files.h"
#include "lib/line.h"
#include "lib/realm_internal.h"

enum { LIFE_MS = 60000 };

static _Thread_local char why_text[SMQ_WHY_MAX];

static smq_err because(smq_err err, const char **ret_why, const char *why)
{
	snprintf(why_text, sizeof(why_text), "%s", why);
	if (ret_why)
		*ret_why = why_text;
	return err;
}

void smq_command_prepare(struct smq_client_options *o)
{
	o->sign_commands = true;
	if (o->check == SMQ_CHECK_NONE)
		o->check = SMQ_CHECK_PROOF;
	o->only_publishes = o->only_subscribes = false;
}

/* ---- sending ---- */

static smq_err fill(const struct smq_command *c, struct smq_command_document *d)
{
	int64_t life_ms = c->life_ms ? c->life_ms : LIFE_MS;
	*d = (struct smq_command_document){ .to = smq_span_str(c->to ? c->to : ""),
					    .issued_ms = smq_line_clock.now().unix_ms,
					    .body = c->setting_count ? SMQ_BODY_SET : SMQ_BODY_ALERT,
					    .severity = smq_span_str(c->severity ? c->severity : "warning"),
					    .text = smq_span_str(c->text ? c->text : "") };
	if (life_ms < 1000 || life_ms > SMQ_COMMAND_LIFE_MAX_MS || c->setting_count > SMQ_COMMAND_SETTINGS_MAX)
		return SMQ_ERR_USAGE;
	d->expires_ms = d->issued_ms + life_ms;
	for (size_t i = 0; i < c->setting_count; i++)
		d->settings[d->setting_count++] = (struct smq_command_setting){ smq_span_str(c->settings[i].name),
										smq_span_str(c->settings[i].value) };
	return SMQ_OK;
}

smq_err smq_command_send(smq_client *client, const struct smq_command *c, uint8_t ret_id[SMQ_COMMAND_ID_BYTES],
			 uint64_t *ret_ticket, const char **ret_why)
{
	struct smq_command_document d;
	char topic[SMQ_COMMAND_TOPIC_MAX];
	uint8_t room[SMQ_COMMAND_MAX];
	size_t len = 0;
	const smq_realm *realm = smq_client_realm(client);
	if (!realm || !c->group || !smq_name_valid(smq_span_str(c->group)) ||
	    (c->to && !smq_name_valid(smq_span_str(c->to))))
		return because(SMQ_ERR_NAME, ret_why, "a command is for a member, by its certified name, in a group");
	smq_err err = fill(c, &d);
	if (err != SMQ_OK)
		return because(err, ret_why, "a command is good for 1 s to 7 days, and sets at most 32 parameters");
	memcpy(d.id, ret_id, sizeof(d.id));
	if (smq_span_is_zero(smq_span_of(d.id, sizeof(d.id))))
		err = smq_random_system()->fill(smq_random_system()->self, smq_mspan_of(d.id, sizeof(d.id)));
	if (err == SMQ_OK)
		err = smq_command_encode(&d, smq_mspan_of(room, sizeof(room)), &len);
	if (err != SMQ_OK)
		return because(err == SMQ_ERR_NO_ROOM ? SMQ_ERR_TOO_LARGE : err, ret_why,
			       "a parameter is named once, by letters, digits, - and _; values take 256 bytes, an "
			       "alert 1,024, all of valid UTF-8");
	err = smq_command_topic_write(smq_realm_control_prefix(realm), c->group, c->to ? SMQ_TOPIC_TO : SMQ_TOPIC_ALL,
				      c->to, topic);
	const struct smq_publish p = { .topic = topic, .payload = smq_span_of(room, len), .qos = 1, .group = c->group };
	if (err == SMQ_OK)
		err = smq_client_publish(client, &p, ret_ticket);
	if (err != SMQ_OK)
		return because(err, ret_why, smq_err_text(err));
	memcpy(ret_id, d.id, sizeof(d.id));
	return SMQ_OK;
}

bool smq_command_only_group(const smq_realm *realm, char ret_group[SMQ_MEMBER_NAME_MAX + 1])
{
	char path[SMQ_PATH_MAX], found[SMQ_MEMBER_NAME_MAX + 1] = "";
	size_t count = 0;
	DIR *dir = smq_path_join(smq_realm_dir(realm), "groups", path) == SMQ_OK ? opendir(path) : NULL;
	for (const struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
		size_t len = strlen(e->d_name);
		if (len <= 4 || len - 4 > SMQ_MEMBER_NAME_MAX || strcmp(e->d_name + len - 4, ".key") != 0)
			continue;
		snprintf(found, sizeof(found), "%.*s", (int)(len - 4), e->d_name);
		count++;
	}
	if (dir)
		closedir(dir);
	if (count != 1)
		return false;
	memcpy(ret_group, found, sizeof(found));
	return true;
}

smq_err smq_command_listen(smq_client *client, const char *group, int *ret_id)
{
	char topic[SMQ_COMMAND_TOPIC_MAX];
	const smq_realm *realm = smq_client_realm(client);
	if (!realm || !smq_name_valid(smq_span_str(group)))
		return SMQ_ERR_NAME;
	smq_err err = smq_command_topic_write(smq_realm_control_prefix(realm), group, SMQ_TOPIC_ACK,
					      smq_realm_member(realm), topic);
	return err == SMQ_OK ? smq_client_subscribe(client, topic, 1, NULL, 0, ret_id) : err;
}

bool smq_command_ack_of(const smq_client *client, const struct smq_message *m, struct smq_command_ack *ret_ack)
{
	static _Thread_local char detail[SMQ_COMMAND_VALUE_MAX * 4 + 1];
	char word[SMQ_COMMAND_WORD_MAX + 1];
	struct smq_ack_document a;
	smq_span name = { NULL, 0 };
	const smq_realm *realm = smq_client_realm(client);
	if (!realm || m->proof != SMQ_PROOF_PROVEN || m->signer_roles == 0 ||
	    smq_command_topic_read(smq_realm_control_prefix(realm), smq_span_str(m->mqtt.topic), NULL, &name) !=
		SMQ_TOPIC_ACK ||
	    !smq_span_equal(name, smq_span_str(smq_realm_member(realm))) ||
	    smq_ack_decode(m->mqtt.payload, &a) != SMQ_OK)
		return false;
	memcpy(word, a.result.p, a.result.len);
	word[a.result.len] = 0;
	smq_escape(a.detail, detail, sizeof(detail));
	*ret_ack =
	    (struct smq_command_ack){ .from = m->sender, .result = smq_command_result_of(word), .detail = detail };
	memcpy(ret_ack->id, a.id, sizeof(a.id));
	return true;
}

/* ---- obeying ---- */

struct smq_commands {
	struct smq_commands_options options;
	struct smq_parameters parameters;
	struct smq_obeying *obeying;
	smq_client *client; /* NULL until it listens */
};

static smq_err may_command(void *self, const char *group, const char *name, unsigned roles)
{
	const struct smq_commands *c = self;
	return smq_client_may_command(c->client, group, name, roles, smq_realm_member(c->options.realm));
}

static smq_err publish(void *self, const char *group, const char *topic, smq_span payload)
{
	const struct smq_commands *c = self;
	const struct smq_publish p = { .topic = topic, .payload = payload, .qos = 1, .group = group };
	uint64_t ticket;
	return smq_client_publish(c->client, &p, &ticket);
}

/* A directory of its own: its lock keeps a second process of this name from obeying too. */
static smq_err open_store(const smq_realm *realm, struct smq_store *ret_store, const char **ret_why)
{
	char dir[SMQ_PATH_MAX];
	const char *state = smq_realm_state_dir(realm);
	smq_err err = smq_store_files_prepare(state);
	if (err == SMQ_OK)
		err = smq_path_join(state, "commands", dir);
	if (err == SMQ_OK)
		err = smq_store_files_new(dir, ret_store);
	if (err == SMQ_ERR_LOCKED)
		return because(err, ret_why, "another process obeys commands with this realm directory already");
	return err == SMQ_OK ? SMQ_OK : because(err, ret_why, smq_err_text(err));
}

smq_err smq_commands_open(const struct smq_commands_options *options, smq_commands **ret_commands, const char **ret_why)
{
	struct smq_commands *c = calloc(1, sizeof(*c));
	struct smq_store store;
	if (!c)
		return because(SMQ_ERR_NO_MEMORY, ret_why, "out of memory");
	c->options = *options;
	smq_err err = smq_commands_yaml_load(options->file, &c->parameters, why_text, sizeof(why_text));
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	if (err == SMQ_OK)
		err = open_store(options->realm, &store, ret_why);
	if (err == SMQ_OK) {
		const struct smq_commands_config config = { .parameters = &c->parameters,
							    .prefix = smq_realm_control_prefix(options->realm),
							    .name = smq_realm_member(options->realm),
							    .store = store,
							    .clock = smq_line_clock,
							    .self = c,
							    .may_command = may_command,
							    .publish = publish,
							    .event_self = options->self,
							    .on_event = options->on_event };
		err = smq_obeying_new(&config, &c->obeying);
		if (err != SMQ_OK) {
			store.free(store.self);
			because(err, ret_why,
				err == SMQ_ERR_CORRUPT
				    ? "what is remembered of commands (state/commands) does not read "
				      "back; removing it forgets which were obeyed"
				    : smq_err_text(err));
		}
	}
	if (err != SMQ_OK) {
		smq_commands_free(c);
		return err;
	}
	*ret_commands = c;
	return SMQ_OK;
}

smq_err smq_commands_listen(smq_commands *c, smq_client *client)
{
	char topic[SMQ_COMMAND_TOPIC_MAX];
	const char *prefix = smq_realm_control_prefix(c->options.realm), *name = smq_realm_member(c->options.realm);
	int id;
	c->client = client;
	smq_err err = smq_command_topic_write(prefix, "+", SMQ_TOPIC_TO, name, topic);
	if (err == SMQ_OK)
		err = smq_client_subscribe(client, topic, 1, NULL, 0, &id);
	if (err == SMQ_OK)
		err = smq_command_topic_write(prefix, "+", SMQ_TOPIC_ALL, NULL, topic);
	if (err == SMQ_OK)
		err = smq_client_subscribe(client, topic, 1, NULL, 0, &id);
	if (err == SMQ_OK)
		smq_obeying_tell(c->obeying);
	return err;
}

bool smq_commands_take(smq_commands *c, const struct smq_message *message)
{
	return c->client && smq_obeying_take(c->obeying, message);
}

void smq_commands_prove(smq_commands *c, const struct smq_message *message, smq_err err)
{
	smq_obeying_prove(c->obeying, message, err);
}

void smq_commands_tick(smq_commands *c) { smq_obeying_tick(c->obeying); }

const char *smq_commands_value(const smq_commands *c, const char *name)
{
	for (size_t i = 0; i < c->parameters.count; i++) {
		const struct smq_parameter *p = &c->parameters.all[i];
		if (p->is_set && strcmp(p->name, name) == 0)
			return p->value;
	}
	return NULL;
}

void smq_commands_free(smq_commands *c)
{
	if (!c)
		return;
	smq_obeying_free(c->obeying);
	free(c);
}
