/* What is asked of the key server (PROTOCOL.md 7.3). */
#include "wire/ks_request.h"

#include <sealmq/text.h>

enum { VERSION = 1, ROLES_ALL = SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE };

/* Items of the array; 0: there is no such request. */
static size_t field_count(enum smq_ks_what what)
{
	switch (what) {
	case SMQ_KS_JOIN:
		return 7;
	case SMQ_KS_FETCH:
	case SMQ_KS_POLICY:
	case SMQ_KS_REGISTER:
	case SMQ_KS_REGISTER_MANY:
		return 5;
	case SMQ_KS_LEAVE:
	case SMQ_KS_LIST:
	case SMQ_KS_MEMBERS:
	case SMQ_KS_EXPEL:
	case SMQ_KS_UNREGISTER:
	case SMQ_KS_REGISTERED:
		return 4;
	case SMQ_KS_SHOW:
	case SMQ_KS_ROTATE:
		return 3;
	}
	return 0;
}

/* Questions about all that a key server knows. */
static bool names_no_group(enum smq_ks_what what) { return what == SMQ_KS_LIST || what >= SMQ_KS_REGISTER; }

static bool group_valid(enum smq_ks_what what, smq_span group)
{
	if (names_no_group(what))
		return group.len == 0;
	return smq_name_valid(group) || (group.len == 0 && (what == SMQ_KS_EXPEL || what == SMQ_KS_POLICY));
}

static bool valid(const struct smq_ks_request *q)
{
	if (field_count(q->what) == 0 || !group_valid(q->what, q->group))
		return false;
	switch (q->what) {
	case SMQ_KS_JOIN:
		return q->roles >= 1 && q->roles <= ROLES_ALL && q->from_ms >= 0 && q->until_ms > q->from_ms;
	case SMQ_KS_FETCH:
		return q->node_count <= SMQ_KS_FETCH_NODES_MAX && q->sender_count <= SMQ_KS_FETCH_SENDERS_MAX;
	case SMQ_KS_REGISTER:
		return smq_name_valid(q->name) && q->key[0] == 4;
	case SMQ_KS_REGISTER_MANY:
		return q->keys.len > 0;
	case SMQ_KS_EXPEL:
	case SMQ_KS_UNREGISTER:
		return smq_name_valid(q->name);
	default:
		return true;
	}
}

/* ---- encoding ---- */

static void put_fetch(struct smq_writer *w, const struct smq_ks_request *q)
{
	smq_cbor_put_array(w, q->node_count);
	for (size_t i = 0; i < q->node_count; i++) {
		smq_cbor_put_array(w, 2);
		smq_cbor_put_uint(w, q->nodes[i].height);
		smq_cbor_put_uint(w, q->nodes[i].index);
	}
	smq_cbor_put_array(w, q->sender_count);
	for (size_t i = 0; i < q->sender_count; i++)
		smq_cbor_put_uint(w, q->senders[i]);
}

static void put_rest(struct smq_writer *w, const struct smq_ks_request *q)
{
	switch (q->what) {
	case SMQ_KS_JOIN:
		smq_cbor_put_uint(w, q->roles);
		smq_put_time(w, q->from_ms);
		smq_put_end(w, q->until_ms);
		smq_cbor_put_bytes(w, smq_span_of(q->boot_id, sizeof(q->boot_id)));
		break;
	case SMQ_KS_LEAVE:
		smq_cbor_put_bytes(w, smq_span_of(q->boot_id, sizeof(q->boot_id)));
		break;
	case SMQ_KS_FETCH:
		put_fetch(w, q);
		break;
	case SMQ_KS_POLICY:
		smq_cbor_put_bytes(w, q->policy);
		smq_cbor_put_bytes(w, q->admin);
		break;
	case SMQ_KS_LIST:
	case SMQ_KS_MEMBERS:
	case SMQ_KS_REGISTERED:
		smq_cbor_put_uint(w, q->offset);
		break;
	case SMQ_KS_REGISTER:
		smq_cbor_put_text(w, q->name);
		smq_cbor_put_bytes(w, smq_span_of(q->key, sizeof(q->key)));
		break;
	case SMQ_KS_REGISTER_MANY:
		smq_cbor_put_uint(w, q->commit ? 1 : 0);
		smq_cbor_put_bytes(w, q->keys);
		break;
	case SMQ_KS_EXPEL:
	case SMQ_KS_UNREGISTER:
		smq_cbor_put_text(w, q->name);
		break;
	case SMQ_KS_SHOW:
	case SMQ_KS_ROTATE:
		break;
	}
}

smq_err smq_ks_request_encode(const struct smq_ks_request *q, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (!valid(q))
		return SMQ_ERR_USAGE;
	smq_cbor_put_array(&w, field_count(q->what));
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_uint(&w, q->what);
	smq_cbor_put_text(&w, q->group);
	put_rest(&w, q);
	return smq_writer_end(&w, ret_len);
}

