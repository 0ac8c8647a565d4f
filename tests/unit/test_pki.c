/* pki: an issuing authority below an offline root, keys that stay on their devices, renewal, revocation, rollover. */
#include "dir_rig.h"

#include <time.h>

#include <sealmq/ca.h>
#include <sealmq/realm.h>

#include "adapters/ca_openssl/ca_make.h"
#include "base/table.h"
#include "base/text.h"
#include "lib/realm_internal.h"

#define PASS "pass"

static const char *why;
static struct smq_ca_issued issued;

static int64_t now_ms(void) { return (int64_t)time(NULL) * 1000; }

static int enter_with_pass(void **state)
{
	if (rig_enter(state) != 0)
		return -1;
	rig_write(PASS, "correct horse\nnot this", 22, 0600);
	return 0;
}

static int make_plant(void **state)
{
	struct smq_ca_init_options o = { .issuing = true, .passphrase_file = PASS };
	return enter_with_pass(state) == 0 && smq_ca_init("plant", &o, &why) == SMQ_OK ? 0 : -1;
}

static smq_err issue(const char *name)
{
	struct smq_ca_issue_options o = { .name = name, .passphrase_file = PASS };
	return smq_ca_issue("plant", &o, &issued, &why);
}

static smq_err revoke_it(const char *who, enum smq_ca_reason reason, size_t *ret_count, struct smq_ca_crl *ret_crl)
{
	struct smq_ca_revoke_options o = { .who = who, .reason = reason, .crl = { .passphrase_file = PASS } };
	return smq_ca_revoke("plant", &o, ret_count, ret_crl, &why);
}

static void must(smq_err err)
{
	if (err != SMQ_OK)
		print_error("%s: %s\n", smq_err_name(err), why);
	assert_int_equal(err, SMQ_OK);
}

/* How many PEM objects of a kind are in a file. */
static int pem_count(const char *path, const char *what)
{
	static char text[65536];
	char mark[64];
	int count = 0;
	(void)snprintf(mark, sizeof(mark), "-----BEGIN %s-----", what);
	(void)rig_read(path, text, sizeof(text));
	for (const char *at = text; (at = strstr(at, mark)) != NULL; at++)
		count++;
	return count;
}

/* What one member of the realm thinks of another. */
static smq_err judge(const char *judge_dir, const char *judged_dir)
{
	smq_realm *a = NULL;
	smq_realm *b = NULL;
	struct smq_credential c;
	must(smq_realm_open(judge_dir, &a, &why));
	smq_err err = smq_realm_open(judged_dir, &b, &why);
	if (err == SMQ_OK) {
		const struct smq_credentials *who = smq_realm_credentials(a);
		err = who->resolve(who->self, smq_realm_own(b)->id_cred_full, now_ms(), &c);
	}
	smq_realm_free(a);
	smq_realm_free(b);
	return err;
}

static void an_offline_root_and_its_chain(void **state)
{
	(void)state;
	must(issue("fridge"));
	assert_int_equal(strlen(issued.issuer), 32);
	assert_int_equal(pem_count("plant/members/fridge/member.crt", "CERTIFICATE"), 2);
	assert_int_equal(rename("plant/root.key", "root.key"), 0); /* taken away */
	must(issue("desk"));
	must(judge("plant/members/desk", "plant/members/fridge"));
	/* lists are still made, with the root's own from before */
	struct smq_ca_crl crl;
	must(smq_ca_crl("plant", &(struct smq_ca_crl_options){ .passphrase_file = PASS }, &crl, &why));
	assert_int_equal(crl.lists, 2);
	assert_int_equal(crl.copies, 2);
	must(judge("plant/members/desk", "plant/members/fridge"));
	/* but not once the root has something to say */
	char authority[33];
	memcpy(authority, issued.issuer, sizeof(authority));
	size_t count = 0;
	assert_int_equal(revoke_it(authority, SMQ_CA_CA_COMPROMISE, &count, &crl), SMQ_ERR_NOT_FOUND);
	assert_int_equal(count, 1);
	assert_non_null(strstr(why, "revoked, but"));
	assert_int_equal(rename("root.key", "plant/root.key"), 0);
	must(smq_ca_crl("plant", &(struct smq_ca_crl_options){ .passphrase_file = PASS }, &crl, &why));
	smq_realm *realm = NULL;
	assert_int_equal(smq_realm_open("plant/members/desk", &realm, &why), SMQ_ERR_CERT_REVOKED);
}

