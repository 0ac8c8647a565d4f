/* One-time tokens of an authority: made, looked at, and used up. */
#include "lib/ca_token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "base/text.h"
#include "base/wipe.h"
#include "crypto/hkdf.h"
#include "lib/ca_dir.h"
#include "lib/ca_log.h"

enum { SECRET_LEN = SMQ_CA_TOKEN_LEN / 2, LINE_MAX_LEN = 512, WORDS = 6, WORDS_MQTT = 8, WORDS_MAX = 9 };

static smq_err path_of(const char *dir, const char *name, char ret_path[SMQ_PATH_MAX])
{
	char tokens[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, "tokens", tokens);
	return err == SMQ_OK ? smq_path_join(tokens, name, ret_path) : err;
}

/* A token is 128 random bits: its plain hash cannot be searched, and is of no use to whoever reads it. */
static smq_err hash_of(const char *token, char ret_hex[2 * SMQ_HASH_LEN + 1])
{
	uint8_t hash[SMQ_HASH_LEN];
	const smq_span parts[] = { smq_span_str("sealmq token"), smq_span_str(token) };
	smq_err err = smq_crypto_openssl()->sha256(parts, 2, hash);
	return err == SMQ_OK ? smq_hex_encode(smq_span_of(hash, sizeof(hash)), ret_hex, 2 * SMQ_HASH_LEN + 1) : err;
}

/* ---- what it stands for ---- */

static smq_err derive(const uint8_t prk[SMQ_HASH_LEN], const char *what, uint8_t ret_key[32])
{
	const smq_span info = smq_span_str(what);
	return smq_hkdf_expand(smq_crypto_openssl(), prk, &info, 1, smq_mspan_of(ret_key, 32));
}

smq_err smq_token_keys_of(const char *token, struct smq_token_keys *ret_keys)
{
	struct smq_token_keys k;
	struct smq_signer signer = { .self = NULL };
	uint8_t prk[SMQ_HASH_LEN];
	uint8_t public[SMQ_PUBLIC_KEY_MAX];
	size_t len = 0;
	smq_err err = smq_hkdf_extract(smq_crypto_openssl(), smq_span_of(NULL, 0), smq_span_str(token), prk);
	if (err == SMQ_OK)
		err = derive(prk, "sealmq1 enrol signing", k.signing);
	if (err == SMQ_OK)
		err = derive(prk, "sealmq1 enrol answering", k.answering);
	if (err == SMQ_OK)
		err = smq_openssl_signer_from_raw(SMQ_ED25519, k.signing, &signer);
	if (err == SMQ_OK)
		err = smq_openssl_signer_public(&signer, public, &len);
	if (err == SMQ_OK && len != sizeof(k.verifying))
		err = SMQ_ERR_CRYPTO;
	if (err == SMQ_OK) {
		memcpy(k.verifying, public, sizeof(k.verifying));
		*ret_keys = k;
	}
	smq_openssl_signer_free(&signer);
	smq_wipe(prk, sizeof(prk));
	smq_wipe((uint8_t *)&k, sizeof(k));
	return err;
}

/* ---- making ---- */

static smq_err check(const struct smq_ca_token_options *o)
{
	if (!o->name || !smq_name_valid(smq_span_str(o->name)))
		return smq_ca_because(SMQ_ERR_NAME, "'%s' is no name for a member: 1 to 64 of A-Z a-z 0-9 - _",
				      o->name ? o->name : "");
	if (o->roles & SMQ_ROLE_BROKER)
		return smq_ca_because(SMQ_ERR_USAGE,
				      "a broker is issued here: its host names are nobody else's to say");
	if (o->days < 0 || o->days > SMQ_CA_DAYS_MAX)
		return smq_ca_because(SMQ_ERR_USAGE, "a certificate is valid for 1 to 36500 days");
	if (o->hours < 0 || o->hours > SMQ_CA_DAYS_MAX)
		return smq_ca_because(SMQ_ERR_USAGE, "a token is good for 1 to 36500 hours");
	return SMQ_OK;
}

