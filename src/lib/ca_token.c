/* One-time tokens of an authority: made, looked at, and used up. */
#include "lib/ca_token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "base/text.h"
#include "base/wipe.h"
#include "lib/ca_dir.h"

enum { SECRET_LEN = SMQ_CA_TOKEN_LEN / 2, LINE_MAX_LEN = 256 };

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

static smq_err write_down(const char *dir, const struct smq_ca_token_options *o, const char *hash)
{
	char path[SMQ_PATH_MAX];
	char line[LINE_MAX_LEN];
	char roles[SMQ_ROLES_TEXT_MAX];
	int64_t until = smq_ca_now_ms() + (o->hours ? o->hours : SMQ_CA_TOKEN_HOURS) * SMQ_CA_HOUR;
	smq_err err = smq_path_join(dir, "tokens", path);
	if (err == SMQ_OK && mkdir(path, 0700) != 0 && errno != EEXIST)
		err = smq_ca_because(smq_err_of_errno(errno), "%s: %s", path, strerror(errno));
	if (err == SMQ_OK)
		err = path_of(dir, o->name, path);
	smq_roles_print(o->roles ? o->roles : SMQ_ROLE_MEMBER, roles);
	int len = snprintf(line, sizeof(line), "token %s %lld %s %d %d\n", hash, (long long)(until / SMQ_CA_SECOND),
			   roles, o->days ? o->days : SMQ_CA_MEMBER_DAYS, o->reissue ? 1 : 0);
	if (err == SMQ_OK)
		err = smq_file_put(path, smq_span_of((const uint8_t *)line, (size_t)len), 0600, true, smq_ca_why(),
				   SMQ_WHY_MAX);
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
		err = write_down(dir, options, hash);
	if (err == SMQ_OK)
		memcpy(ret_token, token, sizeof(token));
	smq_wipe(secret, sizeof(secret));
	smq_wipe((uint8_t *)token, sizeof(token));
	smq_ca_dir_close(&ca);
	return smq_ca_finish(err);
}

/* ---- using ---- */

static bool parse(char *line, char hash[2 * SMQ_HASH_LEN + 1], int64_t *ret_until_ms, struct smq_ca_grant *ret_grant)
{
	char *words[6];
	char *save = NULL;
	char *end = NULL;
	size_t count = 0;
	for (char *w = strtok_r(line, " \n", &save); w && count < 6; w = strtok_r(NULL, " \n", &save))
		words[count++] = w;
	if (count < 6 || strcmp(words[0], "token") != 0 || strlen(words[1]) != (size_t)2 * SMQ_HASH_LEN)
		return false;
	memcpy(hash, words[1], 2 * SMQ_HASH_LEN + 1);
	*ret_until_ms = (int64_t)strtoll(words[2], &end, 10) * SMQ_CA_SECOND;
	if (*end || smq_roles_parse(words[3], &ret_grant->roles) != SMQ_OK)
		return false;
	ret_grant->days = (int)strtol(words[4], &end, 10);
	ret_grant->reissue = strcmp(words[5], "1") == 0;
	return !*end;
}

smq_err smq_ca_token_look(const char *dir, const char *name, const char *token, struct smq_ca_grant *ret_grant)
{
	struct smq_file_bytes file = { NULL, 0 };
	struct smq_ca_grant grant = { .roles = 0 };
	char path[SMQ_PATH_MAX];
	char unused[SMQ_WHY_MAX];
	char line[LINE_MAX_LEN] = "";
	char want[2 * SMQ_HASH_LEN + 1] = "";
	char got[2 * SMQ_HASH_LEN + 1] = "";
	int64_t until = 0;
	if (!smq_name_valid(smq_span_str(name)) || path_of(dir, name, path) != SMQ_OK ||
	    smq_file_read(path, true, &file, unused, sizeof(unused)) != SMQ_OK)
		return SMQ_ERR_NOT_AUTHORIZED;
	if (file.len < sizeof(line))
		memcpy(line, file.p, file.len);
	smq_file_bytes_free(&file);
	if (!parse(line, want, &until, &grant) || hash_of(token, got) != SMQ_OK ||
	    !smq_equal_ct((const uint8_t *)want, (const uint8_t *)got, 2 * SMQ_HASH_LEN) || until <= smq_ca_now_ms())
		return SMQ_ERR_NOT_AUTHORIZED;
	*ret_grant = grant;
	return SMQ_OK;
}

smq_err smq_ca_token_use(const char *dir, const char *name)
{
	char path[SMQ_PATH_MAX];
	char tokens[SMQ_PATH_MAX];
	smq_err err = path_of(dir, name, path);
	if (err == SMQ_OK && unlink(path) != 0)
		err = SMQ_ERR_NOT_AUTHORIZED;
	if (err == SMQ_OK)
		err = smq_path_join(dir, "tokens", tokens);
	return err == SMQ_OK ? smq_dir_sync(tokens) : err;
}
