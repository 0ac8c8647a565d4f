/* x509: whose certificates are accepted, whose are not and why, and what is remembered. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/x509_openssl/x509.h"
#include "adapters/x509_openssl/x509_internal.h"
#include "app/roles.h"
#include "base/table.h"
#include "wire/cbor.h"

#define DAY INT64_C(86400000)
#define NOW (INT64_C(1700000000) * 1000)
#define MEMBER_OID SMQ_OID_ARC ".1"

struct party {
	struct smq_pem key, cert;
};

static struct party root, other_root, middle, deep, member, root2;

static smq_span pem_span(const struct smq_pem *pem) { return smq_span_of(pem->p, pem->len); }

static struct smq_cert_template authority(const char *name, int path_len)
{
	struct smq_cert_template t = {
		.common_name = name,
		.serial = { 1 },
		.not_before_ms = NOW - 100 * DAY,
		.not_after_ms = NOW + 3000 * DAY,
		.authority = true,
		.path_len = path_len,
		.key_usage = SMQ_KEY_USAGE_ISSUE,
	};
	return t;
}

static struct smq_cert_template good(void)
{
	struct smq_cert_template t = {
		.common_name = "fridge-07",
		.serial = { 2, 2 },
		.not_before_ms = NOW - DAY,
		.not_after_ms = NOW + 90 * DAY,
		.path_len = -1,
		.key_usage = SMQ_KEY_USAGE_SIGN,
		.usages = { SMQ_OID_CLIENT_AUTH, MEMBER_OID },
		.uri = "sealmq:plant/fridge-07",
	};
	return t;
}

static void make(struct party *p, enum smq_curve curve, const struct smq_cert_template *t, const struct party *issuer)
{
	smq_span none = { NULL, 0 };
	assert_int_equal(smq_ca_make_key(curve, &p->key), SMQ_OK);
	assert_int_equal(smq_ca_make_cert(t, pem_span(&p->key), issuer ? pem_span(&issuer->cert) : none,
					  issuer ? pem_span(&issuer->key) : none, &p->cert),
			 SMQ_OK);
}

static void drop(struct party *p)
{
	smq_pem_free(&p->key);
	smq_pem_free(&p->cert);
}

static int make_parties(void **state)
{
	(void)state;
	struct smq_cert_template t = authority("plant root", 1);
	make(&root, SMQ_P256, &t, NULL);
	make(&other_root, SMQ_P256, &t, NULL); /* the same name, another key */
	t = authority("plant second root", -1);
	make(&root2, SMQ_ED25519, &t, NULL);
	t = authority("plant issuer", 0);
	make(&middle, SMQ_P256, &t, &root);
	t.common_name = "plant deep issuer"; /* of its own name: self-issued ones do not count in a path */
	make(&deep, SMQ_P256, &t, &middle);  /* one authority too many for both path lengths */
	t = good();
	make(&member, SMQ_P256, &t, &root);
	return 0;
}

static int drop_parties(void **state)
{
	(void)state;
	struct party *all[] = { &root, &other_root, &middle, &deep, &member, &root2 };
	for (size_t i = 0; i < SMQ_COUNT(all); i++)
		drop(all[i]);
	return 0;
}

/* { 33: x5chain } of one PEM certificate and up to two issuers. */
static size_t id_cred(uint8_t *room, size_t room_len, const struct smq_pem *a, const struct smq_pem *b,
		      const struct smq_pem *c)
{
	const struct smq_pem *pems[] = { a, b, c };
	uint8_t der[3][SMQ_CRED_MAX];
	smq_span spans[3];
	size_t count = 0;
	size_t len = 0;
	for (; count < 3 && pems[count]; count++) {
		uint8_t *at = der[count];
		BIO *bio = BIO_new_mem_buf(pems[count]->p, (int)pems[count]->len);
		X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		assert_non_null(cert);
		assert_true(i2d_X509(cert, NULL) <= (int)sizeof(der[0]));
		spans[count] = smq_span_of(der[count], (size_t)i2d_X509(cert, &at));
		X509_free(cert);
		BIO_free(bio);
	}
	assert_int_equal(smq_id_cred_encode_chain(spans, count, smq_mspan_of(room, room_len), &len), SMQ_OK);
	return len;
}

static struct smq_x509 *judge(struct smq_store *store, size_t known_max, smq_span crl)
{
	struct smq_x509 *x = NULL;
	struct smq_x509_config config = { .realm = "plant",
					  .root_pem = pem_span(&root.cert),
					  .crl_pem = crl,
					  .known_max = known_max,
					  .store = store };
	assert_int_equal(smq_x509_new(&config, &x), SMQ_OK);
	return x;
}

static smq_err resolve(struct smq_x509 *x, const uint8_t *id, size_t len, int64_t now_ms, struct smq_credential *ret)
{
	struct smq_credentials c = smq_x509_credentials(x);
	return c.resolve(c.self, smq_span_of(id, len), now_ms, ret);
}

