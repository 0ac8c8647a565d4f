/* The commands of `sealmq ca` that make something. */
#include "cli/cmd_ca_make.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "cli/cmd_ca_say.h"

enum { REQUEST_MAX = 65536, NAMES_MAX = 1048576 };

/* What is made is made in milliseconds; an interrupt waits until it is whole. */
static void hold_signals(sigset_t *before)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, before);
}

static void let_signals(const sigset_t *before) { sigprocmask(SIG_SETMASK, before, NULL); }

static int say_path(const struct ca_args *a, const char *key, const char *path, const char *text)
{
	char json[CA_JSON_LEN];
	char shown[CA_PATH_LEN];
	if (a->json) {
		struct smq_json j = smq_json_on(smq_mspan_of(json, sizeof(json)));
		smq_json_object(&j);
		smq_json_key(&j, key);
		smq_json_str(&j, path);
		smq_json_end(&j);
		return ca_print_json(&j, json);
	}
	smq_escape(smq_span_str(path), shown, sizeof(shown));
	printf("made %s: %s\n", shown, text);
	return ca_flushed();
}

int ca_run_init(struct ca_args *a)
{
	const char *why = NULL;
	sigset_t before;
	struct smq_ca_init_options o = { .realm = a->realm,
					 .control_prefix = a->prefix,
					 .keyex_topic = a->keyex,
					 .days = a->days,
					 .curve = a->curve,
					 .passphrase_file = a->passphrase_file,
					 .pkcs11 = a->pkcs11,
					 .issuing = a->issuing,
					 .insecure_stale_crl = a->stale_crl };
	hold_signals(&before);
	smq_err err = smq_ca_init(a->word, &o, &why);
	let_signals(&before);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	return say_path(a, "dir", a->word,
			a->pkcs11    ? "root.crt is for everybody; the keys are in the token"
			: a->issuing ? "root.crt is for everybody; take root.key away to a safe place"
				     : "root.crt is for everybody, root.key for nobody else");
}

int ca_run_raw(struct ca_args *a)
{
	char dir[CA_PATH_LEN];
	const char *why = NULL;
	sigset_t before;
	hold_signals(&before);
	smq_err err = smq_ca_raw(a->ca, a->word, dir, &why);
	let_signals(&before);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	return say_path(a, "dir", dir, "no certificate; `sealmq group register` makes its member.pub known");
}

static int say_issued(const struct ca_args *a, smq_err err, const struct smq_ca_issued *i, const char *why)
{
	char text[CA_JSON_LEN];
	char roles[SMQ_ROLES_TEXT_MAX];
	if (err != SMQ_OK)
		return ca_fail(err, why);
	if (a->json) {
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		ca_json_issued(&j, i);
		return ca_print_json(&j, text);
	}
	char shown[CA_PATH_LEN];
	char until[CA_TIME_LEN];
	smq_escape(smq_span_str(i->dir[0] ? i->dir : i->name), shown, sizeof(shown));
	ca_time_text(i->not_after_ms, until);
	printf("made %s: %s, valid until %s\n", shown, ca_roles_text(i, roles), until);
	return ca_flushed();
}

static struct smq_ca_issue_options issue_options(const struct ca_args *a, const char *name)
{
	return (struct smq_ca_issue_options){ .name = name,
					      .roles = a->roles,
					      .days = a->days,
					      .curve = a->curve,
					      .key_agreement = a->static_dh,
					      .reissue = a->reissue,
					      .dns = a->dns,
					      .dns_count = a->dns_count,
					      .ip = a->ip,
					      .ip_count = a->ip_count,
					      .passphrase_file = a->passphrase_file };
}

static size_t read_file(const char *path, uint8_t *room, size_t len)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	size_t n = file ? fread(room, 1, len, file) : 0;
	if (file && file != stdin)
		(void)fclose(file);
	return n;
}

/* ---- many ---- */

struct many {
	const struct ca_args *args;
	size_t count;
};

static void say_one(void *self, const struct smq_ca_issued *i)
{
	struct many *m = self;
	char text[CA_JSON_LEN];
	size_t len = 0;
	if (m->args->json) {
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		ca_json_issued(&j, i);
		if (smq_json_finish(&j, &len) == SMQ_OK)
			printf("%s\n  %s", m->count ? "," : "", text);
	}
	m->count++;
}

/* Lines without their ends; empty ones are none. */
static size_t split_lines(char *text, const char **ret_names)
{
	size_t count = 0;
	char *save = NULL;
	for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		ret_names[count++] = line;
	return count;
}

static int issue_many(struct ca_args *a, const char *const *names, size_t count)
{
	struct smq_ca_issue_options o = issue_options(a, NULL);
	struct many m = { .args = a };
	const char *why = NULL;
	sigset_t before;
	if (a->json)
		printf("[");
	hold_signals(&before);
	smq_err err = smq_ca_issue_many(a->ca, names, count, &o, say_one, &m, &why);
	let_signals(&before);
	if (a->json)
		printf("%s]\n", m.count ? "\n" : "");
	else if (m.count > 0)
		printf("made %zu identities in %s/members\n", m.count, a->ca);
	return err == SMQ_OK ? ca_flushed() : ca_fail(err, why);
}

static int issue_listed(struct ca_args *a)
{
	char *text = malloc(NAMES_MAX + 1);
	const char **names = malloc((NAMES_MAX / 2 + 1) * sizeof(*names));
	int status = smq_err_exit(SMQ_ERR_NO_MEMORY);
	if (a->word) {
		status = ca_misuse("either a NAME or --names", NULL);
	} else if (text && names) {
		size_t len = read_file(a->names, (uint8_t *)text, NAMES_MAX);
		text[len] = 0;
		size_t count = split_lines(text, names);
		status = len == NAMES_MAX ? ca_misuse("too many names, more than 1 MiB", NULL)
			 : count == 0     ? ca_fail(SMQ_ERR_NOT_FOUND, "no names there, or they cannot be read")
					  : issue_many(a, names, count);
	}
	free(text);
	free(names);
	return status;
}