static void keys_of_all_kinds_under_a_passphrase(void **state)
{
	(void)state;
	static const enum smq_curve curves[] = { SMQ_P256, SMQ_P384, SMQ_ED25519 };
	static const char *const dns[] = { "localhost" };
	char dir[] = "ca0";
	rig_write("wrong", "incorrect horse\n", 16, 0600);
	rig_write("open", "correct horse\n", 14, 0644);
	rig_write("empty", "\nx", 2, 0600);
	for (size_t i = 0; i < SMQ_COUNT(curves); i++) {
		struct smq_ca_init_options init = { .issuing = i > 0, .passphrase_file = PASS, .curve = curves[i] };
		struct smq_ca_issue_options o = { .name = "fridge" };
		char key[64];
		dir[2] = (char)('0' + i);
		must(smq_ca_init(dir, &init, &why));
		(void)snprintf(key, sizeof(key), "%s/root.key", dir);
		assert_int_equal(pem_count(key, "ENCRYPTED PRIVATE KEY"), 1);
		assert_int_equal(pem_count(key, "PRIVATE KEY"), 0);
		assert_int_equal(smq_ca_issue(dir, &o, &issued, &why), SMQ_ERR_USAGE);
		assert_non_null(strstr(why, "--passphrase-file"));
		o.passphrase_file = "wrong";
		assert_int_equal(smq_ca_issue(dir, &o, &issued, &why), SMQ_ERR_OPEN);
		o.passphrase_file = "open";
		assert_int_equal(smq_ca_issue(dir, &o, &issued, &why), SMQ_ERR_UNSAFE_FILE);
		o.passphrase_file = "empty";
		assert_int_equal(smq_ca_issue(dir, &o, &issued, &why), SMQ_ERR_USAGE);
		o.passphrase_file = "nowhere";
		assert_int_equal(smq_ca_issue(dir, &o, &issued, &why), SMQ_ERR_NOT_FOUND);
		o.passphrase_file = PASS;
		must(smq_ca_issue(dir, &o, &issued, &why));
		smq_realm *realm = NULL;
		must(smq_realm_open(issued.dir, &realm, &why));
		smq_realm_free(realm);
		struct smq_ca_issue_options b = { .name = "broker",
						  .roles = SMQ_ROLE_BROKER,
						  .curve = curves[i],
						  .dns = dns,
						  .dns_count = 1,
						  .passphrase_file = PASS };
		must(smq_ca_issue(dir, &b, &issued, &why));
		b.name = "member";
		b.roles = SMQ_ROLE_MEMBER;
		b.dns_count = 0;
		assert_int_equal(smq_ca_issue(dir, &b, &issued, &why), curves[i] == SMQ_P384 ? SMQ_ERR_USAGE : SMQ_OK);
	}
	struct smq_ca_init_options bad = { .curve = SMQ_X25519 };
	assert_int_equal(smq_ca_init("bad", &bad, &why), SMQ_ERR_USAGE);
}

struct seen {
	struct smq_ca_issued last;
	enum smq_ca_status status[8];
	size_t count;
};

static void see(void *self, const struct smq_ca_issued *i)
{
	struct seen *s = self;
	s->last = *i;
	s->status[s->count++ % 8] = i->status;
}

