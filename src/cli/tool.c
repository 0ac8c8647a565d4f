/* The frame of pub and sub. */
#include "cli/tool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/confine.h>
#include <sealmq/version.h>

#include "cli/cmd_rights.h"
#include "cli/config.h"
#include "cli/mem.h"

/* ---- signals ---- */

static volatile sig_atomic_t signals_seen;

/* The first one asks, the second one insists. */
static void on_signal(int number)
{
	if (signals_seen++ > 0)
		_exit(128 + number);
}

static void catch_signals(sigset_t *ret_before)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t both;
	sigemptyset(&action.sa_mask);
	sigemptyset(&ignore.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	/* Blocked but while waiting, so that none slips in between a check and the wait. */
	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, ret_before);
}

static sigset_t signals_before;

int tool_signals(void) { return signals_seen; }

int64_t tool_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- words ---- */

const char *tool_reason(int protocol, int reason)
{
	static const struct {
		int reason;
		const char *text;
	} words[] = { { 128, "unspecified error" },
		      { 129, "malformed packet" },
		      { 130, "protocol error" },
		      { 131, "implementation specific error" },
		      { 132, "this version of MQTT is not spoken there: try -V 311" },
		      { 133, "client id not accepted" },
		      { 134, "bad user name or password" },
		      { 135, "not authorized" },
		      { 136, "server unavailable" },
		      { 137, "server busy" },
		      { 138, "banned" },
		      { 139, "server shutting down" },
		      { 140, "bad authentication method" },
		      { 141, "keep alive timeout" },
		      { 142, "session taken over by another client with our id" },
		      { 143, "topic filter not accepted" },
		      { 144, "topic name not accepted" },
		      { 147, "receive maximum exceeded" },
		      { 148, "topic alias not accepted" },
		      { 149, "packet too large" },
		      { 150, "message rate too high" },
		      { 151, "quota exceeded" },
		      { 152, "administrative action" },
		      { 153, "payload format not accepted" },
		      { 154, "retained messages not supported" },
		      { 155, "QoS not supported" },
		      { 156, "use another server" },
		      { 157, "server moved" },
		      { 158, "shared subscriptions not supported" },
		      { 159, "connection rate exceeded" },
		      { 160, "maximum connect time" },
		      { 161, "subscription identifiers not supported" },
		      { 162, "wildcard subscriptions not supported" } };
	static const char *const old[] = { "accepted",
					   "this version of MQTT is not spoken there",
					   "client id not accepted",
					   "server unavailable",
					   "bad user name or password",
					   "not authorized" };
	static char text[96];
	const char *word = "no reason known to us";
	if (protocol < 5 && reason >= 0 && reason < (int)(sizeof old / sizeof old[0]))
		word = old[reason];
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (words[i].reason == reason)
			word = words[i].text;
	}
	snprintf(text, sizeof text, "%s (%d)", word, reason);
	return text;
}

static void print_help(bool publishing)
{
	fputs(publishing
		  ? "sealmq pub - publish messages, sealed end to end\n\n"
		    "usage: sealmq pub [--realm DIR] [-h HOST] {--to MEMBER | --group GROUP | --plain} -t TOPIC\n"
		    "                  {-m TEXT | -f FILE | -l | -s | -n | --source SPEC}\n\n"
		    "  sealmq pub --to desk -t plant/a -m 'hello'          one message\n"
		    "  sensor | sealmq pub --to desk -t plant/a -l -q 1    a line, a message\n"
		    "  sealmq pub --to desk -t plant/fridge --source csv:fridge.csv --rate 20 --stats 5\n"
		    "  sealmq pub --plain -t plant/a -m 'open to all'      as mosquitto_pub\n"
		  : "sealmq sub - subscribe to topics and print what opens\n\n"
		    "usage: sealmq sub [--realm DIR] [-h HOST] [--from MEMBER] -t FILTER ... [-F FORMAT]\n\n"
		    "  sealmq sub -t 'plant/#' -v                      topic and payload\n"
		    "  sealmq sub -t 'plant/#' -F '%I %s %t %p'        time, proven sender, topic, payload\n"
		    "  sealmq sub -t 'plant/#' -F %j --from fridge-07  JSON, from one member only\n"
		    "  sealmq sub --plain -t '#' -v                    as mosquitto_sub\n",
	      stdout);
	options_print_help(publishing ? FOR_PUB : FOR_SUB, stdout);
}

/* ---- start ---- */

