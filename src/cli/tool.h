/*
 * What pub and sub have in common: reading the settings, opening realm and client, the loop over the client's
 * descriptor, signals, connecting and losing the connection, and the status to end with.
 */
#ifndef SMQ_CLI_TOOL_H
#define SMQ_CLI_TOOL_H

#include <sealmq/config.h>
#include <sealmq/confine.h>

#include "cli/options.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "cli/stats.h"

enum { GOODBYE_MS = 2000, DRAIN_MS = 2000 };

struct tool {
	bool publishing;
	struct settings s;
	struct report report;
	struct stats stats;
	struct buf line; /* room for lines on standard error */
	smq_config *config;
	smq_err config_err;
	smq_realm *realm;
	smq_client *client;
	struct smq_mqtt_message will;
	struct smq_client_options options;

	bool connected, ever_connected;
	bool keep_trying; /* even if the first attempt to connect fails */
	bool one_shot;    /* a lost connection ends the tool */
	int lost_status;  /* ... with this status, if it is known better than "lost" */
	bool ending;      /* status is decided */
	bool gone;        /* the connection is closed */
	int status;
	int64_t next_stats_ms;
	int64_t group_told_ms;
	smq_needs *needs;                 /* beyond the client's; freed with the tool */
	void (*on_ready)(struct tool *t); /* connected, again and again */
};

/*
 * Settings from everywhere, then the realm; sets up t->options, whose callbacks the caller completes before
 * tool_connect. false: the tool ends with t->status (0 after --help).
 */
bool tool_start(struct tool *t, bool publishing, int argc, char **argv);
/* The same for another command that subscribes, by its own name: "sealmq record". */
bool tool_start_as(struct tool *t, const char *name, bool publishing, int argc, char **argv);
/* The same for one that needs the realm and the way to the broker alone, and takes sub's options for both. */
bool tool_start_apart(struct tool *t, const char *name, int argc, char **argv);
/* The same for one that opens realms itself. */
bool tool_start_bare(struct tool *t, const char *name, int argc, char **argv);
/* Makes the client, gives up what it and t->needs do not need, and starts connecting. */
bool tool_connect(struct tool *t);
/* Gives up all but t->needs, where --unconfined does not say otherwise. false: the tool ends. */
bool tool_confine(struct tool *t);
/* Waits until the client, extra_fd (-1: none) or the deadline has something to do; true if extra_fd can be read. */
bool tool_wait(struct tool *t, int extra_fd, int64_t deadline_ms);
/* The status is decided: the first call wins. */
void tool_end(struct tool *t, int status);
/* Says goodbye to the broker, prints the last numbers, frees everything; returns the status. */
int tool_finish(struct tool *t);

/* What happened to trust: a peer revoked, a revocation list exchanged or at its end. Other events are left alone. */
void tool_trust_event(struct tool *t, const struct smq_event *event);

/* Signals asked to end so far. */
int tool_signals(void);
int64_t tool_now_ms(void); /* monotonic */

/* The properties of one packet, copied side by side; free the items. */
struct properties tool_properties(const struct tool *t, const char *command);
/* "not authorized (135)" for an MQTT reason code; valid until the next call. */
const char *tool_reason(int protocol, int reason);
/* Says what happened to a group at a key server, where people want to know. Other events are left alone. */
void tool_group_event(struct tool *t, const struct smq_event *event);

#endif
