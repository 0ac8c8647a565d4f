/*
 * What became of the vectors of one file, counted; the counts are pinned, so that a vector that silently stops being
 * looked at is a failure too.
 */
#ifndef SMQ_TESTS_VECTORS_TALLY_H
#define SMQ_TESTS_VECTORS_TALLY_H

#include "../unit/vectors.h"

struct tally {
	unsigned good;    /* valid, and the result is the file's */
	unsigned refused; /* invalid, and refused */
	unsigned lenient; /* may be taken or refused ("acceptable"), or cannot be told by what our port is handed */
	unsigned skipped; /* cannot be put to our port: another key, nonce or signature length, another curve form */
	unsigned wrong;
};

struct vector_file {
	const char *path;
	void (*run)(const char *path, struct tally *t);
	struct tally pinned;
};

/* One verdict on a vector whose result the file names ("valid", "invalid", "acceptable"). */
static inline void tally_add(struct tally *t, const char *what, int id, const char *result, bool taken, bool matches)
{
	bool valid = strcmp(result, "valid") == 0, invalid = strcmp(result, "invalid") == 0;
	if ((valid && !(taken && matches)) || (invalid && taken) || (taken && !matches)) {
		t->wrong++;
		printf("# %s: vector %d is %s, and was %s\n", what, id, result, taken ? "taken" : "refused");
	} else if (valid) {
		t->good++;
	} else if (invalid) {
		t->refused++;
	} else {
		t->lenient++;
	}
}

void run_wycheproof_aead(const char *path, struct tally *t);
void run_wycheproof_ecdh(const char *path, struct tally *t);
void run_wycheproof_x25519(const char *path, struct tally *t);
void run_wycheproof_ecdsa(const char *path, struct tally *t);
void run_wycheproof_ed25519(const char *path, struct tally *t);
void run_wycheproof_hkdf(const char *path, struct tally *t);
void run_wycheproof_hmac(const char *path, struct tally *t);
void run_nist_gcm(const char *path, struct tally *t);
void run_rfc5869(const char *path, struct tally *t);
void run_cose_encrypt0(const char *path, struct tally *t);
void run_cbor_appendix_a(const char *path, struct tally *t);

#endif
