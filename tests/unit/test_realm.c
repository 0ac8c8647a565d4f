/* realm: a directory is opened only if its key is safe and its certificate good; and what it then gives. */
#include "dir_rig.h"

#include <time.h>

#include <sealmq/ca.h>
#include <sealmq/client.h>
#include <sealmq/realm.h>

#include "adapters/ca_openssl/ca_make.h"
#include "app/roles.h"
#include "base/table.h"
#include "adapters/crypto_openssl/signer.h"
#include "lib/realm_internal.h"
#include "wire/registered_key.h"

#define DAY INT64_C(86400000)
#define HOME_DIR "plant/members/fridge-07"

static const char *why;

static smq_err try_open(void)
{
	smq_realm *realm = NULL;
	smq_err err = smq_realm_open(HOME_DIR, &realm, &why);
	if (err == SMQ_OK)
		smq_realm_free(realm);
	else
		assert_null(realm);
	return err;
}

static int make_realm(void **state)
{
	struct smq_ca_issue_options fridge = { .name = "fridge-07" }, desk = { .name = "desk", .key_agreement = true };
	struct smq_ca_issued issued;
	if (rig_enter(state) != 0 || smq_ca_init("plant", NULL, &why) != SMQ_OK ||
	    smq_ca_init("other", NULL, &why) != SMQ_OK)
		return -1;
	return smq_ca_issue("plant", &fridge, &issued, &why) == SMQ_OK &&
		       smq_ca_issue("plant", &desk, &issued, &why) == SMQ_OK
		   ? 0
		   : -1;
}

static int64_t now_ms(void) { return (int64_t)time(NULL) * 1000; }

static struct smq_pem read_pem(const char *path)
{
	struct smq_pem pem = { calloc(1, 8192), 0 };
	assert_non_null(pem.p);
	pem.len = rig_read(path, (char *)pem.p, 8192);
	return pem;
}

/* ---- files ---- */

static void key_mode_0644(void) { assert_int_equal(chmod(HOME_DIR "/member.key", 0644), 0); }
static void key_mode_0640(void) { assert_int_equal(chmod(HOME_DIR "/member.key", 0640), 0); }
static void key_mode_0620(void) { assert_int_equal(chmod(HOME_DIR "/member.key", 0620), 0); }
static void key_mode_0601(void) { assert_int_equal(chmod(HOME_DIR "/member.key", 0601), 0); }
static void key_mode_0400(void) { assert_int_equal(chmod(HOME_DIR "/member.key", 0400), 0); }

static void key_is_a_symlink(void)
{
	assert_int_equal(rename(HOME_DIR "/member.key", HOME_DIR "/real.key"), 0);
	assert_int_equal(symlink("real.key", HOME_DIR "/member.key"), 0);
}

static void key_is_a_directory(void)
{
	assert_int_equal(unlink(HOME_DIR "/member.key"), 0);
	assert_int_equal(mkdir(HOME_DIR "/member.key", 0700), 0);
}

static void key_is_a_fifo(void)
{
	assert_int_equal(unlink(HOME_DIR "/member.key"), 0);
	assert_int_equal(mkfifo(HOME_DIR "/member.key", 0600), 0);
}

static void key_is_gone(void) { assert_int_equal(unlink(HOME_DIR "/member.key"), 0); }
static void key_is_empty(void) { rig_write(HOME_DIR "/member.key", "", 0, 0600); }
static void key_is_junk(void) { rig_write(HOME_DIR "/member.key", "junk\n", 5, 0600); }

static void key_is_anothers(void) { rig_copy("plant/members/desk/member.key", HOME_DIR "/member.key", 0600); }

static void key_is_of_another_curve(void)
{
	struct smq_pem key;
	assert_int_equal(smq_ca_make_key(SMQ_ED25519, &key), SMQ_OK);
	rig_write(HOME_DIR "/member.key", key.p, key.len, 0600);
	smq_pem_free(&key);
}

static void key_is_too_long(void)
{
	char *big = calloc(1, 300000);
	rig_write(HOME_DIR "/member.key", big, 300000, 0600);
	free(big);
}

