/* `sealmq broker run`: a deployment as children of this process. */
#include "cli/cmd_broker_run.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/broker.h>
#include <sealmq/text.h>

#include "cli/cmd_broker_say.h"
#include "cli/cmd_rights.h"
#include "cli/stop.h"

enum { JSON_LEN = 4096 };

static const char help_run[] =
    "sealmq broker run DIR [options]\n\n"
    "Runs Mosquitto and NGINX as `sealmq broker init` made them, as children: looks after their health, starts them\n"
    "again with a growing pause when they end, reloads what `init` exchanged, cuts off who was revoked, and ends them "
    "when\n"
    "it is ended (SIGTERM, SIGINT). They end with it even if it is killed. One line for each thing that happens.\n\n"
    "  --port N              another port than the configured one\n"
    "  --password-port N     the same for clients with passwords\n"
    "  --free-ports          take free ports for all that are not given; the line \"ready\" names them\n"
    "  --realm DIR           follow the revocation list of this authority (default: DIR/certs/crl.pem as it is)\n"
    "  --member DIR          take revocation lists over MQTT, as the member with this realm directory\n"
    "  --health-every S      seconds between two looks at their health (default: 30)\n"
    "  --metrics-port N      /metrics for Prometheus and /healthz, over HTTP on 127.0.0.1\n"
    "  --unconfined          keep all rights that the user has, for the programs too; see `sealmq rights`\n"
    "  --json                the lines as JSON\n";

enum {
	O_HELP = 1,
	O_JSON,
	O_PORT,
	O_PASSWORD_PORT,
	O_FREE_PORTS,
	O_REALM,
	O_MEMBER,
	O_HEALTH_EVERY,
	O_METRICS_PORT,
	O_UNCONFINED
};

static const struct option options_run[] = {
	{ "help", no_argument, NULL, O_HELP },
	{ "json", no_argument, NULL, O_JSON },
	{ "port", required_argument, NULL, O_PORT },
	{ "password-port", required_argument, NULL, O_PASSWORD_PORT },
	{ "free-ports", no_argument, NULL, O_FREE_PORTS },
	{ "realm", required_argument, NULL, O_REALM },
	{ "ca", required_argument, NULL, O_REALM },
	{ "member", required_argument, NULL, O_MEMBER },
	{ "health-every", required_argument, NULL, O_HEALTH_EVERY },
	{ "metrics-port", required_argument, NULL, O_METRICS_PORT },
	{ "unconfined", no_argument, NULL, O_UNCONFINED },
	{ NULL, 0, NULL, 0 },
};

struct run_args {
	const char *dir;
	struct smq_broker_run_options o;
	bool json;
};

static const char *const kind_names[] = { "started",  "ready",   "ended",   "unwell",
					  "reloaded", "revoked", "trouble", "stopped" };

/* ---- what it says ---- */

static void say_json(const struct smq_broker_event *e, const char *now)
{
	char text[JSON_LEN];
	size_t len = 0;
	struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
	const struct {
		const char *name;
		int64_t value;
	} numbers[] = { { "pid", e->pid },
			{ "port", e->port },
			{ "password_port", e->password_port },
			{ "wss_port", e->wss_port },
			{ "again_ms", e->again_ms } };
	smq_json_object(&j);
	smq_json_key(&j, "time");
	smq_json_str(&j, now);
	smq_json_key(&j, "event");
	smq_json_str(&j, kind_names[e->kind]);
	if (*e->program) {
		smq_json_key(&j, "program");
		smq_json_str(&j, e->program);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!numbers[i].value)
			continue;
		smq_json_key(&j, numbers[i].name);
		smq_json_int(&j, numbers[i].value);
	}
	if (*e->text) {
		smq_json_key(&j, "text");
		smq_json_str(&j, e->text);
	}
	smq_json_end(&j);
	if (smq_json_finish(&j, &len) == SMQ_OK)
		puts(text);
}

static void how_it_ended(const struct smq_broker_event *e)
{
	if (WIFSIGNALED(e->status))
		printf("%s was ended by signal %d", e->program, WTERMSIG(e->status));
	else
		printf("%s ended with status %d", e->program, WEXITSTATUS(e->status));
	printf("; again in %.2f s%s%s\n", (double)e->again_ms / 1000, *e->text ? ": " : "", e->text);
}