static smq_err write_down(const char *dir, const struct smq_ca_token_options *o, const char *hash,
			  const struct smq_token_keys *keys)
{
	char path[SMQ_PATH_MAX];
	char verifying[65];
	char answering[65];
	char line[LINE_MAX_LEN];
	char roles[SMQ_ROLES_TEXT_MAX];
	int64_t until = smq_ca_now_ms() + (o->hours ? o->hours : SMQ_CA_TOKEN_HOURS) * SMQ_CA_HOUR;
	smq_err err = smq_path_join(dir, "tokens", path);
	if (err == SMQ_OK && mkdir(path, 0700) != 0 && errno != EEXIST)
		err = smq_ca_because(smq_err_of_errno(errno), "%s: %s", path, strerror(errno));
	if (err == SMQ_OK)
		err = path_of(dir, o->name, path);
	smq_roles_print(o->roles ? o->roles : SMQ_ROLE_MEMBER, roles);
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(keys->verifying, 32), verifying, sizeof(verifying));
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(keys->answering, 32), answering, sizeof(answering));
	if (err != SMQ_OK)
		return err;
	int len =
	    snprintf(line, sizeof(line), "token %s %lld %s %d %d %s %s\n", hash, (long long)(until / SMQ_CA_SECOND),
		     roles, o->days ? o->days : SMQ_CA_MEMBER_DAYS, o->reissue ? 1 : 0, verifying, answering);
	err =
	    smq_file_put(path, smq_span_of((const uint8_t *)line, (size_t)len), 0600, true, smq_ca_why(), SMQ_WHY_MAX);
	smq_wipe((uint8_t *)line, sizeof(line));
	return err;
}

smq_err smq_ca_token(const char *dir, const struct smq_ca_token_options *options, char ret_token[SMQ_CA_TOKEN_LEN + 1],
		     const char **ret_why)
{
	const struct smq_random *random = smq_random_system();
	struct smq_ca_dir ca = { .log = -1 };
	uint8_t secret[SECRET_LEN];
	char token[SMQ_CA_TOKEN_LEN + 1];
	char hash[2 * SMQ_HASH_LEN + 1];
	struct smq_token_keys keys;
	smq_ca_begin(ret_why);
	smq_err err = check(options);
	if (err == SMQ_OK)
		err = smq_ca_dir_open(dir, &ca);
	if (err == SMQ_OK)
		err = random->fill(random->self, smq_mspan_of(secret, sizeof(secret)));
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(secret, sizeof(secret)), token, sizeof(token));
	if (err == SMQ_OK)
		err = hash_of(token, hash);
	if (err == SMQ_OK)
		err = smq_token_keys_of(token, &keys);
	if (err == SMQ_OK)
		err = write_down(dir, options, hash, &keys);
	if (err == SMQ_OK)
		memcpy(ret_token, token, sizeof(token));
	smq_wipe(secret, sizeof(secret));
	smq_wipe((uint8_t *)token, sizeof(token));
	smq_wipe((uint8_t *)&keys, sizeof(keys));
	smq_ca_dir_close(&ca);
	return smq_ca_finish(err);
}

/* ---- using ---- */

static bool take_key(const char *hex, uint8_t ret_key[32])
{
	size_t len = 0;
	return smq_hex_decode(hex, smq_mspan_of(ret_key, 32), &len) == SMQ_OK && len == 32;
}

static bool parse(char *line, char hash[2 * SMQ_HASH_LEN + 1], int64_t *ret_until_ms, struct smq_ca_grant *ret_grant)
{
	char *words[WORDS_MAX];
	char *save = NULL;
	char *end = NULL;
	size_t count = 0;
	for (char *w = strtok_r(line, " \n", &save); w && count < WORDS_MAX; w = strtok_r(NULL, " \n", &save))
		words[count++] = w;
	if (count < WORDS || strcmp(words[0], "token") != 0 || strlen(words[1]) != (size_t)2 * SMQ_HASH_LEN)
		return false;
	memcpy(hash, words[1], 2 * SMQ_HASH_LEN + 1);
	*ret_until_ms = (int64_t)strtoll(words[2], &end, 10) * SMQ_CA_SECOND;
	if (*end || smq_roles_parse(words[3], &ret_grant->roles) != SMQ_OK)
		return false;
	ret_grant->days = (int)strtol(words[4], &end, 10);
	ret_grant->reissue = strcmp(words[5], "1") == 0;
	ret_grant->mqtt =
	    count >= WORDS_MQTT && take_key(words[6], ret_grant->verifying) && take_key(words[7], ret_grant->answering);
	if (count == WORDS_MAX)
		(void)snprintf(ret_grant->bound, sizeof(ret_grant->bound), "%s", words[8]);
	return !*end;
}

/* The line of a token that is still good, and what it grants. */
static smq_err read_line(const char *dir, const char *name, char line[LINE_MAX_LEN], char hash[2 * SMQ_HASH_LEN + 1],
			 struct smq_ca_grant *ret_grant)
{
	struct smq_file_bytes file = { NULL, 0 };
	struct smq_ca_grant grant = { .roles = 0 };
	char path[SMQ_PATH_MAX];
	char unused[SMQ_WHY_MAX];
	char copy[LINE_MAX_LEN];
	int64_t until = 0;
	memset(line, 0, LINE_MAX_LEN);
	if (!smq_name_valid(smq_span_str(name)) || path_of(dir, name, path) != SMQ_OK ||
	    smq_file_read(path, true, &file, unused, sizeof(unused)) != SMQ_OK)
		return SMQ_ERR_NOT_AUTHORIZED;
	if (file.len < LINE_MAX_LEN)
		memcpy(line, file.p, file.len);
	smq_file_bytes_free(&file);
	memcpy(copy, line, sizeof(copy));
	bool good = parse(copy, hash, &until, &grant) && until > smq_ca_now_ms();
	smq_wipe((uint8_t *)copy, sizeof(copy));
	if (!good)
		return SMQ_ERR_NOT_AUTHORIZED;
	*ret_grant = grant;
	return SMQ_OK;
}