static void revocation_reaches_the_log_the_list_and_the_members(void **state)
{
	(void)state;
	struct smq_ca_crl crl;
	struct seen s = { .count = 0 };
	char serial[33];
	size_t count = 0;
	must(issue("desk"));
	must(issue("fridge"));
	assert_int_equal(rename("plant/members/desk", "desk"), 0); /* handed over */
	must(judge("desk", "plant/members/fridge"));
	must(revoke_it("fridge", SMQ_CA_KEY_COMPROMISE, &count, &crl));
	assert_int_equal(count, 1);
	assert_int_equal(crl.number, 1);
	assert_int_equal(crl.entries, 1);
	assert_int_equal(crl.copies, 1);
	must(smq_ca_list("plant", see, &s, &why));
	assert_int_equal(s.last.status, SMQ_CA_REVOKED);
	assert_int_equal(s.last.reason, SMQ_CA_KEY_COMPROMISE);
	assert_string_equal(s.last.name, "fridge");
	assert_int_equal(s.status[1], SMQ_CA_VALID); /* desk; before it comes the authority */
	/* an open realm learns of it by its file */
	static const char *const to[] = { "desk" };
	struct smq_ca_crl_options o = { .passphrase_file = PASS, .to = to, .to_count = 1, .hours = 2 };
	smq_realm *desk = NULL;
	must(smq_realm_open("desk", &desk, &why));
	assert_false(smq_realm_crl_changed(desk));
	must(smq_ca_crl("plant", &o, &crl, &why));
	assert_int_equal(crl.number, 2);
	assert_int_equal(crl.copies, 2);
	assert_true(crl.next_update_ms - now_ms() <= 2 * 3600 * 1000);
	assert_true(smq_realm_crl_changed(desk));
	must(smq_realm_reload_crl(desk, &why));
	smq_realm_free(desk);
	assert_int_equal(judge("desk", "plant/members/fridge"), SMQ_ERR_CERT_REVOKED);
	/* again, and by what is not there */
	assert_int_equal(revoke_it("fridge", 0, &count, &crl), SMQ_ERR_NOT_FOUND);
	assert_non_null(strstr(why, "already"));
	assert_int_equal(revoke_it("nobody", 0, &count, &crl), SMQ_ERR_NOT_FOUND);
	assert_int_equal(revoke_it("a b", 0, &count, &crl), SMQ_ERR_NAME);
	assert_int_equal(revoke_it("issuing", 0, &count, &crl), SMQ_ERR_NOT_FOUND);
	/* one of two certificates */
	must(smq_ca_renew("plant", &(struct smq_ca_renew_options){ .name = "fridge", .passphrase_file = PASS }, &issued,
			  &why));
	memcpy(serial, issued.serial, sizeof(serial));
	must(judge("desk", "plant/members/fridge"));
	must(revoke_it(serial, SMQ_CA_SUPERSEDED, &count, &crl));
	assert_int_equal(crl.entries, 2);
	/* a list to somewhere else is refused, and said */
	static const char *const nowhere[] = { "plant/issuers" };
	o.to = nowhere;
	assert_int_equal(smq_ca_crl("plant", &o, &crl, &why), SMQ_ERR_REALM);
	o.to_count = 0;
	o.hours = -1;
	assert_int_equal(smq_ca_crl("plant", &o, &crl, &why), SMQ_ERR_USAGE);
}

/* The revocation is not forgotten, and the next list has it. */
static void a_list_that_cannot_be_written_is_told_and_made_up_for(void **state)
{
	(void)state;
	struct smq_ca_crl crl;
	struct seen s = { .count = 0 };
	size_t count = 0;
	must(issue("a"));
	must(issue("b"));
	must(revoke_it("a", 0, &count, &crl));
	assert_int_equal(unlink("plant/crl.pem"), 0);
	assert_int_equal(mkdir("plant/crl.pem", 0700), 0); /* no rename can get there */
	assert_int_not_equal(revoke_it("b", 0, &count, &crl), SMQ_OK);
	assert_non_null(strstr(why, "revoked, but"));
	must(smq_ca_list("plant", see, &s, &why));
	assert_int_equal(s.last.status, SMQ_CA_REVOKED);
	assert_int_equal(rmdir("plant/crl.pem"), 0);
	must(smq_ca_crl("plant", &(struct smq_ca_crl_options){ .passphrase_file = PASS }, &crl, &why));
	assert_int_equal(crl.entries, 2);
	assert_int_equal(crl.number, 3); /* 2 was used up */
}

