/* `sealmq ca`: a realm's authority: make one, issue identities, list them. */
#include "cli/cmd_ca.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/ca.h>
#include <sealmq/json.h>
#include <sealmq/text.h>

enum { PATH_LEN = 4096, JSON_LEN = 16384, TIME_LEN = 24 };

static const char help_ca[] =
    "sealmq ca - a realm's authority\n\n"
    "  sealmq ca init DIR          make a realm: its root key and certificate, its settings\n"
    "  sealmq ca issue NAME        issue an identity: a key, a certificate, a directory to hand over\n"
    "  sealmq ca list              all certificates ever issued\n\n"
    "Each of them has --help and --json.\n";

static const char help_init[] =
    "sealmq ca init DIR [options]\n\n"
    "Makes DIR with a new root key, its certificate, and realm.yaml. DIR must not exist, or be empty.\n"
    "Whoever reads DIR/root.key can be any member; keep it where devices and brokers are not.\n\n"
    "  --realm NAME          name of the realm (default: the last part of DIR)\n"
    "  --control-prefix T    topics below T are the realm's own (default: sealmq/NAME)\n"
    "  --keyex-topic T       where keys are agreed, {to} is the addressed member (default: T/keyex/{to})\n"
    "  --days N              how long the root is valid (default: 3650)\n"
    "  --json                say what was made as JSON\n";

static const char help_issue[] =
    "sealmq ca issue NAME [options]\n\n"
    "Makes CA/members/NAME. For a member it is a realm directory, ready for --realm; for a broker it holds\n"
    "server.crt, server.key and root.crt. Nothing is ever overwritten.\n\n"
    "  --ca DIR              the authority (default: $SEALMQ_CA, or the only one here)\n"
    "  --role ROLES          member (default), keyserver, admin, or several with commas; or broker\n"
    "  --days N              how long it is valid (default: 90), never longer than the root\n"
    "  --dns NAME            a broker's host name; may be repeated\n"
    "  --ip ADDRESS          a broker's address; may be repeated\n"
    "  --key p256|ed25519    kind of key (default: p256)\n"
    "  --static-dh           the key may also agree, for EDHOC method 3 (p256)\n"
    "  --reissue             although a certificate of this name is still valid\n"
    "  --json                say what was made as JSON\n";

static const char help_list[] = "sealmq ca list [options]\n\n"
				"  --ca DIR              the authority (default: $SEALMQ_CA, or the only one here)\n"
				"  --json                as JSON\n";

/* ---- saying it ---- */

static int fail(smq_err err, const char *text)
{
	fprintf(stderr, "sealmq ca: %s\n", text && *text ? text : smq_err_text(err));
	return smq_err_exit(err);
}

static int misuse(const char *text, const char *word)
{
	char shown[120] = "";
	if (word)
		smq_escape(smq_span_str(word), shown, sizeof(shown));
	fprintf(stderr, "sealmq ca: %s%s%s%s; see `sealmq ca --help`\n", text, word ? " '" : "", shown,
		word ? "'" : "");
	return smq_err_exit(SMQ_ERR_USAGE);
}

/* Output that did not arrive is a failure too: a full disk, a closed pipe. */
static int flushed(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : fail(SMQ_ERR_IO, "standard output cannot be written");
}

