/*
 * What an authority answers to enrolment requests over MQTT.
 *
 * A token counts for one request: it is bound to that request's hash before anything is signed, and taken away once the
 * answer lies on the disk. A crash between any two steps leaves a request that can be repeated, and no other.
 */
#include "lib/ca_desk.h"

#include <stdlib.h>
#include <string.h>

#include "adapters/x509_openssl/x509.h"
#include "base/text.h"
#include "lib/ca_answers.h"
#include "lib/ca_identity.h"
#include "lib/ca_list.h"
#include "lib/ca_token.h"
#include "wire/cbor.h"
#include "wire/sign1.h"

#define KEPT_MS (7 * SMQ_CA_DAY) /* the answer to a first request: its token is gone */

struct asking {
	const struct smq_ca_desk *desk;
	const uint8_t *hash;
	char hash_hex[2 * SMQ_HASH_LEN + 1];
	const char *operation;
	char name[SMQ_MEMBER_NAME_MAX + 1]; /* claimed, until proven */
	bool proven;
	struct smq_sign1 signed_by;
	struct smq_enrol_request request;
	struct smq_ca_grant grant;
	int64_t keep_until_ms;
	struct smq_pem csr, chain;
	struct smq_file_bytes settings;
	struct smq_ca_issued issued;
};

static void tell(const struct asking *a, smq_err err)
{
	struct smq_ca_server_event e = { .operation = a->operation,
					 .name = a->name,
					 .err = err,
					 .why = err == SMQ_OK ? "" : smq_ca_why(),
					 .issued = &a->issued };
	if (a->desk->on_event)
		a->desk->on_event(a->desk->self, &e);
}

/* ---- who asks ---- */

/* { 4: kid }: the name that the token is for. */
static smq_err read_kid(struct asking *a)
{
	struct smq_reader r = smq_reader_on(smq_span_of(a->signed_by.id_cred, a->signed_by.id_cred_len));
	if (smq_cbor_get_map(&r) != 1 || smq_cbor_get_int(&r) != 4)
		return SMQ_ERR_MALFORMED;
	smq_span kid = smq_cbor_get_bytes(&r);
	if (smq_reader_end(&r) != SMQ_OK || !smq_name_valid(kid))
		return SMQ_ERR_MALFORMED;
	memcpy(a->name, kid.p, kid.len);
	a->name[kid.len] = 0;
	return SMQ_OK;
}

static smq_err prove_by_token(struct asking *a)
{
	smq_err err = read_kid(a);
	if (err == SMQ_OK)
		err = smq_ca_token_find(a->desk->dir, a->name, &a->grant);
	if (err == SMQ_OK)
		err = smq_sign1_verify(&a->signed_by, smq_crypto_openssl(), SMQ_EDDSA,
				       smq_span_of(a->grant.verifying, sizeof(a->grant.verifying)),
				       smq_span_str(SMQ_ENROL_FIRST), smq_span_of(NULL, 0));
	a->keep_until_ms = smq_ca_now_ms() + KEPT_MS;
	return err;
}

static smq_err open_x509(const struct asking *a, struct smq_x509 **ret_x509)
{
	struct smq_ca_dir ca;
	smq_err err = smq_ca_dir_open(a->desk->dir, &ca);
	/* revocation is the log's to tell: it knows before any list does */
	struct smq_x509_config config = { .realm = ca.settings.realm, .root_pem = smq_file_span(&ca.root) };
	if (err == SMQ_OK)
		err = smq_x509_new(&config, ret_x509);
	smq_ca_dir_close(&ca);
	return err;
}

/* The chain by value first; then the signature's own name of the signer must be that of the same certificate. */
static smq_err prove_by_certificate(struct asking *a)
{
	struct smq_x509 *x = NULL;
	struct smq_credential c;
	struct smq_credential named;
	smq_err err = open_x509(a, &x);
	if (err != SMQ_OK)
		return err;
	struct smq_credentials credentials = smq_x509_credentials(x);
	err = credentials.resolve(credentials.self, a->request.chain, smq_ca_now_ms(), &c);
	if (err == SMQ_OK)
		err = credentials.resolve(credentials.self, smq_span_of(a->signed_by.id_cred, a->signed_by.id_cred_len),
					  smq_ca_now_ms(), &named);
	if (err == SMQ_OK && memcmp(c.id, named.id, sizeof(c.id)) != 0)
		err = SMQ_ERR_SIGNATURE;
	if (err == SMQ_OK) {
		memcpy(a->name, c.name, sizeof(a->name));
		err = smq_sign1_verify(&a->signed_by, smq_crypto_openssl(), c.sig_alg,
				       smq_span_of(c.public_key, c.public_key_len), smq_span_str(SMQ_ENROL_AGAIN),
				       smq_span_of(NULL, 0));
	}
	if (err == SMQ_OK)
		err = smq_ca_judge_holder(a->desk->dir, c.id);
	a->grant = (struct smq_ca_grant){ .roles = c.roles, .reissue = true };
	a->keep_until_ms = c.expires_ms;
	smq_x509_free(x);
	return err;
}