static bool read_settings(struct tool *t, int argc, char **argv, const char **ret_why)
{
	enum option_user user = t->publishing ? FOR_PUB : FOR_SUB;
	if (!options_look(user, argc, argv, &t->s, ret_why))
		return false;
	if (t->s.help || t->s.version)
		return true;
	smq_err err = smq_config_load(t->s.config_file, &t->config, ret_why);
	if (err) {
		t->config_err = err;
		return false;
	}
	/* weakest first */
	config_apply(t->config, SMQ_ORIGIN_FILE, t->publishing, &t->s);
	if (!options_from_default_file(user, &t->s, ret_why))
		return false;
	config_apply(t->config, SMQ_ORIGIN_ENVIRONMENT, t->publishing, &t->s);
	return options_from_args(user, argc, argv, &t->s, ret_why);
}

static bool end_with(struct tool *t, smq_err err)
{
	tool_end(t, smq_err_exit(err));
	return false;
}

static bool open_realm(struct tool *t)
{
	const char *why = NULL;
	/* without sealing there may be no realm at all */
	if (t->s.plain && !t->s.realm && !getenv("SEALMQ_REALM"))
		return true;
	smq_err err = smq_realm_open(t->s.realm, &t->realm, &why);
	if (err && t->publishing && !t->s.realm && t->s.to.count + t->s.groups.count == 0) {
		report_line(&t->report, "%s", why ? why : smq_err_text(err));
		report_line(&t->report, "for whom? --to MEMBER seals for one member of a realm, --group GROUP for a "
					"group; --plain sends unsealed");
		return end_with(t, SMQ_ERR_USAGE);
	}
	if (err) {
		report_line(&t->report, "%s", why ? why : smq_err_text(err));
		if (!t->s.realm && (err == SMQ_ERR_NOT_FOUND || err == SMQ_ERR_REALM))
			report_line(&t->report,
				    "say where the realm is with --realm DIR, make one with `sealmq ca init`, or go "
				    "unprotected with --plain");
		return end_with(t, err);
	}
	t->options.realm = t->realm;
	return true;
}

enum start_kind { WITH_TOPICS, WITHOUT_TOPICS, WITHOUT_REALM };

static bool start(struct tool *t, const char *name, bool publishing, enum start_kind kind, int argc, char **argv)
{
	const char *why = "";
	*t = (struct tool){ .publishing = publishing, .report = { .tool = name } };
	(void)!smq_memory_guard(NULL); /* where it cannot be had, it is not there: said in THREATS.md */
	settings_init(&t->s);
	t->s.topicless = kind != WITH_TOPICS;
	bool ok = read_settings(t, argc, argv, &why);
	if (ok && (t->s.help || t->s.version)) {
		if (t->s.help)
			print_help(publishing);
		else
			printf("sealmq %s\n", smq_version());
		tool_end(t, 0);
		return false;
	}
	t->report.quiet = ok && t->s.quiet;
	if (t->config_err) {
		report_line(&t->report, "%s", why);
		return end_with(t, t->config_err);
	}
	if (!ok || !settings_finish(&t->s, publishing, &why)) {
		report_line(&t->report, "%s", why);
		report_line(&t->report, "`%s --help` lists the options", t->report.tool);
		return end_with(t, SMQ_ERR_USAGE);
	}
	t->options = settings_client(&t->s, publishing, &t->will);
	config_complete(t->config, publishing, &t->options);
	t->options.self = t;
	return kind == WITHOUT_REALM || open_realm(t);
}

bool tool_start_as(struct tool *t, const char *name, bool publishing, int argc, char **argv)
{
	return start(t, name, publishing, WITH_TOPICS, argc, argv);
}

bool tool_start_bare(struct tool *t, const char *name, int argc, char **argv)
{
	return start(t, name, false, WITHOUT_REALM, argc, argv);
}

bool tool_start_apart(struct tool *t, const char *name, int argc, char **argv)
{
	return start(t, name, false, WITHOUT_TOPICS, argc, argv);
}

bool tool_start(struct tool *t, bool publishing, int argc, char **argv)
{
	return tool_start_as(t, publishing ? "sealmq pub" : "sealmq sub", publishing, argc, argv);
}

/* ---- connecting ---- */

