/*
 * Other people's test vectors through our crypto port and codecs, with every count pinned. What is not there is
 * skipped by name; EDHOC's (RFC 9529) and COSE_Sign1's are run by test_edhoc_vectors and test_sign1.
 */
#include "base/table.h"
#include "tally.h"

static const struct vector_file files[] = {
	{ "wycheproof/aes_gcm_test.json", run_wycheproof_aead, { .good = 79, .refused = 54, .skipped = 183 } }, /* nonces of 12 bytes; 128 and 256 bits */
	{ "wycheproof/chacha20_poly1305_test.json", run_wycheproof_aead, { .good = 256, .refused = 60, .skipped = 9 } },
	{ "wycheproof/ecdsa_secp256r1_sha256_p1363_test.json", run_wycheproof_ecdsa, { .good = 173, .refused = 68, .skipped = 21 } },
	{ "wycheproof/ed25519_test.json", run_wycheproof_ed25519, { .good = 88, .refused = 51, .skipped = 12 } },
	{ "wycheproof/ecdh_secp256r1_ecpoint_test.json", run_wycheproof_ecdh, { .good = 328, .refused = 23, .lenient = 3, .skipped = 1 } },
	{ "wycheproof/x25519_test.json", run_wycheproof_x25519, { .good = 264, .refused = 31, .lenient = 223 } },
	{ "wycheproof/hkdf_sha256_test.json", run_wycheproof_hkdf, { .good = 83, .refused = 3 } },
	{ "wycheproof/hmac_sha256_test.json", run_wycheproof_hmac, { .good = 66, .refused = 108 } },
	{ "nist-gcm/gcmDecrypt128.rsp", run_nist_gcm, { .good = 179, .refused = 196, .skipped = 7500 } }, /* nonces of 96 bits, tags of 128 */
	{ "nist-gcm/gcmDecrypt256.rsp", run_nist_gcm, { .good = 184, .refused = 191, .skipped = 7500 } },
	{ "nist-gcm/gcmEncryptExtIV256.rsp", run_nist_gcm, { .good = 375, .skipped = 7500 } },
	{ "rfc5869/rfc-5869-HKDF-SHA256.txt", run_rfc5869, { .good = 3 } },
	{ "cose/aes-gcm-examples/aes-gcm-enc-01.json", run_cose_encrypt0, { .good = 1 } },
	{ "cose/aes-gcm-examples/aes-gcm-enc-02.json", run_cose_encrypt0, { .skipped = 1 } }, /* A192GCM */
	{ "cose/aes-gcm-examples/aes-gcm-enc-03.json", run_cose_encrypt0, { .good = 1 } },
	{ "cose/aes-gcm-examples/aes-gcm-enc-04.json", run_cose_encrypt0, { .refused = 1 } },
	{ "cose/encrypted-tests/aes-gcm-01.json", run_cose_encrypt0, { .good = 1 } },
	{ "cose/encrypted-tests/enc-pass-01.json", run_cose_encrypt0, { .good = 1 } },
	{ "cose/encrypted-tests/enc-pass-02.json", run_cose_encrypt0, { .good = 1 } },
	{ "cose/encrypted-tests/enc-pass-03.json", run_cose_encrypt0, { .good = 1 } },
	{ "cose/encrypted-tests/enc-fail-01.json", run_cose_encrypt0, { .refused = 1 } },
	{ "cose/encrypted-tests/enc-fail-02.json", run_cose_encrypt0, { .refused = 1 } },
	{ "cose/encrypted-tests/enc-fail-03.json", run_cose_encrypt0, { .refused = 1 } },
	{ "cose/encrypted-tests/enc-fail-04.json", run_cose_encrypt0, { .refused = 1 } },
	{ "cose/encrypted-tests/enc-fail-06.json", run_cose_encrypt0, { .refused = 1 } },
	{ "cose/encrypted-tests/enc-fail-07.json", run_cose_encrypt0, { .refused = 1 } },
	{ NULL, run_cbor_appendix_a, { .good = 43, .refused = 38 } },
};

static bool same_counts(const struct tally *a, const struct tally *b)
{
	return a->good == b->good && a->refused == b->refused && a->lenient == b->lenient && a->skipped == b->skipped &&
	       a->wrong == b->wrong;
}

/* cmocka's own output would say nothing of counts, so this program writes its TAP itself. */
static bool run(size_t number, const struct vector_file *file)
{
	const char *name = file->path ? file->path : "RFC 8949, appendix A";
	struct tally t = { 0 };
	FILE *f = file->path ? vectors_open(file->path) : NULL;
	if (file->path && !f) {
		printf("ok %zu - %s # SKIP not there: set SEALMQ_VECTORS\n", number, name);
		return true;
	}
	if (f)
		fclose(f);
	file->run(name, &t);
	bool good = same_counts(&t, &file->pinned);
	printf("%s %zu - %s: %u valid taken, %u invalid refused, %u either way, %u not for us, %u wrong\n",
	       good ? "ok" : "not ok", number, name, t.good, t.refused, t.lenient, t.skipped, t.wrong);
	if (!good)
		printf("# pinned: { %u, %u, %u, %u, %u }\n", file->pinned.good, file->pinned.refused,
		       file->pinned.lenient, file->pinned.skipped, file->pinned.wrong);
	return good;
}

int main(void)
{
	bool good = true;
	printf("1..%zu\n", SMQ_COUNT(files));
	for (size_t i = 0; i < SMQ_COUNT(files); i++)
		good &= run(i + 1, &files[i]);
	return good ? 0 : 1;
}