static void time_text(int64_t ms, char text[TIME_LEN])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	if (!gmtime_r(&seconds, &tm) || strftime(text, TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = 0;
}

static void json_time(struct smq_json *j, const char *key, int64_t ms)
{
	char text[TIME_LEN];
	time_text(ms, text);
	smq_json_key(j, key);
	smq_json_str(j, text);
}

static void json_issued(struct smq_json *j, const struct smq_ca_issued *i)
{
	char roles[SMQ_ROLES_TEXT_MAX];
	smq_roles_print(i->roles, roles);
	smq_json_object(j);
	smq_json_key(j, "name");
	smq_json_str(j, i->name);
	smq_json_key(j, "roles");
	smq_json_array(j);
	for (char *save = NULL, *role = strtok_r(roles, ",", &save); role; role = strtok_r(NULL, ",", &save))
		smq_json_str(j, role);
	smq_json_end(j);
	if (i->dir[0]) {
		smq_json_key(j, "dir");
		smq_json_str(j, i->dir);
	}
	smq_json_key(j, "serial");
	smq_json_str(j, i->serial);
	smq_json_key(j, "fingerprint");
	smq_json_str(j, i->fingerprint);
	json_time(j, "issued", i->issued_ms);
	json_time(j, "not_before", i->not_before_ms);
	json_time(j, "not_after", i->not_after_ms);
	smq_json_end(j);
}

static int print_json(const struct smq_json *j, const char *text)
{
	size_t len = 0;
	smq_err err = smq_json_finish(j, &len);
	if (err != SMQ_OK)
		return fail(err, NULL);
	puts(text);
	return flushed();
}

/* ---- finding the authority ---- */

static bool is_ca(const char *dir)
{
	char path[PATH_LEN];
	return snprintf(path, sizeof(path), "%s/issued.log", dir) < (int)sizeof(path) && access(path, F_OK) == 0;
}

/* The only authority directly below this directory: after `ca init plant`, `ca issue` needs no --ca. */
static bool only_one_here(char ret_dir[PATH_LEN])
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	int found = 0;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' || !is_ca(entry->d_name))
			continue;
		(void)snprintf(ret_dir, PATH_LEN, "%s", entry->d_name);
		found++;
	}
	if (dir)
		closedir(dir);
	return found == 1;
}

static const char *find_ca(const char *named, char room[PATH_LEN])
{
	if (named)
		return named;
	named = getenv("SEALMQ_CA");
	if (named && *named)
		return named;
	if (is_ca("."))
		return ".";
	return only_one_here(room) ? room : NULL;
}

/* ---- the three ---- */

struct args {
	const char *dir, *realm, *prefix, *keyex, *ca, *key;
	const char *dns[SMQ_CA_HOSTS_MAX + 1], *ip[SMQ_CA_HOSTS_MAX + 1];
	struct smq_ca_issue_options issue;
	int days;
	bool json;
};

enum { O_HELP = 1, O_JSON, O_REALM, O_PREFIX, O_KEYEX, O_DAYS, O_CA, O_ROLE, O_DNS, O_IP, O_KEY, O_DH, O_REISSUE };

static const struct option options_init[] = {
	{ "help", no_argument, NULL, O_HELP },
	{ "json", no_argument, NULL, O_JSON },
	{ "realm", required_argument, NULL, O_REALM },
	{ "control-prefix", required_argument, NULL, O_PREFIX },
	{ "days", required_argument, NULL, O_DAYS },
	{ "keyex-topic", required_argument, NULL, O_KEYEX },
	{ NULL, 0, NULL, 0 },
};

static const struct option options_issue[] = {
	{ "help", no_argument, NULL, O_HELP },
	{ "json", no_argument, NULL, O_JSON },
	{ "ca", required_argument, NULL, O_CA },
	{ "role", required_argument, NULL, O_ROLE },
	{ "days", required_argument, NULL, O_DAYS },
	{ "dns", required_argument, NULL, O_DNS },
	{ "ip", required_argument, NULL, O_IP },
	{ "key", required_argument, NULL, O_KEY },
	{ "static-dh", no_argument, NULL, O_DH },
	{ "reissue", no_argument, NULL, O_REISSUE },
	{ NULL, 0, NULL, 0 },
};

static const struct option options_list[] = {
	{ "help", no_argument, NULL, O_HELP },
	{ "json", no_argument, NULL, O_JSON },
	{ "ca", required_argument, NULL, O_CA },
	{ NULL, 0, NULL, 0 },
};