static void renewal_keeps_everything_but_the_key(void **state)
{
	(void)state;
	static const char *const dns[] = { "broker.example", "localhost" };
	static const char *const ip[] = { "127.0.0.1", "::1" };
	struct smq_ca_renew_options again = { .name = "boss", .passphrase_file = PASS };
	struct smq_ca_issue_options o = { .name = "boss",
					  .roles = SMQ_ROLE_ADMIN | SMQ_ROLE_MEMBER,
					  .key_agreement = true,
					  .passphrase_file = PASS };
	struct smq_credential was;
	struct smq_credential is;
	smq_realm *realm = NULL;
	must(smq_ca_issue("plant", &o, &issued, &why));
	must(issue("desk"));
	must(smq_realm_open("plant/members/boss", &realm, &why));
	was = *smq_realm_own_certificate(realm);
	smq_realm_free(realm);
	must(smq_ca_renew("plant", &again, &issued, &why));
	assert_int_equal(rig_mode("plant/members/boss/member.pem"), 0600);
	must(smq_realm_open("plant/members/boss", &realm, &why));
	is = *smq_realm_own_certificate(realm);
	smq_realm_free(realm);
	assert_string_equal(is.name, was.name);
	assert_int_equal(is.roles, was.roles);
	assert_int_equal(is.dh_curve, was.dh_curve);
	assert_memory_not_equal(is.public_key, was.public_key, is.public_key_len);
	/* overlap: both are good */
	must(judge("plant/members/desk", "plant/members/boss"));
	assert_int_equal(rename("plant/members/boss/member.pem", "renewed.pem"), 0);
	must(judge("plant/members/desk", "plant/members/boss"));
	assert_int_equal(rename("renewed.pem", "plant/members/boss/member.pem"), 0);
	/* the same key again */
	again.keep_key = true;
	was = is;
	must(smq_ca_renew("plant", &again, &issued, &why));
	must(smq_realm_open("plant/members/boss", &realm, &why));
	is = *smq_realm_own_certificate(realm);
	smq_realm_free(realm);
	assert_memory_equal(is.public_key, was.public_key, is.public_key_len);
	assert_memory_not_equal(is.id, was.id, sizeof(is.id));
	/* a broker keeps its hosts */
	struct smq_ca_issue_options b = { .name = "broker",
					  .roles = SMQ_ROLE_BROKER,
					  .dns = dns,
					  .dns_count = 2,
					  .ip = ip,
					  .ip_count = 2,
					  .passphrase_file = PASS };
	struct smq_ca_holder h;
	char pem[16384];
	must(smq_ca_issue("plant", &b, &issued, &why));
	again.name = "broker";
	again.keep_key = false;
	must(smq_ca_renew("plant", &again, &issued, &why));
	size_t len = rig_read("plant/members/broker/server.crt", pem, sizeof(pem));
	must(smq_ca_read_holder(smq_span_of((uint8_t *)pem, len), &h));
	assert_int_equal(h.roles, SMQ_ROLE_BROKER);
	assert_int_equal(h.dns_count, 2);
	assert_string_equal(h.dns[1], "localhost");
	assert_string_equal(h.ip[1], "::1");
	/* and what is not here cannot be renewed here */
	again.name = "gone";
	assert_int_equal(smq_ca_renew("plant", &again, &issued, &why), SMQ_ERR_NOT_FOUND);
	again.name = "../x";
	assert_int_equal(smq_ca_renew("plant", &again, &issued, &why), SMQ_ERR_NAME);
}

static smq_err sign(const char *path, const char *name, bool reissue)
{
	char pem[8192];
	size_t len = rig_read(path, pem, sizeof(pem));
	struct smq_ca_issue_options o = { .name = name, .reissue = reissue, .passphrase_file = PASS };
	return smq_ca_sign("plant", smq_span_of((uint8_t *)pem, len), &o, &issued, &why);
}

