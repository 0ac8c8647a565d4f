/* Evidence on real files: exported from a store, verified under a root, unpacked for other tools. */
#include <sealmq/evidence.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <sealmq/client.h>

#include "adapters/ca_openssl/crl_read.h"
#include "adapters/x509_openssl/revoked_at.h"
#include "adapters/x509_openssl/x509.h"
#include "app/evidence.h"
#include "base/text.h"
#include "base/wipe.h"
#include "lib/evidence_unpack.h"
#include "lib/files.h"
#include "lib/record_open.h"

static _Thread_local char why_text[SMQ_WHY_MAX];

static smq_err because(smq_err err, const char **ret_why, const char *what, const char *detail)
{
	(void)smq_because(err, why_text, sizeof(why_text), "%s%s%s", what, *detail ? ": " : "", detail);
	if (ret_why)
		*ret_why = why_text;
	return err;
}

/* ---- export ---- */

static int64_t unix_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

smq_err smq_evidence_export(const struct smq_evidence_selection *what, const char *file,
			    struct smq_evidence_sum *ret_sum, const char **ret_why)
{
	struct smq_record_store store;
	struct smq_evidence_bytes bytes = { 0 };
	smq_err err = smq_record_store_open(what->store, false, &store, ret_why);
	if (err != SMQ_OK)
		return err;
	err = smq_evidence_make(&store, smq_crypto_openssl(), what, unix_ms(), &bytes, ret_sum);
	if (err == SMQ_ERR_NOT_FOUND)
		because(err, ret_why, what->store, "holds no proven message that was asked for");
	else if (err == SMQ_ERR_TOO_LARGE)
		because(err, ret_why, "more than a GiB", "select less (--from, --to, --sender, --limit)");
	else if (err != SMQ_OK)
		because(err, ret_why, smq_err_text(err), store.why(store.self));
	store.free(store.self);
	if (err != SMQ_OK)
		return err;
	err = smq_file_put(file, smq_span_of(bytes.p, bytes.len), 0600, true, why_text, sizeof(why_text));
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	smq_wipe(bytes.p, bytes.len);
	free(bytes.p);
	return err;
}

/* ---- judging ---- */

/* Trust under one set of lists; messages come in an order in which it seldom changes. */
struct judge {
	smq_span root, late;
	struct smq_x509 *x509;
	char realm[SMQ_MEMBER_NAME_MAX + 1];
	const uint8_t *lists;
	const uint8_t *facts_of;
	struct smq_evidence_list_facts facts;
	/* of the certificate that was looked up in the later lists last: good until then */
	uint8_t late_id[SMQ_HASH_LEN];
	int64_t late_until_ms;
};

static smq_err need_trust(struct judge *j, smq_span realm, smq_span pem)
{
	if (j->x509 && j->lists == pem.p && realm.len == strlen(j->realm) && memcmp(j->realm, realm.p, realm.len) == 0)
		return SMQ_OK;
	smq_x509_free(j->x509);
	j->x509 = NULL;
	if (realm.len == 0 || realm.len >= sizeof(j->realm))
		return SMQ_ERR_REALM;
	memcpy(j->realm, realm.p, realm.len);
	j->realm[realm.len] = 0;
	j->lists = pem.p;
	const struct smq_x509_config config = { .realm = j->realm, .root_pem = j->root, .crl_pem = pem };
	smq_err err = smq_x509_new(&config, &j->x509);
	return err == SMQ_ERR_MALFORMED ? SMQ_ERR_CERT_CRL : err;
}

/* Was good at a later time under the same lists: so it was before. */
static smq_err check_late(struct judge *j, smq_span id_cred, const struct smq_credential *c, int64_t at_ms)
{
	if (j->late.len == 0 || (memcmp(j->late_id, c->id, sizeof(j->late_id)) == 0 && at_ms <= j->late_until_ms))
		return SMQ_OK;
	smq_err err = smq_x509_revoked_at(j->root, j->late, id_cred, at_ms);
	if (err == SMQ_OK) {
		memcpy(j->late_id, c->id, sizeof(j->late_id));
		j->late_until_ms = at_ms;
	}
	return err;
}

static smq_err judge(void *self, smq_span realm, smq_span id_cred, smq_span pem, int64_t at_ms,
		     struct smq_credential *ret_credential)
{
	struct judge *j = self;
	smq_err err = need_trust(j, realm, pem);
	if (err != SMQ_OK)
		return err;
	struct smq_credentials port = smq_x509_credentials(j->x509);
	err = port.resolve(port.self, id_cred, at_ms, ret_credential);
	if (err == SMQ_ERR_MALFORMED || err == SMQ_ERR_TRUNCATED || err == SMQ_ERR_TRAILING)
		err = SMQ_ERR_CERT_INVALID;
	return err == SMQ_OK ? check_late(j, id_cred, ret_credential, at_ms) : err;
}