static void directory_is_open_to_all(void) { assert_int_equal(chmod(HOME_DIR, 0777), 0); }
static void root_is_open_to_all(void) { assert_int_equal(chmod(HOME_DIR "/root.crt", 0666), 0); }
static void root_is_gone(void) { assert_int_equal(unlink(HOME_DIR "/root.crt"), 0); }
static void root_is_junk(void) { rig_write(HOME_DIR "/root.crt", "junk", 4, 0644); }
static void root_is_foreign(void) { rig_copy("other/root.crt", HOME_DIR "/root.crt", 0644); }
static void root_is_a_member(void) { rig_copy(HOME_DIR "/member.crt", HOME_DIR "/root.crt", 0644); }
static void certificate_is_gone(void) { assert_int_equal(unlink(HOME_DIR "/member.crt"), 0); }
static void certificate_is_junk(void) { rig_write(HOME_DIR "/member.crt", "junk", 4, 0644); }

static void certificate_is_cut(void)
{
	char bytes[4096];
	size_t len = rig_read(HOME_DIR "/member.crt", bytes, sizeof(bytes));
	rig_write(HOME_DIR "/member.crt", bytes, len / 2, 0644);
}

static void settings_are_gone(void) { assert_int_equal(unlink(HOME_DIR "/realm.yaml"), 0); }
static void settings_are_junk(void) { rig_write(HOME_DIR "/realm.yaml", "realm: [", 8, 0644); }
static void settings_name_another(void) { rig_write(HOME_DIR "/realm.yaml", "realm: ward\n", 12, 0644); }
static void crl_is_junk(void) { rig_write(HOME_DIR "/crl.pem", "junk", 4, 0644); }
static void nothing(void) {}

static const struct {
	void (*spoil)(void);
	smq_err want;
	const char *says;
} files[] = {
	{ nothing, SMQ_OK, "" },
	{ key_mode_0644, SMQ_ERR_UNSAFE_FILE,
	  HOME_DIR "/member.key: mode 0644, others can read it; run: chmod 600 " HOME_DIR "/member.key" },
	{ key_mode_0640, SMQ_ERR_UNSAFE_FILE, "mode 0640, others can read it" },
	{ key_mode_0620, SMQ_ERR_UNSAFE_FILE, "mode 0620, others can change it" },
	{ key_mode_0601, SMQ_ERR_UNSAFE_FILE, "mode 0601" },
	{ key_mode_0400, SMQ_OK, "" },
	{ key_is_a_symlink, SMQ_ERR_UNSAFE_FILE, "a symlink" },
	{ key_is_a_directory, SMQ_ERR_UNSAFE_FILE, "not a regular file" },
	{ key_is_a_fifo, SMQ_ERR_UNSAFE_FILE, "not a regular file" },
	{ key_is_gone, SMQ_ERR_NOT_FOUND, "member.key" },
	{ key_is_empty, SMQ_ERR_MALFORMED, "member.key: not an unencrypted" },
	{ key_is_junk, SMQ_ERR_MALFORMED, "member.key: not an unencrypted" },
	{ key_is_anothers, SMQ_ERR_CERT_INVALID, "not the key of member.crt" },
	{ key_is_of_another_curve, SMQ_ERR_CERT_INVALID, "not the key of member.crt" },
	{ key_is_too_long, SMQ_ERR_TOO_LARGE, "more than" },
	{ directory_is_open_to_all, SMQ_ERR_UNSAFE_FILE, "chmod o-w" },
	{ root_is_open_to_all, SMQ_ERR_UNSAFE_FILE, "root.crt: mode 0666" },
	{ root_is_gone, SMQ_ERR_NOT_FOUND, "root.crt" },
	{ root_is_junk, SMQ_ERR_MALFORMED, "root.crt: not the certificate of an authority" },
	{ root_is_foreign, SMQ_ERR_CERT_CHAIN, "member.crt" },
	{ root_is_a_member, SMQ_ERR_CERT_INVALID, "root.crt" },
	{ certificate_is_gone, SMQ_ERR_NOT_FOUND, "member.crt" },
	{ certificate_is_junk, SMQ_ERR_CERT_INVALID, "member.crt" },
	{ certificate_is_cut, SMQ_ERR_CERT_INVALID, "member.crt" },
	{ settings_are_gone, SMQ_ERR_REALM, "realm.yaml" },
	{ settings_are_junk, SMQ_ERR_CONFIG, "realm.yaml" },
	{ settings_name_another, SMQ_ERR_CERT_NAME, "names no member of realm ward" },
	{ crl_is_junk, SMQ_ERR_MALFORMED, "crl.pem" },
};