static void when_connected(void *self, int reason, bool session_present)
{
	struct tool *t = self;
	(void)session_present;
	if (reason != 0) {
		report_line(&t->report, "the broker refused the connection: %s",
			    tool_reason((int)t->s.protocol, reason));
		tool_end(t, reason);
		return;
	}
	if (t->ever_connected && !t->connected)
		report_line(&t->report, "connected again");
	t->connected = t->ever_connected = true;
	if (t->on_ready)
		t->on_ready(t);
}

static void never_connected(struct tool *t, smq_err err, bool will_retry)
{
	char place[160];
	const char *host = t->options.host ? t->options.host : "localhost";
	bool tls = t->options.tls.by_realm || t->options.tls.ca_file || t->options.tls.ca_dir ||
		   t->options.tls.os_certs || t->options.tls.psk;
	if (host[0] == '/')
		snprintf(place, sizeof place, "%s", report_shown(host));
	else
		snprintf(place, sizeof place, "%s port %d", report_shown(host),
			 t->options.port ? t->options.port
			 : tls           ? 8883
					 : 1883);
	report_line(&t->report, "cannot connect to %s: %s%s", place, smq_err_text(err),
		    t->keep_trying && will_retry ? "; trying again" : "");
	if (!t->keep_trying || !will_retry)
		/* as mosquitto: what the operating system says no to is 1 */
		tool_end(t, err == SMQ_ERR_TLS || err == SMQ_ERR_PROTOCOL ? smq_err_exit(err) : 1);
}

static void when_disconnected(void *self, smq_err err, int reason, bool will_retry)
{
	struct tool *t = self;
	bool was = t->connected;
	t->connected = false;
	if (t->ending) {
		t->gone = true;
		return;
	}
	if (!t->ever_connected) {
		never_connected(t, err, will_retry);
		return;
	}
	if (!was)
		return;
	/* some brokers hang up on whom they refused a message; the reason was told already */
	if (t->one_shot && t->lost_status) {
		tool_end(t, t->lost_status);
		return;
	}
	if (reason >= 128)
		report_line(&t->report, "the broker ended the connection: %s", tool_reason(5, reason));
	else
		report_line(&t->report, "connection lost: %s", smq_err_text(err ? err : SMQ_ERR_CONNECTION_LOST));
	/* two clients with one id would throw each other out for ever */
	if (reason == 142)
		tool_end(t, reason);
	else if (t->one_shot || !will_retry)
		tool_end(t, reason >= 128 ? reason : smq_err_exit(SMQ_ERR_CONNECTION_LOST));
}

static void when_logged(void *self, int level, const char *line)
{
	struct tool *t = self;
	(void)level;
	report_line(&t->report, "%s", report_shown(line));
}

bool tool_confine(struct tool *t)
{
	struct smq_confined how;
	if (t->s.unconfined)
		return true;
	smq_err err = smq_needs_confine(t->needs, &how);
	if (err != SMQ_OK && err != SMQ_ERR_UNSUPPORTED) {
		report_line(&t->report, "cannot be confined: %s", smq_err_text(err));
		return end_with(t, err);
	}
	const char *words = confined_words(err == SMQ_OK ? &how : NULL);
	if (words)
		report_line(&t->report, "%s", words);
	return true;
}

/* Everything is open and loaded: what comes from the network is yet to come. */
static bool confine_client(struct tool *t)
{
	if (!t->needs)
		t->needs = smq_needs_new("client");
	smq_client_needs(&t->options, t->needs);
	return tool_confine(t);
}

bool tool_connect(struct tool *t)
{
	const char *why = NULL;
	catch_signals(&signals_before);
	t->options.on_connect = when_connected;
	t->options.on_disconnect = when_disconnected;
	if (t->s.debug)
		t->options.on_log = when_logged;
	smq_err err = smq_client_new(&t->options, &t->client, &why);
	if (err) {
		report_line(&t->report, "%s", why ? why : smq_err_text(err));
		/* what was asked for is wrong: 1, as for any other option */
		return smq_err_kind_of(err) == SMQ_KIND_USAGE && err != SMQ_ERR_REALM ? end_with(t, SMQ_ERR_USAGE)
										      : end_with(t, err);
	}
	if (!confine_client(t))
		return false;
	stats_init(&t->stats, t->publishing, tool_now_ms());
	t->next_stats_ms = t->s.stats_s > 0 ? t->stats.start_ms + (int64_t)(t->s.stats_s * 1000) : INT64_MAX;
	err = smq_client_connect(t->client);
	if (err && !t->ending)
		never_connected(t, err, t->keep_trying);
	return !t->ending;
}

/* ---- the loop ---- */