static void a_key_never_leaves_its_device(void **state)
{
	(void)state;
	struct smq_ca_csr_options o = { .name = "meter" };
	char path[4096];
	smq_realm *realm = NULL;
	must(smq_ca_csr("meter", &o, path, &why));
	assert_string_equal(path, "meter/member.csr");
	assert_int_equal(rig_mode("meter/member.key"), 0600);
	assert_int_equal(sign(path, "other", false), SMQ_ERR_NAME);
	must(sign(path, NULL, false));
	assert_false(rig_there("plant/members/meter/member.key"));
	must(smq_ca_accept("meter", "plant/members/meter", &why));
	must(smq_realm_open("meter", &realm, &why));
	assert_string_equal(smq_realm_member(realm), "meter");
	smq_realm_free(realm);
	/* twice: refused on both sides */
	assert_int_equal(sign(path, NULL, false), SMQ_ERR_EXISTS);
	assert_int_equal(smq_ca_csr("meter", &(struct smq_ca_csr_options){ .name = "other" }, path, &why),
			 SMQ_ERR_EXISTS);
	assert_int_equal(smq_ca_accept("meter", "plant/members/meter", &why), SMQ_ERR_EXISTS);
	/* renewed with a new key, made where it is used */
	must(smq_ca_csr("meter", &(struct smq_ca_csr_options){ .curve = SMQ_ED25519 }, path, &why));
	assert_string_equal(path, "meter/next.csr");
	assert_int_equal(smq_ca_accept("meter", "plant/members/meter", &why), SMQ_ERR_CERT_INVALID); /* the old one */
	must(sign(path, NULL, true));
	must(smq_ca_accept("meter", "plant/members/meter", &why));
	assert_false(rig_there("meter/next.key"));
	must(smq_realm_open("meter", &realm, &why));
	assert_int_equal(smq_realm_own_certificate(realm)->sig_alg, SMQ_EDDSA);
	smq_realm_free(realm);
	assert_int_equal(smq_ca_renew("plant",
				      &(struct smq_ca_renew_options){ .name = "meter", .passphrase_file = PASS },
				      &issued, &why),
			 SMQ_ERR_STATE);
	/* another realm's authority cannot take it over */
	must(smq_ca_init("evil", &(struct smq_ca_init_options){ .realm = "plant" }, &why));
	must(smq_ca_csr("meter", &(struct smq_ca_csr_options){ .name = NULL }, path, &why));
	char pem[8192];
	size_t len = rig_read(path, pem, sizeof(pem));
	struct smq_ca_issue_options io = { .name = "meter" };
	must(smq_ca_sign("evil", smq_span_of((uint8_t *)pem, len), &io, &issued, &why));
	assert_int_equal(smq_ca_accept("meter", "evil/members/meter", &why), SMQ_ERR_CERT_CHAIN);
}

static void spoilt_requests_are_refused(void **state)
{
	(void)state;
	char pem[8192];
	char path[4096];
	int entries = rig_count("plant");
	must(smq_ca_csr("dev", &(struct smq_ca_csr_options){ .name = "dev" }, path, &why));
	size_t len = rig_read(path, pem, sizeof(pem));
	struct smq_ca_issue_options o = { .passphrase_file = PASS };
	for (size_t at = 40; at < len - 40; at++) {
		char was = pem[at];
		if (was == '\n')
			continue;
		pem[at] = was == 'A' ? 'B' : 'A';
		smq_err err = smq_ca_sign("plant", smq_span_of((uint8_t *)pem, len), &o, &issued, &why);
		pem[at] = was;
		if (err == SMQ_OK)
			print_error("byte %zu\n", at);
		assert_int_not_equal(err, SMQ_OK);
	}
	for (size_t cut = 0; cut < len - 26; cut += 7)
		assert_int_not_equal(smq_ca_sign("plant", smq_span_of((uint8_t *)pem, cut), &o, &issued, &why), SMQ_OK);
	assert_int_equal(rig_count("plant"), entries);
	must(smq_ca_sign("plant", smq_span_of((uint8_t *)pem, len), &o, &issued, &why));
	assert_int_equal(smq_ca_csr("x", &(struct smq_ca_csr_options){ .name = "a b" }, path, &why), SMQ_ERR_NAME);
	assert_int_equal(smq_ca_csr("x", &(struct smq_ca_csr_options){ .name = NULL }, path, &why), SMQ_ERR_USAGE);
	assert_int_equal(smq_ca_csr("x", &(struct smq_ca_csr_options){ .name = "x", .curve = SMQ_X25519 }, path, &why),
			 SMQ_ERR_USAGE);
}

