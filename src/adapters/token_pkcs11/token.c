/* Keys in an open token: made, found and used there. */
#include "adapters/token_pkcs11/token_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOUND_MAX = 2 };

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

/* ---- which key ---- */

static smq_err format(P11KitUri *uri, char ret_uri[SMQ_TOKEN_URI_MAX], struct smq_token_why why)
{
	char *text = NULL;
	if (smq_p11_kit.uri_format(uri, P11_KIT_URI_FOR_ANY, &text) != P11_KIT_URI_OK)
		return SMQ_ERR_NO_MEMORY;
	bool fits = snprintf(ret_uri, SMQ_TOKEN_URI_MAX, "%s", text) < SMQ_TOKEN_URI_MAX;
	free(text);
	return fits ? SMQ_OK : smq_token_because(why, SMQ_ERR_TOO_LARGE, "the URI of the key is too long");
}

/* The token's URI with the key's name and number added: as it was given otherwise, with its module and pin-source. */
static smq_err uri_of(const struct smq_token *t, CK_OBJECT_CLASS class, const char *label,
		      const uint8_t id[SMQ_TOKEN_ID_LEN], char ret_uri[SMQ_TOKEN_URI_MAX], struct smq_token_why why)
{
	CK_ATTRIBUTE attributes[] = { { CKA_CLASS, &class, sizeof(class) },
				      { CKA_LABEL, (void *)(uintptr_t)label, strlen(label) },
				      { CKA_ID, (void *)(uintptr_t)id, SMQ_TOKEN_ID_LEN } };
	for (size_t i = 0; i < 3; i++) {
		if (smq_p11_kit.uri_set_attribute(t->uri, &attributes[i]) != P11_KIT_URI_OK)
			return SMQ_ERR_NO_MEMORY;
	}
	return format(t->uri, ret_uri, why);
}

static smq_err find(struct smq_token *t, CK_ATTRIBUTE *wanted, CK_ULONG count, CK_OBJECT_HANDLE *ret_key,
		    CK_ULONG *ret_found, struct smq_token_why why)
{
	CK_OBJECT_HANDLE found[FOUND_MAX];
	CK_RV rv = t->f->C_FindObjectsInit(t->session, wanted, count);
	if (rv != CKR_OK)
		return smq_token_failed(t, rv, "search its keys", why);
	rv = t->f->C_FindObjects(t->session, found, FOUND_MAX, ret_found);
	(void)t->f->C_FindObjectsFinal(t->session);
	if (rv != CKR_OK)
		return smq_token_failed(t, rv, "search its keys", why);
	if (*ret_found > 0)
		*ret_key = found[0];
	return SMQ_OK;
}

static smq_err use(struct smq_token *t, P11KitUri *uri, CK_OBJECT_CLASS class, const char *kind,
		   struct smq_token_why why)
{
	CK_ATTRIBUTE wanted[3] = { { CKA_CLASS, &class, sizeof(class) } };
	CK_ATTRIBUTE *label = smq_p11_kit.uri_get_attribute(uri, CKA_LABEL);
	CK_ATTRIBUTE *id = smq_p11_kit.uri_get_attribute(uri, CKA_ID);
	CK_ULONG count = 1;
	CK_ULONG found = 0;
	if (label)
		wanted[count++] = *label;
	if (id)
		wanted[count++] = *id;
	smq_err err = find(t, wanted, count, &t->key, &found, why);
	if (err != SMQ_OK)
		return err;
	if (found == 0)
		return smq_token_because(why, SMQ_ERR_NOT_FOUND, "token '%s' has no %s key of this name or id",
					 t->label, kind);
	if (found > 1)
		return smq_token_because(why, SMQ_ERR_USAGE,
					 "token '%s' has several %s keys that are meant: object= or id= says which",
					 t->label, kind);
	return SMQ_OK;
}

smq_err smq_token_use_pair(struct smq_token *t, char *ret_why, size_t why_len)
{
	return use(t, t->uri, CKO_PRIVATE_KEY, "private", (struct smq_token_why){ ret_why, why_len });
}

smq_err smq_token_use_secret(struct smq_token *t, const char *key_uri, char ret_uri[SMQ_TOKEN_URI_MAX], char *ret_why,
			     size_t why_len)
{
	struct smq_token_why why = { ret_why, why_len };
	P11KitUri *uri = NULL;
	smq_err err = smq_token_uri_parse(key_uri, &uri, why);
	if (err != SMQ_OK)
		return err;
	err = use(t, uri, CKO_SECRET_KEY, "secret", why);
	smq_p11_kit.uri_set_module_path(uri, NULL);
	if (err == SMQ_OK)
		err = format(uri, ret_uri, why);
	smq_p11_kit.uri_free(uri);
	return err;
}

/* ---- curves ---- */