static void print_line(struct tool *t)
{
	if (t->line.len)
		report_text(&t->report, t->line.p, t->line.len);
	t->line.len = 0;
}

/* What is printed as waiting is what waits now, not what ever had to. */
static struct smq_counts counts_now(const struct tool *t)
{
	struct smq_counts counts = smq_client_counts(t->client);
	counts.queued = smq_client_pending(t->client);
	return counts;
}

static void periodic(struct tool *t, int64_t now_ms)
{
	if (now_ms >= t->next_stats_ms) {
		struct smq_counts counts = counts_now(t);
		stats_line(&t->stats, &counts, now_ms, &t->line);
		while (t->next_stats_ms <= now_ms)
			t->next_stats_ms += (int64_t)(t->s.stats_s * 1000);
	}
	report_held_back(&t->report, now_ms, false, &t->line);
	print_line(t);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

bool tool_wait(struct tool *t, int extra_fd, int64_t deadline_ms)
{
	struct pollfd fds[2] = { { .fd = smq_client_fd(t->client), .events = POLLIN },
				 { .fd = extra_fd, .events = POLLIN } };
	int64_t now = tool_now_ms();
	int64_t until = least(deadline_ms, least(t->next_stats_ms, report_due_ms(&t->report)));
	int64_t wait = until > now ? until - now : 0;
	struct timespec timeout = { wait / 1000, wait % 1000 * 1000000 };
	int ready = ppoll(fds, extra_fd >= 0 ? 2 : 1, until == INT64_MAX ? NULL : &timeout, &signals_before);
	if (ready > 0 && fds[0].revents) {
		smq_err err = smq_client_service(t->client);
		if (err && !t->ending) {
			report_line(&t->report, "%s", smq_err_text(err));
			tool_end(t, smq_err_exit(err));
		}
	}
	periodic(t, tool_now_ms());
	return ready > 0 && extra_fd >= 0 && fds[1].revents;
}

/* ---- the end ---- */

void tool_end(struct tool *t, int status)
{
	if (t->ending)
		return;
	t->ending = true;
	t->status = status;
}

static void say_goodbye(struct tool *t)
{
	/* 4: with the will, as mosquitto_sub does when it is interrupted */
	int64_t deadline = tool_now_ms() + (t->s.leave ? 2 * GOODBYE_MS : GOODBYE_MS);
	if (!t->connected || smq_client_disconnect(t->client, tool_signals() && !t->publishing ? 4 : 0))
		return;
	while (!t->gone && tool_now_ms() < deadline)
		tool_wait(t, -1, deadline);
}

int tool_finish(struct tool *t)
{
	if (t->client) {
		say_goodbye(t);
		report_held_back(&t->report, tool_now_ms(), true, &t->line);
		if (t->s.stats_s > 0) {
			struct smq_counts counts = counts_now(t);
			stats_total(&t->stats, &counts, tool_now_ms(), &t->line);
		}
		print_line(t);
		smq_client_free(t->client);
	}
	smq_needs_free(t->needs);
	smq_realm_free(t->realm);
	smq_config_free(t->config);
	buf_free(&t->line);
	settings_done(&t->s);
	return t->status;
}

struct properties tool_properties(const struct tool *t, const char *command)
{
	const struct properties *all = &t->s.properties;
	struct properties some = { 0 };
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->items[i].command, command) != 0)
			continue;
		some.items = mem_array(some.items, some.count + 1, sizeof some.items[0]);
		some.items[some.count++] = all->items[i];
	}
	return some;
}

void tool_trust_event(struct tool *t, const struct smq_event *event)
{
	const char *peer = report_shown(event->peer ? event->peer : "");
	unsigned long long hours = event->took_ms / 3600000;
	switch (event->kind) {
	case SMQ_EVENT_SESSION_ENDED:
		report_line(&t->report, "session with '%s' ended: %s", peer, smq_err_text(event->err));
		break;
	case SMQ_EVENT_CRL_NEW:
		if (t->s.debug)
			report_line(&t->report, "a new revocation list is in force");
		break;
	case SMQ_EVENT_CRL_REFUSED:
		report_line(&t->report, "a new revocation list is not taken, the one before stays in force: %s",
			    smq_err_text(event->err));
		break;
	case SMQ_EVENT_ROOT_NEW:
		report_line(&t->report, "the realm's roots have changed, and are in force");
		break;
	case SMQ_EVENT_IDENTITY_NEW:
		report_line(&t->report, "our certificate was renewed, and is in use");
		break;
	case SMQ_EVENT_IDENTITY_REFUSED:
		report_line(&t->report, "our renewed certificate is not taken, the one before stays in use: %s",
			    smq_err_text(event->err));
		break;
	case SMQ_EVENT_CRL_ENDING:
		report_line(&t->report, "the revocation list ends in %llu h %llu min; put a newer crl.pem in the realm",
			    hours, (unsigned long long)event->took_ms / 60000 % 60);
		break;
	case SMQ_EVENT_CRL_STALE:
		report_line(&t->report, "the revocation list has ended: %s",
			    event->err ? "nobody is trusted until a newer crl.pem is in the realm"
				       : "believed on, as insecure_stale_crl in realm.yaml says");
		break;
	default:
		break;
	}
}

