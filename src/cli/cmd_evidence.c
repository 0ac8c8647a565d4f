/* sealmq evidence: stored messages as a file that a third party verifies. */
#include "cli/cmd_evidence.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/evidence.h>
#include <sealmq/json.h>
#include <sealmq/text.h>

#include "cli/mem.h"
#include "cli/print.h"
#include "cli/when.h"

static const char usage[] =
    "sealmq evidence - stored messages as a file that a third party verifies\n\n"
    "usage: sealmq evidence export FILE --store STORE [--sender NAME] [--topic TOPIC] [--from TIME] [--to TIME]\n"
    "       sealmq evidence verify FILE --ca ROOT.pem [--crl LISTS.pem] [--realm-name REALM]\n"
    "       sealmq evidence unpack FILE DIR\n\n"
    "  export       of what `sealmq record --require-proof` (or --evidence) stored: the messages, the signatures and\n"
    "               checkpoints that prove them, the certificates, and the revocation lists that were in force when\n"
    "               they came. The file also holds the keys that open these messages, and with them all others of\n"
    "               the same senders' lives and epochs: who gets it can read those\n"
    "  verify       offline, with nothing but the realm's root: a line for each message that is not proven, with\n"
    "               the reason: altered, signature, swapped-certificate, revoked, expired, not-yet-valid, wrong-ca,\n"
    "               no-current-list, no-checkpoint ... Status 0 only where all are proven and nothing was changed\n"
    "  unpack       as a directory of plain files, for verification with the openssl tool (doc/FORMATS.md, 9.3)\n\n"
    "  --store STORE      an SQLite file, or postgres://USER@HOST/DATABASE\n"
    "  --sender NAME      of this sender only\n"
    "  --topic TOPIC      of this topic only\n"
    "  --from TIME        measured from this time on: RFC 3339, Unix seconds, or so long ago (15m, 2h, 7d)\n"
    "  --to TIME          before this time\n"
    "  --limit N          at most N messages\n"
    "  --ca FILE          the root to trust, PEM\n"
    "  --crl FILE         later revocation lists, PEM: who was revoked before a message came is refused\n"
    "  --realm-name NAME  the realm that it must be of; default: the one that the file names\n"
    "  --records          verify: print each proven record too, sender and topic before it\n"
    "  --json             as JSON, one object a message, and one for the whole at the end\n"
    "  --help             this text\n";

struct evidence {
	struct smq_evidence_selection what;
	struct smq_evidence_check how;
	struct smq_evidence_sum sum;
	bool json, records;
	const char *words[3]; /* export|verify|unpack, FILE, DIR */
	size_t word_count;
};

static int wrong(const char *what, const char *given)
{
	char shown[120] = "";
	if (given)
		smq_escape(smq_span_str(given), shown, sizeof shown);
	fprintf(stderr, "sealmq evidence: %s%s%s; `sealmq evidence --help` tells more\n", what, given ? ": " : "",
		shown);
	return smq_err_exit(SMQ_ERR_USAGE);
}

static int fail(smq_err err, const char *why)
{
	char shown[400];
	smq_escape(smq_span_str(why ? why : smq_err_text(err)), shown, sizeof shown);
	fflush(stdout);
	fprintf(stderr, "sealmq evidence: %s\n", shown);
	return smq_err_exit(err);
}

/* ---- JSON ---- */

static void put_hash(struct smq_json *j, const char *key, const uint8_t *hash)
{
	smq_json_key(j, key);
	if (hash)
		smq_json_hex(j, smq_span_of(hash, 32));
	else
		smq_json_null(j);
}

static void put_time(struct smq_json *j, const char *key, int64_t unix_ms)
{
	char text[WHEN_TEXT_MAX];
	when_write(unix_ms, text);
	smq_json_key(j, key);
	smq_json_str(j, text);
}

