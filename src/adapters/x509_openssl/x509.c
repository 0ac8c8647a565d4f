/*
 * Resolving credentials: chain, time, revocation, and what was accepted before.
 *
 * A remembered certificate carries the stretch of time within which the answer of its last full check cannot change
 * (all of its chain valid, the CRL not past its next update); outside of it, or after a new CRL, it is checked anew.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include "adapters/common_openssl/pem.h"
#include "adapters/x509_openssl/x509_internal.h"
#include "base/table.h"
#include "base/text.h"

enum { KNOWN_DEFAULT = 1024, AUTH_LEVEL = 2 /* 112 bits: no SHA-1, no RSA below 2,048 */ };

struct known {
	uint8_t hash[SMQ_HASH_LEN]; /* SHA-256 of the end entity's DER */
	struct smq_credential credential;
	uint8_t *chain; /* ID_CRED_x by value, as it came */
	size_t chain_len;
	int64_t from_ms, until_ms; /* the last check's answer holds between these */
	unsigned crl_number;       /* of the CRL it was checked by */
	uint64_t used;
};

struct smq_x509 {
	char realm[65];
	X509 *roots[ROOTS_MAX];
	size_t root_count;
	struct smq_crls *crls;
	unsigned crl_number; /* of lists taken into use so far */
	bool insecure_stale_crl;
	X509_STORE *trust;
	struct smq_store *store;
	struct known **known;
	size_t known_count, known_max;
	uint64_t clock; /* of uses, for the least recent one */
};

static void hash_of(smq_span bytes, uint8_t ret_hash[SMQ_HASH_LEN])
{
	if (EVP_Digest(bytes.p, bytes.len, ret_hash, NULL, EVP_sha256(), NULL) != 1)
		memset(ret_hash, 0, SMQ_HASH_LEN); /* matches nothing that was remembered */
}

/* ---- the full check ---- */

static const struct {
	int from;
	smq_err to;
} verdicts[] = {
	{ X509_V_ERR_CERT_HAS_EXPIRED, SMQ_ERR_CERT_EXPIRED },
	{ X509_V_ERR_CERT_NOT_YET_VALID, SMQ_ERR_CERT_NOT_YET },
	{ X509_V_ERR_CERT_REVOKED, SMQ_ERR_CERT_REVOKED },
	{ X509_V_ERR_CRL_HAS_EXPIRED, SMQ_ERR_CERT_CRL },
	{ X509_V_ERR_CRL_NOT_YET_VALID, SMQ_ERR_CERT_CRL },
	{ X509_V_ERR_UNABLE_TO_GET_CRL, SMQ_ERR_CERT_CRL },
	{ X509_V_ERR_CRL_SIGNATURE_FAILURE, SMQ_ERR_CERT_CRL },
	{ X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, SMQ_ERR_CERT_CRL },
	{ X509_V_ERR_DIFFERENT_CRL_SCOPE, SMQ_ERR_CERT_CRL },
	{ X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, SMQ_ERR_CERT_CRL },
	{ X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, SMQ_ERR_CERT_CRL },
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, SMQ_ERR_CERT_CHAIN },
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, SMQ_ERR_CERT_CHAIN },
	{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, SMQ_ERR_CERT_CHAIN },
	{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, SMQ_ERR_CERT_CHAIN },
	{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, SMQ_ERR_CERT_CHAIN },
	{ X509_V_ERR_CERT_SIGNATURE_FAILURE, SMQ_ERR_CERT_CHAIN },
	{ X509_V_ERR_CERT_CHAIN_TOO_LONG, SMQ_ERR_CERT_CHAIN },
	{ X509_V_ERR_CERT_UNTRUSTED, SMQ_ERR_CERT_CHAIN },
	{ X509_V_ERR_PATH_LENGTH_EXCEEDED, SMQ_ERR_CERT_PATH },
	{ X509_V_ERR_PERMITTED_VIOLATION, SMQ_ERR_CERT_LIMITS },
	{ X509_V_ERR_EXCLUDED_VIOLATION, SMQ_ERR_CERT_LIMITS },
	{ X509_V_ERR_SUBTREE_MINMAX, SMQ_ERR_CERT_LIMITS },
	{ X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, SMQ_ERR_CERT_LIMITS },
	{ X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, SMQ_ERR_CERT_LIMITS },
	{ X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, SMQ_ERR_CERT_LIMITS },
	{ X509_V_ERR_OUT_OF_MEM, SMQ_ERR_NO_MEMORY },
};