static bool parse_days(const char *text, int *ret_days)
{
	char *end = NULL;
	errno = 0;
	long days = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end || days < 1 || days > SMQ_CA_DAYS_MAX)
		return false;
	*ret_days = (int)days;
	return true;
}

static bool parse_key(const char *text, enum smq_curve *ret_curve)
{
	*ret_curve = strcmp(text, "ed25519") == 0 ? SMQ_ED25519 : SMQ_P256;
	return strcmp(text, "ed25519") == 0 || strcmp(text, "p256") == 0;
}

static bool add_host(const char **list, size_t *count, const char *host)
{
	if (*count >= SMQ_CA_HOSTS_MAX)
		return false;
	list[(*count)++] = host;
	return true;
}

/* 0, or the exit status of what was wrong with the option. */
static int take(struct args *a, int option, const char *value)
{
	switch (option) {
	case O_JSON:
		a->json = true;
		return 0;
	case O_REALM:
		a->realm = value;
		return 0;
	case O_PREFIX:
		a->prefix = value;
		return 0;
	case O_KEYEX:
		a->keyex = value;
		return 0;
	case O_CA:
		a->ca = value;
		return 0;
	case O_DH:
		a->issue.key_agreement = true;
		return 0;
	case O_REISSUE:
		a->issue.reissue = true;
		return 0;
	case O_DAYS:
		return parse_days(value, &a->days) ? 0 : misuse("--days takes 1 to 36500, not", value);
	case O_ROLE:
		return smq_roles_parse(value, &a->issue.roles) == SMQ_OK
			   ? 0
			   : misuse("--role takes member, keyserver, admin or broker, not", value);
	case O_DNS:
		return add_host(a->dns, &a->issue.dns_count, value) ? 0 : misuse("too many --dns", NULL);
	case O_IP:
		return add_host(a->ip, &a->issue.ip_count, value) ? 0 : misuse("too many --ip", NULL);
	case O_KEY:
		return parse_key(value, &a->issue.curve) ? 0 : misuse("--key takes p256 or ed25519, not", value);
	default:
		return misuse("unknown option, or its value is missing", NULL);
	}
}

/* Reads options and at most one word. -1: go on; otherwise the exit status. */
static int parse(int argc, char **argv, const struct option *options, const char *help, struct args *a,
		 const char **ret_word)
{
	int option;
	int status;
	opterr = 0;
	optind = 0; /* glibc: begin anew, and permute */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == O_HELP) {
			fputs(help, stdout);
			return flushed();
		}
		if (option == '?')
			return misuse("unknown option, or its value is missing:", argv[optind - 1]);
		status = take(a, option, optarg);
		if (status != 0)
			return status;
	}
	*ret_word = optind < argc ? argv[optind++] : NULL;
	return optind < argc ? misuse("one name too many:", argv[optind]) : -1;
}

/* A key and its directory are made in milliseconds; an interrupt waits until it is whole. */
static void hold_signals(sigset_t *before)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, before);
}

static int ca_init(int argc, char **argv)
{
	struct args a = { .dir = NULL };
	const char *why = NULL;
	sigset_t before;
	int status = parse(argc, argv, options_init, help_init, &a, &a.dir);

	if (status >= 0)
		return status;
	if (!a.dir)
		return misuse("init needs a directory to make", NULL);
	struct smq_ca_init_options o = {
		.realm = a.realm, .control_prefix = a.prefix, .keyex_topic = a.keyex, .days = a.days
	};
	hold_signals(&before);
	smq_err err = smq_ca_init(a.dir, &o, &why);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (err != SMQ_OK)
		return fail(err, why);
	if (a.json) {
		char text[JSON_LEN];
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		smq_json_object(&j);
		smq_json_key(&j, "dir");
		smq_json_str(&j, a.dir);
		smq_json_end(&j);
		return print_json(&j, text);
	}
	char shown[PATH_LEN];
	smq_escape(smq_span_str(a.dir), shown, sizeof(shown));
	printf("made %s: root.crt is for everybody, root.key for nobody else\n", shown);
	return flushed();
}

