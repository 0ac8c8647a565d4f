/*
 * NIST's suite for path validation (PKITS 1.0.1) against the validation that judges peers, as it is configured: strict,
 * revocation lists for every issuer, at most four certificates, no certificate policies, and no lists by others than
 * the issuer itself (indirect, partial, delta). What it must refuse it refuses, but where only a policy is broken; what
 * it refuses more than it must stands in a table, by section and reason.
 */
#include "../unit/vectors.h"

#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include "adapters/x509_openssl/x509_internal.h"
#include "base/table.h"

enum { NAME_LEN = 160, ROOM = 65536, DER_MAX = 8192 };

/* 2026-01-01: all of the suite that is valid is so from 2010 to 2030. */
#define NOW INT64_C(1767225600000)

struct exception {
	const char *number;
	const char *why;
};

/* Valid, and refused. */
static const struct exception stricter[] = {
	{ "4.1.4", "DSA" },
	{ "4.1.5", "DSA" },
	{ "4.4.19", "a key of its own for lists" },
	{ "4.5.4", "a list under the issuer's other key" },
	{ "4.5.6", "a list under the issuer's other key" },
	{ "4.6.4", "basic constraints are not critical" },
	{ "4.6.13", "six certificates" },
	{ "4.6.14", "six certificates" },
	{ "4.6.17", "six certificates" },
	{ "4.9.1", "six certificates" },
	{ "4.9.2", "six certificates" },
	{ "4.9.4", "six certificates" },
	{ "4.12.9", "five certificates" },
	{ "4.14.18", "lists by reason" },
	{ "4.14.19", "lists by reason" },
	{ "4.14.22", "a list by another issuer" },
	{ "4.14.24", "a list by another issuer" },
	{ "4.14.25", "a list by another issuer" },
	{ "4.14.28", "a list by another issuer" },
	{ "4.14.29", "a list by another issuer" },
	{ "4.14.30", "a list by another issuer" },
	{ "4.14.33", "a list by another issuer" },
};

/* Invalid because of policies alone, and taken. */
static const char *const policies[] = { "4.8.1",   "4.8.2",  "4.8.3",  "4.8.4",  "4.8.5",    "4.8.6",    "4.8.7",
					"4.8.8",   "4.8.12", "4.8.14", "4.9.7",  "4.10.1.2", "4.10.1.3", "4.10.2",
					"4.10.3",  "4.10.4", "4.10.5", "4.10.6", "4.10.7",   "4.10.8",   "4.10.10",
					"4.10.13", "4.11.1", "4.11.3", "4.11.6", "4.12.1",   "4.12.3",   "4.12.4",
					"4.12.5",  "4.12.6", "4.12.10" };

static bool is_stricter(const char *number)
{
	for (size_t i = 0; i < SMQ_COUNT(stricter); i++) {
		if (strcmp(stricter[i].number, number) == 0)
			return true;
	}
	return false;
}

static bool is_policy(const char *number)
{
	for (size_t i = 0; i < SMQ_COUNT(policies); i++) {
		if (strcmp(policies[i], number) == 0)
			return true;
	}
	return false;
}

static size_t read_der(const char *kind, const char *name, const char *ext, uint8_t *room, size_t len)
{
	char path[NAME_LEN + 64];
	(void)snprintf(path, sizeof(path), "pkits/%s/%s.%s", kind, name, ext);
	FILE *f = vectors_open(path);
	if (!f)
		return 0;
	size_t n = fread(room, 1, len, f);
	(void)fclose(f);
	return n;
}

static X509 *read_cert(const json_t *name)
{
	uint8_t der[DER_MAX];
	return smq_x509_parse(smq_span_of(der, read_der("certs", json_string_value(name), "crt", der, sizeof(der))));
}

static X509_CRL *read_crl(const json_t *name)
{
	uint8_t der[DER_MAX];
	const uint8_t *at = der;
	size_t len = read_der("crls", json_string_value(name), "crl", der, sizeof(der));
	return len > 0 ? d2i_X509_CRL(NULL, &at, (long)len) : NULL;
}

