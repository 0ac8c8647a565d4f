/* The options of `sealmq ca`: one table for all of its commands, and what is made from it: the parser and the help. */
#include "cli/cmd_ca_args.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sealmq/text.h>

/* ---- saying what is wrong ---- */

int ca_fail(smq_err err, const char *text)
{
	fprintf(stderr, "sealmq ca: %s\n", text && *text ? text : smq_err_text(err));
	return smq_err_exit(err);
}

int ca_misuse(const char *text, const char *word)
{
	char shown[120] = "";
	if (word)
		smq_escape(smq_span_str(word), shown, sizeof(shown));
	fprintf(stderr, "sealmq ca: %s%s%s%s; see `sealmq ca --help`\n", text, word ? " '" : "", shown,
		word ? "'" : "");
	return smq_err_exit(SMQ_ERR_USAGE);
}

int ca_flushed(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : ca_fail(SMQ_ERR_IO, "standard output cannot be written");
}

/* ---- taking values ---- */

static bool number(const char *text, int most, int *ret)
{
	char *end = NULL;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end || value < 1 || value > most)
		return false;
	*ret = (int)value;
	return true;
}

static bool push(const char **list, size_t most, size_t *count, const char *value)
{
	if (*count >= most)
		return false;
	list[(*count)++] = value;
	return true;
}

static bool t_ca(struct ca_args *a, const char *v) { return (a->ca = v) != NULL; }
static bool t_realm(struct ca_args *a, const char *v) { return (a->realm = v) != NULL; }
static bool t_prefix(struct ca_args *a, const char *v) { return (a->prefix = v) != NULL; }
static bool t_keyex(struct ca_args *a, const char *v) { return (a->keyex = v) != NULL; }
static bool t_pass(struct ca_args *a, const char *v) { return (a->passphrase_file = v) != NULL; }
static bool t_name(struct ca_args *a, const char *v) { return (a->name = v) != NULL; }
static bool t_names(struct ca_args *a, const char *v) { return (a->names = v) != NULL; }
static bool t_from(struct ca_args *a, const char *v) { return (a->from = v) != NULL; }
static bool t_days(struct ca_args *a, const char *v) { return number(v, SMQ_CA_DAYS_MAX, &a->days); }
static bool t_hours(struct ca_args *a, const char *v) { return number(v, SMQ_CA_DAYS_MAX * 24, &a->hours); }
static bool t_role(struct ca_args *a, const char *v) { return smq_roles_parse(v, &a->roles) == SMQ_OK; }
static bool t_reason(struct ca_args *a, const char *v) { return smq_ca_reason_parse(v, &a->reason) == SMQ_OK; }
static bool t_dns(struct ca_args *a, const char *v) { return push(a->dns, SMQ_CA_HOSTS_MAX, &a->dns_count, v); }
static bool t_ip(struct ca_args *a, const char *v) { return push(a->ip, SMQ_CA_HOSTS_MAX, &a->ip_count, v); }
static bool t_to(struct ca_args *a, const char *v) { return push(a->to, CA_TO_MAX, &a->to_count, v); }
static bool t_dh(struct ca_args *a, const char *v) { return (a->static_dh = !v); }
static bool t_reissue(struct ca_args *a, const char *v) { return (a->reissue = !v); }
static bool t_issuing(struct ca_args *a, const char *v) { return (a->issuing = !v); }
static bool t_stale(struct ca_args *a, const char *v) { return (a->stale_crl = !v); }
static bool t_new_root(struct ca_args *a, const char *v) { return (a->new_root = !v); }
static bool t_keep(struct ca_args *a, const char *v) { return (a->keep_key = !v); }
static bool t_json(struct ca_args *a, const char *v) { return (a->json = !v); }

static bool t_address(struct ca_args *a, const char *v) { return (a->address = v) != NULL; }
static bool t_identity(struct ca_args *a, const char *v) { return (a->identity = v) != NULL; }

static bool t_server(struct ca_args *a, const char *v) { return (a->server = v) != NULL; }
static bool t_root(struct ca_args *a, const char *v) { return (a->root = v) != NULL; }
static bool t_token(struct ca_args *a, const char *v) { return (a->token_file = v) != NULL; }
static bool t_pkcs11(struct ca_args *a, const char *v) { return (a->pkcs11 = v) != NULL; }
/* Never taken from here: with it another parser is at work. */
static bool t_mqtt(struct ca_args *a, const char *v) { return a && !v; }
static bool t_unconfined(struct ca_args *a, const char *v) { return (a->unconfined = !v); }
static bool t_force(struct ca_args *a, const char *v) { return (a->force = !v); }

static bool t_port(struct ca_args *a, const char *v)
{
	a->port = -1;
	return strcmp(v, "0") == 0 || number(v, 65535, &a->port);
}

static bool t_key(struct ca_args *a, const char *v)
{
	a->curve = strcmp(v, "ed25519") == 0 ? SMQ_ED25519 : strcmp(v, "p384") == 0 ? SMQ_P384 : SMQ_P256;
	return strcmp(v, "ed25519") == 0 || strcmp(v, "p256") == 0 || strcmp(v, "p384") == 0;
}

