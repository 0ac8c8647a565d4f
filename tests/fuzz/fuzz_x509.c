/*
 * Certificates, revocation lists and signing requests as they come from strangers: what is malformed is refused without
 * a crash, and nothing is accepted that the realm's authority has not signed. The first byte says what follows.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/ca_openssl/crl_read.h"
#include "adapters/x509_openssl/crl_merge.h"
#include "adapters/x509_openssl/x509.h"

enum { CREDENTIAL, LIST, REQUEST, CERTIFICATE, LINT, ROOT, KINDS };

/* Within the time of what the corpus holds. */
#define NOW INT64_C(1795300000000)

static const char root[] = "-----BEGIN CERTIFICATE-----\n"
			   "MIIBjjCCATSgAwIBAgIQflnisqGSarctBr8dh5xXmjAKBggqhkjOPQQDAjAVMRMw\n"
			   "EQYDVQQDDApwbGFudCByb290MB4XDTI2MTEyMTE4MzYzOFoXDTM2MTExODE4NDEz\n"
			   "OFowFTETMBEGA1UEAwwKcGxhbnQgcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
			   "A0IABNjxii6KaGqAHqp7kNbHVP6i9VmmHoe+6YwjImXAUXx43w6XunmKDVBzhemD\n"
			   "b9v8WvcrQtD8kcz7Z1oQCR7Ys+qjZjBkMBIGA1UdEwEB/wQIMAYBAf8CAQEwDgYD\n"
			   "VR0PAQH/BAQDAgEGMB0GA1UdDgQWBBT45QgE/0eVtr6deqrUmZGpFxsgVTAfBgNV\n"
			   "HSMEGDAWgBT45QgE/0eVtr6deqrUmZGpFxsgVTAKBggqhkjOPQQDAgNIADBFAiEA\n"
			   "66b7xrt9GcR89Bj0WcJz1qXf8jxRUZJnPD0SDL8Ko7gCIFZiSJrgEF1NBjQT41qU\n"
			   "qM/6ClypUN+ZIbgVBKXIaohI\n"
			   "-----END CERTIFICATE-----\n";

/* Goes along with a list, as from an authority. */
static const char issuing[] = "-----BEGIN CERTIFICATE-----\n"
			      "MIIBmTCCAUCgAwIBAgIQT2eT3GEhre4xMqKSO1/TizAKBggqhkjOPQQDAjAVMRMw\n"
			      "EQYDVQQDDApwbGFudCByb290MB4XDTI2MTEyMTE4MzYzOFoXDTI4MTEyMDE4NDEz\n"
			      "OFowITEfMB0GA1UEAwwWcGxhbnQgaXNzdWluZyA0ZjY3OTNkYzBZMBMGByqGSM49\n"
			      "AgEGCCqGSM49AwEHA0IABDK2b29taXfb1g/sKzdbFWELkYTd0oriimZEK71dz6es\n"
			      "JZ1pQWatQk1C0Eo8nmHIb0EgZixVQck/UHL3b3HRvoOjZjBkMBIGA1UdEwEB/wQI\n"
			      "MAYBAf8CAQAwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSSJU0wsvAmCyPPwyFR\n"
			      "qcLPZEiuMjAfBgNVHSMEGDAWgBT45QgE/0eVtr6deqrUmZGpFxsgVTAKBggqhkjO\n"
			      "PQQDAgNHADBEAiBbZjrbBt8e5hU2r3mNx1RQxCM8xXw6/xVTtX5L0wY1tgIgHQes\n"
			      "b1lgtYkV0rtFMMWRKOSaJ4tS2e8oRV9tzeqV9dU=\n"
			      "-----END CERTIFICATE-----\n";

static struct smq_x509 *x509(void)
{
	static struct smq_x509 *x;
	const struct smq_x509_config config = { .realm = "plant", .root_pem = smq_span_str(root), .known_max = 2 };
	if (!x)
		FUZZ_CHECK(smq_x509_new(&config, &x) == SMQ_OK);
	return x;
}

static void credential(smq_span bytes)
{
	struct smq_credential c;
	struct smq_credentials all = smq_x509_credentials(x509());
	if (all.resolve(all.self, bytes, NOW, &c) == SMQ_OK)
		FUZZ_CHECK(strcmp(c.name, "fridge-07") == 0 && c.roles == SMQ_ROLE_MEMBER);
}