smq_err smq_ca_token_look(const char *dir, const char *name, const char *token, struct smq_ca_grant *ret_grant)
{
	struct smq_ca_grant grant;
	char line[LINE_MAX_LEN];
	char want[2 * SMQ_HASH_LEN + 1] = "";
	char got[2 * SMQ_HASH_LEN + 1] = "";
	smq_err err = read_line(dir, name, line, want, &grant);
	smq_wipe((uint8_t *)line, sizeof(line));
	if (err != SMQ_OK || hash_of(token, got) != SMQ_OK || grant.bound[0] ||
	    !smq_equal_ct((const uint8_t *)want, (const uint8_t *)got, 2 * SMQ_HASH_LEN))
		return SMQ_ERR_NOT_AUTHORIZED;
	*ret_grant = grant;
	return SMQ_OK;
}

smq_err smq_ca_token_find(const char *dir, const char *name, struct smq_ca_grant *ret_grant)
{
	struct smq_ca_grant grant;
	char line[LINE_MAX_LEN];
	char hash[2 * SMQ_HASH_LEN + 1];
	smq_err err = read_line(dir, name, line, hash, &grant);
	smq_wipe((uint8_t *)line, sizeof(line));
	if (err != SMQ_OK || !grant.mqtt)
		return SMQ_ERR_NOT_AUTHORIZED;
	*ret_grant = grant;
	return SMQ_OK;
}

/* Two servers, over HTTPS and over MQTT, may look at one token at a time: what is written is written under the lock. */
static smq_err bind_locked(const char *dir, const char *name, const char *request_hash)
{
	struct smq_ca_grant grant;
	char path[SMQ_PATH_MAX];
	char line[LINE_MAX_LEN];
	char hash[2 * SMQ_HASH_LEN + 1];
	smq_err err = read_line(dir, name, line, hash, &grant);
	if (err == SMQ_OK && strcmp(grant.bound, request_hash) == 0)
		return SMQ_OK;
	if (err != SMQ_OK || grant.bound[0])
		return SMQ_ERR_NOT_AUTHORIZED;
	size_t len = strcspn(line, "\n");
	int more = snprintf(line + len, sizeof(line) - len, " %s\n", request_hash);
	if (more < 0 || (size_t)more >= sizeof(line) - len)
		return SMQ_ERR_TOO_LARGE;
	err = path_of(dir, name, path);
	if (err == SMQ_OK)
		err = smq_file_put(path, smq_span_str(line), 0600, true, smq_ca_why(), SMQ_WHY_MAX);
	smq_wipe((uint8_t *)line, sizeof(line));
	return err;
}

static smq_err use_locked(const char *dir, const char *name, const char *request_hash)
{
	struct smq_ca_grant grant;
	char path[SMQ_PATH_MAX];
	char tokens[SMQ_PATH_MAX];
	char line[LINE_MAX_LEN];
	char hash[2 * SMQ_HASH_LEN + 1];
	smq_err err = read_line(dir, name, line, hash, &grant);
	smq_wipe((uint8_t *)line, sizeof(line));
	if (err == SMQ_OK && strcmp(grant.bound, request_hash ? request_hash : "") != 0)
		err = SMQ_ERR_NOT_AUTHORIZED;
	if (err == SMQ_OK)
		err = path_of(dir, name, path);
	if (err == SMQ_OK && unlink(path) != 0)
		err = SMQ_ERR_NOT_AUTHORIZED;
	if (err == SMQ_OK)
		err = smq_path_join(dir, "tokens", tokens);
	return err == SMQ_OK ? smq_dir_sync(tokens) : err;
}

static smq_err locked(const char *dir, const char *name, const char *request_hash,
		      smq_err (*run)(const char *dir, const char *name, const char *request_hash))
{
	int lock = -1;
	smq_err err = smq_ca_log_open(dir, &lock, smq_ca_why(), SMQ_WHY_MAX);
	if (err != SMQ_OK)
		return err;
	err = run(dir, name, request_hash);
	close(lock);
	return err;
}

smq_err smq_ca_token_bind(const char *dir, const char *name, const char *request_hash)
{
	return locked(dir, name, request_hash, bind_locked);
}

smq_err smq_ca_token_use(const char *dir, const char *name, const char *request_hash)
{
	return locked(dir, name, request_hash, use_locked);
}
