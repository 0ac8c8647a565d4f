/* A member's chain of manifests (PROTOCOL.md 6.6). */
#include "core/manifest_chain.h"

#include "base/text.h"
#include "wire/cbor.h"

enum { STATE_VERSION = 1, STATE_FIELDS = 5 };

static const char kind[] = "sealmq1 manifest";

const char *smq_manifest_verdict_name(enum smq_manifest_verdict verdict)
{
	switch (verdict) {
	case SMQ_MANIFEST_FIRST:
		return "first";
	case SMQ_MANIFEST_LINKED:
		return "linked";
	case SMQ_MANIFEST_GAP:
		return "gap";
	case SMQ_MANIFEST_SAME:
		return "same";
	case SMQ_MANIFEST_STALE:
		return "stale";
	case SMQ_MANIFEST_EXPIRED:
		return "expired";
	case SMQ_MANIFEST_FORK:
		return "fork";
	case SMQ_MANIFEST_TWO_SERVERS:
		return "two-servers";
	}
	return "unknown";
}

smq_err smq_manifest_hash(const struct smq_crypto *crypto, smq_span document, uint8_t ret_hash[SMQ_HASH_LEN])
{
	return crypto->sha256(&document, 1, ret_hash);
}

smq_err smq_manifest_sign(smq_span document, const struct smq_own_credential *keyserver, smq_mspan room,
			  size_t *ret_len)
{
	struct smq_manifest m;
	smq_err err = smq_manifest_decode(document, &m);
	return err != SMQ_OK ? err : smq_sign1_encode_document(keyserver, kind, document, room, ret_len);
}

/* ---- judging ---- */

/*
 * A manifest names its predecessor with its epoch. If that is below ours, its history does not contain our manifest;
 * if it is ours with another hash, likewise. Only a predecessor above ours may be one that we have missed.
 */
static bool same_history(const struct smq_manifest_chain *have, const struct smq_manifest_step *step)
{
	const struct smq_manifest *m = &step->manifest;
	if (m->epoch == have->epoch)
		return memcmp(step->hash, have->hash, SMQ_HASH_LEN) == 0;
	if (m->previous_epoch == have->epoch)
		return memcmp(m->previous, have->hash, SMQ_HASH_LEN) == 0;
	return m->previous_epoch > have->epoch;
}

static enum smq_manifest_verdict judge(const struct smq_manifest_chain *have, const struct smq_manifest_step *step,
				       const char *signer, int64_t now_ms)
{
	const struct smq_manifest *m = &step->manifest;
	if (m->epoch < have->epoch)
		return SMQ_MANIFEST_STALE;
	if (have->epoch != 0 && !same_history(have, step))
		return strcmp(signer, have->signer) == 0 ? SMQ_MANIFEST_FORK : SMQ_MANIFEST_TWO_SERVERS;
	if (m->epoch == have->epoch)
		return SMQ_MANIFEST_SAME;
	if (m->expires_ms <= now_ms)
		return SMQ_MANIFEST_EXPIRED;
	if (have->epoch == 0)
		return SMQ_MANIFEST_FIRST;
	return m->previous_epoch == have->epoch ? SMQ_MANIFEST_LINKED : SMQ_MANIFEST_GAP;
}

static void follow(const struct smq_manifest_chain *have, const char *signer, struct smq_manifest_step *step)
{
	step->next = *have;
	if (!smq_manifest_is_accepted(step->verdict))
		return;
	step->signer_changed = have->epoch != 0 && strcmp(signer, have->signer) != 0;
	step->next =
	    (struct smq_manifest_chain){ .epoch = step->manifest.epoch, .expires_ms = step->manifest.expires_ms };
	memcpy(step->next.hash, step->hash, SMQ_HASH_LEN);
	memcpy(step->next.signer, signer, strlen(signer) + 1);
}

smq_err smq_manifest_chain_input(const struct smq_manifest_chain *chain, const struct smq_crypto *crypto,
				 smq_span bytes, const struct smq_credential *keyserver, smq_span realm, smq_span group,
				 int64_t now_ms, struct smq_manifest_step *ret_step)
{
	struct smq_manifest_step step = { 0 };
	struct smq_sign1 s;
	smq_err err = smq_sign1_decode(bytes, &s);
	if (err == SMQ_OK)
		err = smq_sign1_verify_document(&s, crypto, keyserver, SMQ_ROLE_KEYSERVER, kind);
	if (err == SMQ_OK)
		err = smq_manifest_decode(s.payload, &step.manifest);
	if (err == SMQ_OK && !smq_span_equal(step.manifest.realm, realm))
		err = SMQ_ERR_REALM;
	if (err == SMQ_OK && !smq_span_equal(step.manifest.group, group))
		err = SMQ_ERR_NAME;
	if (err == SMQ_OK)
		err = smq_manifest_hash(crypto, s.payload, step.hash);
	if (err != SMQ_OK)
		return err;
	step.verdict = judge(chain, &step, keyserver->name, now_ms);
	follow(chain, keyserver->name, &step);
	*ret_step = step;
	return SMQ_OK;
}

bool smq_manifest_chain_expired(const struct smq_manifest_chain *chain, int64_t now_ms)
{
	return chain->expires_ms <= now_ms;
}

smq_err smq_manifest_policy_check(const struct smq_manifest *m, const struct smq_policy_mark *policy)
{
	if (m->policy_number != policy->number)
		return m->policy_number < policy->number ? SMQ_ERR_STALE_EPOCH : SMQ_ERR_STATE;
	return memcmp(m->policy, policy->digest, SMQ_HASH_LEN) == 0 ? SMQ_OK : SMQ_ERR_EXISTS;
}

/* ---- the state on disk ---- */

smq_err smq_manifest_chain_encode(const struct smq_manifest_chain *chain, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, STATE_FIELDS);
	smq_cbor_put_uint(&w, STATE_VERSION);
	smq_cbor_put_uint(&w, chain->epoch);
	smq_cbor_put_bytes(&w, smq_span_of(chain->hash, SMQ_HASH_LEN));
	smq_cbor_put_int(&w, chain->expires_ms);
	smq_cbor_put_text(&w, smq_span_str(chain->signer));
	return smq_writer_end(&w, ret_len);
}

smq_err smq_manifest_chain_decode(smq_span bytes, struct smq_manifest_chain *ret_chain)
{
	struct smq_manifest_chain c = { 0 };
	struct smq_reader r = smq_reader_on(bytes);
	bool good = smq_cbor_get_array(&r) == STATE_FIELDS;
	good = good && smq_cbor_get_uint(&r) == STATE_VERSION;
	c.epoch = smq_cbor_get_uint(&r);
	smq_span hash = smq_cbor_get_bytes(&r);
	c.expires_ms = smq_cbor_get_int(&r);
	smq_span signer = smq_cbor_get_text(&r);
	if (!good || smq_reader_end(&r) != SMQ_OK || hash.len != SMQ_HASH_LEN || !smq_name_valid(signer) ||
	    c.epoch == 0)
		return SMQ_ERR_CORRUPT;
	memcpy(c.hash, hash.p, SMQ_HASH_LEN);
	memcpy(c.signer, signer.p, signer.len);
	*ret_chain = c;
	return SMQ_OK;
}