static void write_finding(struct smq_json *j, const void *of)
{
	const struct smq_evidence_finding *f = of;
	smq_json_object(j);
	smq_json_key(j, "message");
	smq_json_uint(j, f->number);
	smq_json_key(j, "verdict");
	smq_json_str(j, f->reason);
	smq_json_key(j, "sender");
	smq_json_str(j, f->sender);
	smq_json_key(j, "realm");
	smq_json_str(j, f->realm);
	smq_json_key(j, "group");
	smq_json_str(j, f->group);
	smq_json_key(j, "topic");
	smq_json_string(j, f->topic);
	put_time(j, "received", f->received_ms);
	smq_json_key(j, "epoch");
	smq_json_uint(j, f->epoch);
	smq_json_key(j, "boot_id");
	smq_json_hex(j, smq_span_of(f->boot_id, sizeof f->boot_id));
	smq_json_key(j, "counter");
	smq_json_uint(j, f->counter);
	smq_json_key(j, "proof");
	smq_json_str(j, f->is_signed ? "signature" : "checkpoint");
	put_hash(j, "certificate", f->certificate);
	put_hash(j, "crl", f->lists);
	smq_json_key(j, "crl_number");
	smq_json_str(j, f->list_number);
	if (f->lists)
		put_time(j, "crl_this_update", f->list_from_ms);
	smq_json_key(j, "record");
	smq_json_string(j, f->payload);
	smq_json_end(j);
}

static void write_sum(struct smq_json *j, const void *of)
{
	const struct evidence *e = of;
	const struct {
		const char *name;
		uint64_t number;
	} rows[] = { { "messages", e->sum.messages },         { "checkpoints", e->sum.checkpoints },
		     { "certificates", e->sum.certificates }, { "crls", e->sum.lists },
		     { "left_out", e->sum.left_out },         { "proven", e->sum.proven },
		     { "without_crl", e->sum.unlisted } };
	smq_json_object(j);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		bool of_export = strcmp(e->words[0], "export") == 0;
		if ((i == 4 && !of_export) || (i > 4 && strcmp(e->words[0], "verify") != 0))
			continue;
		smq_json_key(j, rows[i].name);
		smq_json_uint(j, rows[i].number);
	}
	smq_json_end(j);
}

static int print_sum(const struct evidence *e)
{
	return print_json(stdout, write_sum, e) == SMQ_OK ? 0 : fail(SMQ_ERR_IO, NULL);
}

/* ---- verify ---- */

static void print_escaped(smq_span text)
{
	size_t room = 4 * text.len + 1;
	char *shown = mem_array(NULL, room, 1);
	smq_escape(text, shown, room);
	fputs(shown, stdout);
	free(shown);
}

static void on_message(void *self, const struct smq_evidence_finding *f)
{
	const struct evidence *e = self;
	char when[WHEN_TEXT_MAX];
	if (e->json) {
		(void)!print_json(stdout, write_finding, f);
		return;
	}
	if (f->verdict == SMQ_OK && !e->records)
		return;
	when_write(f->received_ms, when);
	printf("%" PRIu64 " %s %s from ", f->number, f->reason, when);
	print_escaped(smq_span_str(*f->sender ? f->sender : "?"));
	fputs(" on ", stdout);
	print_escaped(f->topic);
	if (f->verdict == SMQ_OK) {
		fputs(": ", stdout);
		print_escaped(f->payload);
	}
	putchar('\n');
}

static int verify(struct evidence *e)
{
	const char *why = NULL;
	if (!e->how.root_file)
		return wrong("--ca names the root to trust", NULL);
	e->how.self = e;
	e->how.on_message = on_message;
	smq_err err = smq_evidence_verify(e->words[1], &e->how, &e->sum, &why);
	if (e->json && e->sum.messages)
		print_sum(e);
	else if (e->sum.messages)
		printf("%" PRIu64 " of %" PRIu64 " messages proven\n", e->sum.proven, e->sum.messages);
	if (e->sum.unlisted && !e->json)
		printf("whether %" PRIu64 " of their signers were revoked is not known: no list was in use%s\n",
		       e->sum.unlisted, e->how.crl_file ? "" : " (--crl takes a later one)");
	if (fflush(stdout) != 0 || ferror(stdout))
		return fail(SMQ_ERR_IO, NULL);
	return err == SMQ_OK ? 0 : fail(err, why);
}

/* ---- export, unpack ---- */