/* Judges a certificate made from the template, at a time. */
static smq_err verdict(const struct smq_cert_template *t, enum smq_curve curve, const struct party *issuer,
		       const struct smq_pem *issuer_cert, const struct smq_pem *above_cert, int64_t now_ms)
{
	struct party p = { { NULL, 0 }, { NULL, 0 } };
	uint8_t id[SMQ_ID_CRED_MAX];
	struct smq_credential c;
	struct smq_x509 *x = judge(NULL, 0, smq_span_of(NULL, 0));
	make(&p, curve, t, issuer);
	smq_err err = resolve(x, id, id_cred(id, sizeof(id), &p.cert, issuer_cert, above_cert), now_ms, &c);
	smq_x509_free(x);
	drop(&p);
	return err;
}

static void a_member_is_accepted_with_all_its_fields(void **state)
{
	(void)state;
	static const struct {
		enum smq_curve curve;
		unsigned usage;
		enum smq_sig_id sig_alg;
		enum smq_curve dh;
		size_t key_len;
	} rows[] = {
		{ SMQ_P256, SMQ_KEY_USAGE_SIGN, SMQ_ES256, 0, 65 },
		{ SMQ_P256, SMQ_KEY_USAGE_SIGN | SMQ_KEY_USAGE_AGREE, SMQ_ES256, SMQ_P256, 65 },
		{ SMQ_ED25519, SMQ_KEY_USAGE_SIGN, SMQ_EDDSA, 0, 32 },
		{ SMQ_X25519, SMQ_KEY_USAGE_AGREE, 0, SMQ_X25519, 32 },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct party p = { { NULL, 0 }, { NULL, 0 } };
		uint8_t id[SMQ_ID_CRED_MAX];
		struct smq_credential c;
		struct smq_x509 *x = judge(NULL, 0, smq_span_of(NULL, 0));
		struct smq_cert_template t = good();
		t.key_usage = rows[i].usage;
		make(&p, rows[i].curve, &t, &root);
		size_t len = id_cred(id, sizeof(id), &p.cert, NULL, NULL);
		assert_int_equal(resolve(x, id, len, NOW, &c), SMQ_OK);
		assert_string_equal(c.name, "fridge-07");
		assert_int_equal(c.roles, SMQ_ROLE_MEMBER);
		assert_int_equal(c.sig_alg, rows[i].sig_alg);
		assert_int_equal(c.dh_curve, rows[i].dh);
		assert_int_equal(c.public_key_len, rows[i].key_len);
		assert_int_equal(c.expires_ms, NOW + 90 * DAY);
		/* CRED_x is the byte string that ID_CRED_x carries: a1 18 21 || bstr */
		assert_int_equal(c.cred_len, len - 3);
		assert_memory_equal(c.cred, id + 3, c.cred_len);
		smq_x509_free(x);
		drop(&p);
	}
}

/* What differs from the good member; NULL and 0: nothing, "-": the field is left out. */
struct refusal {
	const char *what;
	smq_err want;
	const char *cn, *uri, *cn2, *uri2;
	const char *oid; /* in place of ours */
	unsigned key_usage;
	enum smq_curve curve;
	const struct party *issuer;
	const struct party *above; /* the issuer's issuer, carried */
	bool with_issuer;          /* the chain carries the issuer's certificate */
	bool self_signed;
	bool authority;
	int64_t from_ms, until_ms; /* relative to NOW */
	int64_t at_ms;
};