/* ---- the table ---- */

enum {
	OPENS = CA_INIT | CA_ISSUE | CA_REVOKE | CA_CRL | CA_SIGN | CA_RENEW | CA_ROLLOVER | CA_SERVE,
	WITH_CA = CA_ISSUE | CA_LIST | CA_SHOW | CA_REVOKE | CA_CRL | CA_SIGN | CA_RENEW | CA_ROLLOVER | CA_TOKEN |
		  CA_SERVE | CA_RAW
};

static const struct row {
	const char *name;
	const char *value; /* NULL: a flag */
	unsigned commands; /* whose option it is */
	const char *help;
	bool (*take)(struct ca_args *a, const char *value);
	const char *takes; /* for whoever gave something else */
} rows[] = {
	{ "ca", "DIR", WITH_CA, "the authority (default: $SEALMQ_CA, or the only one here)", t_ca, NULL },
	{ "realm", "NAME", CA_INIT, "name of the realm (default: the last part of DIR)", t_realm, NULL },
	{ "control-prefix", "T", CA_INIT, "topics below T are the realm's own (default: sealmq/NAME)", t_prefix, NULL },
	{ "keyex-topic", "T", CA_INIT, "where keys are agreed, {to} is the one addressed (default: T/keyex/{to})",
	  t_keyex, NULL },
	{ "issuing", NULL, CA_INIT, "an issuing authority below the root, so that root.key can be taken away",
	  t_issuing, NULL },
	{ "insecure-stale-crl", NULL, CA_INIT, "members go on believing a revocation list that has ended", t_stale,
	  NULL },
	{ "name", "NAME", CA_CSR | CA_SIGN | CA_ENROL,
	  "whose it is (csr, enrol: needed for a new one; sign: what the request must say)", t_name, NULL },
	{ "names", "FILE", CA_ISSUE, "many at once, a name a line; - is standard input", t_names, NULL },
	{ "role", "ROLES", CA_ISSUE | CA_SIGN | CA_TOKEN,
	  "member (default), keyserver, admin, or several with commas; or broker", t_role,
	  "member, keyserver, admin or broker" },
	{ "days", "N", CA_INIT | CA_ISSUE | CA_SIGN | CA_RENEW | CA_ROLLOVER | CA_TOKEN,
	  "how long it is valid (default: a root 3650, an issuing authority 730, others 90), never longer than its "
	  "issuer",
	  t_days, "1 to 36500" },
	{ "dns", "NAME", CA_ISSUE | CA_SIGN, "a broker's host name; may be repeated", t_dns, "at most 15 names" },
	{ "ip", "ADDRESS", CA_ISSUE | CA_SIGN, "a broker's address; may be repeated", t_ip, "at most 15 addresses" },
	{ "key", "KIND", CA_INIT | CA_ISSUE | CA_CSR | CA_ROLLOVER | CA_ENROL,
	  "p256 (default), ed25519, or p384 (authorities and brokers)", t_key, "p256, ed25519 or p384" },
	{ "static-dh", NULL, CA_ISSUE | CA_SIGN, "the key may also agree, for EDHOC method 3 (p256)", t_dh, NULL },
	{ "reissue", NULL, CA_ISSUE | CA_SIGN | CA_TOKEN, "although a certificate of this name is still valid",
	  t_reissue, NULL },
	{ "keep-key", NULL, CA_RENEW, "the key stays, and only the certificate is new", t_keep, NULL },
	{ "reason", "WORD", CA_REVOKE,
	  "key-compromise, ca-compromise, affiliation-changed, superseded, cessation, privilege-withdrawn, or "
	  "unspecified (default)",
	  t_reason, "key-compromise, superseded, cessation, ... (see --help)" },
	{ "hours", "N", CA_REVOKE | CA_CRL | CA_TOKEN,
	  "until the next list is due (default: 168); how long a token is good (24)", t_hours, "1 to 876000" },
	{ "to", "DIR", CA_REVOKE | CA_CRL | CA_ROLLOVER,
	  "put the list (rollover --root: root.crt) there too: a realm directory, or a broker's of `sealmq broker "
	  "init`; may be repeated",
	  t_to, "at most 64 directories" },
	{ "from", "DIR", CA_ACCEPT, "what `sealmq ca sign` made", t_from, NULL },
	{ "address", "ADDRESS", CA_SERVE, "where to listen (default: 127.0.0.1; :: and 0.0.0.0 are everywhere)",
	  t_address, NULL },
	{ "port", "N", CA_SERVE | CA_ENROL, "TCP port (default: 8443; serve, 0: any that is free)", t_port,
	  "0 to 65535" },
	{ "identity", "DIR", CA_SERVE, "where server.crt and server.key are (default: CA/members/enrol)", t_identity,
	  NULL },
	{ "server", "HOST", CA_ENROL, "where `sealmq ca serve` is; its certificate must say so", t_server, NULL },
	{ "root", NULL, CA_ROLLOVER,
	  "a new root, which the one before vouches for; an issuing authority is made after it", t_new_root, NULL },
	{ "root", "FILE", CA_ENROL, "the realm's root (default: DIR/root.crt)", t_root, NULL },
	{ "token-file", "FILE", CA_ENROL, "the first time: its first line is the token; mode 0600", t_token, NULL },
	{ "mqtt", NULL, CA_SERVE | CA_ENROL, "over a broker instead; with --help it says more", t_mqtt, NULL },
	{ "force", NULL, CA_ENROL, "renew although it is not due yet", t_force, NULL },
	{ "unconfined", NULL, CA_SERVE, "keep all rights that the user has (for debuggers); see `sealmq rights`",
	  t_unconfined, NULL },
	{ "pkcs11", "URI", CA_INIT | CA_ROLLOVER,
	  "make the keys in a PKCS#11 token, or use the one that object= or id= names: pkcs11:token=plant", t_pkcs11,
	  NULL },
	{ "passphrase-file", "FILE", OPENS,
	  "its first line opens the authority's keys (init: encrypts them); or it is the token's PIN", t_pass, NULL },
	{ "json", NULL, ~0U, "as JSON", t_json, NULL },
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]), HELP = ROWS + 1 };

