/*
 * Obeying commands (PROTOCOL.md 9): the use case behind smq_commands. Messages that were opened come in; what is in
 * order is durable before it is told and acknowledged, the rest is refused, each with its own word.
 */
#ifndef SMQ_APP_COMMANDS_H
#define SMQ_APP_COMMANDS_H

#include <sealmq/command.h>

#include "app/clock.h"
#include "app/store.h"
#include "wire/command.h"

enum {
	SMQ_PARAMETERS_MAX = 32,
	SMQ_PARAMETER_WORDS_MAX = 16, /* values of one text */
	SMQ_COMMAND_FROM_MAX = 16,    /* patterns of the file's own list */
	SMQ_COMMANDS_SEEN_MAX = 256,  /* commands remembered that are still good */
	SMQ_COMMANDS_HELD_MAX = 16,   /* that wait for the certificate of their sender */
	SMQ_COMMANDS_HELD_MS = 15000,
	SMQ_COMMANDS_EARLY_MS = 5 * 60 * 1000, /* how far clocks may be apart */
	SMQ_COMMANDS_ACKS_PER_S = 20           /* each costs a signature */
};

enum smq_parameter_type { SMQ_PARAMETER_NUMBER, SMQ_PARAMETER_INTEGER, SMQ_PARAMETER_BOOLEAN, SMQ_PARAMETER_TEXT };

struct smq_parameter {
	char name[SMQ_COMMAND_NAME_MAX + 1];
	enum smq_parameter_type type;
	bool has_type, has_min, has_max;
	double min, max;                                               /* inclusive; of numbers */
	char words[SMQ_PARAMETER_WORDS_MAX][SMQ_COMMAND_NAME_MAX + 1]; /* that a text may be */
	size_t word_count;
	char value[SMQ_COMMAND_VALUE_MAX + 1]; /* that was set */
	bool is_set;
};

/* What a file declares. */
struct smq_parameters {
	struct smq_parameter all[SMQ_PARAMETERS_MAX];
	size_t count;
	char from[SMQ_COMMAND_FROM_MAX][SMQ_COMMAND_NAME_MAX + 1]; /* patterns of who may command at all */
	size_t from_count;
};

/* SMQ_COMMAND_APPLIED: it may be set so. */
enum smq_command_result smq_parameter_check(const struct smq_parameters *p, smq_span name, smq_span value);

struct smq_commands_config {
	struct smq_parameters *parameters; /* outlives it; values are kept there */
	const char *prefix, *name;         /* the control prefix, and our own name; outlive it */
	struct smq_store store;            /* owned from here on */
	struct smq_clock clock;
	void *self;
	/* Whether the group's policy lets them command us; SMQ_ERR_NOT_FOUND: it has none. */
	smq_err (*may_command)(void *self, const char *group, const char *name, unsigned roles);
	/* Signed and sealed for the group, at QoS 1. */
	smq_err (*publish)(void *self, const char *group, const char *topic, smq_span payload);
	void *event_self;
	void (*on_event)(void *self, const struct smq_command_event *event);
};

struct smq_obeying;

/* Takes what was remembered. SMQ_ERR_CORRUPT: it does not read back. */
SMQ_MUST_USE smq_err smq_obeying_new(const struct smq_commands_config *config, struct smq_obeying **ret_obeying);
bool smq_obeying_take(struct smq_obeying *o, const struct smq_message *message);
void smq_obeying_prove(struct smq_obeying *o, const struct smq_message *message, smq_err err);
void smq_obeying_tick(struct smq_obeying *o);
/* Tells what holds since before the start. */
void smq_obeying_tell(struct smq_obeying *o);
void smq_obeying_free(struct smq_obeying *o);

#endif