static void rollover_keeps_what_was_issued(void **state)
{
	(void)state;
	struct smq_ca_rollover_options o = { .passphrase_file = PASS, .days = 3, .curve = SMQ_ED25519 };
	struct smq_ca_crl crl;
	size_t count = 0;
	must(issue("old"));
	char before[33];
	memcpy(before, issued.issuer, sizeof(before));
	must(smq_ca_rollover("plant", &o, &issued, &why));
	must(issue("new"));
	assert_string_not_equal(issued.issuer, before);
	assert_true(issued.not_after_ms <= now_ms() + 3 * INT64_C(86400000) + 1000); /* not longer than its issuer */
	must(judge("plant/members/old", "plant/members/new"));
	must(judge("plant/members/new", "plant/members/old"));
	/* both lists go on, each with its own */
	must(revoke_it("old", SMQ_CA_CESSATION, &count, &crl));
	assert_int_equal(crl.lists, 3);
	assert_int_equal(crl.entries, 1);
	smq_realm *realm = NULL;
	assert_int_equal(smq_realm_open("plant/members/old", &realm, &why), SMQ_ERR_CERT_REVOKED);
	must(smq_realm_open("plant/members/new", &realm, &why));
	smq_realm_free(realm);
	/* from a realm whose root issued itself */
	must(smq_ca_init("flat", NULL, &why));
	must(smq_ca_rollover("flat", NULL, &issued, &why));
	must(smq_ca_issue("flat", &(struct smq_ca_issue_options){ .name = "a" }, &issued, &why));
	assert_int_equal(strlen(issued.issuer), 32);
	must(smq_realm_open("flat/members/a", &realm, &why));
	smq_realm_free(realm);
	/* without the root's key there is none */
	assert_int_equal(unlink("flat/root.key"), 0);
	assert_int_equal(smq_ca_rollover("flat", NULL, &issued, &why), SMQ_ERR_NOT_FOUND);
}

static void what_is_wrong_is_not_issued(void **state)
{
	(void)state;
	struct smq_pem key[2] = { { NULL, 0 } };
	struct smq_pem cert = { NULL, 0 };
	struct smq_pem made = { NULL, 0 };
	const smq_span none = { NULL, 0 };
	struct smq_cert_template root = { .common_name = "r",
					  .serial = { 0x40 },
					  .not_before_ms = now_ms() - 60000,
					  .not_after_ms = now_ms() + 86400000,
					  .authority = true,
					  .path_len = 0,
					  .key_usage = SMQ_KEY_USAGE_ISSUE };
	const struct smq_cert_template good = { .common_name = "m",
						.serial = { 0x40 },
						.not_before_ms = root.not_before_ms,
						.not_after_ms = root.not_after_ms,
						.path_len = -1,
						.key_usage = SMQ_KEY_USAGE_SIGN,
						.usages = { "1.3.6.1.5.5.7.3.2" },
						.uri = "sealmq:r/m" };
	must(smq_ca_make_key(SMQ_P256, &key[0]));
	must(smq_ca_make_key(SMQ_P256, &key[1]));
	must(smq_ca_make_cert(&root, smq_span_of(key[0].p, key[0].len), none, none, &cert));
	for (int row = 0; row <= 9; row++) {
		struct smq_cert_template t = good;
		bool server = row == 8;
		if (row == 1)
			t.serial[0] = 0; /* all zero: too few bits */
		else if (row == 2)
			t.not_after_ms += 86400000; /* longer than its issuer */
		else if (row == 3)
			t.not_after_ms = t.not_before_ms - 1000;
		else if (row == 4)
			t.authority = true;
		else if (row == 5)
			t.key_usage = 0;
		else if (row == 6)
			t.usages[0] = NULL;
		else if (row == 7)
			t.uri = NULL;
		else if (row == 9)
			t.usages[0] = "1.3.6.1.5.5.7.3.1"; /* a server's, for a client */
		must(smq_ca_make_cert(&t, smq_span_of(key[1].p, key[1].len), smq_span_of(cert.p, cert.len),
				      smq_span_of(key[0].p, key[0].len), &made));
		const char *wrong =
		    smq_ca_lint(smq_span_of(made.p, made.len), none, smq_span_of(cert.p, cert.len), server, now_ms());
		smq_pem_free(&made);
		if ((wrong == NULL) != (row == 0))
			print_error("row %d: %s\n", row, wrong ? wrong : "passed");
		assert_true((wrong == NULL) == (row == 0));
	}
	smq_pem_free(&key[0]);
	smq_pem_free(&key[1]);
	smq_pem_free(&cert);
}

