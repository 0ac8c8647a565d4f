/* ca: a realm made and identities issued; nothing overwritten, nothing left half done. */
#include "dir_rig.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include <sealmq/ca.h>
#include <sealmq/realm.h>

#include "base/table.h"

#define DAY INT64_C(86400000)

static const char *why;

static smq_err issue(const char *name, struct smq_ca_issued *ret)
{
	struct smq_ca_issue_options o = { .name = name };
	return smq_ca_issue("plant", &o, ret, &why);
}

static int make_ca(void **state)
{
	return rig_enter(state) == 0 && smq_ca_init("plant", NULL, &why) == SMQ_OK ? 0 : -1;
}

static void a_member_directory_opens_as_it_is(void **state)
{
	(void)state;
	struct smq_ca_issued issued;
	smq_realm *realm = NULL;
	static const struct {
		const char *path;
		int mode;
	} rows[] = {
		{ "plant", 0700 },
		{ "plant/root.crt", 0644 },
		{ "plant/root.key", 0600 },
		{ "plant/realm.yaml", 0644 },
		{ "plant/issued.log", 0600 },
		{ "plant/members", 0700 },
		{ "plant/members/fridge-07", 0700 },
		{ "plant/members/fridge-07/member.key", 0600 },
		{ "plant/members/fridge-07/member.crt", 0644 },
		{ "plant/members/fridge-07/root.crt", 0644 },
		{ "plant/members/fridge-07/realm.yaml", 0644 },
	};
	assert_int_equal(issue("fridge-07", &issued), SMQ_OK);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		assert_int_equal(rig_mode(rows[i].path), rows[i].mode);
	assert_int_equal(rig_count("plant"), SMQ_COUNT(rows));
	assert_string_equal(issued.dir, "plant/members/fridge-07");
	assert_int_equal(strlen(issued.serial), 32);
	assert_int_equal(smq_realm_open(issued.dir, &realm, &why), SMQ_OK);
	assert_string_equal(smq_realm_name(realm), "plant");
	assert_string_equal(smq_realm_member(realm), "fridge-07");
	assert_string_equal(smq_realm_keyex_topic(realm), "sealmq/plant/keyex/{to}");
	assert_int_equal(smq_realm_expires_ms(realm), issued.not_after_ms);
	int64_t days =
	    (issued.not_after_ms - issued.issued_ms + DAY / 2) / DAY; /* a slow machine takes seconds between the two */
	assert_int_equal(days, SMQ_CA_MEMBER_DAYS);
	smq_realm_free(realm);
}

static void every_role_and_key_opens_but_the_broker(void **state)
{
	(void)state;
	static const char *const hosts[] = { "broker.example" };
	static const char *const addresses[] = { "127.0.0.1", "::1" };
	static const struct {
		unsigned roles;
		enum smq_curve curve;
		bool agree;
	} rows[] = { { SMQ_ROLE_MEMBER, SMQ_P256, true },
		     { SMQ_ROLE_MEMBER, SMQ_ED25519, false },
		     { SMQ_ROLE_MEMBER, SMQ_X25519, false },
		     { SMQ_ROLE_KEYSERVER, 0, false },
		     { SMQ_ROLE_ADMIN | SMQ_ROLE_MEMBER, 0, false } };
	struct smq_ca_issued issued;
	smq_realm *realm = NULL;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		char name[8] = "m0";
		name[1] = (char)('0' + i);
		struct smq_ca_issue_options o = {
			.name = name, .roles = rows[i].roles, .curve = rows[i].curve, .key_agreement = rows[i].agree
		};
		assert_int_equal(smq_ca_issue("plant", &o, &issued, &why), SMQ_OK);
		assert_int_equal(smq_realm_open(issued.dir, &realm, &why), SMQ_OK);
		smq_realm_free(realm);
	}
	struct smq_ca_issue_options o = {
		.name = "broker", .roles = SMQ_ROLE_BROKER, .dns = hosts, .dns_count = 1, .ip = addresses, .ip_count = 2
	};
	assert_int_equal(smq_ca_issue("plant", &o, &issued, &why), SMQ_OK);
	assert_int_equal(rig_count("plant/members/broker"), 4);
	assert_int_equal(rig_mode("plant/members/broker/server.key"), 0600);
	assert_int_equal(smq_realm_open(issued.dir, &realm, &why), SMQ_ERR_REALM);
	assert_int_equal(smq_realm_open("plant", &realm, &why), SMQ_ERR_REALM);
	assert_non_null(strstr(why, "members/NAME"));
	/* a broker's certificate in a member's place */
	assert_int_equal(issue("impostor", &issued), SMQ_OK);
	rig_copy("plant/members/broker/server.crt", "plant/members/impostor/member.crt", 0644);
	rig_copy("plant/members/broker/server.key", "plant/members/impostor/member.key", 0600);
	assert_int_equal(smq_realm_open("plant/members/impostor", &realm, &why), SMQ_ERR_CERT_USAGE);
}