static const struct refusal refusals[] = {
	{ .what = "the good one", .want = SMQ_OK },
	{ .what = "good, by an issuer in between", .want = SMQ_OK, .issuer = &middle, .with_issuer = true },
	{ .what = "issuer not carried", .want = SMQ_ERR_CERT_CHAIN, .issuer = &middle },
	{ .what = "an authority too many",
	  .want = SMQ_ERR_CERT_PATH,
	  .issuer = &deep,
	  .with_issuer = true,
	  .above = &middle },
	{ .what = "foreign root of the same name", .want = SMQ_ERR_CERT_CHAIN, .issuer = &other_root },
	{ .what = "foreign root, carried", .want = SMQ_ERR_CERT_CHAIN, .issuer = &other_root, .with_issuer = true },
	{ .what = "self-signed impostor", .want = SMQ_ERR_CERT_CHAIN, .self_signed = true },
	{ .what = "issued by a member", .want = SMQ_ERR_CERT_INVALID, .issuer = &member, .with_issuer = true },
	/* time, to the second: valid from notBefore to notAfter, both included */
	{ .what = "first moment", .want = SMQ_OK, .from_ms = -10000, .at_ms = -10000 },
	{ .what = "a second early", .want = SMQ_ERR_CERT_NOT_YET, .from_ms = -10000, .at_ms = -11000 },
	{ .what = "a second late", .want = SMQ_ERR_CERT_EXPIRED, .until_ms = 10000, .at_ms = 11000 },
	{ .what = "a year late", .want = SMQ_ERR_CERT_EXPIRED, .at_ms = 365 * DAY },
	{ .what = "clock at 1970", .want = SMQ_ERR_CERT_NOT_YET, .at_ms = -NOW },
	{ .what = "clock before 1970", .want = SMQ_ERR_CERT_NOT_YET, .at_ms = -NOW - DAY },
	{ .what = "clock in 2100", .want = SMQ_ERR_CERT_EXPIRED, .at_ms = 28000 * DAY },
	/* usage */
	{ .what = "a broker's", .want = SMQ_ERR_CERT_USAGE, .oid = SMQ_OID_SERVER_AUTH },
	{ .what = "a TLS client's", .want = SMQ_ERR_CERT_USAGE, .oid = "-" },
	{ .what = "any usage", .want = SMQ_ERR_CERT_USAGE, .oid = "2.5.29.37.0" },
	{ .what = "next to ours", .want = SMQ_ERR_CERT_USAGE, .oid = SMQ_OID_ARC ".11" },
	{ .what = "the arc itself", .want = SMQ_ERR_CERT_USAGE, .oid = SMQ_OID_ARC },
	{ .what = "a key server", .want = SMQ_OK, .oid = SMQ_OID_ARC ".2" },
	{ .what = "an admin", .want = SMQ_OK, .oid = SMQ_OID_ARC ".3" },
	{ .what = "may agree only", .want = SMQ_ERR_CERT_USAGE, .key_usage = SMQ_KEY_USAGE_AGREE },
	{ .what = "may issue", .want = SMQ_ERR_CERT_INVALID, .key_usage = SMQ_KEY_USAGE_SIGN | SMQ_KEY_USAGE_ISSUE },
	{ .what = "X25519 that may sign", .want = SMQ_ERR_CERT_USAGE, .curve = SMQ_X25519 },
	{ .what = "an authority under a member's name",
	  .want = SMQ_ERR_CERT_USAGE,
	  .authority = true,
	  .key_usage = SMQ_KEY_USAGE_SIGN | SMQ_KEY_USAGE_ISSUE },
	/* names */
	{ .what = "CN differs", .want = SMQ_ERR_CERT_NAME, .cn = "fridge-08" },
	{ .what = "CN differs in case", .want = SMQ_ERR_CERT_NAME, .cn = "Fridge-07" },
	{ .what = "no subject at all", .want = SMQ_ERR_CERT_INVALID, .cn = "-" },
	{ .what = "no URI", .want = SMQ_ERR_CERT_NAME, .uri = "-" },
	{ .what = "other realm", .want = SMQ_ERR_CERT_NAME, .uri = "sealmq:plants/fridge-07" },
	{ .what = "realm cut short", .want = SMQ_ERR_CERT_NAME, .uri = "sealmq:plan/fridge-07" },
	{ .what = "other scheme", .want = SMQ_ERR_CERT_NAME, .uri = "https:plant/fridge-07" },
	{ .what = "no name", .want = SMQ_ERR_CERT_NAME, .uri = "sealmq:plant/", .cn = "x" },
	{ .what = "a dash for the slash", .want = SMQ_ERR_CERT_NAME, .uri = "sealmq:plant-fridge-07" },
	{ .what = "no slash", .want = SMQ_ERR_CERT_NAME, .uri = "sealmq:plantfridge-07" },
	{ .what = "a path for a name", .want = SMQ_ERR_CERT_NAME, .uri = "sealmq:plant/a/b", .cn = "a/b" },
	{ .what = "a wildcard", .want = SMQ_ERR_CERT_NAME, .uri = "sealmq:plant/+", .cn = "+" },
	{ .what = "dots", .want = SMQ_ERR_CERT_NAME, .uri = "sealmq:plant/..", .cn = ".." },
	{ .what = "two names, ours first", .want = SMQ_ERR_CERT_NAME, .cn2 = "desk" },
	{ .what = "the same name twice", .want = SMQ_ERR_CERT_NAME, .cn2 = "fridge-07" },
	{ .what = "two URIs", .want = SMQ_ERR_CERT_NAME, .uri2 = "sealmq:plant/desk" },
	{ .what = "a URI per realm", .want = SMQ_ERR_CERT_NAME, .uri2 = "sealmq:other/fridge-07" },
	{ .what = "a URI per realm, ours last",
	  .want = SMQ_ERR_CERT_NAME,
	  .uri = "sealmq:other/fridge-07",
	  .uri2 = "sealmq:plant/fridge-07" },
	{ .what = "a URI of another kind beside ours", .want = SMQ_OK, .uri2 = "https://example.org/" },
	{ .what = "64 characters",
	  .want = SMQ_OK,
	  .uri = "sealmq:plant/a234567890123456789012345678901234567890123456789012345678901234",
	  .cn = "a234567890123456789012345678901234567890123456789012345678901234" },
};

static void fill(struct smq_cert_template *t, const struct refusal *r)
{
	if (r->cn)
		t->common_name = strcmp(r->cn, "-") == 0 ? NULL : r->cn;
	if (r->uri)
		t->uri = strcmp(r->uri, "-") == 0 ? NULL : r->uri;
	t->second_name = r->cn2;
	t->second_uri = r->uri2;
	if (r->oid)
		t->usages[1] = strcmp(r->oid, "-") == 0 ? NULL : r->oid;
	if (r->key_usage)
		t->key_usage = r->key_usage;
	if (r->from_ms)
		t->not_before_ms = NOW + r->from_ms;
	if (r->until_ms)
		t->not_after_ms = NOW + r->until_ms;
	t->authority = r->authority;
}