static smq_err verdict_of(int code)
{
	for (size_t i = 0; i < SMQ_COUNT(verdicts); i++) {
		if (verdicts[i].from == code)
			return verdicts[i].to;
	}
	return SMQ_ERR_CERT_INVALID;
}

/* Lets an old CRL pass where the configuration says so, and nothing else. */
static int on_doubt(int ok, X509_STORE_CTX *ctx)
{
	return ok || X509_STORE_CTX_get_error(ctx) == X509_V_ERR_CRL_HAS_EXPIRED;
}

static void narrow_ms(int64_t *from, int64_t *until, struct smq_crl_times stretch)
{
	*from = stretch.this_update_ms > *from ? stretch.this_update_ms : *from;
	*until = stretch.next_update_ms < *until ? stretch.next_update_ms : *until;
}

/* The stretch within which all certificates of the chain and all CRLs stay as they are; empty with a stale CRL. */
static void validity(const struct smq_x509 *x, X509_STORE_CTX *ctx, int64_t *ret_from, int64_t *ret_until)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	*ret_from = INT64_MIN;
	*ret_until = INT64_MAX;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		const X509 *cert = sk_X509_value(chain, i);
		struct smq_crl_times valid = { .this_update_ms = smq_x509_time_ms(X509_get0_notBefore(cert)),
					       .next_update_ms = smq_x509_time_ms(X509_get0_notAfter(cert)) };
		narrow_ms(ret_from, ret_until, valid);
	}
	narrow_ms(ret_from, ret_until, smq_crls_times(x->crls));
}

smq_err smq_x509_check_chain(const struct smq_x509 *x, X509 *cert, STACK_OF(X509) * issuers, int64_t now_ms,
			     int64_t *ret_from, int64_t *ret_until)
{
	smq_err err = SMQ_ERR_NO_MEMORY;
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	unsigned long flags = X509_V_FLAG_X509_STRICT;

	if (!ctx || X509_STORE_CTX_init(ctx, x->trust, cert, issuers) != 1)
		goto out;
	if (smq_crls_use(x->crls, ctx))
		flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL | X509_V_FLAG_USE_DELTAS;
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_flags(param, flags);
	X509_VERIFY_PARAM_set_depth(param, CHAIN_MAX - 1);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	X509_VERIFY_PARAM_set_time(param, (time_t)(now_ms / 1000));
	if (x->insecure_stale_crl)
		X509_STORE_CTX_set_verify_cb(ctx, on_doubt);
	if (X509_verify_cert(ctx) == 1) {
		validity(x, ctx, ret_from, ret_until);
		err = SMQ_OK;
	} else {
		err = verdict_of(X509_STORE_CTX_get_error(ctx));
	}
out:
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return err;
}

static smq_err parse_certs(const struct smq_id_cred *id, X509 **ret_cert, STACK_OF(X509) * *ret_issuers)
{
	X509 *cert = smq_x509_parse(id->certs[0]);
	STACK_OF(X509) *issuers = sk_X509_new_null();
	bool ok = cert && issuers;

	for (size_t i = 1; ok && i < id->cert_count; i++) {
		X509 *issuer = smq_x509_parse(id->certs[i]);
		ok = issuer && sk_X509_push(issuers, issuer) > 0;
		if (issuer && !ok)
			X509_free(issuer);
	}
	ERR_clear_error();
	if (!ok) {
		X509_free(cert);
		sk_X509_pop_free(issuers, X509_free);
		return SMQ_ERR_MALFORMED;
	}
	*ret_cert = cert;
	*ret_issuers = issuers;
	return SMQ_OK;
}