static void nothing_is_overwritten(void **state)
{
	(void)state;
	struct smq_ca_issued issued;
	struct smq_ca_init_options named = { .realm = "other" };
	char before[2][4096], after[4096];
	assert_int_equal(issue("desk", &issued), SMQ_OK);
	rig_read("plant/root.key", before[0], 4096);
	rig_read("plant/members/desk/member.key", before[1], 4096);
	assert_int_equal(smq_ca_init("plant", NULL, &why), SMQ_ERR_EXISTS);
	assert_int_equal(smq_ca_init("plant/", &named, &why), SMQ_ERR_EXISTS);
	assert_int_equal(smq_ca_init("plant/root.crt", &named, &why), SMQ_ERR_EXISTS);
	assert_int_equal(issue("desk", &issued), SMQ_ERR_EXISTS);
	rig_read("plant/root.key", after, 4096);
	assert_string_equal(after, before[0]);
	rig_read("plant/members/desk/member.key", after, 4096);
	assert_string_equal(after, before[1]);
	/* handed over to its device: a second one of this name must be asked for */
	assert_int_equal(rename("plant/members/desk", "desk"), 0);
	assert_int_equal(issue("desk", &issued), SMQ_ERR_EXISTS);
	assert_non_null(strstr(why, "--reissue"));
	struct smq_ca_issue_options again = { .name = "desk", .reissue = true };
	assert_int_equal(smq_ca_issue("plant", &again, &issued, &why), SMQ_OK);
	/* an empty directory is as good as none */
	assert_int_equal(mkdir("empty", 0755), 0);
	assert_int_equal(smq_ca_init("empty/", NULL, &why), SMQ_OK);
	assert_int_equal(mkdir("here", 0755), 0);
	assert_int_equal(chdir("here"), 0);
	assert_int_equal(smq_ca_init(".", &named, &why), SMQ_OK);
	assert_int_equal(chdir(".."), 0);
	assert_true(rig_there("here/root.key"));
}

static void bad_requests_are_refused_and_leave_nothing(void **state)
{
	(void)state;
	static const char *const good[] = { "a.example" };
	static const char *const bad[] = { "a b" };
	static const char *const word[] = { "host" };
	static const struct {
		smq_err want;
		struct smq_ca_issue_options o;
	} rows[] = {
		{ SMQ_ERR_NAME, { .name = NULL } },
		{ SMQ_ERR_NAME, { .name = "" } },
		{ SMQ_ERR_NAME, { .name = ".." } },
		{ SMQ_ERR_NAME, { .name = "a/b" } },
		{ SMQ_ERR_NAME, { .name = "a b" } },
		{ SMQ_ERR_NAME, { .name = "../../etc/x" } },
		{ SMQ_ERR_NAME, { .name = "a2345678901234567890123456789012345678901234567890123456789012345" } },
		{ SMQ_ERR_USAGE, { .name = "a", .days = -1 } },
		{ SMQ_ERR_USAGE, { .name = "a", .days = 36501 } },
		{ SMQ_ERR_USAGE, { .name = "a", .curve = (enum smq_curve)77 } },
		{ SMQ_ERR_USAGE, { .name = "a", .curve = SMQ_ED25519, .key_agreement = true } },
		{ SMQ_ERR_USAGE, { .name = "a", .roles = SMQ_ROLE_BROKER } },
		{ SMQ_ERR_USAGE,
		  { .name = "a", .roles = SMQ_ROLE_BROKER | SMQ_ROLE_MEMBER, .dns = good, .dns_count = 1 } },
		{ SMQ_ERR_USAGE, { .name = "a", .dns = good, .dns_count = 1 } },
		{ SMQ_ERR_USAGE, { .name = "a", .roles = SMQ_ROLE_BROKER, .dns = bad, .dns_count = 1 } },
		{ SMQ_ERR_USAGE, { .name = "a", .roles = SMQ_ROLE_BROKER, .ip = word, .ip_count = 1 } },
		{ SMQ_ERR_USAGE, { .name = "a", .roles = SMQ_ROLE_BROKER, .ip = word, .ip_count = 16 } },
	};
	struct smq_ca_issued issued;
	int entries = rig_count("plant");
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_err err = smq_ca_issue("plant", &rows[i].o, &issued, &why);
		if (err != rows[i].want)
			print_error("row %zu: %s\n", i, smq_err_name(err));
		assert_int_equal(err, rows[i].want);
		assert_true(strlen(why) > 0);
		assert_int_equal(rig_count("plant"), entries);
	}
	assert_int_equal(smq_ca_issue("nowhere", &rows[0].o, &issued, NULL), SMQ_ERR_NAME);
	struct smq_ca_issue_options o = { .name = "a" };
	assert_int_equal(smq_ca_issue("nowhere", &o, &issued, &why), SMQ_ERR_REALM);
	assert_int_equal(smq_ca_issue("plant/members", &o, &issued, &why), SMQ_ERR_REALM);
}