static void each_refusal_says_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct smq_cert_template t = good();
		const struct party *issuer = r->self_signed ? NULL : r->issuer ? r->issuer : &root;
		fill(&t, r);
		smq_err err = verdict(&t, r->curve ? r->curve : SMQ_P256, issuer, r->with_issuer ? &issuer->cert : NULL,
				      r->above ? &r->above->cert : NULL, NOW + r->at_ms);
		if (err != r->want)
			print_error("row %zu, %s: %s\n", i, r->what, smq_err_name(err));
		assert_int_equal(err, r->want);
	}
}

/* ---- each of them once more, by name ---- */

static smq_err by_root(const struct smq_cert_template *t, const struct party *issuer, int64_t now_ms)
{
	return verdict(t, SMQ_P256, issuer, issuer == &root ? NULL : &issuer->cert, NULL, now_ms);
}

static void refused_expired(void **state)
{
	(void)state;
	struct smq_cert_template t = good();
	assert_int_equal(by_root(&t, &root, NOW), SMQ_OK);
	assert_int_equal(by_root(&t, &root, NOW + 91 * DAY), SMQ_ERR_CERT_EXPIRED);
}

static void refused_not_yet_valid(void **state)
{
	(void)state;
	struct smq_cert_template t = good();
	assert_int_equal(by_root(&t, &root, NOW - 2 * DAY), SMQ_ERR_CERT_NOT_YET);
}

static void refused_revoked(void **state)
{
	(void)state;
	const struct smq_crl_entry entry = { .serial = { 2, 2 }, .when_ms = NOW - DAY, .reason = 1 };
	struct smq_pem crl;
	struct smq_credential c;
	uint8_t id[SMQ_ID_CRED_MAX];
	size_t len = id_cred(id, sizeof(id), &member.cert, NULL, NULL);
	assert_int_equal(
	    smq_ca_make_crl(pem_span(&root.cert), pem_span(&root.key), &entry, 1, 1, NOW - DAY, NOW + DAY, &crl),
	    SMQ_OK);
	struct smq_x509 *x = judge(NULL, 0, pem_span(&crl));
	assert_int_equal(resolve(x, id, len, NOW, &c), SMQ_ERR_CERT_REVOKED);
	smq_x509_free(x);
	smq_pem_free(&crl);
}

static void refused_wrong_authority(void **state)
{
	(void)state;
	struct smq_cert_template t = good();
	assert_int_equal(by_root(&t, &root2, NOW), SMQ_ERR_CERT_CHAIN);
}

/* The authority's name is ours too, and so is the member's: the key decides. */
static void refused_same_common_name_from_another_authority(void **state)
{
	(void)state;
	struct smq_cert_template t = good();
	assert_int_equal(by_root(&t, &other_root, NOW), SMQ_ERR_CERT_CHAIN);
	assert_int_equal(verdict(&t, SMQ_P256, &other_root, NULL, NULL, NOW), SMQ_ERR_CERT_CHAIN);
}

static void refused_wrong_usage(void **state)
{
	(void)state;
	struct smq_cert_template t = good();
	t.usages[0] = SMQ_OID_SERVER_AUTH;
	t.usages[1] = NULL;
	assert_int_equal(by_root(&t, &root, NOW), SMQ_ERR_CERT_USAGE);
}

static void refused_path_length_exceeded(void **state)
{
	(void)state;
	struct smq_cert_template t = good();
	assert_int_equal(by_root(&t, &middle, NOW), SMQ_OK);
	assert_int_equal(verdict(&t, SMQ_P256, &deep, &deep.cert, &middle.cert, NOW), SMQ_ERR_CERT_PATH);
}

static void refused_name_constraint_broken(void **state)
{
	(void)state;
	static const struct {
		const char *limits, *dns;
		smq_err want;
	} rows[] = {
		{ "permitted;DNS:plant.example", "a.plant.example", SMQ_OK },
		{ "permitted;DNS:plant.example", "a.mill.example", SMQ_ERR_CERT_LIMITS },
		{ "excluded;DNS:plant.example", "a.plant.example", SMQ_ERR_CERT_LIMITS },
		{ "excluded;DNS:plant.example", "a.mill.example", SMQ_OK },
		{ "permitted;URI:.plant.example", NULL, SMQ_ERR_CERT_LIMITS }, /* ours has no host to be within */
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct party limited = { { NULL, 0 }, { NULL, 0 } };
		struct smq_cert_template a = authority("plant limited issuer", 0);
		struct smq_cert_template t = good();
		a.limits = rows[i].limits;
		t.dns[0] = rows[i].dns;
		make(&limited, SMQ_P256, &a, &root);
		assert_int_equal(by_root(&t, &limited, NOW), rows[i].want);
		drop(&limited);
	}
}

static void refused_name_unlike_the_senders(void **state)
{
	(void)state;
	struct smq_cert_template t = good();
	t.uri = "sealmq:plant/desk"; /* common name fridge-07 */
	assert_int_equal(by_root(&t, &root, NOW), SMQ_ERR_CERT_NAME);
	t = good();
	t.uri = "sealmq:mill/fridge-07"; /* another realm's */
	assert_int_equal(by_root(&t, &root, NOW), SMQ_ERR_CERT_NAME);
}