static void print_issued(const struct smq_ca_issued *i)
{
	char shown[PATH_LEN];
	char roles[SMQ_ROLES_TEXT_MAX];
	char until[TIME_LEN];
	smq_escape(smq_span_str(i->dir), shown, sizeof(shown));
	smq_roles_print(i->roles, roles);
	time_text(i->not_after_ms, until);
	printf("made %s: %s, valid until %s\n", shown, roles, until);
}

static int ca_issue(int argc, char **argv)
{
	struct args a = { .dir = NULL };
	struct smq_ca_issued issued;
	char room[PATH_LEN];
	const char *why = NULL;
	sigset_t before;
	int status = parse(argc, argv, options_issue, help_issue, &a, &a.issue.name);

	if (status >= 0)
		return status;
	if (!a.issue.name)
		return misuse("issue needs a name", NULL);
	const char *ca = find_ca(a.ca, room);
	if (!ca)
		return misuse("which authority? --ca DIR or SEALMQ_CA names it", NULL);
	a.issue.days = a.days;
	a.issue.dns = a.dns;
	a.issue.ip = a.ip;
	hold_signals(&before);
	smq_err err = smq_ca_issue(ca, &a.issue, &issued, &why);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (err != SMQ_OK)
		return fail(err, why);
	if (!a.json) {
		print_issued(&issued);
		return flushed();
	}
	char text[JSON_LEN];
	struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
	json_issued(&j, &issued);
	return print_json(&j, text);
}

struct listing {
	bool json;
	size_t count;
	int64_t now_ms;
};

static void list_one(void *self, const struct smq_ca_issued *i)
{
	struct listing *l = self;
	char text[JSON_LEN];
	char roles[SMQ_ROLES_TEXT_MAX];
	char until[TIME_LEN];
	size_t len = 0;

	if (l->json) {
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		json_issued(&j, i);
		if (smq_json_finish(&j, &len) == SMQ_OK)
			printf("%s\n  %s", l->count ? "," : "", text);
	} else {
		smq_roles_print(i->roles, roles);
		time_text(i->not_after_ms, until);
		printf("%-24s %-10s %s %s  %s\n", i->name, roles, until,
		       i->not_after_ms > l->now_ms ? "       " : "expired", i->serial);
	}
	l->count++;
}

static int ca_list(int argc, char **argv)
{
	struct args a = { .dir = NULL };
	struct listing l = { .now_ms = (int64_t)time(NULL) * 1000 };
	char room[PATH_LEN];
	const char *why = NULL;
	const char *word = NULL;
	int status = parse(argc, argv, options_list, help_list, &a, &word);

	if (status >= 0)
		return status;
	const char *ca = find_ca(a.ca ? a.ca : word, room);
	if (!ca)
		return misuse("which authority? --ca DIR or SEALMQ_CA names it", NULL);
	l.json = a.json;
	if (a.json && !is_ca(ca))
		return fail(SMQ_ERR_REALM, "not a CA directory; `sealmq ca init` makes one");
	if (a.json)
		printf("[");
	smq_err err = smq_ca_list(ca, list_one, &l, &why);
	if (a.json)
		printf("%s]\n", l.count ? "\n" : "");
	return err == SMQ_OK ? flushed() : fail(err, why);
}

int cmd_ca(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} rows[] = { { "init", ca_init }, { "issue", ca_issue }, { "list", ca_list } };

	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		fputs(help_ca, argc < 2 ? stderr : stdout);
		return argc < 2 ? smq_err_exit(SMQ_ERR_USAGE) : flushed();
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(argv[1], rows[i].name) == 0)
			return rows[i].run(argc - 1, argv + 1);
	}
	return misuse("neither init, issue nor list:", argv[1]);
}
