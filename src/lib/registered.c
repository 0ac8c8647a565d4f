/* Who a member without a certificate is, and whom it believes (PROTOCOL.md 7.8). */
#include "lib/registered.h"

#include <sealmq/client.h>
#include <sealmq/text.h>

#include "wire/cbor.h"

enum { LABEL_X5T = 34, HASH_SHA256 = -16, X5T_MAX = 48 };

static const char store_key[] = "keyserver";

/* ---- the key server ---- */

static void recall(struct smq_registered *r)
{
	size_t len = 0;
	if (r->looked || !r->store)
		return;
	r->looked = true;
	r->known =
	    r->store->get(r->store->self, store_key, smq_mspan_of(r->server, sizeof(r->server)), &len) == SMQ_OK &&
	    len == sizeof(r->server);
}

/* What it signs names it by the same hash, so both end together when it gets another certificate. */
static void remember(struct smq_registered *r, const struct smq_credential *c)
{
	if (!(c->roles & SMQ_ROLE_KEYSERVER) || c->registered ||
	    (r->known && memcmp(r->server, c->id, sizeof(r->server)) == 0))
		return;
	memcpy(r->server, c->id, sizeof(r->server));
	r->known = r->looked = true;
	if (r->store) /* where it cannot be kept, the certificate is asked for again */
		(void)!r->store->put(r->store->self, store_key, smq_span_of(r->server, sizeof(r->server)));
}

/* Its certificate is judged now, by time and revocation list; then its key stands for it. */
static smq_err resolve_server(struct smq_registered *r, int64_t now_ms, struct smq_credential *ret_credential)
{
	uint8_t room[X5T_MAX];
	size_t len = 0;
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, LABEL_X5T);
	smq_cbor_put_array(&w, 2);
	smq_cbor_put_int(&w, HASH_SHA256);
	smq_cbor_put_bytes(&w, smq_span_of(r->server, sizeof(r->server)));
	smq_err err = smq_writer_end(&w, &len);
	if (err == SMQ_OK)
		err = r->others->resolve(r->others->self, smq_span_of(room, len), now_ms, ret_credential);
	if (err == SMQ_OK && ret_credential->dh_curve != SMQ_P256)
		err = SMQ_ERR_CREDENTIAL;
	return err == SMQ_OK ? smq_registered_key_credential(ret_credential->public_key, ret_credential) : err;
}

/* ---- the port ---- */

static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	struct smq_registered *r = self;
	const uint8_t *kid = smq_registered_key_kid(id_cred);
	if (!kid) {
		smq_err err = r->others->resolve(r->others->self, id_cred, now_ms, ret_credential);
		if (err == SMQ_OK)
			remember(r, ret_credential);
		return err;
	}
	if (memcmp(kid, r->own.id, SMQ_KID_LEN) == 0) {
		*ret_credential = r->own;
		return SMQ_OK;
	}
	recall(r);
	if (!r->known || memcmp(kid, r->server, SMQ_KID_LEN) != 0)
		return SMQ_ERR_CREDENTIAL;
	return resolve_server(r, now_ms, ret_credential);
}

static smq_err holds(void *self, const uint8_t id[SMQ_HASH_LEN], int64_t now_ms)
{
	struct smq_registered *r = self;
	if (memcmp(id, r->own.id, SMQ_HASH_LEN) == 0)
		return SMQ_OK;
	return r->others->holds(r->others->self, id, now_ms);
}

struct smq_credentials smq_registered_credentials(struct smq_registered *r)
{
	return (struct smq_credentials){ .self = r, .resolve = resolve, .holds = holds };
}

smq_err smq_registered_init(struct smq_registered *r, const struct smq_credentials *others, const char *name,
			    const uint8_t point[SMQ_PUBLIC_KEY_MAX], struct smq_own_credential *ret_own)
{
	*r = (struct smq_registered){ .others = others };
	if (!smq_name_valid(smq_span_str(name)))
		return SMQ_ERR_NAME;
	memcpy(r->own.name, name, strlen(name) + 1);
	r->own.roles = SMQ_ROLE_MEMBER;
	r->own.expires_ms = INT64_MAX;
	smq_err err = smq_registered_key_thumbprint(smq_crypto_openssl(), point, r->own.id);
	if (err == SMQ_OK)
		err = smq_registered_key_credential(point, &r->own);
	if (err != SMQ_OK)
		return err;
	smq_registered_key_id_cred(r->own.id, r->id_cred);
	ret_own->id_cred_full = ret_own->id_cred_short = smq_span_of(r->id_cred, sizeof(r->id_cred));
	ret_own->cred = smq_span_of(r->own.cred, r->own.cred_len);
	ret_own->dh_curve = SMQ_P256;
	ret_own->registered = true;
	return SMQ_OK;
}