static void bad_realms_are_not_made(void **state)
{
	(void)state;
	static const struct {
		smq_err want;
		const char *dir;
		struct smq_ca_init_options o;
	} rows[] = {
		{ SMQ_ERR_USAGE, "", { .realm = "x" } },
		{ SMQ_ERR_NOT_FOUND, "no/such/parent", { .realm = "x" } },
		{ SMQ_ERR_NAME, "has space", { .realm = NULL } },
		{ SMQ_ERR_NAME, "x", { .realm = "a/b" } },
		{ SMQ_ERR_NAME, "x", { .realm = "" } },
		{ SMQ_ERR_CONFIG, "x", { .control_prefix = "a.b" } },
		{ SMQ_ERR_CONFIG, "x", { .control_prefix = "a/#" } },
		{ SMQ_ERR_CONFIG, "x", { .keyex_topic = "a b" } },
		{ SMQ_ERR_USAGE, "x", { .days = -5 } },
	};
	int entries = rig_count(".");
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_err err = smq_ca_init(rows[i].dir, &rows[i].o, &why);
		if (err != rows[i].want)
			print_error("row %zu: %s (%s)\n", i, smq_err_name(err), why);
		assert_int_equal(err, rows[i].want);
		assert_int_equal(rig_count("."), entries);
	}
	struct smq_ca_init_options o = { .realm = "ward", .keyex_topic = "ton_iot/keyex" };
	assert_int_equal(smq_ca_init("with space", &o, &why), SMQ_OK);
}

/* Files may not grow past a few bytes: as on a full disk, every write may be the one that fails. */
static void a_full_disk_leaves_nothing_half_done(void **state)
{
	(void)state;
	struct rlimit before, small;
	struct smq_ca_issued issued;
	int entries = rig_count(".");
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	static const rlim_t sizes[] = { 0, 1, 100, 200, 300, 500 };
	for (size_t i = 0; i < SMQ_COUNT(sizes); i++) {
		small.rlim_cur = sizes[i];
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		smq_err init = smq_ca_init("second", NULL, &why);
		smq_err member = issue("late", &issued);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_int_not_equal(init, SMQ_OK);
		assert_int_not_equal(member, SMQ_OK);
		assert_int_equal(rig_count("."), entries);
	}
	(void)signal(SIGXFSZ, SIG_DFL);
}

static void lifetimes_end_with_the_root(void **state)
{
	(void)state;
	struct smq_ca_init_options o = { .days = 10 };
	struct smq_ca_issue_options day = { .name = "a", .days = 1 }, more = { .name = "b", .days = 400 };
	struct smq_ca_issued issued;
	assert_int_equal(smq_ca_init("brief", &o, &why), SMQ_OK);
	assert_int_equal(smq_ca_issue("brief", &day, &issued, &why), SMQ_OK);
	assert_int_equal((issued.not_after_ms - issued.issued_ms) / DAY, 1);
	assert_int_equal(smq_ca_issue("brief", &more, &issued, &why), SMQ_OK);
	assert_true(issued.not_after_ms - issued.issued_ms <= 10 * DAY);
	assert_true(issued.not_after_ms - issued.issued_ms > 9 * DAY);
}

struct names {
	char text[200];
	char serials[8][33];
	size_t count;
};

static void note(void *self, const struct smq_ca_issued *issued)
{
	struct names *n = self;
	strcat(strcat(n->text, issued->name), " ");
	memcpy(n->serials[n->count++ % 8], issued->serial, 33);
}