static void spoiled_directories_are_refused_with_the_reason(void **state)
{
	for (size_t i = 0; i < SMQ_COUNT(files); i++) {
		assert_int_equal(make_realm(state), 0);
		files[i].spoil();
		smq_err err = try_open();
		if (err != files[i].want || !strstr(why, files[i].says))
			print_error("row %zu: %s (%s)\n", i, smq_err_name(err), why);
		assert_int_equal(err, files[i].want);
		assert_non_null(strstr(why, files[i].says));
		assert_int_equal(rig_leave(state), 0);
	}
}

static void somebody_elses_key_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* only root can give files away */
	assert_int_equal(chown(HOME_DIR "/member.key", 65534, 65534), 0);
	assert_int_equal(try_open(), SMQ_ERR_UNSAFE_FILE);
	assert_non_null(strstr(why, "belongs to user 65534"));
}

/* ---- certificates ---- */

static void the_own_certificate_is_judged_as_a_peers(void **state)
{
	(void)state;
	static const struct {
		smq_err want;
		const char *cn, *uri, *oid;
		int64_t from, until;
	} rows[] = {
		{ SMQ_OK, "fridge-07", "sealmq:plant/fridge-07", SMQ_OID_ARC ".1", -DAY, DAY },
		{ SMQ_ERR_CERT_EXPIRED, "fridge-07", "sealmq:plant/fridge-07", SMQ_OID_ARC ".1", -2 * DAY, -60000 },
		{ SMQ_ERR_CERT_NOT_YET, "fridge-07", "sealmq:plant/fridge-07", SMQ_OID_ARC ".1", 60000, DAY },
		{ SMQ_ERR_CERT_NAME, "fridge-08", "sealmq:plant/fridge-07", SMQ_OID_ARC ".1", -DAY, DAY },
		{ SMQ_ERR_CERT_NAME, "fridge-07", "sealmq:other/fridge-07", SMQ_OID_ARC ".1", -DAY, DAY },
		{ SMQ_ERR_CERT_USAGE, "fridge-07", "sealmq:plant/fridge-07", SMQ_OID_SERVER_AUTH, -DAY, DAY },
	};
	struct smq_pem root = read_pem("plant/root.crt"), key = read_pem("plant/root.key");
	struct smq_pem own = read_pem(HOME_DIR "/member.key");
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_pem cert;
		struct smq_cert_template t = { .common_name = rows[i].cn,
					       .serial = { 5, (uint8_t)i },
					       .not_before_ms = now_ms() + rows[i].from,
					       .not_after_ms = now_ms() + rows[i].until,
					       .path_len = -1,
					       .key_usage = SMQ_KEY_USAGE_SIGN,
					       .usages = { rows[i].oid },
					       .uri = rows[i].uri };
		assert_int_equal(smq_ca_make_cert(&t, smq_span_of(own.p, own.len), smq_span_of(root.p, root.len),
						  smq_span_of(key.p, key.len), &cert),
				 SMQ_OK);
		rig_write(HOME_DIR "/member.crt", cert.p, cert.len, 0644);
		assert_int_equal(try_open(), rows[i].want);
		smq_pem_free(&cert);
	}
	smq_pem_free(&root);
	smq_pem_free(&key);
	smq_pem_free(&own);
}

/* ---- what an open realm gives ---- */

