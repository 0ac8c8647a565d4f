/* `sealmq ca`: a realm's authority: its commands, and looking at what it has issued. */
#include "cli/cmd_ca.h"

#include <stdio.h>
#include <string.h>

#include <sealmq/confine.h>
#include <sealmq/text.h>

#include "cli/cmd_ca_make.h"
#include "cli/cmd_ca_mqtt.h"
#include "cli/cmd_ca_say.h"
#include "cli/cmd_ca_serve.h"

/* ---- looking ---- */

struct listing {
	const struct ca_args *args;
	const char *who; /* NULL: everybody */
	size_t count;
};

static void say_line(const struct smq_ca_issued *i)
{
	char roles[SMQ_ROLES_TEXT_MAX];
	char until[CA_TIME_LEN];
	ca_time_text(i->not_after_ms, until);
	printf("%-24s %-10s %s %-8s  %s\n", i->name, ca_roles_text(i, roles), until, smq_ca_status_name(i->status),
	       i->serial);
}

static void say_all(const struct smq_ca_issued *i)
{
	char roles[SMQ_ROLES_TEXT_MAX];
	char issued[CA_TIME_LEN];
	char from[CA_TIME_LEN];
	char until[CA_TIME_LEN];
	char revoked[CA_TIME_LEN];
	ca_time_text(i->issued_ms, issued);
	ca_time_text(i->not_before_ms, from);
	ca_time_text(i->not_after_ms, until);
	ca_time_text(i->revoked_ms, revoked);
	printf("%s: %s\n  status       %s", i->name, ca_roles_text(i, roles), smq_ca_status_name(i->status));
	if (i->status == SMQ_CA_REVOKED)
		printf(" %s, %s", revoked, smq_ca_reason_name(i->reason));
	printf("\n  valid        %s to %s\n  issued       %s by %s%s\n  serial       %s\n  fingerprint  %s\n", from,
	       until, issued, i->issuer[0] ? "issuing authority " : "the root", i->issuer, i->serial, i->fingerprint);
}

static void look_at(void *self, const struct smq_ca_issued *i)
{
	struct listing *l = self;
	char text[CA_JSON_LEN];
	size_t len = 0;

	if (l->who && strcmp(l->who, i->name) != 0 && strcmp(l->who, i->serial) != 0)
		return;
	if (l->args->json) {
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		ca_json_issued(&j, i);
		if (smq_json_finish(&j, &len) == SMQ_OK)
			printf("%s\n  %s", l->count ? "," : "", text);
	} else if (l->who) {
		say_all(i);
	} else {
		say_line(i);
	}
	l->count++;
}

static int look(struct ca_args *a, const char *who)
{
	struct listing l = { .args = a, .who = who };
	const char *why = NULL;
	if (a->json && !ca_is(a->ca))
		return ca_fail(SMQ_ERR_REALM, "not a CA directory; `sealmq ca init` makes one");
	if (a->json)
		printf("[");
	smq_err err = smq_ca_list(a->ca, look_at, &l, &why);
	if (a->json)
		printf("%s]\n", l.count ? "\n" : "");
	if (err != SMQ_OK)
		return ca_fail(err, why);
	if (who && l.count == 0)
		return ca_fail(SMQ_ERR_NOT_FOUND, "no certificate of this name or serial number was issued here");
	return ca_flushed();
}

static int run_list(struct ca_args *a) { return look(a, NULL); }

static int run_show(struct ca_args *a) { return look(a, a->word); }

/* ---- the table ---- */

