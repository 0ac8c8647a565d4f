/* wire/sign1: COSE_Sign1 there and back, what is refused, and what others made (RFC 9052, 4.2). */
#include <stdio.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "base/table.h"
#include "vectors.h"
#include "wire/sign1.h"

enum { ROOM = 512 };

static const uint8_t x5t[] = { 0xa1, 0x18, 0x22, 0x82, 0x2e, 0x48, 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t kid[] = { 0xa1, 0x04, 0x42, '1', '1' };

struct party {
	struct smq_own_credential own;
	struct smq_credential credential;
};

static struct party party_of(enum smq_curve curve, uint8_t seed, unsigned roles)
{
	struct party p = { .own = { .id_cred_short = smq_span_of(x5t, sizeof(x5t)) },
			   .credential = { .roles = roles } };
	uint8_t secret[SMQ_KEX_LEN];
	memset(secret, seed, sizeof(secret));
	assert_int_equal(smq_openssl_signer_from_raw(curve, secret, &p.own.signer), SMQ_OK);
	assert_int_equal(
	    smq_openssl_signer_public(&p.own.signer, p.credential.public_key, &p.credential.public_key_len), SMQ_OK);
	p.credential.sig_alg = p.own.signer.alg;
	return p;
}

static smq_err verify_document(smq_span bytes, const struct party *p, enum smq_role role, const char *kind)
{
	struct smq_sign1 s;
	smq_err err = smq_sign1_decode(bytes, &s);
	return err != SMQ_OK ? err : smq_sign1_verify_document(&s, smq_crypto_openssl(), &p->credential, role, kind);
}

static void documents(void **state)
{
	(void)state;
	static const enum smq_curve curves[] = { SMQ_P256, SMQ_ED25519 };
	for (size_t c = 0; c < SMQ_COUNT(curves); c++) {
		struct party admin = party_of(curves[c], 7, SMQ_ROLE_ADMIN),
			     other = party_of(curves[c], 8, SMQ_ROLE_ADMIN);
		struct party foreign = party_of(curves[1 - c], 7, SMQ_ROLE_ADMIN);
		uint8_t room[ROOM];
		size_t len = 0;
		struct smq_sign1 s;
		smq_span payload = smq_span_str("a policy");
		assert_int_equal(smq_sign1_encode_document(&admin.own, "sealmq1 policy", payload,
							   smq_mspan_of(room, sizeof(room)), &len),
				 SMQ_OK);
		assert_true(len <= payload.len + SMQ_SIGN1_OVERHEAD_MAX);
		assert_int_equal(smq_sign1_decode(smq_span_of(room, len), &s), SMQ_OK);
		assert_true(smq_span_equal(s.payload, payload));
		assert_true(smq_span_equal(smq_span_of(s.id_cred, s.id_cred_len), smq_span_of(x5t, sizeof(x5t))));
		smq_span doc = smq_span_of(room, len);
		assert_int_equal(verify_document(doc, &admin, SMQ_ROLE_ADMIN, "sealmq1 policy"), SMQ_OK);
		assert_int_equal(verify_document(doc, &admin, SMQ_ROLE_ADMIN, "sealmq1 manifest"), SMQ_ERR_SIGNATURE);
		assert_int_equal(verify_document(doc, &admin, SMQ_ROLE_KEYSERVER, "sealmq1 policy"),
				 SMQ_ERR_CERT_USAGE);
		assert_int_equal(verify_document(doc, &other, SMQ_ROLE_ADMIN, "sealmq1 policy"), SMQ_ERR_SIGNATURE);
		assert_int_equal(verify_document(doc, &foreign, SMQ_ROLE_ADMIN, "sealmq1 policy"), SMQ_ERR_ALGORITHM);
		for (size_t bit = 0; bit < 8 * len; bit++) {
			room[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_not_equal(verify_document(doc, &admin, SMQ_ROLE_ADMIN, "sealmq1 policy"), SMQ_OK);
			room[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t cut = 0; cut < len; cut++)
			assert_int_not_equal(smq_sign1_decode(smq_span_of(room, cut), &s), SMQ_OK);
		for (size_t small = 0; small < len; small++)
			assert_int_equal(smq_sign1_encode_document(&admin.own, "sealmq1 policy", payload,
								   smq_mspan_of(room, small), &(size_t){ 0 }),
					 SMQ_ERR_NO_ROOM);
		smq_openssl_signer_free(&admin.own.signer);
		smq_openssl_signer_free(&other.own.signer);
		smq_openssl_signer_free(&foreign.own.signer);
	}
}

static void detached(void **state)
{
	(void)state;
	struct party p = party_of(SMQ_P256, 7, SMQ_ROLE_ADMIN);
	uint8_t room[ROOM];
	size_t len = 0;
	struct smq_sign1 s;
	const struct smq_crypto *c = smq_crypto_openssl();
	smq_span key = smq_span_of(p.credential.public_key, p.credential.public_key_len), none = smq_span_of(NULL, 0);
	smq_span payload = smq_span_str("elsewhere");
	assert_int_equal(smq_sign1_encode(&p.own.signer, smq_span_of(kid, sizeof(kid)), none, payload, true,
					  smq_mspan_of(room, sizeof(room)), &len),
			 SMQ_OK);
	assert_int_equal(smq_sign1_decode(smq_span_of(room, len), &s), SMQ_OK);
	assert_true(s.detached);
	assert_int_equal(smq_sign1_verify(&s, c, SMQ_ES256, key, none, payload), SMQ_OK);
	assert_int_equal(smq_sign1_verify(&s, c, SMQ_ES256, key, none, none), SMQ_ERR_SIGNATURE);
	assert_int_equal(smq_sign1_verify(&s, c, SMQ_EDDSA, key, none, payload), SMQ_ERR_ALGORITHM);
	assert_int_equal(smq_sign1_verify_document(&s, c, &p.credential, SMQ_ROLE_ADMIN, ""), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_sign1_encode(&p.own.signer, smq_span_of(kid, sizeof(kid)), none, payload, false,
					  smq_mspan_of(room, sizeof(room)), &len),
			 SMQ_OK);
	assert_int_equal(smq_sign1_decode(smq_span_of(room, len), &s), SMQ_OK);
	assert_int_equal(smq_sign1_verify(&s, c, SMQ_ES256, key, none, payload), SMQ_ERR_USAGE);
	smq_openssl_signer_free(&p.own.signer);
}

static void signers_that_cannot_be_named(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"",
		"a0",               /* nobody */
		"a2044131044132",   /* two */
		"a11821814101",     /* x5chain: a document is no place for it */
		"a10401",           /* a kid that is a number */
		"a11822812e",       /* x5t without a hash */
		"a118228300410141", /* three */
		"a11822822e40", /* an empty hash */
		"a104413100", /* trailing */
		"8104",
	};
	struct party p = party_of(SMQ_P256, 7, SMQ_ROLE_ADMIN);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct vector_bytes id = vector_unhex(rows[i]);
		uint8_t room[ROOM];
		size_t len = 0;
		if (smq_sign1_encode(&p.own.signer, vector_span(&id), smq_span_of(NULL, 0), smq_span_str("x"), false,
				     smq_mspan_of(room, sizeof(room)), &len) != SMQ_ERR_CREDENTIAL)
			fail_msg("row %zu: %s", i, rows[i]);
	}
	smq_openssl_signer_free(&p.own.signer);
}

#define SIG32 "0000000000000000000000000000000000000000000000000000000000000000"
#define SIG "5840" SIG32 SIG32

static void other_forms_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *what, *hex;
		smq_err err;
	} rows[] = {
		{ "ours",
		  "d28446a20126044131"
		  "a0"
		  "4178" SIG,
		  SMQ_OK },
		{ "nobody named",
		  "d28443a10126"
		  "a0"
		  "4178" SIG,
		  SMQ_OK },
		{ "a content type",
		  "d28445a201260300"
		  "a0"
		  "4178" SIG,
		  SMQ_OK },
		{ "kid unprotected",
		  "d28443a10126"
		  "a1044131"
		  "4178" SIG,
		  SMQ_OK },
		{ "detached",
		  "d28443a10126"
		  "a0"
		  "f6" SIG,
		  SMQ_OK },
		{ "no tag",
		  "8443a10126"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "the tag of COSE_Sign",
		  "d8628443a10126"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "tagged twice",
		  "d2d28443a10126"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "five elements",
		  "d28543a10126"
		  "a0"
		  "4178" SIG "00",
		  SMQ_ERR_MALFORMED },
		{ "no protected header",
		  "d28440"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_TRUNCATED },
		{ "no algorithm",
		  "d28441a0"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_ALGORITHM },
		{ "algorithm unprotected",
		  "d28441a0"
		  "a10126"
		  "4178" SIG,
		  SMQ_ERR_ALGORITHM },
		{ "ES384",
		  "d28444a1013822"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_ALGORITHM },
		{ "twice the algorithm",
		  "d28445a201260126"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "out of order",
		  "d28446a20441310126"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "critical",
		  "d28447a20126028118"
		  "63"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "two signers",
		  "d2844ca301260441311822822e4101"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "trailing in the header",
		  "d28444a1012600"
		  "a0"
		  "4178" SIG,
		  SMQ_ERR_TRAILING },
		{ "unknown unprotected",
		  "d28443a10126"
		  "a1190100"
		  "00"
		  "4178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "text payload",
		  "d28443a10126"
		  "a0"
		  "6178" SIG,
		  SMQ_ERR_MALFORMED },
		{ "short signature",
		  "d28443a10126"
		  "a0"
		  "4178"
		  "4100",
		  SMQ_ERR_MALFORMED },
		{ "trailing",
		  "d28443a10126"
		  "a0"
		  "4178" SIG "00",
		  SMQ_ERR_TRAILING },
		{ "indefinite",
		  "d29f43a10126"
		  "a0"
		  "4178" SIG "ff",
		  SMQ_ERR_MALFORMED },
		{ "longer than needed",
		  "d28443a10126"
		  "a0"
		  "580178" SIG,
		  SMQ_ERR_MALFORMED },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct vector_bytes v = vector_unhex(rows[i].hex);
		struct smq_sign1 s;
		smq_err err = smq_sign1_decode(vector_span(&v), &s);
		if (err != rows[i].err)
			fail_msg("row %zu, %s: %s", i, rows[i].what, smq_err_name(err));
	}
}