/* Everything about certificates carried by value. */
static smq_err check(const struct smq_x509 *x, const struct smq_id_cred *id, int64_t now_ms, struct known *ret_known)
{
	X509 *cert = NULL;
	STACK_OF(X509) *issuers = NULL;
	int64_t from = 0;
	int64_t until = 0;
	struct smq_credential c;
	smq_err err = parse_certs(id, &cert, &issuers);

	if (err != SMQ_OK)
		return err;
	err = smq_x509_check_chain(x, cert, issuers, now_ms, &from, &until);
	if (err == SMQ_OK)
		err = smq_x509_holder(cert, x->realm, &c);
	if (err == SMQ_OK) {
		ret_known->credential = c;
		ret_known->from_ms = from;
		ret_known->until_ms = until;
		ret_known->crl_number = x->crl_number;
	}
	X509_free(cert);
	sk_X509_pop_free(issuers, X509_free);
	ERR_clear_error();
	return err;
}

/* ---- what was accepted before ---- */

static void known_free(struct known *k)
{
	if (k)
		free(k->chain);
	free(k);
}

static struct known *find(const struct smq_x509 *x, smq_span hash)
{
	for (size_t i = 0; i < x->known_count; i++) {
		if (memcmp(x->known[i]->hash, hash.p, hash.len) == 0)
			return x->known[i];
	}
	return NULL;
}

/* One name in the store for both lengths of hash. */
static void store_key(const uint8_t *hash, char ret_key[32])
{
	memcpy(ret_key, "known-", 6);
	if (smq_hex_encode(smq_span_of(hash, 8), ret_key + 6, 26) != SMQ_OK)
		ret_key[6] = 0;
}

/* A place for one more: a free one, or that of the least recently used. NULL without memory. */
static struct known **place(struct smq_x509 *x)
{
	struct known **oldest = x->known;
	char key[32];

	if (x->known_count < x->known_max)
		return &x->known[x->known_count++];
	for (size_t i = 1; i < x->known_count; i++) {
		if (x->known[i]->used < (*oldest)->used)
			oldest = &x->known[i];
	}
	store_key((*oldest)->hash, key);
	if (x->store && x->store->remove(x->store->self, key) != SMQ_OK)
		ERR_clear_error(); /* it stays on disk, and is merely not needed */
	known_free(*oldest);
	return oldest;
}

/* Remembering is a convenience: without memory or disk the peer must send its certificate again. */
static void remember(struct smq_x509 *x, const struct known *fresh, smq_span chain, bool to_store)
{
	struct known *k = malloc(sizeof(*k));
	uint8_t *copy = malloc(chain.len);
	char key[32];

	if (!k || !copy) {
		free(k);
		free(copy);
		return;
	}
	*k = *fresh;
	k->chain = memcpy(copy, chain.p, chain.len);
	k->chain_len = chain.len;
	k->used = ++x->clock;
	*place(x) = k;
	store_key(k->hash, key);
	if (to_store && x->store && x->store->put(x->store->self, key, chain) != SMQ_OK)
		return;
}

static bool holds(const struct smq_x509 *x, const struct known *k, int64_t now_ms)
{
	return k->crl_number == x->crl_number && k->from_ms <= now_ms && now_ms <= k->until_ms;
}

static smq_err from_known(struct smq_x509 *x, struct known *k, int64_t now_ms, struct smq_credential *ret_credential)
{
	struct smq_id_cred id;
	smq_err err = SMQ_OK;
	if (!holds(x, k, now_ms)) {
		err = smq_id_cred_decode(smq_span_of(k->chain, k->chain_len), &id);
		if (err == SMQ_OK)
			err = check(x, &id, now_ms, k);
	}
	if (err == SMQ_OK) {
		k->used = ++x->clock;
		*ret_credential = k->credential;
	}
	return err;
}

