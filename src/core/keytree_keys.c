/* What both sides of the key tree derive (PROTOCOL.md 6.1, 6.2). */
#include "core/keytree_keys.h"

#include "base/wipe.h"
#include "crypto/hkdf.h"
#include "wire/cbor.h"

enum {
	INFO_MAX = 256,
	RATCHET_MAX = 1 << 20 /* steps; more joins than that below one node without a single leave do not happen */
};

static smq_err derive(const struct smq_tree_scope *scope, const struct smq_tree_key *from, smq_span info,
		      uint8_t ret_key[SMQ_TREE_KEY_LEN])
{
	return smq_hkdf_expand(scope->crypto, from->b, &info, 1, smq_mspan_of(ret_key, SMQ_TREE_KEY_LEN));
}

smq_err smq_tree_ratchet(const struct smq_crypto *crypto, struct smq_tree_node *node, uint64_t version)
{
	smq_span info = smq_span_str("\x81\x6fsealmq1 ratchet"); /* CBOR: [ "sealmq1 ratchet" ] */
	struct smq_tree_key key = node->key;
	smq_err err = SMQ_OK;
	if (version < node->version)
		return SMQ_ERR_STALE_EPOCH;
	if (version - node->version > RATCHET_MAX)
		return SMQ_ERR_MALFORMED;
	for (uint64_t v = node->version; v < version && err == SMQ_OK; v++)
		err = smq_hkdf_expand(crypto, key.b, &info, 1, smq_mspan_of(key.b, sizeof(key.b)));
	if (err == SMQ_OK) {
		node->key = key;
		node->version = version;
	}
	smq_wipe(&key, sizeof(key));
	return err;
}

static smq_err epoch_info(const struct smq_tree_scope *scope, const char *label, uint64_t epoch, smq_mspan room,
			  size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_text(&w, smq_span_str(label));
	smq_cbor_put_text(&w, scope->realm);
	smq_cbor_put_text(&w, scope->group);
	smq_cbor_put_uint(&w, epoch);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_epoch_secret(const struct smq_tree_scope *scope, const struct smq_tree_key *root, uint64_t epoch,
			 struct smq_tree_key *ret_secret)
{
	uint8_t info[INFO_MAX];
	size_t len = 0;
	smq_err err = epoch_info(scope, "sealmq1 epoch", epoch, smq_mspan_of(info, sizeof(info)), &len);
	return err != SMQ_OK ? err : derive(scope, root, smq_span_of(info, len), ret_secret->b);
}

smq_err smq_epoch_commitment(const struct smq_tree_scope *scope, const struct smq_tree_key *secret, uint64_t epoch,
			     uint8_t ret_commitment[SMQ_HASH_LEN])
{
	uint8_t info[INFO_MAX];
	size_t len = 0;
	smq_err err = epoch_info(scope, "sealmq1 commit", epoch, smq_mspan_of(info, sizeof(info)), &len);
	return err != SMQ_OK ? err : derive(scope, secret, smq_span_of(info, len), ret_commitment);
}

/* One structure is both the info of the wrapping key and the AAD: epochs never come twice, so neither does a key. */
static smq_err wrap_info(const struct smq_tree_scope *scope, const struct smq_tree_node *child,
			 const struct smq_tree_node_message *of, unsigned number, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, 8);
	smq_cbor_put_text(&w, smq_span_str("sealmq1 wrap"));
	smq_cbor_put_text(&w, scope->realm);
	smq_cbor_put_text(&w, scope->group);
	smq_cbor_put_uint(&w, of->height);
	smq_cbor_put_uint(&w, of->index);
	smq_cbor_put_uint(&w, of->epoch);
	smq_cbor_put_uint(&w, number);
	smq_cbor_put_uint(&w, child->version);
	return smq_writer_end(&w, ret_len);
}

struct wrapper {
	smq_aead *aead;
	uint8_t info[INFO_MAX];
	size_t info_len;
};

static smq_err open_wrapper(const struct smq_tree_scope *scope, const struct smq_tree_node *child,
			    const struct smq_tree_node_message *of, unsigned number, struct wrapper *ret_wrapper)
{
	uint8_t key[SMQ_TREE_KEY_LEN];
	struct wrapper *x = ret_wrapper;
	smq_err err = wrap_info(scope, child, of, number, smq_mspan_of(x->info, sizeof(x->info)), &x->info_len);
	if (err == SMQ_OK)
		err = derive(scope, &child->key, smq_span_of(x->info, x->info_len), key);
	if (err == SMQ_OK)
		err = scope->crypto->aead_new(smq_aead_alg_by_id(SMQ_A256GCM), smq_span_of(key, sizeof(key)), &x->aead);
	smq_wipe(key, sizeof(key));
	return err;
}

static const uint8_t zero_nonce[SMQ_AEAD_NONCE_MAX];

smq_err smq_tree_wrap(const struct smq_tree_scope *scope, const struct smq_tree_node *const children[SMQ_TREE_ARITY],
		      const struct smq_tree_key *key, struct smq_tree_node_message *of)
{
	struct wrapper x[SMQ_TREE_ARITY];
	struct smq_aead_work work[SMQ_TREE_ARITY];
	smq_err err = SMQ_OK;
	size_t count = 0;
	for (unsigned c = 0; c < SMQ_TREE_ARITY && err == SMQ_OK; c++) {
		if (!children[c])
			continue;
		struct wrapper *w = &x[count];
		if ((err = open_wrapper(scope, children[c], of, c, w)) != SMQ_OK)
			break;
		of->wraps[c].there = true;
		of->wraps[c].version = children[c]->version;
		work[count++] = (struct smq_aead_work){ .aead = w->aead,
							.nonce = zero_nonce,
							.aad = smq_span_of(w->info, w->info_len),
							.text = smq_span_of(key->b, sizeof(key->b)),
							.out = of->wraps[c].bytes };
	}
	if (err == SMQ_OK)
		smq_aead_seal_many(scope->crypto, work, count);
	for (size_t i = 0; i < count; i++) {
		if (err == SMQ_OK)
			err = work[i].err;
		scope->crypto->aead_free(work[i].aead);
	}
	return err;
}

smq_err smq_tree_unwrap(const struct smq_tree_scope *scope, const struct smq_tree_node *child,
			const struct smq_tree_node_message *of, unsigned number, struct smq_tree_key *ret_key)
{
	struct wrapper x;
	struct smq_tree_key key;
	smq_err err = open_wrapper(scope, child, of, number, &x);
	if (err != SMQ_OK)
		return err;
	err = scope->crypto->aead_open(x.aead, zero_nonce, smq_span_of(x.info, x.info_len),
				       smq_span_of(of->wraps[number].bytes, SMQ_TREE_WRAP_LEN), key.b);
	scope->crypto->aead_free(x.aead);
	if (err == SMQ_OK)
		*ret_key = key;
	smq_wipe(&key, sizeof(key));
	return err;
}