/* ---- the examples of the COSE working group ---- */

static void unbase64url(const char *text, uint8_t *to, size_t len)
{
	unsigned bits = 0, value = 0;
	size_t n = 0;
	for (; *text; text++) {
		unsigned c = (unsigned char)*text;
		unsigned v = c >= 'A' && c <= 'Z'   ? c - 'A'
			     : c >= 'a' && c <= 'z' ? c - 'a' + 26
			     : c >= '0' && c <= '9' ? c - '0' + 52
			     : c == '-'             ? 62
						    : 63;
		value = value << 6 | v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			assert_true(n < len);
			to[n++] = (uint8_t)(value >> bits);
		}
	}
	assert_int_equal(n, len);
}

static size_t public_key(const json_t *key, uint8_t ret_key[SMQ_PUBLIC_KEY_MAX])
{
	const char *x_hex = json_string_value(json_object_get(key, "x_hex"));
	if (x_hex) {
		struct vector_bytes v = vector_unhex(x_hex);
		assert_true(v.len <= SMQ_PUBLIC_KEY_MAX);
		memcpy(ret_key, v.b, v.len);
		return v.len;
	}
	ret_key[0] = 4;
	unbase64url(json_string_value(json_object_get(key, "x")), ret_key + 1, 32);
	unbase64url(json_string_value(json_object_get(key, "y")), ret_key + 33, 32);
	return 65;
}