static smq_err ask(smq_realm *realm, smq_span id_cred, struct smq_credential *ret)
{
	const struct smq_credentials *c = smq_realm_credentials(realm);
	return c->resolve(c->self, id_cred, now_ms(), ret);
}

static void two_members_know_each_other(void **state)
{
	(void)state;
	smq_realm *fridge = NULL, *desk = NULL;
	struct smq_credential c;
	uint8_t sig[SMQ_SIG_LEN];
	smq_span text = smq_span_str("text");
	assert_int_equal(smq_realm_open(HOME_DIR, &fridge, &why), SMQ_OK);
	assert_int_equal(smq_realm_open("plant/members/desk/", &desk, &why), SMQ_OK);
	const struct smq_own_credential *own = smq_realm_own(desk);
	assert_int_equal(ask(fridge, own->id_cred_short, &c), SMQ_ERR_CREDENTIAL);
	assert_int_equal(ask(fridge, own->id_cred_full, &c), SMQ_OK);
	assert_string_equal(c.name, "desk");
	assert_int_equal(ask(fridge, own->id_cred_short, &c), SMQ_OK);
	assert_true(smq_span_equal(own->cred, smq_span_of(c.cred, c.cred_len)));
	assert_int_equal(own->signer.sign(own->signer.self, &text, 1, sig), SMQ_OK);
	assert_int_equal(
	    smq_crypto_openssl()->verify(c.sig_alg, smq_span_of(c.public_key, c.public_key_len), &text, 1, sig),
	    SMQ_OK);
	/* desk was issued with key agreement, fridge-07 without */
	assert_int_equal(c.dh_curve, SMQ_P256);
	assert_non_null(own->signer.agree);
	assert_null(smq_realm_own(fridge)->signer.agree);
	assert_memory_equal(smq_realm_root_fingerprint(fridge), smq_realm_root_fingerprint(desk), SMQ_HASH_LEN);
	assert_string_equal(smq_realm_control_prefix(desk), "sealmq/plant");
	assert_string_equal(smq_realm_dir(desk), "plant/members/desk");
	smq_realm_free(fridge);
	smq_realm_free(desk);
	smq_realm_free(NULL);
}

static void revocation_takes_effect_at_reload(void **state)
{
	(void)state;
	smq_realm *fridge = NULL, *desk = NULL;
	struct smq_credential c;
	struct smq_pem root = read_pem("plant/root.crt"), key = read_pem("plant/root.key"), crl;
	struct smq_crl_entry serials[1] = { { .reason = 0 } };
	char line[2048], *at;
	assert_int_equal(smq_realm_open(HOME_DIR, &fridge, &why), SMQ_OK);
	assert_int_equal(smq_realm_open("plant/members/desk", &desk, &why), SMQ_OK);
	smq_span id = smq_realm_own(desk)->id_cred_full;
	assert_int_equal(ask(fridge, id, &c), SMQ_OK);
	/* desk's serial, from the log's second line */
	rig_read("plant/issued.log", line, sizeof(line));
	at = strstr(line, "\tdesk\t");
	assert_non_null(at);
	for (int i = 0; i < SMQ_SERIAL_LEN; i++) {
		unsigned byte = 0;
		assert_int_equal(sscanf(at - 32 + 2 * i, "%2x", &byte), 1);
		serials[0].serial[i] = (uint8_t)byte;
	}
	assert_int_equal(smq_ca_make_crl(smq_span_of(root.p, root.len), smq_span_of(key.p, key.len), serials, 1, 1,
					 now_ms() - DAY, now_ms() + DAY, &crl),
			 SMQ_OK);
	rig_write(HOME_DIR "/crl.pem", crl.p, crl.len, 0644);
	assert_int_equal(ask(fridge, id, &c), SMQ_OK); /* not read yet */
	assert_int_equal(smq_realm_reload_crl(fridge, &why), SMQ_OK);
	assert_int_equal(ask(fridge, id, &c), SMQ_ERR_CERT_REVOKED);
	assert_int_equal(ask(fridge, smq_realm_own(desk)->id_cred_short, &c), SMQ_ERR_CERT_REVOKED);
	rig_copy(HOME_DIR "/crl.pem", "plant/members/desk/crl.pem", 0644);
	smq_realm_free(desk);
	assert_int_equal(smq_realm_open("plant/members/desk", &desk, &why), SMQ_ERR_CERT_REVOKED);
	smq_realm_free(fridge);
	smq_pem_free(&root);
	smq_pem_free(&key);
	smq_pem_free(&crl);
}

