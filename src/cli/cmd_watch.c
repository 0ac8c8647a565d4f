/* `sealmq watch`: finds the abnormal in a broker's logs. */
#include "cli/cmd_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sealmq/text.h>
#include <sealmq/watch.h>

#include "cli/cmd_broker_say.h"
#include "cli/cmd_rights.h"
#include "cli/stop.h"

enum { JSON_LEN = 16384, METRICS_LEN = 16384, FILES_MAX = 60, STATUS_BELOW = 90 };

static const char help_watch[] =
    "sealmq watch [DIR] [options]\n\n"
    "Follows the logs of a deployment and raises alarms: guessing of passwords and certificates, probing of the ACL,\n"
    "storms, loops, scans, broken packets, forged and replayed messages, senders that leave their own history.\n\n"
    "  --file PATH         a further log, of Mosquitto, NGINX, or standard error of `sealmq sub`; \"-\": standard "
    "input\n"
    "  --rules FILE        thresholds in YAML (default: DIR/watch.yaml where there is one)\n"
    "  --rules-list        print all rules with their thresholds as such a file, and end\n"
    "  --position FILE     where to go on next time (default: DIR/run/watch.position)\n"
    "  --once              read to the end and end, for cron: status 0 no alarm, 91 low, 92 medium, 93 high, 94 "
    "critical\n"
    "  --from-start        read files that are new to it from their start (default with --once), not from their end\n"
    "  --metrics FILE      write counters in Prometheus' text format, for node_exporter's textfile collector\n"
    "  --metrics-port N    the same as /metrics over HTTP on 127.0.0.1, and /healthz\n"
    "  --unconfined        keep all rights that the user has (for debuggers); see `sealmq rights`\n"
    "  --json              alarms as JSON, one a line; for example into `sealmq pub -l`, which seals them\n";

enum {
	O_HELP = 1,
	O_JSON,
	O_FILE,
	O_RULES,
	O_RULES_LIST,
	O_POSITION,
	O_ONCE,
	O_FROM_START,
	O_METRICS,
	O_METRICS_PORT,
	O_UNCONFINED
};

static const struct option options_watch[] = {
	{ "help", no_argument, NULL, O_HELP },
	{ "json", no_argument, NULL, O_JSON },
	{ "file", required_argument, NULL, O_FILE },
	{ "rules", required_argument, NULL, O_RULES },
	{ "rules-list", no_argument, NULL, O_RULES_LIST },
	{ "position", required_argument, NULL, O_POSITION },
	{ "once", no_argument, NULL, O_ONCE },
	{ "from-start", no_argument, NULL, O_FROM_START },
	{ "metrics", required_argument, NULL, O_METRICS },
	{ "metrics-port", required_argument, NULL, O_METRICS_PORT },
	{ "unconfined", no_argument, NULL, O_UNCONFINED },
	{ NULL, 0, NULL, 0 },
};

struct watch_args {
	struct smq_watch_options o;
	const char *files[FILES_MAX];
	const char *metrics;
	bool json, metrics_failed;
};

static int fail(smq_err err, const char *text)
{
	fprintf(stderr, "sealmq watch: %s\n", text && *text ? text : smq_err_text(err));
	return smq_err_exit(err);
}

static int misuse(const char *text, const char *word)
{
	char shown[120] = "";
	if (word)
		smq_escape(smq_span_str(word), shown, sizeof(shown));
	fprintf(stderr, "sealmq watch: %s%s%s%s; see `sealmq watch --help`\n", text, word ? " '" : "", shown,
		word ? "'" : "");
	return smq_err_exit(SMQ_ERR_USAGE);
}

/* ---- what it says ---- */

static void say_text(const struct smq_watch_alarm *a)
{
	char first[BROKER_TIME_LEN];
	char last[BROKER_TIME_LEN];
	broker_time(a->first_s * 1000, first);
	broker_time(a->last_s * 1000, last);
	printf("%s %s: %s (%s): %llu", last, smq_severity_name(a->severity), a->text, a->rule,
	       (unsigned long long)a->count);
	if (a->repeats > a->count)
		printf(", %llu since the last alarm", (unsigned long long)a->repeats);
	printf(" from %s\n", first);
	for (size_t i = 0; i < SMQ_WATCH_EVIDENCE && a->evidence[i]; i++)
		printf("    %s\n", a->evidence[i]);
}