static smq_err by_value(struct smq_x509 *x, const struct smq_id_cred *id, smq_span id_cred, bool to_store,
			int64_t now_ms, struct smq_credential *ret_credential)
{
	struct known fresh = { .used = 0 };
	struct known *k;
	smq_err err;

	hash_of(id->certs[0], fresh.hash);
	k = find(x, smq_span_of(fresh.hash, sizeof(fresh.hash)));
	if (k && holds(x, k, now_ms))
		return from_known(x, k, now_ms, ret_credential);
	err = check(x, id, now_ms, &fresh);
	if (err != SMQ_OK)
		return err;
	if (!k) {
		remember(x, &fresh, id_cred, to_store);
	} else {
		k->credential = fresh.credential;
		k->from_ms = fresh.from_ms;
		k->until_ms = fresh.until_ms;
		k->crl_number = fresh.crl_number;
		k->used = ++x->clock;
	}
	*ret_credential = fresh.credential;
	return SMQ_OK;
}

/* What the store holds is checked like what a peer sends: nothing is trusted for lying on our disk. */
static smq_err from_store(struct smq_x509 *x, smq_span hash, int64_t now_ms, struct smq_credential *ret_credential)
{
	uint8_t chain[SMQ_ID_CRED_MAX];
	uint8_t found[SMQ_HASH_LEN];
	char key[32];
	size_t len = 0;
	struct smq_id_cred id;

	store_key(hash.p, key);
	if (!x->store || x->store->get(x->store->self, key, smq_mspan_of(chain, sizeof(chain)), &len) != SMQ_OK)
		return SMQ_ERR_CREDENTIAL;
	if (smq_id_cred_decode(smq_span_of(chain, len), &id) != SMQ_OK || id.cert_count == 0)
		return SMQ_ERR_CREDENTIAL;
	hash_of(id.certs[0], found);
	if (memcmp(found, hash.p, hash.len) != 0)
		return SMQ_ERR_CREDENTIAL;
	return by_value(x, &id, smq_span_of(chain, len), false, now_ms, ret_credential);
}

static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	struct smq_x509 *x = self;
	struct smq_id_cred id;
	struct known *k;
	smq_err err = smq_id_cred_decode(id_cred, &id);

	if (err != SMQ_OK)
		return err;
	if (id.cert_count > 0)
		return by_value(x, &id, id_cred, true, now_ms, ret_credential);
	k = find(x, id.hash);
	if (k)
		return from_known(x, k, now_ms, ret_credential);
	return from_store(x, id.hash, now_ms, ret_credential);
}

/* Whether what was accepted before still is: by the lists and the time of now. */
static smq_err holds_now(void *self, const uint8_t id[SMQ_HASH_LEN], int64_t now_ms)
{
	struct smq_x509 *x = self;
	struct smq_credential c;
	struct known *k = find(x, smq_span_of(id, SMQ_HASH_LEN));
	return k ? from_known(x, k, now_ms, &c) : from_store(x, smq_span_of(id, SMQ_HASH_LEN), now_ms, &c);
}

/* ---- making one ---- */

size_t smq_x509_read_certs(smq_span pem, X509 **certs, size_t max)
{
	size_t count = 0;
	BIO *bio = smq_pem_open(pem);
	X509 *cert;

	while (count < max && (cert = smq_pem_next_cert(bio)) != NULL)
		certs[count++] = cert;
	bool broken = count < max && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
	for (size_t i = 0; broken && i < count; i++)
		X509_free(certs[i]);
	BIO_free(bio);
	ERR_clear_error();
	return broken ? 0 : count;
}

/* A new trust store from the roots and these CRLs. */
static smq_err new_trust(const struct smq_x509 *x, const struct smq_crls *crls, X509_STORE **ret_trust)
{
	X509_STORE *trust = X509_STORE_new();
	bool ok = trust != NULL;
	for (size_t i = 0; ok && i < x->root_count; i++)
		ok = X509_STORE_add_cert(trust, x->roots[i]) == 1;
	ok = ok && smq_crls_add(crls, trust);
	if (!ok) {
		X509_STORE_free(trust);
		return SMQ_ERR_NO_MEMORY;
	}
	*ret_trust = trust;
	return SMQ_OK;
}