static const struct {
	struct ca_usage usage;
	int (*run)(struct ca_args *args);
	enum { NO_CA, FIND_CA, WORD_IS_CA } ca;
} rows[] = {
	{ { CA_INIT, "init", "DIR", "make a realm: its root key and certificate, its settings",
	    "Makes DIR with a new root key, its certificate, and realm.yaml. DIR must not exist, or be empty.\n"
	    "Whoever reads DIR/root.key can be any member; keep it where devices and brokers are not. With --issuing\n"
	    "it is needed for `rollover` and once a year for `crl` only." },
	  ca_run_init,
	  NO_CA },
	{ { CA_ISSUE, "issue", "[NAME]", "issue an identity: a key, a certificate, a directory to hand over",
	    "Makes CA/members/NAME. For a member it is a realm directory, ready for --realm; for a broker it holds\n"
	    "server.crt, server.key and root.crt. Nothing is ever overwritten." },
	  ca_run_issue,
	  FIND_CA },
	{ { CA_CSR, "csr", "DIR", "on a device: make a key that stays there, and a request for `sign`",
	    "Makes DIR with member.key and member.csr. In a realm directory that is in use, it makes next.key and\n"
	    "next.csr, for a renewal." },
	  ca_run_csr,
	  NO_CA },
	{ { CA_SIGN, "sign", "FILE", "issue an identity for a request; - is standard input",
	    "Makes CA/members/NAME with everything but the key. The request must be signed by its key." },
	  ca_run_sign,
	  FIND_CA },
	{ { CA_ACCEPT, "accept", "DIR", "on a device: take what `sign` made",
	    "Completes DIR with the certificate and the rest of a realm directory. A renewed certificate becomes\n"
	    "member.pem, together with its key; what uses DIR takes it within seconds." },
	  ca_run_accept,
	  NO_CA },
	{ { CA_RENEW, "renew", "NAME", "a new key and certificate, like the ones before",
	    "For CA/members/NAME, with the same roles, names and kind of key. The certificate before stays good until\n"
	    "it ends. A member gets member.pem; a broker's directory is exchanged, the one before is kept beside it." },
	  ca_run_renew,
	  FIND_CA },
	{ { CA_RAW, "raw", "NAME", "a member without a certificate: a key to be registered at the key server",
	    "Makes CA/members/NAME, a realm directory with a key and no certificate, for members that are too small "
	    "for\n"
	    "one. An admin registers it: sealmq group register NAME CA/members/NAME/member.pub. It belongs to groups "
	    "of\n"
	    "a key server (whose certificate is one of `ca issue --role keyserver --static-dh`) and has no sessions.\n"
	    "Nothing is signed, so the authority's key is not needed." },
	  ca_run_raw,
	  FIND_CA },
	{ { CA_REVOKE, "revoke", "NAME", "end certificates now: of a member, or one by its serial number",
	    "Revokes all certificates of NAME that have not ended, or the one with a serial number, and makes the\n"
	    "lists as `sealmq ca crl` does." },
	  ca_run_revoke,
	  FIND_CA },
	{ { CA_CRL, "crl", "[CA]", "make the revocation lists anew, before the last ones end",
	    "Makes CA/crl.pem and copies it into each CA/members/NAME. Clients notice it within seconds. Run it\n"
	    "daily: past its end (--hours) a list is no proof any more, and members refuse each other." },
	  ca_run_crl,
	  WORD_IS_CA },
	{ { CA_ROLLOVER, "rollover", "[CA]", "a new issuing authority, or a new root; needs root.key",
	    "Makes a new issuing authority, which issues from now on. What the one before has issued stays good.\n"
	    "With --root it makes a new root: members take it beside the old one, since that vouches for it, and the "
	    "next\n"
	    "issuing authority is made by it." },
	  ca_run_rollover,
	  WORD_IS_CA },
	{ { CA_TOKEN, "token", "NAME", "a one-time token, for a device to enrol itself by",
	    "Prints a token that gets NAME one certificate from `sealmq ca serve`. It replaces an unused one. The "
	    "roles\n"
	    "and the time of the certificate are decided here." },
	  ca_run_token,
	  FIND_CA },
	{ { CA_SERVE, "serve", "[CA]", "give certificates over HTTPS to devices with a token (EST, RFC 7030)",
	    "Serves /.well-known/est/ cacerts, simpleenroll and simplereenroll over TLS 1.3, and below\n"
	    "/.well-known/sealmq/ crl.pem and realm.yaml, until SIGINT or SIGTERM. It needs an identity:\n"
	    "`sealmq ca issue enrol --role broker --dns HOST`. With --mqtt it serves devices that have nothing but a\n"
	    "broker instead, and keeps the revocation lists retained there; `sealmq ca serve --mqtt --help`." },
	  ca_run_serve,
	  WORD_IS_CA },
	{ { CA_ENROL, "enrol", "DIR", "on a device: get a certificate by a token, or renew the one there when due",
	    "Makes DIR a realm directory, with a key that stays there; later renews its certificate once two thirds "
	    "of\n"
	    "its time have passed, with some spread, and fetches the revocation list. Run it daily, from a timer.\n"
	    "With --mqtt it asks over a broker; `sealmq ca enrol --mqtt --help`." },
	  ca_run_enrol,
	  NO_CA },
	{ { CA_LIST, "list", "[CA]", "all certificates ever issued", "All certificates ever issued, oldest first." },
	  run_list,
	  WORD_IS_CA },
	{ { CA_SHOW, "show", "NAME", "everything about a member's certificates, or about one serial number",
	    "Everything about a member's certificates, or about the one with a serial number." },
	  run_show,
	  FIND_CA },
};

static void print_help(FILE *out)
{
	fputs("sealmq ca - a realm's authority\n\n", out);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char left[40];
		(void)snprintf(left, sizeof(left), "%s %s", rows[i].usage.name, rows[i].usage.word);
		fprintf(out, "  sealmq ca %-16s %s\n", left, rows[i].usage.brief);
	}
	fputs("\nEach of them has --help and --json.\n", out);
}

static int run(size_t row, int argc, char **argv)
{
	static struct ca_args args;
	if (rows[row].usage.command == CA_SERVE && ca_wants_mqtt(argc, argv))
		return ca_run_serve_mqtt(argc, argv);
	if (rows[row].usage.command == CA_ENROL && ca_wants_mqtt(argc, argv))
		return ca_run_enrol_mqtt(argc, argv);
	int status = ca_parse(argc, argv, &rows[row].usage, &args);
	if (status >= 0)
		return status;
	if (rows[row].ca == WORD_IS_CA && args.word && !args.ca)
		args.ca = args.word;
	if (rows[row].ca != NO_CA)
		status = ca_find(&args);
	return status >= 0 ? status : rows[row].run(&args);
}

int cmd_ca(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		print_help(argc < 2 ? stderr : stdout);
		return argc < 2 ? smq_err_exit(SMQ_ERR_USAGE) : ca_flushed();
	}
	(void)!smq_memory_guard(NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(argv[1], rows[i].usage.name) == 0)
			return run(i, argc - 1, argv + 1);
	}
	return ca_misuse("no such command:", argv[1]);
}
