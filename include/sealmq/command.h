/*
 * Commands, alerts and acknowledgements (PROTOCOL.md 9): sealed in a group, always signed, addressed, good for a while.
 *
 * Who commands:
 *
 *     smq_command_prepare(&client_options);           before smq_client_new: signatures, and the check of others'
 *     smq_command_listen(client);                     for acknowledgements
 *     smq_command_send(client, &command, id, &why);
 *     on_message:  if (smq_command_ack_of(client, message, &ack)) ...
 *
 * Who obeys, declared parameters within declared bounds only:
 *
 *     smq_commands_open(&options, &commands, &why);
 *     smq_command_prepare(&client_options);
 *     smq_commands_listen(commands, client);          after smq_client_new
 *     on_message:  if (smq_commands_take(commands, message)) return;
 *     on_proof:    smq_commands_prove(commands, message, err);
 *     on a timer:  smq_commands_tick(commands);
 *
 * What is obeyed is durable, together with the number of the command, before it is applied and acknowledged: a command
 * is obeyed once, wherever the process is killed, and its values hold after a restart.
 */
#ifndef SEALMQ_COMMAND_H
#define SEALMQ_COMMAND_H

#include <stdbool.h>

#include <sealmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMQ_COMMAND_ID_BYTES = 16, SMQ_COMMAND_LIFE_MAX_MS = 7 * 24 * 3600 * 1000 };

struct smq_setting {
	const char *name, *value;
};

/* What became of a command; in an acknowledgement as a word. */
enum smq_command_result {
	SMQ_COMMAND_APPLIED,           /* "applied"; of an alert: it was taken */
	SMQ_COMMAND_EXPIRED,           /* "expired": it came too late */
	SMQ_COMMAND_EARLY,             /* "in-the-future": issued, by the clock here, more than five minutes from now */
	SMQ_COMMAND_REPLAYED,          /* "replayed": obeyed or refused before */
	SMQ_COMMAND_UNSIGNED,          /* "unsigned": no signature of its sender */
	SMQ_COMMAND_FORBIDDEN,         /* "not-authorized": this sender may not command us */
	SMQ_COMMAND_UNKNOWN_PARAMETER, /* "unknown-parameter" */
	SMQ_COMMAND_OUT_OF_BOUNDS,     /* "out-of-bounds" */
	SMQ_COMMAND_WRONG_TYPE,        /* "wrong-type" */
	SMQ_COMMAND_MALFORMED,         /* "malformed": not a command, or not for us */
	SMQ_COMMAND_BUSY,              /* "busy": too many commands that are still good are remembered */
	SMQ_COMMAND_NOT_STORED,        /* "not-stored": what must be durable could not be written */
	SMQ_COMMAND_RESULTS
};
const char *smq_command_result_name(enum smq_command_result result);
/* SMQ_COMMAND_RESULTS: no such word. */
enum smq_command_result smq_command_result_of(const char *name);
/* The error that a result stands for; SMQ_OK: applied. */
smq_err smq_command_result_err(enum smq_command_result result);

/* Sets what both sides need: sign_commands and the check of signatures; subscribing and publishing both. */
void smq_command_prepare(struct smq_client_options *options);

/* ---- who commands ---- */

struct smq_command {
	const char *group;                  /* whose policy allows it, and whose keys seal it */
	const char *to;                     /* a member; NULL: everybody in the group */
	const struct smq_setting *settings; /* 1 to 32; none: it is an alert */
	size_t setting_count;
	const char *severity, *text; /* of an alert; severity: a word, "warning" by default */
	int64_t life_ms;             /* how long it is good for; 0: 60,000 */
};
/* Seals, signs and sends it at QoS 1, now or once there is a connection; on_published follows. SMQ_ERR_USAGE,
 * SMQ_ERR_NAME, and those of smq_client_publish. ret_id: zeroes, for an id of its own, or the id of a command that is
 * sent once more, which is obeyed once all the same. */
SMQ_MUST_USE smq_err smq_command_send(smq_client *client, const struct smq_command *command,
				      uint8_t ret_id[SMQ_COMMAND_ID_BYTES], uint64_t *ret_ticket, const char **ret_why);

/* The name of the only group that the realm has a key file of, for who names none; false: there is none, or another. */
bool smq_command_only_group(const smq_realm *realm, char ret_group[SMQ_MEMBER_NAME_MAX + 1]);

/* Subscribes to what acknowledges our commands in this group. *ret_id: as smq_client_subscribe. */
SMQ_MUST_USE smq_err smq_command_listen(smq_client *client, const char *group, int *ret_id);

struct smq_command_ack {
	uint8_t id[SMQ_COMMAND_ID_BYTES];
	const char *from; /* certified */
	enum smq_command_result result;
	const char *detail; /* printable */
};
/* Whether the message is an acknowledgement for us that is proven by its sender's signature; the texts live as long as
 * the message, or until the next call in this thread. */
bool smq_command_ack_of(const smq_client *client, const struct smq_message *message, struct smq_command_ack *ret_ack);

/* ---- who obeys ---- */

typedef struct smq_commands smq_commands;

struct smq_command_event {
	enum smq_command_result result;
	const char *from; /* certified, or (unsigned) claimed */
	const char *group;
	const char *detail; /* printable */
	/* of a command that was obeyed: what holds from now on */
	const struct smq_setting *settings;
	size_t setting_count;
	const char *severity, *text; /* of an alert, escaped; else NULL */
	bool at_start;               /* not a command: what held before the last end */
};

struct smq_commands_options {
	const char *file; /* YAML: which parameters there are (FORMATS.md 10) */
	smq_realm *realm; /* outlives this */
	void *self;
	void (*on_event)(void *self, const struct smq_command_event *event);
};
/* Opens what is declared, and what is remembered in the realm directory. SMQ_ERR_LOCKED: another process obeys under
 * this name already. */
SMQ_MUST_USE smq_err smq_commands_open(const struct smq_commands_options *options, smq_commands **ret_commands,
				       const char **ret_why);
/* Subscribes; values that were set before the last end are told at once (at_start). client outlives the use. */
SMQ_MUST_USE smq_err smq_commands_listen(smq_commands *commands, smq_client *client);
/* true: the message was a command, or on a topic of commands, and is dealt with. */
bool smq_commands_take(smq_commands *commands, const struct smq_message *message);
void smq_commands_prove(smq_commands *commands, const struct smq_message *message, smq_err err);
/* Gives up what has waited too long for proof; once a second or so. */
void smq_commands_tick(smq_commands *commands);
/* The value that holds; NULL: none was set. */
const char *smq_commands_value(const smq_commands *commands, const char *name);
void smq_commands_free(smq_commands *commands);

#ifdef __cplusplus
}
#endif
#endif
