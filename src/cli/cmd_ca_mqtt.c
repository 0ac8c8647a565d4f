/* `sealmq ca serve --mqtt` and `enrol --mqtt`: enrolment for devices that have nothing but MQTT. */
#include "cli/cmd_ca_mqtt.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <sealmq/enrol.h>

#include "cli/cmd_ca_args.h"
#include "cli/cmd_ca_serve.h"
#include "cli/cmd_rights.h"
#include "cli/own_options.h"
#include "cli/tool.h"

static const char usage[] =
    "usage: sealmq ca serve --mqtt [CA]  [--passphrase-file FILE] [--realm DIR] [-h HOST] [options of sub]\n"
    "       sealmq ca enrol --mqtt DIR   --name NAME --token-file FILE --root FILE --control-prefix T\n"
    "                                    [-h HOST] [options of sub]                      the first time\n"
    "       sealmq ca enrol --mqtt DIR   [-h HOST] [options of sub]                      daily\n\n"
    "serve answers requests below the realm's control prefix, and keeps the revocation lists there, retained, for\n"
    "members that are connected. --realm DIR is the identity that it shows to the broker, with --tls.\n"
    "enrol proves by the token that it may have the name, without telling it; later it renews by its certificate,\n"
    "once two thirds of its time have passed. --tls takes the realm's files, and the first time the root alone.\n\n"
    "  --ca DIR, --passphrase-file FILE, --name, --token-file, --root, --key, --force, --json: as without --mqtt\n"
    "  --control-prefix T      topics below T are the realm's own: sealmq/REALM, unless `ca init` said otherwise\n"
    "  --timeout N             how long to wait for an answer, in seconds (default 60)\n";

struct mqtt {
	struct ca_args args;
	struct tool tool;
	bool mqtt, help;
	const char *key;
	uint64_t timeout;
	const char *words[1];
	size_t word_count;
};

bool ca_wants_mqtt(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--mqtt") == 0)
			return true;
	}
	return false;
}

static bool take_key(struct mqtt *m)
{
	static const struct {
		const char *word;
		enum smq_curve curve;
	} rows[] = { { "p256", SMQ_P256 }, { "ed25519", SMQ_ED25519 } };
	for (size_t i = 0; m->key && i < sizeof rows / sizeof rows[0]; i++) {
		if (strcmp(rows[i].word, m->key) == 0)
			m->args.curve = rows[i].curve;
	}
	return !m->key || m->args.curve != 0;
}

/* -1: go on. */
static int start(struct mqtt *m, const char *name, int argc, char **argv)
{
	const struct own_option own[] = {
		{ "--mqtt", OWN_FLAG, &m->mqtt, 0 },
		{ "--help", OWN_FLAG, &m->help, 0 },
		{ "--json", OWN_FLAG, &m->args.json, 0 },
		{ "--force", OWN_FLAG, &m->args.force, 0 },
		{ "--ca", OWN_TEXT, &m->args.ca, 0 },
		{ "--passphrase-file", OWN_TEXT, &m->args.passphrase_file, 0 },
		{ "--name", OWN_TEXT, &m->args.name, 0 },
		{ "--token-file", OWN_TEXT, &m->args.token_file, 0 },
		{ "--root", OWN_TEXT, &m->args.root, 0 },
		{ "--key", OWN_TEXT, &m->key, 0 },
		{ "--control-prefix", OWN_TEXT, &m->args.prefix, 0 },
		{ "--timeout", OWN_NUMBER, &m->timeout, 86400 },
	};
	if (!own_options_take(name, own, sizeof own / sizeof own[0], &argc, argv) ||
	    !own_words_take(name, m->words, 1, &m->word_count, &argc, argv))
		return smq_err_exit(SMQ_ERR_USAGE);
	if (m->help) {
		fputs(usage, stdout);
		return ca_flushed();
	}
	if (!take_key(m))
		return ca_misuse("--key takes p256 or ed25519, not", m->key);
	return tool_start_bare(&m->tool, name, argc, argv) ? -1 : tool_finish(&m->tool);
}

/* ---- serve ---- */

static struct smq_ca_mqtt *serving;

static void stop(int number)
{
	(void)number;
	if (serving)
		smq_ca_mqtt_stop(serving);
}

static int serve(struct mqtt *m)
{
	struct sigaction act = { .sa_handler = stop };
	struct smq_ca_mqtt_options o = { .dir = m->args.ca,
					 .passphrase_file = m->args.passphrase_file,
					 .broker = &m->tool.options,
					 .on_event = ca_say_event,
					 .self = &m->args };
	const char *why = NULL;
	smq_err err = SMQ_OK;
	if (m->tool.s.realm)
		err = smq_realm_open(m->tool.s.realm, &m->tool.realm, &why);
	m->tool.options.realm = m->tool.realm;
	if (err == SMQ_OK && m->tool.options.tls.by_realm && !m->tool.realm)
		return ca_misuse("--tls needs an identity: --realm DIR", NULL);
	if (err == SMQ_OK)
		err = smq_ca_mqtt_new(&o, &serving, &why);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	struct smq_confined how;
	const char *words =
	    m->tool.s.unconfined ? NULL : confined_words(smq_ca_mqtt_confine(serving, &how) == SMQ_OK ? &how : NULL);
	if (words)
		fprintf(stderr, "sealmq ca serve: %s\n", words);
	(void)sigaction(SIGINT, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	smq_ca_mqtt_run(serving, -1);
	struct smq_ca_mqtt *server = serving;
	serving = NULL;
	smq_ca_mqtt_free(server);
	return 0;
}

int ca_run_serve_mqtt(int argc, char **argv)
{
	static struct mqtt m;
	int status = start(&m, "sealmq ca serve", argc, argv);
	if (status >= 0)
		return status;
	if (m.word_count > 0 && !m.args.ca)
		m.args.ca = m.words[0];
	status = ca_find(&m.args);
	tool_end(&m.tool, status >= 0 ? status : serve(&m));
	return tool_finish(&m.tool);
}

/* ---- enrol ---- */

static int enrol(struct mqtt *m)
{
	struct smq_enrol_options o = { .dir = m->words[0],
				       .root_file = m->args.root,
				       .name = m->args.name,
				       .token_file = m->args.token_file,
				       .curve = m->args.curve,
				       .force = m->args.force,
				       .broker = &m->tool.options,
				       .control_prefix = m->args.prefix,
				       .timeout_ms = (int)m->timeout * 1000 };
	struct smq_enrolled enrolled;
	const char *why = NULL;
	(void)signal(SIGPIPE, SIG_IGN);
	smq_err err = smq_enrol(&o, &enrolled, &why);
	return err == SMQ_OK ? ca_say_enrolled(&m->args, &enrolled) : ca_fail(err, why);
}

int ca_run_enrol_mqtt(int argc, char **argv)
{
	static struct mqtt m;
	int status = start(&m, "sealmq ca enrol", argc, argv);
	if (status >= 0)
		return status;
	tool_end(&m.tool, m.word_count > 0 ? enrol(&m) : ca_misuse("enrol needs a DIR", NULL));
	return tool_finish(&m.tool);
}