static void swap(struct smq_x509 *x, struct smq_crls **crls, X509_STORE **trust)
{
	struct smq_crls *crls_before = x->crls;
	X509_STORE *trust_before = x->trust;
	x->crls = *crls;
	x->trust = *trust;
	x->crl_number++;
	*crls = crls_before;
	*trust = trust_before;
}

smq_err smq_x509_change_crl(struct smq_x509 *x, smq_span crl_pem, smq_span own_id_cred, int64_t now_ms)
{
	struct smq_crls *crls = NULL;
	X509_STORE *trust = NULL;
	struct smq_id_cred id;
	struct known own;
	smq_err err = smq_crls_read(crl_pem, &crls);

	if (err == SMQ_OK)
		err = new_trust(x, crls, &trust);
	if (err != SMQ_OK) {
		smq_crls_free(crls);
		return err;
	}
	swap(x, &crls, &trust);
	if (own_id_cred.len > 0)
		err = smq_id_cred_decode(own_id_cred, &id);
	if (own_id_cred.len > 0 && err == SMQ_OK && check(x, &id, now_ms, &own) == SMQ_ERR_CERT_CRL)
		err = SMQ_ERR_CERT_CRL;
	if (err != SMQ_OK)
		swap(x, &crls, &trust);
	X509_STORE_free(trust);
	smq_crls_free(crls);
	return err;
}

smq_err smq_x509_change_roots(struct smq_x509 *x, smq_span roots_pem)
{
	struct smq_x509 fresh = { .crls = x->crls };
	X509_STORE *trust = NULL;
	fresh.root_count = smq_x509_read_certs(roots_pem, fresh.roots, ROOTS_MAX);
	smq_err err = fresh.root_count > 0 ? SMQ_OK : SMQ_ERR_MALFORMED;
	for (size_t i = 0; err == SMQ_OK && i < fresh.root_count; i++)
		err = X509_check_ca(fresh.roots[i]) == 1 ? SMQ_OK : SMQ_ERR_CERT_INVALID;
	if (err == SMQ_OK)
		err = new_trust(&fresh, x->crls, &trust);
	struct smq_x509 *gone = err == SMQ_OK ? x : &fresh;
	for (size_t i = 0; i < gone->root_count; i++)
		X509_free(gone->roots[i]);
	if (err != SMQ_OK)
		return err;
	memcpy(x->roots, fresh.roots, sizeof(x->roots));
	x->root_count = fresh.root_count;
	X509_STORE_free(x->trust);
	x->trust = trust;
	x->crl_number++;
	return SMQ_OK;
}

smq_err smq_x509_set_crl(struct smq_x509 *x, smq_span crl_pem)
{
	return smq_x509_change_crl(x, crl_pem, smq_span_of(NULL, 0), 0);
}

struct smq_crl_times smq_x509_crl_times(const struct smq_x509 *x) { return smq_crls_times(x->crls); }

smq_err smq_x509_new(const struct smq_x509_config *config, struct smq_x509 **ret_x509)
{
	struct smq_x509 *x = calloc(1, sizeof(*x));
	smq_err err = SMQ_OK;

	if (!x)
		return SMQ_ERR_NO_MEMORY;
	x->insecure_stale_crl = config->insecure_stale_crl;
	x->store = config->store;
	x->known_max = config->known_max ? config->known_max : KNOWN_DEFAULT;
	x->known = calloc(x->known_max, sizeof(struct known *));
	if (!smq_name_valid(smq_span_str(config->realm)))
		err = SMQ_ERR_NAME;
	else
		memcpy(x->realm, config->realm, strlen(config->realm));
	if (!x->known)
		err = SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK) {
		x->root_count = smq_x509_read_certs(config->root_pem, x->roots, ROOTS_MAX);
		err = x->root_count > 0 ? SMQ_OK : SMQ_ERR_MALFORMED;
	}
	for (size_t i = 0; err == SMQ_OK && i < x->root_count; i++) {
		if (X509_check_ca(x->roots[i]) != 1)
			err = SMQ_ERR_CERT_INVALID;
	}
	if (err == SMQ_OK)
		err = smq_x509_set_crl(x, config->crl_pem);
	if (err != SMQ_OK) {
		smq_x509_free(x);
		return err;
	}
	*ret_x509 = x;
	return SMQ_OK;
}