static void facts(void *self, smq_span pem, struct smq_evidence_list_facts *ret_facts)
{
	struct judge *j = self;
	struct smq_crl_summary sum;
	if (j->facts_of != pem.p) {
		j->facts = (struct smq_evidence_list_facts){ .number = "" };
		if (smq_crl_summarize(pem, &sum) == SMQ_OK) {
			snprintf(j->facts.number, sizeof(j->facts.number), "%s", sum.number);
			j->facts.from_ms = sum.this_update_ms;
		}
		j->facts_of = pem.p;
	}
	*ret_facts = j->facts;
}

/* ---- verify ---- */

static smq_err read_file(const char *path, size_t most, struct smq_file_bytes *ret_bytes, const char **ret_why)
{
	smq_err err = smq_file_read_most(path, false, most, ret_bytes, why_text, sizeof(why_text));
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	return err;
}

struct telling {
	const struct smq_evidence_check *how;
};

static void tell(void *self, const struct smq_evidence_finding *finding, const struct smq_evidence_detail *detail)
{
	const struct telling *t = self;
	(void)detail;
	if (t->how->on_message)
		t->how->on_message(t->how->self, finding);
}

static smq_err say(smq_err err, const char *file, const char **ret_why)
{
	switch (err) {
	case SMQ_OK:
		return err;
	case SMQ_ERR_TRUNCATED:
		return because(err, ret_why, file, "ends too early: it was cut off");
	case SMQ_ERR_MALFORMED:
		return because(err, ret_why, file, "no evidence, or changed beyond reading");
	case SMQ_ERR_CORRUPT:
		return because(err, ret_why, file,
			       "every message is proven, but something else in it was changed since it was made");
	case SMQ_ERR_REALM:
		return because(err, ret_why, file, "is of another realm");
	default:
		return because(err, ret_why, file, smq_err_text(err));
	}
}

static smq_err check_root(smq_span pem, const char *file, const char **ret_why)
{
	struct smq_x509 *x = NULL;
	const struct smq_x509_config config = { .realm = "any", .root_pem = pem };
	smq_err err = smq_x509_new(&config, &x);
	smq_x509_free(x);
	return err == SMQ_OK ? SMQ_OK : because(err, ret_why, file, "not the certificate of an authority in PEM");
}

smq_err smq_evidence_verify(const char *file, const struct smq_evidence_check *how, struct smq_evidence_sum *ret_sum,
			    const char **ret_why)
{
	struct smq_file_bytes bytes = { 0 }, root = { 0 }, late = { 0 };
	struct judge *j = calloc(1, sizeof(*j));
	struct telling telling = { how };
	*ret_sum = (struct smq_evidence_sum){ 0 };
	smq_err err = j ? SMQ_OK : because(SMQ_ERR_NO_MEMORY, ret_why, "out of memory", "");
	if (err == SMQ_OK)
		err = read_file(how->root_file, SMQ_FILE_MAX, &root, ret_why);
	if (err == SMQ_OK)
		err = check_root(smq_span_of(root.p, root.len), how->root_file, ret_why);
	if (err == SMQ_OK && how->crl_file)
		err = read_file(how->crl_file, SMQ_CRL_FILE_MAX, &late, ret_why);
	if (err == SMQ_OK)
		err = read_file(file, SMQ_EVIDENCE_FILE_MAX, &bytes, ret_why);
	if (err != SMQ_OK)
		goto out;
	j->root = smq_span_of(root.p, root.len);
	j->late = smq_span_of(late.p, late.len);
	const struct smq_evidence_judge port = { j, judge, facts };
	const struct smq_evidence_reading reading = { .bytes = smq_span_of(bytes.p, bytes.len),
						      .crypto = smq_crypto_openssl(),
						      .judge = &port,
						      .realm = how->realm,
						      .self = &telling,
						      .on_message = tell };
	err = say(smq_evidence_read(&reading, ret_sum), file, ret_why);
out:
	if (j)
		smq_x509_free(j->x509);
	free(j);
	smq_file_bytes_free(&bytes);
	smq_file_bytes_free(&root);
	smq_file_bytes_free(&late);
	return err;
}

/* ---- unpack ---- */

smq_err smq_evidence_unpack(const char *file, const char *dir, struct smq_evidence_sum *ret_sum, const char **ret_why)
{
	struct smq_file_bytes bytes = { 0 };
	struct smq_unpacker *u = NULL;
	smq_err err = read_file(file, SMQ_EVIDENCE_FILE_MAX, &bytes, ret_why);
	if (err != SMQ_OK)
		return err;
	err = smq_unpacker_new(dir, &u, why_text, sizeof(why_text));
	if (err == SMQ_OK) {
		const struct smq_evidence_reading reading = { .bytes = smq_span_of(bytes.p, bytes.len),
							      .crypto = smq_crypto_openssl(),
							      .self = u,
							      .on_item = smq_unpacker_item,
							      .on_message = smq_unpacker_message };
		err = say(smq_evidence_read(&reading, ret_sum), file, ret_why);
		/* a message that does not open is left out, and was never proven */
		err = smq_unpacker_end(u, err == SMQ_ERR_OPEN ? SMQ_OK : err, why_text, sizeof(why_text));
	}
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	smq_file_bytes_free(&bytes);
	return err;
}
