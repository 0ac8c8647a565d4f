/* The realm's revocation lists over MQTT. */
#include "lib/crl_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "adapters/x509_openssl/crl_merge.h"
#include "adapters/x509_openssl/roots_merge.h"
#include "base/hot.h"
#include "lib/files.h"
#include "lib/realm_internal.h"

smq_err smq_crl_topic(const char *control_prefix, char ret_topic[SMQ_CRL_TOPIC_MAX])
{
	int len = snprintf(ret_topic, SMQ_CRL_TOPIC_MAX, "%s/crl", control_prefix);
	return len > 0 && len < SMQ_CRL_TOPIC_MAX ? SMQ_OK : SMQ_ERR_TOO_LARGE;
}

/* ---- taking ---- */

static smq_err read_one(const char *dir, const char *name, struct smq_file_bytes *ret, char *why, size_t why_len)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, name, path);
	return err == SMQ_OK ? smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, ret, why, why_len) : err;
}

/* held: what is in force; empty: crl.pem, if there is one. */
static smq_err merge(const char *dir, smq_span held, smq_span offered, struct smq_crl_merged *ret_merged, char *why,
		     size_t why_len)
{
	struct smq_file_bytes root = { NULL, 0 };
	struct smq_file_bytes file = { NULL, 0 };
	smq_err err =
	    offered.len > SMQ_CRL_FILE_MAX ? SMQ_ERR_TOO_LARGE : read_one(dir, "root.crt", &root, why, why_len);
	if (err == SMQ_OK && held.len == 0) {
		err = read_one(dir, "crl.pem", &file, why, why_len);
		err = err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err;
		held = smq_span_of(file.p, file.len);
	}
	if (err == SMQ_OK)
		err =
		    smq_crl_merge(smq_span_of(root.p, root.len), held, offered, (int64_t)time(NULL) * 1000, ret_merged);
	smq_file_bytes_free(&root);
	smq_file_bytes_free(&file);
	return err;
}

smq_err smq_roots_take(const char *dir, smq_span offered, bool *ret_new, char *why, size_t why_len)
{
	struct smq_file_bytes root = { NULL, 0 };
	struct smq_roots_merged merged = { .added = 0 };
	char path[SMQ_PATH_MAX];
	smq_err err = read_one(dir, "root.crt", &root, why, why_len);
	if (err == SMQ_OK)
		err = smq_roots_merge(smq_span_of(root.p, root.len), offered, (int64_t)time(NULL) * 1000, &merged);
	if (err == SMQ_OK && merged.added > 0)
		err = smq_path_join(dir, "root.crt", path);
	if (err == SMQ_OK && merged.added > 0)
		err = smq_file_put(path, smq_span_of(merged.pem, merged.len), 0644, true, why, why_len);
	*ret_new = err == SMQ_OK && merged.added > 0;
	free(merged.pem);
	smq_file_bytes_free(&root);
	return err;
}

static smq_err put(const char *dir, const struct smq_crl_merged *merged, char *why, size_t why_len)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, "crl.pem", path);
	return err == SMQ_OK ? smq_file_put(path, smq_span_of(merged->pem, merged->len), 0644, true, why, why_len)
			     : err;
}

smq_err smq_crl_take(const char *dir, smq_span offered, bool *ret_new, char *why, size_t why_len)
{
	struct smq_crl_merged merged = { .newer = 0 };
	smq_err err = merge(dir, smq_span_of(NULL, 0), offered, &merged, why, why_len);
	if (err == SMQ_OK && merged.newer > 0)
		err = put(dir, &merged, why, why_len);
	if (err == SMQ_OK)
		*ret_new = merged.newer > 0;
	free(merged.pem);
	return err;
}

/* ---- listening ---- */

struct smq_crl_line smq_crl_line_on(smq_realm *realm)
{
	struct smq_crl_line l = { .realm = realm, .id = -1 };
	if (realm && smq_crl_topic(smq_realm_control_prefix(realm), l.topic) != SMQ_OK)
		l.realm = NULL;
	return l;
}

void smq_crl_line_subscribe(struct smq_crl_line *l, struct smq_transport *t)
{
	l->id = -1;
	if (l->realm && t->ops->subscribe(t, l->topic, SMQ_SUB_CONTROL, NULL, 0, &l->id) != SMQ_OK)
		l->id = -1;
}

bool smq_crl_line_subscribed(const struct smq_crl_line *l, int id) { return l->realm && l->id == id; }

SMQ_HOT bool smq_crl_line_topic(const struct smq_crl_line *l, const char *topic)
{
	return l->realm && strcmp(l->topic, topic) == 0;
}

/* Whoever may not write there keeps it in memory: the broker has it for the next time. */
smq_err smq_crl_line_take(const struct smq_crl_line *l, smq_span payload, bool *ret_new)
{
	struct smq_crl_merged merged = { .newer = 0 };
	char unused[SMQ_WHY_MAX];
	const char *dir = smq_realm_dir(l->realm);
	*ret_new = false;
	bool roots = false;
	if (payload.len == 0) /* somebody has cleared the topic */
		return SMQ_OK;
	/* first, since a list may be a new root's */
	(void)!smq_roots_take(dir, payload, &roots, unused, sizeof(unused));
	smq_err err = merge(dir, smq_realm_held_crl(l->realm), payload, &merged, unused, sizeof(unused));
	if (err == SMQ_OK && merged.newer > 0) {
		*ret_new = put(dir, &merged, unused, sizeof(unused)) == SMQ_OK;
		if (!*ret_new)
			err = smq_realm_use_crl(l->realm, smq_span_of(merged.pem, merged.len));
		*ret_new = err == SMQ_OK;
	}
	free(merged.pem);
	return err;
}