void smq_x509_free(struct smq_x509 *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < x->known_count; i++)
		known_free(x->known[i]);
	for (size_t i = 0; i < x->root_count; i++)
		X509_free(x->roots[i]);
	X509_STORE_free(x->trust);
	smq_crls_free(x->crls);
	free(x->known);
	free(x);
}

void smq_x509_set_store(struct smq_x509 *x, struct smq_store *store) { x->store = store; }

struct smq_credentials smq_x509_credentials(struct smq_x509 *x)
{
	return (struct smq_credentials){ .self = x, .resolve = resolve, .holds = holds_now };
}

void smq_x509_root_fingerprint(const struct smq_x509 *x, uint8_t ret_hash[SMQ_HASH_LEN])
{
	if (X509_digest(x->roots[0], EVP_sha256(), ret_hash, NULL) != 1)
		memset(ret_hash, 0, SMQ_HASH_LEN);
}

/* ---- the own certificate ---- */

/* The root is not sent: a peer has it, or must not learn to trust it from us. */
static smq_err encode_own(X509 **certs, size_t count, struct smq_x509_own *own)
{
	uint8_t der[SMQ_ID_CRED_MAX];
	uint8_t hash[SMQ_HASH_LEN];
	smq_span spans[CHAIN_MAX];
	size_t sent = 0;
	uint8_t *at = der;
	smq_err err;

	for (size_t i = 0; i < count; i++) {
		int len = i2d_X509(certs[i], NULL);
		if (i > 0 && X509_self_signed(certs[i], 0) == 1)
			continue;
		if (len <= 0 || (size_t)len > sizeof(der) - (size_t)(at - der))
			return SMQ_ERR_TOO_LARGE;
		spans[sent++] = smq_span_of(at, (size_t)len);
		if (i2d_X509(certs[i], &at) != len)
			return SMQ_ERR_CRYPTO;
	}
	hash_of(spans[0], hash);
	err = smq_id_cred_encode_chain(spans, sent, smq_mspan_of(own->id_cred_full, sizeof(own->id_cred_full)),
				       &own->id_cred_full_len);
	if (err == SMQ_OK)
		err = smq_id_cred_encode_hash(hash, smq_mspan_of(own->id_cred_short, sizeof(own->id_cred_short)),
					      &own->id_cred_short_len);
	return err;
}

smq_err smq_x509_own(struct smq_x509 *x, smq_span chain_pem, int64_t now_ms, struct smq_x509_own *ret_own)
{
	X509 *certs[CHAIN_MAX];
	struct smq_x509_own own = { .id_cred_full_len = 0 };
	struct known fresh = { .used = 0 };
	struct smq_id_cred id;
	size_t count = smq_x509_read_certs(chain_pem, certs, CHAIN_MAX);
	smq_err err = count > 0 ? encode_own(certs, count, &own) : SMQ_ERR_MALFORMED;

	for (size_t i = 0; i < count; i++)
		X509_free(certs[i]);
	if (err == SMQ_OK)
		err = smq_id_cred_decode(smq_span_of(own.id_cred_full, own.id_cred_full_len), &id);
	if (err == SMQ_OK)
		err = check(x, &id, now_ms, &fresh);
	if (err != SMQ_OK)
		return err;
	own.credential = fresh.credential;
	*ret_own = own;
	return SMQ_OK;
}