/* A list altered anywhere is not a list, or not a signed one: never one that lets the revoked pass. */
static void lists_altered_anywhere_judge_nobody(void **state)
{
	(void)state;
	const struct smq_crl_entry entry = { .serial = { 2, 2 }, .when_ms = NOW - DAY, .reason = 1 };
	struct smq_pem crl;
	struct smq_credential c;
	uint8_t id[SMQ_ID_CRED_MAX];
	size_t len = id_cred(id, sizeof(id), &member.cert, NULL, NULL);
	assert_int_equal(
	    smq_ca_make_crl(pem_span(&root.cert), pem_span(&root.key), &entry, 1, 1, NOW - DAY, NOW + DAY, &crl),
	    SMQ_OK);
	for (size_t at = 0; at < crl.len; at++) {
		uint8_t was = crl.p[at];
		struct smq_x509 *x = judge(NULL, 0, smq_span_of(NULL, 0));
		crl.p[at] = was == 'A' ? 'B' : 'A';
		/* not taken, or it is: then nobody is judged good by it */
		if (smq_x509_set_crl(x, pem_span(&crl)) == SMQ_OK)
			assert_int_not_equal(resolve(x, id, len, NOW, &c), SMQ_OK);
		crl.p[at] = was;
		/* cut short; the newline at the end may be missing */
		if (at > 0 && at < crl.len - 1)
			assert_int_equal(smq_x509_set_crl(x, smq_span_of(crl.p, at)), SMQ_ERR_MALFORMED);
		smq_x509_free(x);
	}
	smq_pem_free(&crl);
}

static void revoked_and_stale_lists(void **state)
{
	(void)state;
	const struct smq_crl_entry serials[2] = { { .serial = { 2, 2 }, .when_ms = NOW - DAY, .reason = 1 },
						  { .serial = { 9, 9 }, .when_ms = NOW - DAY } };
	const smq_span cert = pem_span(&root.cert), key = pem_span(&root.key);
	struct smq_pem empty, full, foreign;
	uint8_t id[SMQ_ID_CRED_MAX];
	size_t len = id_cred(id, sizeof(id), &member.cert, NULL, NULL);
	struct smq_credential c;
	assert_int_equal(smq_ca_make_crl(cert, key, NULL, 0, 1, NOW - DAY, NOW + DAY, &empty), SMQ_OK);
	assert_int_equal(smq_ca_make_crl(cert, key, serials, 2, 2, NOW - DAY, NOW + 9 * DAY, &full), SMQ_OK);
	assert_int_equal(smq_ca_make_crl(pem_span(&other_root.cert), pem_span(&other_root.key), NULL, 0, 1, NOW - DAY,
					 NOW + DAY, &foreign),
			 SMQ_OK);

	struct smq_x509 *x = judge(NULL, 0, pem_span(&empty));
	assert_int_equal(resolve(x, id, len, NOW, &c), SMQ_OK);
	/* remembered, and yet judged again when the list has run out */
	assert_int_equal(resolve(x, id, len, NOW + 2 * DAY, &c), SMQ_ERR_CERT_CRL);
	assert_int_equal(resolve(x, id, len, NOW, &c), SMQ_OK);
	/* remembered, and yet refused once revoked */
	assert_int_equal(smq_x509_set_crl(x, pem_span(&full)), SMQ_OK);
	assert_int_equal(resolve(x, id, len, NOW, &c), SMQ_ERR_CERT_REVOKED);
	assert_int_equal(smq_x509_set_crl(x, pem_span(&foreign)), SMQ_OK);
	assert_int_equal(resolve(x, id, len, NOW, &c), SMQ_ERR_CERT_CRL);
	assert_int_equal(smq_x509_set_crl(x, smq_span_str("no list")), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_x509_set_crl(x, smq_span_of(NULL, 0)), SMQ_OK);
	assert_int_equal(resolve(x, id, len, NOW, &c), SMQ_OK);
	smq_x509_free(x);

	/* a stale list is used on where the configuration says so; it still revokes */
	struct smq_x509_config config = {
		.realm = "plant", .root_pem = cert, .crl_pem = pem_span(&empty), .insecure_stale_crl = true
	};
	assert_int_equal(smq_x509_new(&config, &x), SMQ_OK);
	assert_int_equal(resolve(x, id, len, NOW + 20 * DAY, &c), SMQ_OK);
	assert_int_equal(resolve(x, id, len, NOW + 365 * DAY, &c), SMQ_ERR_CERT_EXPIRED);
	assert_int_equal(smq_x509_set_crl(x, pem_span(&full)), SMQ_OK);
	assert_int_equal(resolve(x, id, len, NOW + 20 * DAY, &c), SMQ_ERR_CERT_REVOKED);
	smq_x509_free(x);
	smq_pem_free(&empty);
	smq_pem_free(&full);
	smq_pem_free(&foreign);
}

/* ---- hashes, and what is remembered ---- */

