/* `sealmq broker check`: what would hurt at a broker. */
#include "cli/cmd_broker_check.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/broker.h>
#include <sealmq/text.h>

#include "cli/cmd_broker_say.h"

enum { JSON_LEN = 16384, SHOWN_LEN = 2048, STATUS_BELOW = 90 };

static const char help_check[] =
    "sealmq broker check TARGET [options]\n\n"
    "Finds what would hurt at a broker: a deployment's directory, /etc/mosquitto, a mosquitto.conf, or a running one "
    "as\n"
    "HOST:PORT. Each finding has a severity, a reason and the line to write. It changes nothing.\n\n"
    "  --least SEVERITY   only findings of low (default), medium, high or critical and above\n"
    "  --timeout S        for each connection to an address (default: 5)\n"
    "  --json             findings and counts as one JSON object\n\n"
    "Exit status: 0 nothing found, 91 low, 92 medium, 93 high, 94 critical; others: it could not be checked.\n";

enum { O_HELP = 1, O_JSON, O_LEAST, O_TIMEOUT };

static const struct option options_check[] = {
	{ "help", no_argument, NULL, O_HELP },
	{ "json", no_argument, NULL, O_JSON },
	{ "least", required_argument, NULL, O_LEAST },
	{ "timeout", required_argument, NULL, O_TIMEOUT },
	{ NULL, 0, NULL, 0 },
};

struct check_args {
	const char *target;
	struct smq_broker_check_options o;
	enum smq_severity least, worst;
	bool json, first;
};

/* ---- what it says ---- */

static void say_json(struct check_args *a, const struct smq_finding *f)
{
	char text[JSON_LEN];
	size_t len = 0;
	struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
	smq_json_object(&j);
	smq_json_key(&j, "severity");
	smq_json_str(&j, smq_severity_name(f->severity));
	smq_json_key(&j, "rule");
	smq_json_str(&j, f->rule);
	smq_json_key(&j, "where");
	smq_json_str(&j, f->file);
	smq_json_key(&j, "line");
	if (f->line)
		smq_json_int(&j, f->line);
	else
		smq_json_null(&j);
	smq_json_key(&j, "reason");
	smq_json_str(&j, f->reason);
	smq_json_key(&j, "write");
	smq_json_str(&j, f->write);
	smq_json_end(&j);
	if (smq_json_finish(&j, &len) == SMQ_OK)
		printf("%s%s", a->first ? "" : ",", text);
	a->first = false;
}

static void say_finding(void *self, const struct smq_finding *f)
{
	struct check_args *a = self;
	char where[SHOWN_LEN];
	if (f->severity < a->least)
		return;
	a->worst = f->severity > a->worst ? f->severity : a->worst;
	if (a->json) {
		say_json(a, f);
		return;
	}
	smq_escape(smq_span_str(f->file), where, sizeof(where));
	printf("%-8s %s", smq_severity_name(f->severity), where);
	if (f->line)
		printf(":%d", f->line);
	printf("\n         %s (%s)\n         write: %s\n", f->reason, f->rule, f->write);
}

static void say_counts(const struct check_args *a, const struct smq_broker_checked *done)
{
	size_t all = 0;
	for (int s = SMQ_SEVERITY_LOW; s <= SMQ_SEVERITY_CRITICAL; s++)
		all += done->counts[s];
	if (a->json)
		printf("],\"counts\":{");
	else if (all == 0)
		puts("nothing found that would hurt");
	for (int s = SMQ_SEVERITY_LOW; s <= SMQ_SEVERITY_CRITICAL; s++) {
		const char *name = smq_severity_name((enum smq_severity)s);
		if (a->json)
			printf("%s\"%s\":%zu", s > SMQ_SEVERITY_LOW ? "," : "", name, done->counts[s]);
		else if (all)
			printf("%s%zu %s", s > SMQ_SEVERITY_LOW ? ", " : "", done->counts[s], name);
	}
	if (a->json)
		puts("}}");
	else if (all)
		putchar('\n');
}

/* ---- what it is asked ---- */

static int take(struct check_args *a, int option, const char *text)
{
	int seconds = 0;
	switch (option) {
	case O_JSON:
		a->json = true;
		return 0;
	case O_TIMEOUT:
		if (!broker_number(text, 1, 600, &seconds))
			return broker_misuse("a number from 1 to 600 is wanted, not", text);
		a->o.timeout_ms = seconds * 1000;
		return 0;
	default:
		for (int s = SMQ_SEVERITY_LOW; s <= SMQ_SEVERITY_CRITICAL; s++) {
			if (strcmp(text, smq_severity_name((enum smq_severity)s)) == 0) {
				a->least = (enum smq_severity)s;
				return 0;
			}
		}
		return broker_misuse("low, medium, high or critical is wanted, not", text);
	}
}

/* -1: go on; otherwise the exit status. */
static int parse(int argc, char **argv, struct check_args *a)
{
	int option;
	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, "", options_check, NULL)) != -1) {
		if (option == O_HELP) {
			fputs(help_check, stdout);
			return broker_flushed();
		}
		if (option == '?')
			return broker_misuse("unknown option, or its value is missing:", argv[optind - 1]);
		int status = take(a, option, optarg);
		if (status != 0)
			return status;
	}
	a->target = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return broker_misuse("one name too many:", argv[optind]);
	if (!a->target)
		return broker_misuse("check needs a directory, a mosquitto.conf, or HOST:PORT", NULL);
	return -1;
}

int broker_check(int argc, char **argv)
{
	struct check_args a = { .least = SMQ_SEVERITY_LOW, .first = true };
	struct smq_broker_checked done;
	const char *why = NULL;
	int status = parse(argc, argv, &a);
	if (status >= 0)
		return status;
	a.o.self = &a;
	a.o.on_finding = say_finding;
	if (a.json) {
		char target[SHOWN_LEN];
		struct smq_json j = smq_json_on(smq_mspan_of(target, sizeof(target)));
		size_t len = 0;
		smq_json_str(&j, a.target);
		printf("{\"target\":%s,\"findings\":[", smq_json_finish(&j, &len) == SMQ_OK ? target : "null");
	}
	smq_err err = smq_broker_check(a.target, &a.o, &done, &why);
	if (err != SMQ_OK) {
		if (a.json)
			puts("]}");
		return broker_fail(err, why);
	}
	say_counts(&a, &done);
	status = broker_flushed();
	return status == 0 && a.worst ? STATUS_BELOW + (int)a.worst : status;
}