static void say_text(const struct smq_broker_event *e)
{
	switch (e->kind) {
	case SMQ_BROKER_STARTED:
		printf("%s started, pid %d\n", e->program, e->pid);
		break;
	case SMQ_BROKER_READY:
		printf("ready: port %d for members with certificates", e->port);
		if (e->password_port)
			printf(", port %d for clients with passwords", e->password_port);
		if (e->wss_port)
			printf(", port %d for browsers", e->wss_port);
		putchar('\n');
		break;
	case SMQ_BROKER_ENDED:
		how_it_ended(e);
		break;
	case SMQ_BROKER_UNWELL:
		printf("%s runs and does not answer: it is started anew\n", e->program);
		break;
	case SMQ_BROKER_RELOADED:
		puts("reloaded");
		break;
	case SMQ_BROKER_REVOKED:
		puts("new revocations: mosquitto starts anew, so that nobody stays who was revoked");
		break;
	case SMQ_BROKER_TROUBLE:
		printf("trouble: %s\n", e->text);
		break;
	case SMQ_BROKER_STOPPED:
		printf("%s stopped\n", e->program);
		break;
	}
}

static void say_event(void *self, const struct smq_broker_event *e)
{
	const struct run_args *a = self;
	char now[BROKER_TIME_LEN];
	broker_time((int64_t)time(NULL) * 1000, now);
	if (a->json) {
		say_json(e, now);
	} else {
		printf("%s ", now);
		say_text(e);
	}
	(void)fflush(stdout);
}

static void say_confined(void *self, const struct smq_confined *how)
{
	(void)self;
	if (confined_words(how))
		fprintf(stderr, "sealmq broker: %s\n", confined_words(how));
}

/* ---- what it is asked ---- */

static int take(struct run_args *a, int option, const char *text)
{
	int *number = option == O_PORT            ? &a->o.port
		      : option == O_PASSWORD_PORT ? &a->o.password_port
		      : option == O_HEALTH_EVERY  ? &a->o.health_every_s
		      : option == O_METRICS_PORT  ? &a->o.http_port
						  : NULL;
	if (number && !broker_number(text, 1, 65535, number))
		return broker_misuse("a number from 1 to 65535 is wanted, not", text);
	if (option == O_JSON)
		a->json = true;
	if (option == O_UNCONFINED)
		a->o.confine = false;
	if (option == O_FREE_PORTS)
		a->o.free_ports = true;
	if (option == O_REALM)
		a->o.ca = text;
	if (option == O_MEMBER)
		a->o.member = text;
	return 0;
}

/* -1: go on; otherwise the exit status. */
static int parse(int argc, char **argv, struct run_args *a)
{
	int option;
	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, "", options_run, NULL)) != -1) {
		if (option == O_HELP) {
			fputs(help_run, stdout);
			return broker_flushed();
		}
		if (option == '?')
			return broker_misuse("unknown option, or its value is missing:", argv[optind - 1]);
		int status = take(a, option, optarg);
		if (status != 0)
			return status;
	}
	a->dir = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return broker_misuse("one name too many:", argv[optind]);
	if (!a->dir)
		return broker_misuse("run needs the directory of a deployment", NULL);
	return -1;
}

int broker_run(int argc, char **argv)
{
	struct run_args a = { .o = { .confine = true, .on_confined = say_confined } };
	const char *why = NULL;
	int status = parse(argc, argv, &a);
	if (status >= 0)
		return status;
	a.o.stop_fd = stop_descriptor();
	if (a.o.stop_fd < 0)
		return broker_fail(SMQ_ERR_IO, strerror(errno));
	(void)signal(SIGPIPE, SIG_IGN); /* whoever reads our lines may go; the broker stays */
	a.o.self = &a;
	a.o.on_event = say_event;
	smq_err err = smq_broker_run(a.dir, &a.o, &why);
	return err == SMQ_OK ? 0 : broker_fail(err, why);
}