static int export(struct evidence *e)
{
	const char *why = NULL;
	if (!e->what.store)
		return wrong("--store says where the records are", NULL);
	smq_err err = smq_evidence_export(&e->what, e->words[1], &e->sum, &why);
	if (err != SMQ_OK)
		return fail(err, why);
	if (e->json)
		return print_sum(e);
	printf("%" PRIu64 " messages, %" PRIu64 " checkpoints, %" PRIu64 " certificates, %" PRIu64
	       " revocation lists\n",
	       e->sum.messages, e->sum.checkpoints, e->sum.certificates, e->sum.lists);
	if (e->sum.left_out)
		printf("left out, since nobody proves them: %" PRIu64 "\n", e->sum.left_out);
	return 0;
}

static int unpack(struct evidence *e)
{
	const char *why = NULL;
	smq_err err = smq_evidence_unpack(e->words[1], e->words[2], &e->sum, &why);
	if (err != SMQ_OK)
		return fail(err, why);
	if (e->json)
		return print_sum(e);
	printf("%" PRIu64 " messages\n", e->sum.messages);
	return 0;
}

/* ---- the command line ---- */

static const struct option options[] = {
	{ "store", required_argument, NULL, 's' },
	{ "sender", required_argument, NULL, 'n' },
	{ "topic", required_argument, NULL, 't' },
	{ "from", required_argument, NULL, 'f' },
	{ "to", required_argument, NULL, 'u' },
	{ "limit", required_argument, NULL, 'l' },
	{ "ca", required_argument, NULL, 'c' },
	{ "crl", required_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'j' },
	{ "realm-name", required_argument, NULL, 'm' },
	{ "help", no_argument, NULL, 'h' },
	{ "records", no_argument, NULL, 'p' },
	{ NULL, 0, NULL, 0 },
};

/* What is wrong with it, or NULL. */
static const char *take_option(struct evidence *e, int c)
{
	char *end;
	switch (c) {
	case 's':
		e->what.store = optarg;
		return NULL;
	case 'n':
		e->what.sender = optarg;
		return NULL;
	case 't':
		e->what.topic = optarg;
		return NULL;
	case 'f':
		return when_read(optarg, &e->what.from_ms) ? NULL : "--from is not a time";
	case 'u':
		return when_read(optarg, &e->what.to_ms) ? NULL : "--to is not a time";
	case 'l':
		e->what.limit = strtoull(optarg, &end, 10);
		return *optarg >= '1' && *optarg <= '9' && !*end ? NULL : "--limit takes a number from 1 on";
	case 'c':
		e->how.root_file = optarg;
		return NULL;
	case 'r':
		e->how.crl_file = optarg;
		return NULL;
	case 'm':
		e->how.realm = optarg;
		return NULL;
	case 'p':
		e->records = true;
		return NULL;
	default:
		e->json = true;
		return NULL;
	}
}

static int read_options(struct evidence *e, int argc, char **argv, bool *ret_done)
{
	optind = 1;
	opterr = 0;
	*ret_done = true;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'h')
			return fputs(usage, stdout) < 0;
		if (c == '?')
			return wrong("unknown or incomplete option", argv[optind - 1]);
		const char *problem = take_option(e, c);
		if (problem)
			return wrong(problem, optarg);
	}
	for (; optind < argc; optind++) {
		if (e->word_count == 3)
			return wrong("unexpected argument", argv[optind]);
		e->words[e->word_count++] = argv[optind];
	}
	*ret_done = false;
	return 0;
}

int cmd_evidence(int argc, char **argv)
{
	static const struct {
		const char *name;
		size_t words;
		int (*run)(struct evidence *e);
	} rows[] = { { "export", 2, export }, { "verify", 2, verify }, { "unpack", 3, unpack } };
	struct evidence e = { .what = { .from_ms = INT64_MIN, .to_ms = INT64_MAX } };
	bool done;
	int status = read_options(&e, argc, argv, &done);
	if (done)
		return status;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0] && e.word_count > 0; i++) {
		if (strcmp(rows[i].name, e.words[0]) != 0)
			continue;
		if (e.word_count == rows[i].words)
			return rows[i].run(&e);
		return wrong(i == 2 ? "unpack takes a file and a directory" : "name one file", NULL);
	}
	return wrong("export, verify or unpack", e.word_count ? e.words[0] : NULL);
}