/* CKA_EC_PARAMS: the curve's object identifier in DER; edwards25519 is also known by its name (PKCS#11 2.40). */
static const struct curve {
	enum smq_curve curve;
	CK_MECHANISM_TYPE make;
	size_t point_len;
	const unsigned char *params;
	size_t params_len;
} curves[] = {
	{ SMQ_P256, CKM_EC_KEY_PAIR_GEN, 65, (const unsigned char *)"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10 },
	{ SMQ_P384, CKM_EC_KEY_PAIR_GEN, 97, (const unsigned char *)"\x06\x05\x2b\x81\x04\x00\x22", 7 },
	{ SMQ_ED25519, CKM_EC_EDWARDS_KEY_PAIR_GEN, 32, (const unsigned char *)"\x06\x03\x2b\x65\x70", 5 },
	{ SMQ_ED25519, 0, 32, (const unsigned char *)"\x13\x0c\x65\x64wards25519", 14 },
	{ SMQ_ED25519, 0, 32, (const unsigned char *)"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01", 11 },
};

enum { CURVES = sizeof(curves) / sizeof(curves[0]) };

smq_err smq_token_make_pair(struct smq_token *t, enum smq_curve curve, const char *label,
			    const uint8_t id[SMQ_TOKEN_ID_LEN], char ret_uri[SMQ_TOKEN_URI_MAX], char *ret_why,
			    size_t why_len)
{
	struct smq_token_why why = { ret_why, why_len };
	const struct curve *c = curves;
	while (c < curves + CURVES && c->curve != curve)
		c++;
	if (c == curves + CURVES)
		return SMQ_ERR_ALGORITHM;
	CK_MECHANISM mechanism = { c->make, NULL, 0 };
	void *name = (void *)(uintptr_t)label;
	void *number = (void *)(uintptr_t)id;
	CK_ATTRIBUTE public[] = { { CKA_EC_PARAMS, (void *)(uintptr_t)c->params, c->params_len },
				  { CKA_TOKEN, &yes, sizeof(yes) },
				  { CKA_PRIVATE, &no, sizeof(no) },
				  { CKA_VERIFY, &yes, sizeof(yes) },
				  { CKA_LABEL, name, strlen(label) },
				  { CKA_ID, number, SMQ_TOKEN_ID_LEN } };
	CK_ATTRIBUTE private[] = { { CKA_TOKEN, &yes, sizeof(yes) },     { CKA_PRIVATE, &yes, sizeof(yes) },
				   { CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_EXTRACTABLE, &no, sizeof(no) },
				   { CKA_SIGN, &yes, sizeof(yes) },      { CKA_DERIVE, &no, sizeof(no) },
				   { CKA_LABEL, name, strlen(label) },   { CKA_ID, number, SMQ_TOKEN_ID_LEN } };
	CK_RV rv = t->f->C_GenerateKeyPair(t->session, &mechanism, public, sizeof(public) / sizeof(public[0]), private,
					   sizeof(private) / sizeof(private[0]), &t->public_key, &t->key);
	if (rv != CKR_OK)
		return smq_token_failed(t, rv, "make a key", why);
	return uri_of(t, CKO_PRIVATE_KEY, label, id, ret_uri, why);
}

void smq_token_destroy_key(struct smq_token *t)
{
	if (t->key)
		(void)t->f->C_DestroyObject(t->session, t->key);
	if (t->public_key)
		(void)t->f->C_DestroyObject(t->session, t->public_key);
	t->key = t->public_key = 0;
}

/* ---- the public half ---- */

/* Of a pair that was there already: the public key of the same id. */
static smq_err find_public(struct smq_token *t, struct smq_token_why why)
{
	unsigned char id[256];
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_ATTRIBUTE own = { CKA_ID, id, sizeof(id) };
	CK_ULONG found = 0;
	if (t->public_key)
		return SMQ_OK;
	CK_RV rv = t->f->C_GetAttributeValue(t->session, t->key, &own, 1);
	if (rv != CKR_OK)
		return smq_token_failed(t, rv, "tell the key's id", why);
	CK_ATTRIBUTE wanted[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_ID, id, own.ulValueLen } };
	smq_err err = find(t, wanted, 2, &t->public_key, &found, why);
	if (err == SMQ_OK && found == 0)
		err = smq_token_because(why, SMQ_ERR_NOT_FOUND,
					"token '%s' has the private key and not its public half", t->label);
	return err;
}

/* PKCS#11 asks for the point inside a DER octet string; some tokens give it bare. */
static bool unwrap_point(const unsigned char *p, size_t len, size_t want, uint8_t *ret_point)
{
	bool wrapped = len == want + 2 && p[0] == 0x04 && p[1] == want;
	if (!wrapped && len != want)
		return false;
	memcpy(ret_point, wrapped ? p + 2 : p, want);
	return true;
}