/* DER in the clothes of PEM, so that mutations reach what parses it. Allocated, zero-terminated. */
static char *to_pem(const char *kind, smq_span der)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = malloc(der.len * 2 + 256);
	FUZZ_CHECK(text != NULL);
	size_t at = (size_t)sprintf(text, "-----BEGIN %s-----\n", kind);
	for (size_t i = 0; i < der.len; i += 3) {
		unsigned long three = 0;
		for (size_t k = 0; k < 3; k++)
			three = three << 8 | (i + k < der.len ? der.p[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			text[at++] = i + k > der.len ? '=' : digits[three >> (18 - 6 * k) & 63];
		if (i % 48 == 45)
			text[at++] = '\n';
	}
	sprintf(text + at, "\n-----END %s-----\n", kind);
	return text;
}

static void list(smq_span der)
{
	char *pem = to_pem("X509 CRL", der);
	char *offered = malloc(strlen(pem) + sizeof(issuing));
	struct smq_crl_merged merged = { .newer = 0 };
	struct smq_crl_summary sum;
	FUZZ_CHECK(offered != NULL);
	strcat(strcpy(offered, issuing), pem);
	(void)!smq_crl_summarize(smq_span_str(pem), &sum);
	/* what is taken has a signature of the realm's, and reads back */
	if (smq_crl_merge(smq_span_str(root), smq_span_of(NULL, 0), smq_span_str(offered), NOW, &merged) == SMQ_OK)
		FUZZ_CHECK(merged.newer == 1 &&
			   smq_crl_summarize(smq_span_of(merged.pem, merged.len), &sum) == SMQ_OK && sum.lists == 1);
	if (smq_x509_set_crl(x509(), smq_span_str(pem)) == SMQ_OK)
		FUZZ_CHECK(smq_x509_set_crl(x509(), smq_span_of(NULL, 0)) == SMQ_OK);
	free(merged.pem);
	free(offered);
	free(pem);
}

static void request(smq_span der)
{
	struct smq_pem pem = { NULL, 0 };
	struct smq_pem again = { NULL, 0 };
	struct smq_ca_request r;
	if (smq_ca_request_of_der(der, &pem) != SMQ_OK)
		return;
	if (smq_ca_read_request(smq_span_of(pem.p, pem.len), &r) == SMQ_OK)
		FUZZ_CHECK(r.name[0] && memchr(r.name, 0, sizeof(r.name)) && r.curve != 0);
	(void)!smq_ca_request_to_der(smq_span_of(pem.p, pem.len), &again);
	smq_pem_free(&pem);
	smq_pem_free(&again);
}

static void certificate(smq_span der)
{
	char *pem = to_pem("CERTIFICATE", der);
	struct smq_x509_own own;
	struct smq_ca_holder holder;
	int64_t from = 0, until = 0;
	(void)!smq_ca_read_holder(smq_span_str(pem), &holder);
	(void)!smq_ca_validity(smq_span_str(pem), &from, &until);
	if (smq_x509_own(x509(), smq_span_str(pem), NOW, &own) == SMQ_OK)
		FUZZ_CHECK(strcmp(own.credential.name, "fridge-07") == 0);
	free(pem);
}

static void lint(smq_span der)
{
	char *pem = to_pem("CERTIFICATE", der);
	int64_t from = 0, until = 0;
	/* It reads the two others first, which takes ten times as long as to see that this is no certificate. */
	if (smq_ca_validity(smq_span_str(pem), &from, &until) == SMQ_OK || der.len % 16 == 0)
		(void)smq_ca_lint(smq_span_str(pem), smq_span_str(issuing), smq_span_str(root), false, NOW);
	free(pem);
}

static void as_root(smq_span der)
{
	char *pem = to_pem("CERTIFICATE", der);
	struct smq_x509 *x = NULL;
	const struct smq_x509_config config = { .realm = "plant", .root_pem = smq_span_str(pem) };
	if (smq_x509_new(&config, &x) == SMQ_OK)
		smq_x509_free(x);
	free(pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const takes[KINDS])(smq_span bytes) = { credential, list, request, certificate, lint, as_root };
	if (size > 0)
		takes[data[0] % KINDS](smq_span_of(data + 1, size - 1));
	return 0;
}