static smq_err prove(struct asking *a, smq_span request)
{
	smq_err err = smq_sign1_decode(request, &a->signed_by);
	if (err == SMQ_OK && (a->signed_by.detached || !a->signed_by.bare || a->signed_by.id_cred_len == 0))
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK)
		err = smq_enrol_request_decode(a->signed_by.payload, &a->request);
	if (err != SMQ_OK)
		return err;
	a->operation = a->request.chain.len > 0 ? "renew" : "enrol";
	err = a->request.chain.len > 0 ? prove_by_certificate(a) : prove_by_token(a);
	a->proven = err == SMQ_OK;
	return err;
}

/* ---- what is given ---- */

static smq_err read_csr(struct asking *a)
{
	struct smq_ca_request request;
	smq_err err = smq_ca_request_of_der(a->request.csr, &a->csr);
	if (err == SMQ_OK)
		err = smq_ca_read_request(smq_pem_span(&a->csr), &request);
	if (err == SMQ_OK && strcmp(request.name, a->name) != 0)
		err = smq_ca_because(SMQ_ERR_NAME, "the request is for '%s'", request.name);
	return err;
}

static smq_err read_settings(struct asking *a)
{
	struct smq_ca_dir ca;
	smq_err err = smq_ca_dir_open(a->desk->dir, &ca);
	if (err == SMQ_OK)
		err = smq_ca_dir_settings(&ca, &a->settings);
	smq_ca_dir_close(&ca);
	return err;
}

static smq_err sign(struct asking *a)
{
	/* bound already: it was signed before a crash, and nobody has that certificate */
	struct smq_ca_issue_options o = { .name = a->name,
					  .roles = a->grant.roles,
					  .days = a->grant.days,
					  .reissue = a->grant.reissue || a->grant.bound[0],
					  .passphrase_file = a->desk->passphrase_file };
	return smq_ca_sign_only(a->desk->dir, smq_pem_span(&a->csr), &o, &a->chain, &a->issued);
}

static smq_err give(struct asking *a, smq_mspan room, size_t *ret_len)
{
	bool first = a->request.chain.len == 0;
	smq_err err = read_csr(a);
	if (err == SMQ_OK && first)
		err = smq_ca_token_bind(a->desk->dir, a->name, a->hash_hex);
	if (err == SMQ_OK && first)
		err = read_settings(a);
	if (err == SMQ_OK)
		err = sign(a);
	struct smq_enrol_answer answer = { .outcome = SMQ_ENROL_GIVEN,
					   .certificates = smq_pem_span(&a->chain),
					   .settings = smq_file_span(&a->settings) };
	if (err == SMQ_OK)
		err = smq_enrol_answer_encode(&answer, smq_crypto_openssl(), first ? a->grant.answering : NULL, a->hash,
					      room, ret_len);
	if (err == SMQ_OK)
		err = smq_ca_answer_keep(a->desk->dir, a->hash_hex, a->keep_until_ms, smq_span_of(room.p, *ret_len));
	if (err == SMQ_OK && first)
		err = smq_ca_token_use(a->desk->dir, a->name, a->hash_hex);
	return err;
}

static void refuse(const struct asking *a, smq_err err, smq_mspan room, size_t *ret_len)
{
	struct smq_enrol_answer answer = { .outcome = SMQ_ENROL_FAILED };
	if (err == SMQ_ERR_NAME || err == SMQ_ERR_EXISTS || smq_err_kind_of(err) == SMQ_KIND_AUTH ||
	    err == SMQ_ERR_NOT_AUTHORIZED)
		answer.outcome = SMQ_ENROL_REFUSED;
	else if (smq_err_kind_of(err) == SMQ_KIND_INPUT)
		answer.outcome = SMQ_ENROL_MALFORMED;
	if (smq_enrol_answer_encode(&answer, smq_crypto_openssl(), NULL, a->hash, room, ret_len) != SMQ_OK)
		*ret_len = 0;
}

/* What was said before is said again. */
static bool repeat(const struct asking *a, smq_mspan room, size_t *ret_len)
{
	struct smq_file_bytes before = { NULL, 0 };
	bool there = smq_ca_answer_find(a->desk->dir, a->hash_hex, &before) == SMQ_OK && before.len <= room.len;
	if (there) {
		memcpy(room.p, before.p, before.len);
		*ret_len = before.len;
	}
	smq_file_bytes_free(&before);
	return there;
}

void smq_ca_desk_answer(const struct smq_ca_desk *desk, smq_span request, const uint8_t hash[SMQ_HASH_LEN],
			smq_mspan room, size_t *ret_len)
{
	struct asking a = { .desk = desk, .hash = hash, .operation = "enrol" };
	*ret_len = 0;
	smq_ca_begin(NULL);
	smq_err err = smq_hex_encode(smq_span_of(hash, SMQ_HASH_LEN), a.hash_hex, sizeof(a.hash_hex));
	if (err != SMQ_OK || repeat(&a, room, ret_len))
		return;
	smq_ca_begin(NULL);
	err = prove(&a, request);
	if (err == SMQ_OK)
		err = give(&a, room, ret_len);
	if (err != SMQ_OK)
		refuse(&a, err, room, ret_len);
	tell(&a, err);
	smq_pem_free(&a.csr);
	smq_pem_free(&a.chain);
	smq_file_bytes_free(&a.settings);
}