/* ---- decoding ---- */

static void get_fetch(struct smq_reader *r, struct smq_ks_request *q)
{
	q->node_count = smq_get_count(r, SMQ_KS_FETCH_NODES_MAX);
	for (size_t i = 0; i < q->node_count; i++) {
		if (smq_cbor_get_array(r) != 2)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		q->nodes[i].height = (unsigned)smq_get_between(r, 1, SMQ_TREE_HEIGHT_MAX);
		q->nodes[i].index = smq_get_between(r, 0, UINT64_C(1) << (2 * SMQ_TREE_HEIGHT_MAX));
	}
	q->sender_count = smq_get_count(r, SMQ_KS_FETCH_SENDERS_MAX);
	for (size_t i = 0; i < q->sender_count; i++)
		q->senders[i] = smq_cbor_get_uint(r);
}

static void get_rest(struct smq_reader *r, struct smq_ks_request *q)
{
	switch (q->what) {
	case SMQ_KS_JOIN:
		q->roles = (unsigned)smq_get_between(r, 1, ROLES_ALL);
		q->from_ms = smq_get_time(r);
		q->until_ms = smq_get_end(r);
		smq_get_fixed(r, smq_mspan_of(q->boot_id, sizeof(q->boot_id)));
		break;
	case SMQ_KS_LEAVE:
		smq_get_fixed(r, smq_mspan_of(q->boot_id, sizeof(q->boot_id)));
		break;
	case SMQ_KS_FETCH:
		get_fetch(r, q);
		break;
	case SMQ_KS_POLICY:
		q->policy = smq_cbor_get_bytes(r);
		q->admin = smq_cbor_get_bytes(r);
		break;
	case SMQ_KS_LIST:
	case SMQ_KS_MEMBERS:
	case SMQ_KS_REGISTERED:
		q->offset = smq_cbor_get_uint(r);
		break;
	case SMQ_KS_REGISTER:
		q->name = smq_get_name(r);
		smq_get_fixed(r, smq_mspan_of(q->key, sizeof(q->key)));
		break;
	case SMQ_KS_REGISTER_MANY:
		q->commit = smq_get_between(r, 0, 1) == 1;
		q->keys = smq_cbor_get_bytes(r);
		break;
	case SMQ_KS_EXPEL:
	case SMQ_KS_UNREGISTER:
		q->name = smq_get_name(r);
		break;
	case SMQ_KS_SHOW:
	case SMQ_KS_ROTATE:
		break;
	}
}

smq_err smq_ks_request_decode(smq_span bytes, struct smq_ks_request *ret_request)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct smq_ks_request q = { .what = 0 };
	size_t fields = smq_cbor_get_array(&r);
	if (smq_cbor_get_uint(&r) != VERSION)
		smq_reader_fail(&r, SMQ_ERR_VERSION);
	q.what = (enum smq_ks_what)smq_get_between(&r, SMQ_KS_JOIN, SMQ_KS_REGISTER_MANY);
	if (field_count(q.what) != fields)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	q.group = smq_cbor_get_text(&r);
	if (r.err == SMQ_OK)
		get_rest(&r, &q);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK && !valid(&q))
		err = group_valid(q.what, q.group) ? SMQ_ERR_MALFORMED : SMQ_ERR_NAME;
	if (err == SMQ_OK)
		*ret_request = q;
	return err;
}

/* ---- keys ---- */

smq_err smq_ks_keys_encode(const struct smq_ks_key *keys, size_t count, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (count == 0 || count > SMQ_KS_KEYS_MAX)
		return SMQ_ERR_USAGE;
	smq_cbor_put_array(&w, count);
	for (size_t i = 0; i < count; i++) {
		if (!smq_name_valid(keys[i].name) || keys[i].key[0] != 4)
			return SMQ_ERR_USAGE;
		smq_cbor_put_array(&w, 2);
		smq_cbor_put_text(&w, keys[i].name);
		smq_cbor_put_bytes(&w, smq_span_of(keys[i].key, sizeof(keys[i].key)));
	}
	return smq_writer_end(&w, ret_len);
}

smq_err smq_ks_keys_decode(smq_span bytes, struct smq_ks_key ret_keys[SMQ_KS_KEYS_MAX], size_t *ret_count)
{
	struct smq_reader r = smq_reader_on(bytes);
	size_t count = smq_get_count(&r, SMQ_KS_KEYS_MAX);
	if (count == 0)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	for (size_t i = 0; i < count && r.err == SMQ_OK; i++) {
		if (smq_cbor_get_array(&r) != 2)
			smq_reader_fail(&r, SMQ_ERR_MALFORMED);
		ret_keys[i].name = smq_get_name(&r);
		smq_get_fixed(&r, smq_mspan_of(ret_keys[i].key, sizeof(ret_keys[i].key)));
		if (r.err == SMQ_OK && ret_keys[i].key[0] != 4)
			smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	}
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_count = count;
	return err;
}