static size_t by_hash(const uint8_t *id, size_t len, bool whole, uint8_t room[64])
{
	uint8_t hash[SMQ_HASH_LEN];
	struct smq_reader r = smq_reader_on(smq_span_of(id + 3, len - 3));
	smq_span der = smq_cbor_get_bytes(&r);
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, 64));
	assert_int_equal(EVP_Digest(der.p, der.len, hash, NULL, EVP_sha256(), NULL), 1);
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, 34);
	smq_cbor_put_array(&w, 2);
	smq_cbor_put_int(&w, whole ? -16 : -15);
	smq_cbor_put_bytes(&w, smq_span_of(hash, whole ? 32 : 8));
	return w.len;
}

static void hashes_resolve_only_what_was_accepted(void **state)
{
	(void)state;
	uint8_t id[SMQ_ID_CRED_MAX], small[64], large[64];
	size_t len = id_cred(id, sizeof(id), &member.cert, NULL, NULL);
	size_t small_len = by_hash(id, len, false, small), large_len = by_hash(id, len, true, large);
	struct smq_credential c, d;
	struct smq_x509 *x = judge(NULL, 0, smq_span_of(NULL, 0));
	assert_int_equal(small_len, 14);
	assert_int_equal(resolve(x, small, small_len, NOW, &c), SMQ_ERR_CREDENTIAL);
	assert_int_equal(resolve(x, id, len, NOW + 200 * DAY, &c), SMQ_ERR_CERT_EXPIRED);
	assert_int_equal(resolve(x, small, small_len, NOW, &c), SMQ_ERR_CREDENTIAL); /* refused: not remembered */
	assert_int_equal(resolve(x, id, len, NOW, &c), SMQ_OK);
	assert_int_equal(resolve(x, small, small_len, NOW, &d), SMQ_OK);
	assert_memory_equal(&c, &d, sizeof(c));
	assert_int_equal(resolve(x, large, large_len, NOW, &d), SMQ_OK);
	/* the clock jumps: refused outside, accepted again inside */
	assert_int_equal(resolve(x, small, small_len, NOW + 91 * DAY, &d), SMQ_ERR_CERT_EXPIRED);
	assert_int_equal(resolve(x, small, small_len, NOW - 2 * DAY, &d), SMQ_ERR_CERT_NOT_YET);
	assert_int_equal(resolve(x, small, small_len, NOW, &d), SMQ_OK);
	large[large_len - 1] ^= 1;
	assert_int_equal(resolve(x, large, large_len, NOW, &d), SMQ_ERR_CREDENTIAL);
	smq_x509_free(x);
}

/* A store of four values in memory. */
struct drawer {
	char key[4][96];
	uint8_t value[4][SMQ_ID_CRED_MAX];
	size_t len[4];
};

static int drawer_find(struct drawer *d, const char *key)
{
	for (int i = 0; i < 4; i++) {
		if (strcmp(d->key[i], key) == 0)
			return i;
	}
	return -1;
}

static smq_err drawer_put(void *self, const char *key, smq_span value)
{
	struct drawer *d = self;
	int i = drawer_find(d, key);
	i = i >= 0 ? i : drawer_find(d, "");
	if (i < 0)
		return SMQ_ERR_DISK_FULL;
	(void)snprintf(d->key[i], sizeof(d->key[i]), "%s", key);
	memcpy(d->value[i], value.p, value.len);
	d->len[i] = value.len;
	return SMQ_OK;
}

static smq_err drawer_get(void *self, const char *key, smq_mspan room, size_t *ret_len)
{
	struct drawer *d = self;
	int i = drawer_find(d, key);
	if (i < 0)
		return SMQ_ERR_NOT_FOUND;
	if (d->len[i] > room.len)
		return SMQ_ERR_NO_ROOM;
	memcpy(room.p, d->value[i], d->len[i]);
	*ret_len = d->len[i];
	return SMQ_OK;
}

static smq_err drawer_remove(void *self, const char *key)
{
	struct drawer *d = self;
	int i = drawer_find(d, key);
	if (i >= 0)
		d->key[i][0] = 0;
	return i >= 0 ? SMQ_OK : SMQ_ERR_NOT_FOUND;
}

static void what_was_accepted_survives_in_the_store_and_is_bounded(void **state)
{
	(void)state;
	static struct drawer drawer;
	struct smq_store store = { .self = &drawer, .put = drawer_put, .get = drawer_get, .remove = drawer_remove };
	struct smq_x509 *x = judge(&store, 2, smq_span_of(NULL, 0));
	static uint8_t ids[5][SMQ_ID_CRED_MAX];
	uint8_t small[5][64];
	size_t small_len = 0;
	struct smq_credential c;
	for (size_t i = 0; i < 5; i++) {
		struct party p = { { NULL, 0 }, { NULL, 0 } };
		struct smq_cert_template t = good();
		t.serial[5] = (uint8_t)i;
		make(&p, SMQ_P256, &t, &root);
		size_t len = id_cred(ids[i], sizeof(ids[i]), &p.cert, NULL, NULL);
		small_len = by_hash(ids[i], len, false, small[i]);
		assert_int_equal(resolve(x, ids[i], len, NOW, &c), SMQ_OK);
		drop(&p);
	}
	/* two are remembered, here and in the store */
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(resolve(x, small[i], small_len, NOW, &c), i < 3 ? SMQ_ERR_CREDENTIAL : SMQ_OK);
	smq_x509_free(x);
	x = judge(&store, 2, smq_span_of(NULL, 0));
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(resolve(x, small[i], small_len, NOW, &c), i < 3 ? SMQ_ERR_CREDENTIAL : SMQ_OK);
	smq_x509_free(x);
	/* spoiled in the store: not known, and no harm done */
	for (size_t flip = 0; flip < 64; flip++) {
		for (int i = 0; i < 4; i++)
			drawer.value[i][flip * 5] ^= 0x10;
		x = judge(&store, 2, smq_span_of(NULL, 0));
		assert_int_equal(resolve(x, small[4], small_len, NOW, &c), SMQ_ERR_CREDENTIAL);
		smq_x509_free(x);
		for (int i = 0; i < 4; i++)
			drawer.value[i][flip * 5] ^= 0x10;
	}
}