static void accepted_certificates_survive_in_the_state(void **state)
{
	(void)state;
	smq_realm *fridge = NULL, *desk = NULL, *twice = NULL;
	struct smq_store *store = NULL, *other = NULL;
	struct smq_credential c;
	assert_int_equal(smq_realm_open("plant/members/desk", &desk, &why), SMQ_OK);
	for (int life = 0; life < 2; life++) {
		assert_int_equal(smq_realm_open(HOME_DIR, &fridge, &why), SMQ_OK);
		assert_int_equal(smq_realm_store(fridge, SMQ_STATE_READS, &store), SMQ_OK);
		assert_int_equal(ask(fridge, smq_realm_own(desk)->id_cred_short, &c),
				 life == 0 ? SMQ_ERR_CREDENTIAL : SMQ_OK);
		assert_int_equal(ask(fridge, smq_realm_own(desk)->id_cred_full, &c), SMQ_OK);
		/* a second process that opens the realm has a state of its own */
		assert_int_equal(smq_realm_open(HOME_DIR, &twice, &why), SMQ_OK);
		assert_int_equal(smq_realm_store(twice, SMQ_STATE_READS, &other), SMQ_OK);
		assert_int_equal(ask(twice, smq_realm_own(desk)->id_cred_short, &c), SMQ_ERR_CREDENTIAL);
		smq_realm_free(twice);
		smq_realm_free(fridge);
	}
	assert_int_equal(rig_mode(HOME_DIR "/state"), 0700);
	smq_realm_free(desk);
}

static void the_directory_is_found_by_itself(void **state)
{
	(void)state;
	char path[256];
	smq_realm *realm = NULL;
	unsetenv("SEALMQ_REALM");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	assert_int_equal(smq_realm_open(NULL, &realm, &why), SMQ_ERR_REALM);
	assert_int_equal(mkdir(".config", 0700), 0);
	assert_int_equal(rename(HOME_DIR, ".config/sealmq"), 0);
	setenv("HOME", rig_dir, 1);
	assert_int_equal(smq_realm_open(NULL, &realm, &why), SMQ_OK);
	(void)snprintf(path, sizeof(path), "%s/.config/sealmq", rig_dir);
	assert_string_equal(smq_realm_dir(realm), path);
	smq_realm_free(realm);
	setenv("XDG_CONFIG_HOME", rig_dir, 1);
	assert_int_equal(smq_realm_open(NULL, &realm, &why), SMQ_ERR_NOT_FOUND);
	(void)snprintf(path, sizeof(path), "%s/.config", rig_dir);
	setenv("XDG_CONFIG_HOME", path, 1);
	assert_int_equal(smq_realm_open("", &realm, NULL), SMQ_OK);
	smq_realm_free(realm);
	setenv("SEALMQ_REALM", "plant/members/desk", 1);
	assert_int_equal(smq_realm_open(NULL, &realm, NULL), SMQ_OK);
	assert_string_equal(smq_realm_member(realm), "desk");
	smq_realm_free(realm);
	assert_int_equal(smq_realm_open("bad\x1b[31m\n", &realm, &why), SMQ_ERR_NOT_FOUND);
	assert_null(strchr(why, '\x1b'));
	assert_null(strchr(why, '\n'));
}

/* ---- without a certificate ---- */

#define RAW_DIR "plant/members/tag-1"

static smq_err open_raw(smq_realm **ret_realm) { return smq_realm_open(RAW_DIR, ret_realm, &why); }

