/* `sealmq ca token`, `serve` and `enrol`: enrolment over the network. */
#include "cli/cmd_ca_serve.h"

#include <signal.h>
#include <stdio.h>

#include <sealmq/enrol.h>
#include <sealmq/text.h>

#include "cli/cmd_ca_say.h"
#include "cli/cmd_rights.h"

enum { STEP_MS = 1000, SHOWN = 400 };

int ca_run_token(struct ca_args *a)
{
	struct smq_ca_token_options o = {
		.name = a->word, .roles = a->roles, .days = a->days, .hours = a->hours, .reissue = a->reissue
	};
	char token[SMQ_CA_TOKEN_LEN + 1];
	char text[CA_JSON_LEN];
	const char *why = NULL;
	smq_err err = smq_ca_token(a->ca, &o, token, &why);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	if (!a->json) {
		printf("%s\n", token);
		return ca_flushed();
	}
	struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
	smq_json_object(&j);
	smq_json_key(&j, "name");
	smq_json_str(&j, a->word);
	smq_json_key(&j, "token");
	smq_json_str(&j, token);
	smq_json_key(&j, "hours");
	smq_json_int(&j, a->hours ? a->hours : SMQ_CA_TOKEN_HOURS);
	smq_json_end(&j);
	return ca_print_json(&j, text);
}

/* ---- serve ---- */

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static void say_in_words(const struct smq_ca_server_event *e)
{
	char name[SHOWN];
	char why[SHOWN];
	smq_escape(smq_span_str(e->name), name, sizeof(name));
	smq_escape(smq_span_str(e->why), why, sizeof(why));
	if (e->own)
		printf("%s%s%s\n", e->operation, e->err ? ": " : "", e->err ? smq_err_text(e->err) : "");
	else if (e->err == SMQ_OK)
		printf("%s: %s got %s\n", e->operation, name, e->issued->serial);
	else
		printf("%s: '%s' refused: %s%s%s\n", e->operation, name, smq_err_text(e->err), *why ? ": " : "", why);
}

static void say_as_json(const struct smq_ca_server_event *e)
{
	char text[CA_JSON_LEN];
	size_t len = 0;
	struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
	smq_json_object(&j);
	smq_json_key(&j, "operation");
	smq_json_str(&j, e->operation);
	if (!e->own) {
		smq_json_key(&j, "name");
		smq_json_str(&j, e->name);
	}
	if (!e->own && e->err == SMQ_OK) {
		smq_json_key(&j, "issued");
		ca_json_issued(&j, e->issued);
	} else if (e->err != SMQ_OK) {
		smq_json_key(&j, e->own ? "error" : "refused");
		smq_json_str(&j, smq_err_name(e->err));
	}
	if (*e->why) {
		smq_json_key(&j, "why");
		smq_json_str(&j, e->why);
	}
	smq_json_end(&j);
	if (smq_json_finish(&j, &len) == SMQ_OK)
		puts(text);
}

void ca_say_event(void *self, const struct smq_ca_server_event *event)
{
	const struct ca_args *a = self;
	if (a->json)
		say_as_json(event);
	else
		say_in_words(event);
	(void)fflush(stdout);
}

static void say_start(const struct ca_args *a, const struct smq_ca_server *server)
{
	if (a->json)
		printf("{\"port\":%d}\n", smq_ca_server_port(server));
	else
		printf("listening on port %d\n", smq_ca_server_port(server));
	(void)fflush(stdout);
}

int ca_run_serve(struct ca_args *a)
{
	struct sigaction act = { .sa_handler = stop };
	struct smq_ca_server_options o = { .dir = a->ca,
					   .identity = a->identity,
					   .address = a->address,
					   .port = a->port,
					   .passphrase_file = a->passphrase_file,
					   .on_event = ca_say_event,
					   .self = a };
	struct smq_ca_server *server = NULL;
	const char *why = NULL;
	smq_err err = smq_ca_server_new(&o, &server, &why);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	(void)sigaction(SIGINT, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	struct smq_confined how;
	const char *words =
	    a->unconfined ? NULL : confined_words(smq_ca_server_confine(server, &how) == SMQ_OK ? &how : NULL);
	if (words)
		fprintf(stderr, "sealmq ca serve: %s\n", words);
	say_start(a, server);
	while (err == SMQ_OK && !stopped)
		err = smq_ca_server_step(server, STEP_MS);
	smq_ca_server_free(server);
	return err == SMQ_OK ? 0 : ca_fail(err, NULL);
}

/* ---- enrol ---- */

int ca_say_enrolled(const struct ca_args *a, const struct smq_enrolled *e)
{
	char text[CA_JSON_LEN];
	char due[CA_TIME_LEN];
	char until[CA_TIME_LEN];
	if (a->json) {
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		smq_json_object(&j);
		smq_json_key(&j, "issued");
		smq_json_bool(&j, e->issued);
		smq_json_key(&j, "crl");
		smq_json_bool(&j, e->crl);
		ca_json_time(&j, "due", e->due_ms);
		ca_json_time(&j, "not_after", e->until_ms);
		smq_json_end(&j);
		return ca_print_json(&j, text);
	}
	ca_time_text(e->due_ms, due);
	ca_time_text(e->until_ms, until);
	printf("%s, valid until %s, due on %s%s\n", e->issued ? "a new certificate" : "not due yet", until, due,
	       e->crl ? "; a new revocation list" : "");
	return ca_flushed();
}

int ca_run_enrol(struct ca_args *a)
{
	struct smq_enrol_options o = { .dir = a->word,
				       .host = a->server,
				       .port = a->port,
				       .root_file = a->root,
				       .name = a->name,
				       .token_file = a->token_file,
				       .curve = a->curve,
				       .force = a->force };
	struct smq_enrolled enrolled;
	const char *why = NULL;
	if (!a->server || a->port < 0)
		return ca_misuse("enrol needs --server HOST, and a port if it is not 8443", NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	smq_err err = smq_enrol(&o, &enrolled, &why);
	return err == SMQ_OK ? ca_say_enrolled(a, &enrolled) : ca_fail(err, why);
}