/* ---- hostile bytes ---- */

static void every_truncation_and_many_flips_are_refused(void **state)
{
	(void)state;
	uint8_t id[SMQ_ID_CRED_MAX], cut[SMQ_ID_CRED_MAX];
	struct smq_x509 *x = judge(NULL, 0, smq_span_of(NULL, 0));
	struct smq_credential c;
	size_t len = id_cred(id, sizeof(id), &member.cert, NULL, NULL);
	for (size_t n = 0; n < len; n++)
		assert_int_not_equal(resolve(x, id, n, NOW, &c), SMQ_OK);
	/* the certificate itself cut, in a byte string that is whole */
	for (size_t n = 0; n < len - 6; n++) {
		smq_span part = smq_span_of(id + 6, n);
		size_t cut_len = 0;
		assert_int_equal(smq_id_cred_encode_chain(&part, 1, smq_mspan_of(cut, sizeof(cut)), &cut_len), SMQ_OK);
		assert_int_equal(resolve(x, cut, cut_len, NOW, &c), SMQ_ERR_MALFORMED);
	}
	for (size_t bit = 0; bit < 8 * len; bit++) {
		id[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(resolve(x, id, len, NOW, &c), SMQ_OK);
		id[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(ERR_peek_error(), 0);
	smq_x509_free(x);
}

static void malformed_id_creds_are_refused(void **state)
{
	(void)state;
	static const struct {
		smq_err want;
		size_t len;
		uint8_t b[24];
	} rows[] = {
		{ SMQ_ERR_TRUNCATED, 0, { 0 } },
		{ SMQ_ERR_MALFORMED, 1, { 0xa0 } },                             /* empty map */
		{ SMQ_ERR_MALFORMED, 5, { 0xa2, 4, 0x40, 5, 0x40 } },           /* two entries */
		{ SMQ_ERR_CREDENTIAL, 3, { 0xa1, 4, 0x40 } },                   /* kid */
		{ SMQ_ERR_CREDENTIAL, 4, { 0xa1, 0x18, 35, 0x40 } },            /* x5u */
		{ SMQ_ERR_MALFORMED, 4, { 0xa1, 0x18, 33, 0x40 } },             /* an empty certificate */
		{ SMQ_ERR_MALFORMED, 4, { 0xa1, 0x18, 33, 0x80 } },             /* an empty chain */
		{ SMQ_ERR_MALFORMED, 6, { 0xa1, 0x18, 33, 0x81, 0x41, 0x30 } }, /* an array of one */
		{ SMQ_ERR_TOO_LARGE, 9, { 0xa1, 0x18, 33, 0x85, 0x40, 0x40, 0x40, 0x40, 0x40 } },
		{ SMQ_ERR_MALFORMED, 4, { 0xa1, 0x18, 33, 0x60 } },               /* text */
		{ SMQ_ERR_MALFORMED, 5, { 0xa1, 0x19, 0, 33, 0x40 } },            /* label not in its shortest form */
		{ SMQ_ERR_MALFORMED, 4, { 0xa1, 0x18, 34, 0x40 } },               /* x5t, no array */
		{ SMQ_ERR_MALFORMED, 6, { 0xa1, 0x18, 34, 0x82, 0x2e, 0x40 } },   /* hash of no length */
		{ SMQ_ERR_MALFORMED, 14, { 0xa1, 0x18, 34, 0x82, 0x2f, 0x48 } },  /* 8 bytes for 32 */
		{ SMQ_ERR_CREDENTIAL, 14, { 0xa1, 0x18, 34, 0x82, 0x2d, 0x48 } }, /* another hash algorithm */
		{ SMQ_ERR_CREDENTIAL, 14, { 0xa1, 0x18, 34, 0x82, 0x2e, 0x48 } }, /* well formed, unknown */
		{ SMQ_ERR_TRAILING, 15, { 0xa1, 0x18, 34, 0x82, 0x2e, 0x48 } },
		{ SMQ_ERR_TRUNCATED, 13, { 0xa1, 0x18, 34, 0x82, 0x2e, 0x48 } },
	};
	struct smq_x509 *x = judge(NULL, 0, smq_span_of(NULL, 0));
	struct smq_credential c;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		smq_err err = resolve(x, rows[i].b, rows[i].len, NOW, &c);
		if (err != rows[i].want)
			print_error("row %zu: %s\n", i, smq_err_name(err));
		assert_int_equal(err, rows[i].want);
	}
	static uint8_t big[SMQ_ID_CRED_MAX + 1];
	assert_int_equal(resolve(x, big, sizeof(big), NOW, &c), SMQ_ERR_TOO_LARGE);
	smq_x509_free(x);
}

/* ---- roots and the own certificate ---- */

static void roots_and_own_certificates(void **state)
{
	(void)state;
	struct smq_x509 *x = NULL;
	static struct smq_x509_own own;
	struct smq_credential c;
	char both[8192];
	struct smq_x509_config config = { .realm = "plant", .root_pem = smq_span_str("nothing") };
	assert_int_equal(smq_x509_new(&config, &x), SMQ_ERR_MALFORMED);
	config.root_pem = pem_span(&member.cert);
	assert_int_equal(smq_x509_new(&config, &x), SMQ_ERR_CERT_INVALID);
	config.root_pem = pem_span(&root.cert);
	config.realm = "no realm";
	assert_int_equal(smq_x509_new(&config, &x), SMQ_ERR_NAME);
	assert_null(x);

	/* two roots, a member under the second (Ed25519), and a PEM file that ends with its root */
	struct party p = { { NULL, 0 }, { NULL, 0 } };
	struct smq_cert_template t = good();
	make(&p, SMQ_P256, &t, &root2);
	(void)snprintf(both, sizeof(both), "%s%s", (char *)root.cert.p, (char *)root2.cert.p);
	config.realm = "plant";
	config.root_pem = smq_span_str(both);
	assert_int_equal(smq_x509_new(&config, &x), SMQ_OK);
	char chain[8192];
	(void)snprintf(chain, sizeof(chain), "%s%s", (char *)p.cert.p, (char *)root2.cert.p);
	assert_int_equal(smq_x509_own(x, smq_span_str(chain), NOW, &own), SMQ_OK);
	assert_string_equal(own.credential.name, "fridge-07");
	assert_int_equal(own.id_cred_short_len, 14);
	assert_int_equal(own.id_cred_full_len, own.credential.cred_len + 3); /* without the root */
	assert_int_equal(resolve(x, own.id_cred_full, own.id_cred_full_len, NOW, &c), SMQ_OK);
	assert_int_equal(resolve(x, own.id_cred_short, own.id_cred_short_len, NOW, &c), SMQ_OK);
	assert_int_equal(smq_x509_own(x, smq_span_str("nothing"), NOW, &own), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_x509_own(x, pem_span(&other_root.cert), NOW, &own), SMQ_ERR_CERT_CHAIN);
	chain[200] ^= 1;
	assert_int_not_equal(smq_x509_own(x, smq_span_str(chain), NOW, &own), SMQ_OK);
	uint8_t fingerprint[32], want[32];
	smq_x509_root_fingerprint(x, fingerprint);
	assert_int_equal(smq_ca_fingerprint(pem_span(&root.cert), want), SMQ_OK);
	assert_memory_equal(fingerprint, want, 32);
	smq_x509_free(x);
	drop(&p);
}

static void role_words(void **state)
{
	(void)state;
	unsigned roles = 77;
	char text[SMQ_ROLES_TEXT_MAX];
	assert_int_equal(smq_roles_parse("member", &roles), SMQ_OK);
	assert_int_equal(roles, SMQ_ROLE_MEMBER);
	assert_int_equal(smq_roles_parse("admin,member,keyserver,broker", &roles), SMQ_OK);
	assert_int_equal(roles, 15);
	smq_roles_print(roles, text);
	assert_string_equal(text, "member,keyserver,admin,broker");
	static const char *const bad[] = { "", ",", "member,", "members", "Member", "member, admin" };
	for (size_t i = 0; i < SMQ_COUNT(bad); i++)
		assert_int_equal(smq_roles_parse(bad[i], &roles), SMQ_ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_member_is_accepted_with_all_its_fields),
		cmocka_unit_test(each_refusal_says_why),
		cmocka_unit_test(refused_expired),
		cmocka_unit_test(refused_not_yet_valid),
		cmocka_unit_test(refused_revoked),
		cmocka_unit_test(refused_wrong_authority),
		cmocka_unit_test(refused_same_common_name_from_another_authority),
		cmocka_unit_test(refused_wrong_usage),
		cmocka_unit_test(refused_path_length_exceeded),
		cmocka_unit_test(refused_name_constraint_broken),
		cmocka_unit_test(refused_name_unlike_the_senders),
		cmocka_unit_test(lists_altered_anywhere_judge_nobody),
		cmocka_unit_test(revoked_and_stale_lists),
		cmocka_unit_test(hashes_resolve_only_what_was_accepted),
		cmocka_unit_test(what_was_accepted_survives_in_the_store_and_is_bounded),
		cmocka_unit_test(every_truncation_and_many_flips_are_refused),
		cmocka_unit_test(malformed_id_creds_are_refused),
		cmocka_unit_test(roots_and_own_certificates),
		cmocka_unit_test(role_words),
	};
	return cmocka_run_group_tests_name("x509", tests, make_parties, drop_parties);
}