/* The public half beside the key is the one that it is known by. */
static void a_registered_key_opens(void **state)
{
	(void)state;
	smq_realm *realm = NULL;
	char dir[4096];
	struct smq_credential c;
	uint8_t point[SMQ_PUBLIC_KEY_MAX];
	assert_int_equal(smq_ca_raw("plant", "tag-1", dir, &why), SMQ_OK);
	assert_string_equal(dir, RAW_DIR);
	assert_int_equal(rig_mode(RAW_DIR "/member.key"), 0600);
	assert_int_equal(rig_mode(RAW_DIR "/member.pub"), 0644);
	assert_int_equal(open_raw(&realm), SMQ_OK);
	assert_true(smq_realm_is_registered(realm));
	assert_string_equal(smq_realm_member(realm), "tag-1");
	assert_int_equal(smq_realm_expires_ms(realm), INT64_MAX);
	const struct smq_own_credential *own = smq_realm_own(realm);
	assert_true(own->registered && own->signer.agree && !own->signer.sign);
	const struct smq_credentials *credentials = smq_realm_credentials(realm);
	assert_int_equal(credentials->resolve(credentials->self, own->id_cred_full, now_ms(), &c), SMQ_OK);
	assert_int_equal(c.roles, SMQ_ROLE_MEMBER);
	struct smq_pem public = read_pem(RAW_DIR "/member.pub");
	assert_int_equal(smq_openssl_p256_from_pem(smq_span_of(public.p, public.len), point), SMQ_OK);
	assert_memory_equal(point, c.public_key, sizeof(point));
	smq_pem_free(&public);
	uint8_t other[SMQ_REGISTERED_ID_CRED_LEN];
	memcpy(other, own->id_cred_full.p, sizeof(other));
	other[3] ^= 1;
	assert_int_equal(credentials->resolve(credentials->self, smq_span_of(other, sizeof(other)), now_ms(), &c),
			 SMQ_ERR_CREDENTIAL);
	smq_realm_free(realm);
	assert_int_equal(smq_ca_raw("plant", "tag-1", dir, &why), SMQ_ERR_EXISTS);
	assert_int_equal(smq_ca_raw("plant", "desk", dir, &why), SMQ_ERR_EXISTS);
	assert_int_equal(smq_ca_raw("plant", "a b", dir, &why), SMQ_ERR_NAME);
}

/* The key server is believed by the realm's root, and then known by the kid of its certificate, over a restart too. */
static void the_key_server_is_known_by_its_certificate(void **state)
{
	(void)state;
	char dir[4096];
	uint8_t id_cred[SMQ_REGISTERED_ID_CRED_LEN];
	struct smq_credential c, by_kid;
	struct smq_store *store;
	struct smq_ca_issued issued;
	smq_realm *server = NULL, *realm = NULL, *desk = NULL;
	const struct smq_ca_issue_options keys = { .name = "keys", .roles = SMQ_ROLE_KEYSERVER, .key_agreement = true };
	assert_int_equal(smq_ca_issue("plant", &keys, &issued, &why), SMQ_OK);
	assert_int_equal(smq_realm_open("plant/members/keys", &server, &why), SMQ_OK);
	assert_int_equal(smq_realm_open("plant/members/desk", &desk, &why), SMQ_OK);
	assert_int_equal(smq_ca_raw("plant", "tag-1", dir, &why), SMQ_OK);
	assert_int_equal(open_raw(&realm), SMQ_OK);
	assert_int_equal(smq_realm_store(realm, SMQ_STATE_READS, &store), SMQ_OK);
	smq_registered_key_id_cred(smq_realm_own_certificate(server)->id, id_cred);
	smq_span kid = smq_span_of(id_cred, sizeof(id_cred));
	const struct smq_credentials *cs = smq_realm_credentials(realm);
	assert_int_equal(cs->resolve(cs->self, kid, now_ms(), &c), SMQ_ERR_CREDENTIAL);
	/* a member's certificate teaches nothing */
	assert_int_equal(cs->resolve(cs->self, smq_realm_own(desk)->id_cred_full, now_ms(), &c), SMQ_OK);
	uint8_t desks[SMQ_REGISTERED_ID_CRED_LEN];
	smq_registered_key_id_cred(c.id, desks);
	assert_int_equal(cs->resolve(cs->self, smq_span_of(desks, sizeof(desks)), now_ms(), &c), SMQ_ERR_CREDENTIAL);
	assert_int_equal(cs->resolve(cs->self, smq_realm_own(server)->id_cred_full, now_ms(), &c), SMQ_OK);
	for (int life = 0; life < 2; life++) {
		assert_int_equal(cs->resolve(cs->self, kid, now_ms(), &by_kid), SMQ_OK);
		assert_string_equal(by_kid.name, "keys");
		assert_true(by_kid.registered && (by_kid.roles & SMQ_ROLE_KEYSERVER));
		assert_memory_equal(by_kid.public_key, c.public_key, SMQ_PUBLIC_KEY_MAX);
		assert_true(by_kid.cred_len < c.cred_len / 2);
		/* its certificate is judged at each use */
		assert_int_equal(cs->resolve(cs->self, kid, now_ms() + 200 * DAY, &by_kid), SMQ_ERR_CERT_EXPIRED);
		smq_realm_free(realm);
		assert_int_equal(open_raw(&realm), SMQ_OK);
		assert_int_equal(smq_realm_store(realm, SMQ_STATE_READS, &store), SMQ_OK);
		cs = smq_realm_credentials(realm);
	}
	smq_realm_free(realm);
	smq_realm_free(server);
	smq_realm_free(desk);
}

