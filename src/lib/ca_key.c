/* Keys of authorities: in a file, encrypted or not, or in a PKCS#11 token. */
#include "lib/ca_key.h"

#include <stdio.h>
#include <stdlib.h>

#include <sealmq/client.h>

#include "adapters/token_pkcs11/token.h"
#include "lib/pin.h"

static const char scheme[] = "pkcs11:";

/* ---- a key in a token ---- */

struct held {
	struct smq_token *token;
	bool made; /* by us */
};

static smq_err sign_in_token(void *self, enum smq_curve curve, smq_span input,
			     uint8_t ret_signature[SMQ_REMOTE_SIG_MAX], size_t *ret_len)
{
	const struct held *h = self;
	return smq_token_sign(h->token, curve == SMQ_ED25519, input, ret_signature, ret_len, smq_ca_why(), SMQ_WHY_MAX);
}

static void let_go(void *self)
{
	struct held *h = self;
	smq_token_close(h->token);
	free(h);
}

/* In whatever state `held` is left, let_go releases it. */
static smq_err open_token(const char *uri, const char *passphrase_file, struct held **ret_held)
{
	struct smq_file_bytes pin = { NULL, 0 };
	struct held *h = calloc(1, sizeof(*h));
	if (!h)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = smq_pin_read(uri, passphrase_file, SMQ_PIN_CREDENTIAL_CA, &pin, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_token_open(uri, smq_file_span(&pin), &h->token, smq_ca_why(), SMQ_WHY_MAX);
	smq_file_bytes_free(&pin);
	if (err == SMQ_OK)
		*ret_held = h;
	else
		let_go(h);
	return err;
}

static smq_err issuer_in_token(const char *uri, smq_span cert, const char *passphrase_file,
			       struct smq_ca_issuer **ret_issuer)
{
	struct held *h = NULL;
	struct smq_ca_remote remote = { .sign = sign_in_token, .free = let_go };
	smq_err err = smq_ca_curve(cert, &remote.curve);
	if (err == SMQ_OK)
		err = open_token(uri, passphrase_file, &h);
	if (err == SMQ_OK)
		err = smq_token_use_pair(h->token, smq_ca_why(), SMQ_WHY_MAX);
	remote.self = h;
	if (err == SMQ_OK)
		err = smq_ca_issuer_new_remote(cert, &remote, ret_issuer);
	if (err != SMQ_OK && h)
		let_go(h);
	return err;
}

/* ---- a key in a file ---- */

static smq_err open_file(const struct smq_ca_dir *ca, const char *name, smq_span text, smq_span passphrase,
			 struct smq_pem *ret_key)
{
	smq_err err = smq_ca_open_key(text, passphrase, ret_key);
	if (err == SMQ_ERR_OPEN && passphrase.len == 0)
		return smq_ca_because(SMQ_ERR_USAGE, "%s/%s: is encrypted; --passphrase-file FILE opens it", ca->dir,
				      name);
	if (err == SMQ_ERR_OPEN)
		return smq_ca_because(err, "%s/%s: the passphrase does not open it", ca->dir, name);
	if (err != SMQ_OK)
		return smq_ca_because(SMQ_ERR_CORRUPT, "%s/%s: does not read as a private key in PEM", ca->dir, name);
	return SMQ_OK;
}

static smq_err issuer_in_file(const struct smq_ca_dir *ca, const char *name, smq_span text, smq_span cert,
			      const char *passphrase_file, struct smq_ca_issuer **ret_issuer)
{
	struct smq_file_bytes passphrase = { NULL, 0 };
	struct smq_pem key = { NULL, 0 };
	smq_err err = SMQ_OK;
	if (passphrase_file)
		err = smq_passphrase_read(passphrase_file, &passphrase, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = open_file(ca, name, text, smq_file_span(&passphrase), &key);
	if (err == SMQ_OK)
		err = smq_ca_issuer_new(cert, smq_pem_span(&key), ret_issuer);
	smq_pem_free(&key);
	smq_file_bytes_free(&passphrase);
	return err;
}

/* ---- whichever it is ---- */

/* The file's one line, if it is a URI; else empty. */
static void uri_in(smq_span text, char ret_uri[SMQ_TOKEN_URI_MAX])
{
	size_t len = 0;
	ret_uri[0] = 0;
	if (text.len < sizeof(scheme) || memcmp(text.p, scheme, sizeof(scheme) - 1) != 0)
		return;
	while (len < text.len && text.p[len] != '\n' && len < SMQ_TOKEN_URI_MAX - 1)
		len++;
	memcpy(ret_uri, text.p, len);
	ret_uri[len] = 0;
}

static smq_err read_key_file(const struct smq_ca_dir *ca, const char *serial, char ret_name[80],
			     struct smq_file_bytes *ret_text)
{
	char path[SMQ_PATH_MAX];
	smq_ca_authority_file(ca->dir, serial, "key", ret_name);
	smq_err err = smq_path_join(ca->dir, ret_name, path);
	return err == SMQ_OK ? smq_file_read(path, true, ret_text, smq_ca_why(), SMQ_WHY_MAX) : err;
}

smq_err smq_ca_key_open(const struct smq_ca_dir *ca, const char *serial, smq_span cert, const char *passphrase_file,
			struct smq_ca_issuer **ret_issuer)
{
	struct smq_file_bytes text = { NULL, 0 };
	char uri[SMQ_TOKEN_URI_MAX];
	char name[80];
	smq_err err = read_key_file(ca, serial, name, &text);
	if (err != SMQ_OK)
		return err;
	uri_in(smq_file_span(&text), uri);
	err = uri[0] ? issuer_in_token(uri, cert, passphrase_file, ret_issuer)
		     : issuer_in_file(ca, name, smq_file_span(&text), cert, passphrase_file, ret_issuer);
	smq_file_bytes_free(&text);
	/* that a token has no such key does not mean that the root's file is elsewhere */
	return uri[0] && err == SMQ_ERR_NOT_FOUND ? SMQ_ERR_NO_KEY : err;
}

smq_err smq_ca_key_open_issuer(const struct smq_ca_dir *ca, const char *passphrase_file,
			       struct smq_ca_issuer **ret_issuer)
{
	return smq_ca_key_open(ca, ca->issuer_serial, smq_ca_dir_issuer(ca), passphrase_file, ret_issuer);
}

smq_err smq_ca_key_token_of(const char *uri, char ret_uri[SMQ_PATH_MAX])
{
	return smq_token_uri_of_token(uri, ret_uri, smq_ca_why(), SMQ_WHY_MAX);
}

smq_err smq_ca_key_token(const struct smq_ca_dir *ca, char ret_uri[SMQ_PATH_MAX])
{
	struct smq_file_bytes text = { NULL, 0 };
	char uri[SMQ_TOKEN_URI_MAX];
	char name[80];
	ret_uri[0] = 0;
	smq_err err = read_key_file(ca, ca->issuer_serial, name, &text);
	if (err == SMQ_ERR_NOT_FOUND) {
		smq_ca_why()[0] = 0;
		return SMQ_OK;
	}
	if (err != SMQ_OK)
		return err;
	uri_in(smq_file_span(&text), uri);
	smq_file_bytes_free(&text);
	return uri[0] ? smq_ca_key_token_of(uri, ret_uri) : SMQ_OK;
}

smq_err smq_ca_key_in_token(const char *dir, bool *ret_is)
{
	char uri[SMQ_PATH_MAX];
	struct smq_ca_dir ca;
	smq_err err = smq_ca_dir_open(dir, &ca);
	if (err == SMQ_OK)
		err = smq_ca_key_token(&ca, uri);
	smq_ca_dir_close(&ca);
	if (err == SMQ_OK)
		*ret_is = uri[0] != 0;
	return err;
}

/* ---- new ones ---- */

static smq_err close_under(const char *passphrase_file, struct smq_ca_new_key *k)
{
	struct smq_file_bytes passphrase = { NULL, 0 };
	smq_err err = smq_passphrase_read(passphrase_file, &passphrase, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_ca_close_key(smq_pem_span(&k->key), smq_file_span(&passphrase), &k->file);
	smq_file_bytes_free(&passphrase);
	return err;
}

static smq_err copy(smq_span from, struct smq_pem *ret)
{
	ret->p = malloc(from.len + 1);
	if (!ret->p)
		return SMQ_ERR_NO_MEMORY;
	memcpy(ret->p, from.p, from.len);
	ret->p[from.len] = 0;
	ret->len = from.len;
	return SMQ_OK;
}

static smq_err make_in_file(enum smq_curve curve, const char *passphrase_file, struct smq_ca_new_key *k)
{
	smq_err err = smq_ca_make_key(curve, &k->key);
	if (err == SMQ_OK)
		err = copy(smq_pem_span(&k->key), &k->public);
	if (err == SMQ_OK)
		err = passphrase_file ? close_under(passphrase_file, k) : copy(smq_pem_span(&k->key), &k->file);
	return err;
}

static smq_err use_or_make(struct held *h, const char *uri, enum smq_curve curve, const char *label,
			   struct smq_ca_new_key *k)
{
	struct smq_token_uri said;
	char full[SMQ_TOKEN_URI_MAX + 1];
	uint8_t id[SMQ_TOKEN_ID_LEN];
	smq_err err = smq_token_uri_read(uri, &said, smq_ca_why(), SMQ_WHY_MAX);
	if (err != SMQ_OK)
		return err;
	if (said.object) {
		err = smq_token_use_pair(h->token, smq_ca_why(), SMQ_WHY_MAX);
		(void)snprintf(full, sizeof(full), "%s", uri);
	} else {
		const struct smq_random *random = smq_random_system();
		err = random->fill(random->self, smq_mspan_of(id, sizeof(id)));
		if (err == SMQ_OK)
			err = smq_token_make_pair(h->token, curve, label, id, full, smq_ca_why(), SMQ_WHY_MAX);
		h->made = err == SMQ_OK;
	}
	if (err != SMQ_OK)
		return err;
	(void)strncat(full, "\n", sizeof(full) - strlen(full) - 1);
	return copy(smq_span_str(full), &k->file);
}

static smq_err make_in_token(const char *uri, enum smq_curve curve, const char *label, const char *passphrase_file,
			     struct smq_ca_new_key *k)
{
	struct held *h = NULL;
	uint8_t point[SMQ_TOKEN_POINT_MAX];
	size_t len = 0;
	smq_err err = open_token(uri, passphrase_file, &h);
	if (err != SMQ_OK)
		return err;
	k->remote = (struct smq_ca_remote){ .self = h, .curve = curve, .sign = sign_in_token, .free = let_go };
	err = use_or_make(h, uri, curve, label, k);
	if (err == SMQ_OK)
		err = smq_token_public(h->token, &k->remote.curve, point, &len, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_ca_public_of_point(k->remote.curve, smq_span_of(point, len), &k->public);
	return err;
}

smq_err smq_ca_key_make(const char *uri, enum smq_curve curve, const char *label, const char *passphrase_file,
			struct smq_ca_new_key *ret_key)
{
	struct smq_ca_new_key k = { .file = { NULL, 0 } };
	smq_err err = uri && *uri ? make_in_token(uri, curve, label, passphrase_file, &k)
				  : make_in_file(curve, passphrase_file, &k);
	if (err == SMQ_OK) {
		*ret_key = k;
	} else {
		smq_ca_new_key_undo(&k);
		smq_ca_new_key_free(&k);
	}
	return err;
}

void smq_ca_new_key_undo(struct smq_ca_new_key *k)
{
	const struct held *h = k->remote.self;
	if (k->remote.sign && h && h->made)
		smq_token_destroy_key(h->token);
}

void smq_ca_new_key_free(struct smq_ca_new_key *k)
{
	smq_pem_free(&k->file);
	smq_pem_free(&k->key);
	smq_pem_free(&k->public);
	if (k->remote.free)
		k->remote.free(k->remote.self);
	*k = (struct smq_ca_new_key){ .file = { NULL, 0 } };
}