static void cose_examples(void **state)
{
	(void)state;
	static const struct {
		const char *file;
		smq_err decode, verify;
	} rows[] = {
		{ "sign1-tests/sign-pass-01", SMQ_ERR_ALGORITHM, SMQ_OK }, /* algorithm unprotected: not with us */
		{ "sign1-tests/sign-pass-02", SMQ_OK, SMQ_OK },
		{ "sign1-tests/sign-pass-03", SMQ_ERR_MALFORMED, SMQ_OK }, /* untagged: likewise */
		{ "sign1-tests/sign-fail-01", SMQ_ERR_MALFORMED, SMQ_OK },
		{ "sign1-tests/sign-fail-02", SMQ_OK, SMQ_ERR_SIGNATURE },
		{ "sign1-tests/sign-fail-03", SMQ_ERR_ALGORITHM, SMQ_OK },
		{ "sign1-tests/sign-fail-04", SMQ_ERR_ALGORITHM, SMQ_OK },
		{ "sign1-tests/sign-fail-06", SMQ_OK, SMQ_ERR_SIGNATURE },
		{ "sign1-tests/sign-fail-07", SMQ_OK, SMQ_ERR_SIGNATURE },
		{ "ecdsa-examples/ecdsa-sig-01", SMQ_OK, SMQ_OK },
		{ "ecdsa-examples/ecdsa-sig-02", SMQ_ERR_ALGORITHM, SMQ_OK }, /* ES384 */
		{ "ecdsa-examples/ecdsa-sig-03", SMQ_ERR_ALGORITHM, SMQ_OK }, /* ES512 */
		{ "ecdsa-examples/ecdsa-sig-04", SMQ_ERR_ALGORITHM, SMQ_OK },
		{ "eddsa-examples/eddsa-sig-01", SMQ_OK, SMQ_OK },
		{ "eddsa-examples/eddsa-sig-02", SMQ_ERR_MALFORMED, SMQ_OK }, /* Ed448 */
		{ "RFC8152/Appendix_C_2_1", SMQ_OK, SMQ_OK },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		char path[128];
		uint8_t key[SMQ_PUBLIC_KEY_MAX];
		struct smq_sign1 s;
		snprintf(path, sizeof(path), "cose/%s.json", rows[i].file);
		json_t *file = vectors_load(path);
		const json_t *in = json_object_get(json_object_get(file, "input"), "sign0");
		const char *external = json_string_value(json_object_get(in, "external"));
		struct vector_bytes v =
		    vector_unhex(json_string_value(json_object_get(json_object_get(file, "output"), "cbor")));
		struct vector_bytes aad = vector_unhex(external ? external : "");
		smq_err err = smq_sign1_decode(vector_span(&v), &s);
		if (err != rows[i].decode)
			fail_msg("%s: %s", rows[i].file, smq_err_name(err));
		if (err == SMQ_OK) {
			size_t len = public_key(json_object_get(in, "key"), key);
			err = smq_sign1_verify(&s, smq_crypto_openssl(), s.alg, smq_span_of(key, len),
					       vector_span(&aad), smq_span_of(NULL, 0));
			if (err != rows[i].verify)
				fail_msg("%s: %s", rows[i].file, smq_err_name(err));
			assert_false(s.bare);
			assert_int_equal(s.id_cred_len, 0);
		}
		json_decref(file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test(detached),
		cmocka_unit_test(signers_that_cannot_be_named),
		cmocka_unit_test(other_forms_are_refused),
		cmocka_unit_test(cose_examples),
	};
	/* Without the examples the rest still runs. */
	FILE *f = vectors_open("cose/sign1-tests/sign-pass-01.json");
	if (f)
		fclose(f);
	else
		printf("# no cose/sign1-tests: set SEALMQ_VECTORS\n");
	return _cmocka_run_group_tests("sign1", tests, SMQ_COUNT(tests) - !f, NULL, NULL);
}