static void raw_key_is_ed25519(void)
{
	struct smq_pem key;
	assert_int_equal(smq_ca_make_key(SMQ_ED25519, &key), SMQ_OK);
	rig_write(RAW_DIR "/member.key", key.p, key.len, 0600);
	smq_pem_free(&key);
}

static void raw_key_is_open(void) { assert_int_equal(chmod(RAW_DIR "/member.key", 0644), 0); }
static void raw_name_is_gone(void) { rig_copy("plant/realm.yaml", RAW_DIR "/realm.yaml", 0644); }
static void raw_has_anothers_certificate(void)
{
	rig_copy(HOME_DIR "/member.crt", RAW_DIR "/member.crt", 0644);
	rig_copy(HOME_DIR "/member.key", RAW_DIR "/member.key", 0600);
}

static void spoiled_registered_keys_are_refused(void **state)
{
	static const struct {
		void (*spoil)(void);
		smq_err want;
		const char *says;
	} rows[] = {
		{ nothing, SMQ_OK, "" },
		{ raw_key_is_ed25519, SMQ_ERR_ALGORITHM, "P-256" },
		{ raw_key_is_open, SMQ_ERR_UNSAFE_FILE, "others can read it" },
		{ raw_name_is_gone, SMQ_ERR_NOT_FOUND, "member.crt" },
		{ raw_has_anothers_certificate, SMQ_ERR_CERT_NAME, "is of fridge-07" },
	};
	char dir[4096];
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_realm *realm = NULL;
		assert_int_equal(make_realm(state), 0);
		assert_int_equal(smq_ca_raw("plant", "tag-1", dir, &why), SMQ_OK);
		rows[i].spoil();
		smq_err err = open_raw(&realm);
		if (err != rows[i].want || (err != SMQ_OK && !strstr(why, rows[i].says)))
			fail_msg("row %zu: %s, %s", i, smq_err_name(err), why);
		smq_realm_free(realm);
		assert_int_equal(rig_leave(state), 0);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_realm, rig_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spoiled_directories_are_refused_with_the_reason),
		CASE(somebody_elses_key_is_refused),
		CASE(the_own_certificate_is_judged_as_a_peers),
		CASE(two_members_know_each_other),
		CASE(revocation_takes_effect_at_reload),
		CASE(accepted_certificates_survive_in_the_state),
		CASE(the_directory_is_found_by_itself),
		CASE(a_registered_key_opens),
		CASE(the_key_server_is_known_by_its_certificate),
		cmocka_unit_test(spoiled_registered_keys_are_refused),
	};
	return cmocka_run_group_tests_name("realm", tests, NULL, NULL);
}