/* A broker that plays old things back does so as often as it likes: a line a second is enough. */
static bool is_told(struct tool *t, int64_t now_ms)
{
	if (now_ms - t->group_told_ms < 1000)
		return false;
	t->group_told_ms = now_ms;
	return true;
}

static void group_trouble(struct tool *t, const struct smq_event *event, const char *group)
{
	const char *what = NULL;
	switch (event->kind) {
	case SMQ_EVENT_GROUP_STALE:
		what = "an old epoch or policy was played back, and refused";
		break;
	case SMQ_EVENT_GROUP_FORK:
		what = "the key server tells two histories; the other one was refused";
		break;
	case SMQ_EVENT_GROUP_TWO_SERVERS:
		what = "two key servers keep it; the other one's history was refused";
		break;
	case SMQ_EVENT_GROUP_FORGED:
		what = "something on its control topics was refused";
		break;
	default:
		return;
	}
	if (is_told(t, tool_now_ms()))
		report_line(&t->report, "group '%s': %s: %s", group, what, smq_err_text(event->err));
}

void tool_group_event(struct tool *t, const struct smq_event *event)
{
	const char *group = report_shown(event->group ? event->group : "");
	const char *text = event->text ? event->text : "";
	unsigned long long epoch = event->epoch, took = event->took_ms;
	switch (event->kind) {
	case SMQ_EVENT_GROUP_REFUSED:
		report_line(&t->report, "group '%s': the key server says no: %s%s%s", group, smq_err_text(event->err),
			    *text ? ": " : "", text);
		break;
	case SMQ_EVENT_GROUP_EXPELLED:
		report_line(&t->report, "group '%s': we are no member any more: %s%s%s", group,
			    smq_err_text(event->err), *text ? ": " : "", text);
		break;
	case SMQ_EVENT_GROUP_WAITING:
		report_line(
		    &t->report, "group '%s': the key server does not answer%s; going on with what is there", group,
		    t->realm && smq_realm_is_registered(t->realm) ? " (it is silent to keys that are not registered)"
								  : "");
		break;
	case SMQ_EVENT_GROUP_EXPIRED:
		report_line(&t->report, "group '%s': epoch %llu has expired, and nobody renewed it: nothing is sealed",
			    group, epoch);
		break;
	case SMQ_EVENT_GROUP_JOINED:
		if (t->s.debug && event->waits_ms > 0)
			report_line(&t->report, "group '%s': joined at epoch %llu, %llu ms; it begins in %llu ms",
				    group, epoch, took, (unsigned long long)event->waits_ms);
		else if (t->s.debug)
			report_line(&t->report, "group '%s': joined at epoch %llu, %llu ms", group, epoch, took);
		break;
	case SMQ_EVENT_GROUP_EPOCH:
		if (t->s.debug)
			report_line(&t->report, "group '%s': epoch %llu", group, epoch);
		break;
	case SMQ_EVENT_GROUP_WILL:
		if (event->err)
			report_line(&t->report, "group '%s': there is no will: %s%s", group, smq_err_text(event->err),
				    event->err == SMQ_ERR_UNSUPPORTED ? ": its slot would have passed" : "");
		else if (t->s.debug)
			report_line(&t->report, "group '%s': the broker has our will, sealed under epoch %llu", group,
				    epoch);
		break;
	case SMQ_EVENT_GROUP_STAYS:
		report_line(&t->report, "group '%s': not left: another process of this realm directory is in it",
			    group);
		break;
	case SMQ_EVENT_GROUP_LEFT:
		if (t->s.debug)
			report_line(&t->report, "group '%s': left", group);
		break;
	default:
		group_trouble(t, event, group);
	}
}