static void say_alarm(void *self, const struct smq_watch_alarm *alarm)
{
	const struct watch_args *a = self;
	char text[JSON_LEN];
	size_t len = 0;
	if (!a->json)
		say_text(alarm);
	else if (smq_watch_alarm_json(alarm, smq_mspan_of(text, sizeof(text)), &len) == SMQ_OK)
		puts(text);
	(void)fflush(stdout);
}

/* Whole or not at all, as whoever collects it may come at any time. */
static void put_metrics(void *self, const struct smq_watch_totals *totals)
{
	struct watch_args *a = self;
	char text[METRICS_LEN];
	char made[4096];
	size_t len = 0;
	if (!a->metrics || smq_watch_metrics(totals, smq_mspan_of(text, sizeof(text)), &len) != SMQ_OK ||
	    snprintf(made, sizeof(made), "%s.new", a->metrics) >= (int)sizeof(made))
		return;
	FILE *file = fopen(made, "we");
	bool good = file && fwrite(text, 1, len, file) == len;
	good = file && fclose(file) == 0 && good;
	good = good && rename(made, a->metrics) == 0;
	if (!good && !a->metrics_failed)
		fprintf(stderr, "sealmq watch: the metrics cannot be written: %s\n", strerror(errno));
	a->metrics_failed = !good;
}

static void say_confined(void *self, const struct smq_confined *how)
{
	(void)self;
	if (confined_words(how))
		fprintf(stderr, "sealmq watch: %s\n", confined_words(how));
}

/* ---- what it is asked ---- */

static int take(struct watch_args *a, int option, const char *text)
{
	switch (option) {
	case O_JSON:
		a->json = true;
		break;
	case O_ONCE:
		a->o.once = true;
		break;
	case O_FROM_START:
		a->o.from_start = true;
		break;
	case O_UNCONFINED:
		a->o.confine = false;
		break;
	case O_RULES:
		a->o.rules = text;
		break;
	case O_POSITION:
		a->o.position = text;
		break;
	case O_METRICS_PORT:
		if (!broker_number(text, 1, 65535, &a->o.http_port))
			return misuse("a number from 1 to 65535 is wanted, not", text);
		break;
	case O_METRICS:
		a->metrics = text;
		break;
	default:
		if (a->o.file_count == FILES_MAX)
			return misuse("too many files, this one is:", text);
		a->files[a->o.file_count++] = text;
	}
	return 0;
}

/* -1: go on; otherwise the exit status. */
static int parse(int argc, char **argv, struct watch_args *a)
{
	int option;
	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, "", options_watch, NULL)) != -1) {
		if (option == O_HELP) {
			fputs(help_watch, stdout);
			return broker_flushed();
		}
		if (option == O_RULES_LIST) {
			fputs(smq_watch_rules_text(), stdout);
			return broker_flushed();
		}
		if (option == '?')
			return misuse("unknown option, or its value is missing:", argv[optind - 1]);
		int status = take(a, option, optarg);
		if (status != 0)
			return status;
	}
	a->o.dir = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return misuse("one name too many:", argv[optind]);
	if (!a->o.dir && a->o.file_count == 0)
		return misuse("watch needs the directory of a deployment, or --file", NULL);
	return -1;
}

int cmd_watch(int argc, char **argv)
{
	struct watch_args a = { .o = { .confine = true, .on_confined = say_confined } };
	struct smq_watch_totals totals;
	const char *why = NULL;
	int status = parse(argc, argv, &a);
	if (status >= 0)
		return status;
	a.o.stop_fd = stop_descriptor();
	if (a.o.stop_fd < 0)
		return fail(SMQ_ERR_IO, strerror(errno));
	a.o.files = a.files;
	a.o.writes = a.metrics;
	a.o.self = &a;
	a.o.on_alarm = say_alarm;
	a.o.on_totals = put_metrics;
	smq_err err = smq_watch_run(&a.o, &totals, &why);
	if (err != SMQ_OK)
		return fail(err, why);
	status = broker_flushed();
	return status == 0 && a.o.once && totals.worst ? STATUS_BELOW + (int)totals.worst : status;
}
