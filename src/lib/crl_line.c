/* The realm's revocation lists over MQTT. */
#include "lib/crl_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "adapters/x509_openssl/crl_merge.h"
#include "lib/files.h"
#include "lib/realm_internal.h"

smq_err smq_crl_topic(const char *control_prefix, char ret_topic[SMQ_CRL_TOPIC_MAX])
{
	int len = snprintf(ret_topic, SMQ_CRL_TOPIC_MAX, "%s/crl", control_prefix);
	return len > 0 && len < SMQ_CRL_TOPIC_MAX ? SMQ_OK : SMQ_ERR_TOO_LARGE;
}

/* ---- taking ---- */

static smq_err read_both(const char *dir, struct smq_file_bytes *ret_root, struct smq_file_bytes *ret_held, char *why,
			 size_t why_len)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, "root.crt", path);
	if (err == SMQ_OK)
		err = smq_file_read(path, false, ret_root, why, why_len);
	if (err == SMQ_OK)
		err = smq_path_join(dir, "crl.pem", path);
	if (err != SMQ_OK)
		return err;
	err = smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, ret_held, why, why_len);
	return err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err;
}

smq_err smq_crl_take(const char *dir, smq_span offered, bool *ret_new, char *why, size_t why_len)
{
	struct smq_file_bytes root = { NULL, 0 };
	struct smq_file_bytes held = { NULL, 0 };
	struct smq_crl_merged merged = { .newer = 0 };
	char path[SMQ_PATH_MAX];
	smq_err err = offered.len > SMQ_CRL_FILE_MAX ? SMQ_ERR_TOO_LARGE : read_both(dir, &root, &held, why, why_len);
	if (err == SMQ_OK)
		err = smq_crl_merge(smq_span_of(root.p, root.len), smq_span_of(held.p, held.len), offered,
				    (int64_t)time(NULL) * 1000, &merged);
	if (err == SMQ_OK && merged.newer > 0)
		err = smq_path_join(dir, "crl.pem", path);
	if (err == SMQ_OK && merged.newer > 0)
		err = smq_file_put(path, smq_span_of(merged.pem, merged.len), 0644, true, why, why_len);
	if (err == SMQ_OK)
		*ret_new = merged.newer > 0;
	free(merged.pem);
	smq_file_bytes_free(&root);
	smq_file_bytes_free(&held);
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
	if (l->realm && t->ops->subscribe(t, l->topic, 1, NULL, 0, &l->id) != SMQ_OK)
		l->id = -1;
}

bool smq_crl_line_subscribed(const struct smq_crl_line *l, int id) { return l->realm && l->id == id; }

bool smq_crl_line_topic(const struct smq_crl_line *l, const char *topic)
{
	return l->realm && strcmp(l->topic, topic) == 0;
}

smq_err smq_crl_line_take(const struct smq_crl_line *l, smq_span payload, bool *ret_new)
{
	char unused[SMQ_WHY_MAX];
	*ret_new = false;
	if (payload.len == 0) /* somebody has cleared the topic */
		return SMQ_OK;
	return smq_crl_take(smq_realm_dir(l->realm), payload, ret_new, unused, sizeof(unused));
}