static void count_them(void *self, const struct smq_ca_issued *i)
{
	struct seen *s = self;
	s->last = *i;
	s->count++;
}

static void many_at_once(void **state)
{
	(void)state;
	static char text[300][16];
	const char *names[300];
	struct smq_ca_issue_options o = { .passphrase_file = PASS, .days = 7 };
	struct seen s = { .count = 0 };
	struct seen listed = { .count = 0 };
	smq_realm *realm = NULL;
	for (size_t i = 0; i < SMQ_COUNT(names); i++) {
		(void)snprintf(text[i], sizeof(text[i]), "m%zu", i);
		names[i] = text[i];
	}
	int entries = rig_count("plant");
	const struct {
		smq_err want;
		size_t at;
		const char *name;
	} rows[] = { { SMQ_ERR_USAGE, 299, "m0" }, { SMQ_ERR_NAME, 299, "a b" }, { SMQ_ERR_NAME, 280, ".." } };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		const char *was = names[rows[i].at];
		names[rows[i].at] = rows[i].name;
		assert_int_equal(smq_ca_issue_many("plant", names, 300, &o, count_them, &s, &why), rows[i].want);
		names[rows[i].at] = was;
		assert_int_equal(rig_count("plant"), entries);
	}
	assert_int_equal(s.count, 0);
	must(smq_ca_issue_many("plant", names, 300, &o, count_them, &s, &why));
	assert_int_equal(s.count, 300);
	assert_string_equal(s.last.name, "m299");
	must(smq_ca_list("plant", see, &listed, &why));
	assert_int_equal(listed.count, 301);
	must(judge("plant/members/m0", "plant/members/m299"));
	must(smq_realm_open("plant/members/m256", &realm, &why));
	smq_realm_free(realm);
	/* one of them is there already, or was handed over: none is made */
	assert_int_equal(smq_ca_issue_many("plant", &names[299], 1, &o, NULL, NULL, &why), SMQ_ERR_EXISTS);
	assert_int_equal(rename("plant/members/m299", "m299"), 0);
	assert_int_equal(smq_ca_issue_many("plant", &names[299], 1, &o, NULL, NULL, &why), SMQ_ERR_EXISTS);
	o.reissue = true;
	must(smq_ca_issue_many("plant", &names[299], 1, &o, NULL, NULL, &why));
	assert_int_equal(smq_ca_issue_many("plant", names, 0, &o, NULL, NULL, &why), SMQ_ERR_USAGE);
}

static void reason_words(void **state)
{
	(void)state;
	static const enum smq_ca_reason all[] = { 0, 1, 2, 3, 4, 5, 9 };
	enum smq_ca_reason got = 0;
	for (size_t i = 0; i < SMQ_COUNT(all); i++) {
		must(smq_ca_reason_parse(smq_ca_reason_name(all[i]), &got));
		assert_int_equal(got, all[i]);
	}
	assert_int_equal(smq_ca_reason_parse("just because", &got), SMQ_ERR_USAGE);
	assert_string_equal(smq_ca_status_name((enum smq_ca_status)99), "unknown");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_plant, rig_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_offline_root_and_its_chain),
		cmocka_unit_test_setup_teardown(keys_of_all_kinds_under_a_passphrase, enter_with_pass, rig_leave),
		CASE(revocation_reaches_the_log_the_list_and_the_members),
		CASE(a_list_that_cannot_be_written_is_told_and_made_up_for),
		CASE(renewal_keeps_everything_but_the_key),
		CASE(a_key_never_leaves_its_device),
		CASE(spoilt_requests_are_refused),
		CASE(rollover_keeps_what_was_issued),
		CASE(many_at_once),
		cmocka_unit_test(what_is_wrong_is_not_issued),
		cmocka_unit_test(reason_words),
	};
	return cmocka_run_group_tests_name("pki", tests, NULL, NULL);
}