int ca_run_issue(struct ca_args *a)
{
	if (a->names)
		return issue_listed(a);
	if (!a->word)
		return ca_misuse("issue needs a NAME, or --names FILE", NULL);

	struct smq_ca_issue_options o = issue_options(a, a->word);
	struct smq_ca_issued issued;
	const char *why = NULL;
	sigset_t before;
	hold_signals(&before);
	smq_err err = smq_ca_issue(a->ca, &o, &issued, &why);
	let_signals(&before);
	return say_issued(a, err, &issued, why);
}

int ca_run_csr(struct ca_args *a)
{
	struct smq_ca_csr_options o = { .name = a->name, .curve = a->curve };
	char path[CA_PATH_LEN];
	const char *why = NULL;
	sigset_t before;
	hold_signals(&before);
	smq_err err = smq_ca_csr(a->word, &o, path, &why);
	let_signals(&before);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	return say_path(a, "request", path, "for `sealmq ca sign`; the key stays here");
}

int ca_run_sign(struct ca_args *a)
{
	struct smq_ca_issue_options o = issue_options(a, a->name);
	struct smq_ca_issued issued;
	const char *why = NULL;
	sigset_t before;
	uint8_t *request = malloc(REQUEST_MAX);
	errno = 0;
	size_t len = request ? read_file(a->word, request, REQUEST_MAX) : 0;
	if (len == 0) {
		free(request);
		return ca_fail(SMQ_ERR_NOT_FOUND, errno ? "the request cannot be read" : "the request is empty");
	}
	hold_signals(&before);
	smq_err err = smq_ca_sign(a->ca, smq_span_of(request, len), &o, &issued, &why);
	let_signals(&before);
	free(request);
	return say_issued(a, err, &issued, why);
}

int ca_run_accept(struct ca_args *a)
{
	const char *why = NULL;
	sigset_t before;
	if (!a->from)
		return ca_misuse("accept needs --from DIR, which `sealmq ca sign` made", NULL);
	hold_signals(&before);
	smq_err err = smq_ca_accept(a->word, a->from, &why);
	let_signals(&before);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	return say_path(a, "dir", a->word, "a realm directory");
}

int ca_run_renew(struct ca_args *a)
{
	struct smq_ca_renew_options o = {
		.name = a->word, .days = a->days, .keep_key = a->keep_key, .passphrase_file = a->passphrase_file
	};
	struct smq_ca_issued issued;
	const char *why = NULL;
	sigset_t before;
	hold_signals(&before);
	smq_err err = smq_ca_renew(a->ca, &o, &issued, &why);
	let_signals(&before);
	return say_issued(a, err, &issued, why);
}

int ca_run_rollover(struct ca_args *a)
{
	struct smq_ca_rollover_options o = { .days = a->days,
					     .curve = a->curve,
					     .passphrase_file = a->passphrase_file,
					     .pkcs11 = a->pkcs11,
					     .to = a->to,
					     .to_count = a->to_count };
	struct smq_ca_issued issued;
	const char *why = NULL;
	sigset_t before;
	hold_signals(&before);
	smq_err err =
	    a->new_root ? smq_ca_rollover_root(a->ca, &o, &issued, &why) : smq_ca_rollover(a->ca, &o, &issued, &why);
	let_signals(&before);
	return say_issued(a, err, &issued, why);
}

static struct smq_ca_crl_options crl_options(const struct ca_args *a)
{
	return (struct smq_ca_crl_options){
		.hours = a->hours, .passphrase_file = a->passphrase_file, .to = a->to, .to_count = a->to_count
	};
}

int ca_run_revoke(struct ca_args *a)
{
	struct smq_ca_revoke_options o = { .who = a->word, .reason = a->reason, .crl = crl_options(a) };
	struct smq_ca_crl crl;
	char text[CA_JSON_LEN];
	size_t count = 0;
	const char *why = NULL;
	sigset_t before;
	hold_signals(&before);
	smq_err err = smq_ca_revoke(a->ca, &o, &count, &crl, &why);
	let_signals(&before);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	if (a->json) {
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		smq_json_object(&j);
		smq_json_key(&j, "revoked");
		smq_json_int(&j, (int64_t)count);
		smq_json_key(&j, "reason");
		smq_json_str(&j, smq_ca_reason_name(a->reason));
		smq_json_key(&j, "crl");
		ca_json_crl(&j, &crl);
		smq_json_end(&j);
		return ca_print_json(&j, text);
	}
	printf("revoked %zu certificate%s of %s (%s)\n", count, count == 1 ? "" : "s", a->word,
	       smq_ca_reason_name(a->reason));
	ca_print_crl(&crl);
	return ca_flushed();
}

int ca_run_crl(struct ca_args *a)
{
	struct smq_ca_crl_options o = crl_options(a);
	struct smq_ca_crl crl;
	char text[CA_JSON_LEN];
	const char *why = NULL;
	sigset_t before;
	hold_signals(&before);
	smq_err err = smq_ca_crl(a->ca, &o, &crl, &why);
	let_signals(&before);
	if (err != SMQ_OK)
		return ca_fail(err, why);
	if (a->json) {
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		ca_json_crl(&j, &crl);
		return ca_print_json(&j, text);
	}
	ca_print_crl(&crl);
	return ca_flushed();
}