/* ---- what is made from it ---- */

/* In lines of at most 120 columns. */
static void print_wrapped(const char *text)
{
	enum { LEFT = 28, WIDTH = 90 };
	while (strlen(text) > WIDTH) {
		int cut = WIDTH;
		while (cut > 0 && text[cut] != ' ')
			cut--;
		printf("%.*s\n%*s", cut, text, LEFT, "");
		text += cut + 1;
	}
	printf("%s\n", text);
}

static void print_help(const struct ca_usage *u)
{
	printf("sealmq ca %s %s [options]\n\n%s\n\n", u->name, u->word, u->text);
	for (size_t i = 0; i < ROWS; i++) {
		char left[40];
		if (!(rows[i].commands & u->command))
			continue;
		(void)snprintf(left, sizeof(left), "--%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
		printf("  %-25s ", left);
		print_wrapped(rows[i].help);
	}
}

static void fill_options(unsigned command, struct option *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].commands & command)
			ret[n++] = (struct option){ rows[i].name, rows[i].value ? required_argument : no_argument, NULL,
						    (int)i + 1 };
	}
	ret[n++] = (struct option){ "help", no_argument, NULL, HELP };
	ret[n] = (struct option){ NULL, 0, NULL, 0 };
}

static int take(const struct row *row, struct ca_args *a, const char *value)
{
	char text[160];
	if (row->take(a, value))
		return -1;
	(void)snprintf(text, sizeof(text), "--%s takes %s, not", row->name, row->takes ? row->takes : row->value);
	return ca_misuse(text, value);
}

int ca_parse(int argc, char **argv, const struct ca_usage *usage, struct ca_args *ret_args)
{
	struct option options[ROWS + 2];
	int option;
	*ret_args = (struct ca_args){ .command = usage->command };
	fill_options(usage->command, options);
	opterr = 0;
	optind = 0; /* glibc: begin anew, and permute */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == HELP) {
			print_help(usage);
			return ca_flushed();
		}
		if (option == '?')
			return ca_misuse("unknown option, or its value is missing:", argv[optind - 1]);
		int status = take(&rows[option - 1], ret_args, optarg);
		if (status >= 0)
			return status;
	}
	ret_args->word = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return ca_misuse("one name too many:", argv[optind]);
	if (!ret_args->word && usage->word[0] != '[') {
		fprintf(stderr, "sealmq ca: %s needs a %s; see `sealmq ca %s --help`\n", usage->name, usage->word,
			usage->name);
		return smq_err_exit(SMQ_ERR_USAGE);
	}
	return -1;
}

/* ---- finding the authority ---- */

bool ca_is(const char *dir)
{
	char path[CA_PATH_LEN];
	return snprintf(path, sizeof(path), "%s/issued.log", dir) < (int)sizeof(path) && access(path, F_OK) == 0;
}

/* The only authority directly below this directory: after `ca init plant`, `ca issue` needs no --ca. */
static bool only_one_here(char ret_dir[CA_PATH_LEN])
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	int found = 0;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' || !ca_is(entry->d_name))
			continue;
		(void)snprintf(ret_dir, CA_PATH_LEN, "%s", entry->d_name);
		found++;
	}
	if (dir)
		closedir(dir);
	return found == 1;
}

int ca_find(struct ca_args *a)
{
	const char *named = getenv("SEALMQ_CA");
	if (a->ca)
		return -1;
	if (named && *named)
		a->ca = named;
	else if (ca_is("."))
		a->ca = ".";
	else if (only_one_here(a->room))
		a->ca = a->room;
	return a->ca ? -1 : ca_misuse("which authority? --ca DIR or SEALMQ_CA names it", NULL);
}