static void the_log_holds_every_certificate_and_stands_a_crash(void **state)
{
	(void)state;
	struct smq_ca_issued issued;
	struct names n = { .count = 0 };
	assert_int_equal(smq_ca_list("plant", note, &n, &why), SMQ_OK);
	assert_int_equal(n.count, 0);
	assert_int_equal(issue("a", &issued), SMQ_OK);
	assert_int_equal(issue("b", &issued), SMQ_OK);
	/* an event of a later version, junk, and a line that a crash cut off */
	static const char more[] = "revoke\t2026-01-01T00:00:00Z\t00\nissue\tjunk\n\n\x1b[31m\nissue\t2026-01-01T00:";
	FILE *f = fopen("plant/issued.log", "a");
	assert_non_null(f);
	assert_int_equal(fwrite(more, 1, sizeof(more) - 1, f), sizeof(more) - 1);
	fclose(f);
	/* and directories that it left behind */
	assert_int_equal(mkdir("plant/members/c.new-00112233", 0700), 0);
	rig_write("plant/members/c.new-00112233/member.key", "x", 1, 0600);
	assert_int_equal(issue("c", &issued), SMQ_OK);
	assert_false(rig_there("plant/members/c.new-00112233"));
	assert_int_equal(smq_ca_list("plant", note, &n, &why), SMQ_OK);
	assert_string_equal(n.text, "a b c ");
	assert_string_equal(n.serials[2], issued.serial);
	assert_string_not_equal(n.serials[0], n.serials[1]);
	assert_int_equal(smq_ca_list("nowhere", note, &n, &why), SMQ_ERR_REALM);
}

/* The n-th line from here on is read without memory, of which the C library says nothing but that there is none. */
static int starved_at;

ssize_t __getdelim(char **line, size_t *room, int end, FILE *file)
{
	if (starved_at > 0 && --starved_at == 0) {
		errno = ENOMEM;
		return -1;
	}
	return getdelim(line, room, end, file);
}

ssize_t getline(char **line, size_t *room, FILE *file) { return __getdelim(line, room, '\n', file); }

static void what_of_the_log_cannot_be_read_is_not_taken_for_nothing(void **state)
{
	(void)state;
	struct smq_ca_issued issued;
	struct names n = { .count = 0 };
	const struct smq_ca_revoke_options all_of_b = { .who = "b" };
	size_t revoked = 0;
	assert_int_equal(issue("a", &issued), SMQ_OK);
	assert_int_equal(issue("b", &issued), SMQ_OK);
	for (int at = 1; at <= 3; at++) {
		starved_at = at;
		assert_int_equal(smq_ca_list("plant", note, &n, &why), SMQ_ERR_NO_MEMORY);
		starved_at = at;
		assert_int_equal(smq_ca_crl("plant", NULL, NULL, &why), SMQ_ERR_NO_MEMORY);
		starved_at = at;
		assert_int_equal(smq_ca_revoke("plant", &all_of_b, &revoked, NULL, &why), SMQ_ERR_NO_MEMORY);
	}
	starved_at = 0;
	assert_int_equal(smq_ca_revoke("plant", &all_of_b, &revoked, NULL, &why), SMQ_OK);
}

static void an_unsafe_or_spoiled_authority_issues_nothing(void **state)
{
	(void)state;
	struct smq_ca_issued issued;
	char key[4096];
	size_t len = rig_read("plant/root.key", key, sizeof(key));
	assert_int_equal(chmod("plant/root.key", 0640), 0);
	assert_int_equal(issue("a", &issued), SMQ_ERR_UNSAFE_FILE);
	assert_non_null(strstr(why, "chmod 600"));
	rig_write("plant/root.key", "junk", 4, 0600);
	assert_int_equal(issue("a", &issued), SMQ_ERR_CORRUPT);
	rig_write("plant/root.key", key, len / 2, 0600);
	assert_int_equal(issue("a", &issued), SMQ_ERR_CORRUPT);
	rig_write("plant/root.key", key, len, 0600);
	assert_int_equal(rig_count("plant/members"), 1);
	assert_int_equal(issue("a", &issued), SMQ_OK);
	rig_write("plant/root.crt", "junk", 4, 0644);
	assert_int_equal(issue("b", &issued), SMQ_ERR_CORRUPT);
	assert_int_equal(unlink("plant/root.crt"), 0);
	assert_int_equal(issue("b", &issued), SMQ_ERR_NOT_FOUND);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_ca, rig_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_member_directory_opens_as_it_is),
		CASE(every_role_and_key_opens_but_the_broker),
		CASE(nothing_is_overwritten),
		CASE(bad_requests_are_refused_and_leave_nothing),
		CASE(bad_realms_are_not_made),
		CASE(a_full_disk_leaves_nothing_half_done),
		CASE(lifetimes_end_with_the_root),
		CASE(the_log_holds_every_certificate_and_stands_a_crash),
		CASE(what_of_the_log_cannot_be_read_is_not_taken_for_nothing),
		CASE(an_unsafe_or_spoiled_authority_issues_nothing),
	};
	return cmocka_run_group_tests_name("ca", tests, NULL, NULL);
}