smq_err smq_token_public(struct smq_token *t, enum smq_curve *ret_curve, uint8_t ret_point[SMQ_TOKEN_POINT_MAX],
			 size_t *ret_len, char *ret_why, size_t why_len)
{
	struct smq_token_why why = { ret_why, why_len };
	unsigned char params[64];
	unsigned char point[256];
	CK_ATTRIBUTE wanted[] = { { CKA_EC_PARAMS, params, sizeof(params) }, { CKA_EC_POINT, point, sizeof(point) } };
	smq_err err = find_public(t, why);
	if (err != SMQ_OK)
		return err;
	CK_RV rv = t->f->C_GetAttributeValue(t->session, t->public_key, wanted, 2);
	if (rv != CKR_OK)
		return smq_token_because(why, SMQ_ERR_ALGORITHM, "token '%s': the key is not of an elliptic curve",
					 t->label);
	for (size_t i = 0; i < CURVES; i++) {
		const struct curve *c = &curves[i];
		if (wanted[0].ulValueLen != c->params_len || memcmp(params, c->params, c->params_len) != 0)
			continue;
		if (!unwrap_point(point, wanted[1].ulValueLen, c->point_len, ret_point))
			break;
		*ret_curve = c->curve;
		*ret_len = c->point_len;
		return SMQ_OK;
	}
	return smq_token_because(why, SMQ_ERR_ALGORITHM, "token '%s': the key is not of P-256, P-384 or Ed25519",
				 t->label);
}

/* ---- using them ---- */

static smq_err sign(struct smq_token *t, CK_MECHANISM_TYPE type, smq_span input, uint8_t *room, CK_ULONG *len,
		    struct smq_token_why why)
{
	CK_MECHANISM mechanism = { type, NULL, 0 };
	CK_RV rv = t->f->C_SignInit(t->session, &mechanism, t->key);
	if (rv == CKR_OK)
		rv = t->f->C_Sign(t->session, (unsigned char *)(uintptr_t)input.p, input.len, room, len);
	return rv == CKR_OK ? SMQ_OK : smq_token_failed(t, rv, "sign", why);
}

smq_err smq_token_sign(struct smq_token *t, bool edwards, smq_span input, uint8_t ret_signature[SMQ_TOKEN_SIG_MAX],
		       size_t *ret_len, char *ret_why, size_t why_len)
{
	CK_ULONG len = SMQ_TOKEN_SIG_MAX;
	smq_err err = sign(t, edwards ? CKM_EDDSA : CKM_ECDSA, input, ret_signature, &len,
			   (struct smq_token_why){ ret_why, why_len });
	if (err == SMQ_OK)
		*ret_len = len;
	return err;
}

smq_err smq_token_make_secret(struct smq_token *t, const char *label, const uint8_t id[SMQ_TOKEN_ID_LEN],
			      char ret_uri[SMQ_TOKEN_URI_MAX], char *ret_why, size_t why_len)
{
	struct smq_token_why why = { ret_why, why_len };
	CK_MECHANISM mechanism = { CKM_GENERIC_SECRET_KEY_GEN, NULL, 0 };
	CK_ULONG bytes = SMQ_HASH_LEN;
	CK_ATTRIBUTE secret[] = { { CKA_TOKEN, &yes, sizeof(yes) },
				  { CKA_PRIVATE, &yes, sizeof(yes) },
				  { CKA_SENSITIVE, &yes, sizeof(yes) },
				  { CKA_EXTRACTABLE, &no, sizeof(no) },
				  { CKA_SIGN, &yes, sizeof(yes) },
				  { CKA_VALUE_LEN, &bytes, sizeof(bytes) },
				  { CKA_LABEL, (void *)(uintptr_t)label, strlen(label) },
				  { CKA_ID, (void *)(uintptr_t)id, SMQ_TOKEN_ID_LEN } };
	CK_RV rv = t->f->C_GenerateKey(t->session, &mechanism, secret, sizeof(secret) / sizeof(secret[0]), &t->key);
	if (rv != CKR_OK)
		return smq_token_failed(t, rv, "make a key", why);
	smq_p11_kit.uri_set_module_path(t->uri, NULL);
	return uri_of(t, CKO_SECRET_KEY, label, id, ret_uri, why);
}

smq_err smq_token_mac(struct smq_token *t, smq_span message, uint8_t ret_mac[SMQ_HASH_LEN], char *ret_why,
		      size_t why_len)
{
	struct smq_token_why why = { ret_why, why_len };
	CK_ULONG len = SMQ_HASH_LEN;
	smq_err err = sign(t, CKM_SHA256_HMAC, message, ret_mac, &len, why);
	return err != SMQ_OK || len == SMQ_HASH_LEN
		   ? err
		   : smq_token_because(why, SMQ_ERR_CRYPTO, "token '%s' gave a MAC of another length", t->label);
}