/* Everything of the case in PEM, as a realm directory would have it; false: something does not even parse. */
static bool lists_of(const json_t *one, BIO *bio)
{
	const json_t *crls = json_object_get(one, "crls");
	for (size_t i = 0; i < json_array_size(crls); i++) {
		X509_CRL *crl = read_crl(json_array_get(crls, i));
		bool ok = crl && PEM_write_bio_X509_CRL(bio, crl) == 1;
		X509_CRL_free(crl);
		if (!ok)
			return false;
	}
	return true;
}

static struct smq_x509 *judge_of(const json_t *one)
{
	struct smq_x509 *x = NULL;
	X509 *root = read_cert(json_array_get(json_object_get(one, "certs"), 0));
	BIO *roots = BIO_new(BIO_s_mem());
	BIO *lists = BIO_new(BIO_s_mem());
	char *root_pem = NULL;
	char *list_pem = NULL;
	if (root && roots && lists && PEM_write_bio_X509(roots, root) == 1 && lists_of(one, lists)) {
		long root_len = BIO_get_mem_data(roots, &root_pem);
		long list_len = BIO_get_mem_data(lists, &list_pem);
		struct smq_x509_config config = { .realm = "pkits",
						  .root_pem = smq_span_of((uint8_t *)root_pem, (size_t)root_len),
						  .crl_pem = smq_span_of((uint8_t *)list_pem, (size_t)list_len) };
		if (smq_x509_new(&config, &x) != SMQ_OK)
			x = NULL;
	}
	X509_free(root);
	BIO_free(roots);
	BIO_free(lists);
	return x;
}

static smq_err verdict(const json_t *one)
{
	const json_t *certs = json_object_get(one, "certs");
	size_t count = json_array_size(certs);
	X509 *cert = read_cert(json_array_get(certs, count - 1));
	STACK_OF(X509) *issuers = sk_X509_new_null();
	struct smq_x509 *x = judge_of(one);
	int64_t from = 0;
	int64_t until = 0;
	smq_err err = SMQ_ERR_MALFORMED;
	for (size_t i = 1; i + 1 < count; i++) {
		X509 *issuer = read_cert(json_array_get(certs, i));
		if (issuer)
			assert_true(sk_X509_push(issuers, issuer) > 0);
	}
	if (cert && x)
		err = smq_x509_check_chain(x, cert, issuers, NOW, &from, &until);
	smq_x509_free(x);
	sk_X509_pop_free(issuers, X509_free);
	X509_free(cert);
	return err;
}

static void every_path_is_judged(void **state)
{
	(void)state;
	unsigned taken = 0;
	unsigned refused = 0;
	unsigned strict = 0;
	unsigned policy = 0;
	unsigned wrong = 0;
	json_t *cases = vectors_load("pkits/cases.json");
	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *one = json_array_get(cases, i);
		const char *number = json_string_value(json_object_get(one, "number"));
		bool valid = json_is_true(json_object_get(one, "should_validate"));
		smq_err err = verdict(one);
		if (valid == (err == SMQ_OK)) {
			taken += valid ? 1 : 0;
			refused += valid ? 0 : 1;
		} else if (valid && is_stricter(number)) {
			strict++;
		} else if (!valid && is_policy(number)) {
			policy++;
		} else {
			wrong++;
			printf("# %s: %s, and was %s\n", json_string_value(json_object_get(one, "title")),
			       valid ? "valid" : "invalid", smq_err_name(err));
		}
	}
	printf("# PKITS: %u valid taken, %u invalid refused, %u valid refused as configured, %u against a policy\n",
	       taken, refused, strict, policy);
	json_decref(cases);
	assert_int_equal(wrong, 0);
	/* pinned: a case that is not looked at any more is a failure too */
	assert_int_equal(taken, 90);
	assert_int_equal(refused, 102);
	assert_int_equal(strict, 22);
	assert_int_equal(policy, 33);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_path_is_judged) };
	if (vectors_missing("pkits/cases.json"))
		return 0;
	return cmocka_run_group_tests_name("pkits", tests, NULL, NULL);
}
