/* The items of a file of evidence (FORMATS.md 9). */
#include "wire/evidence_items.h"

#include "wire/cbor.h"
#include "wire/fields.h"

enum { VERSION = 1, STAMP_MAX = 0xffffff };

/* ---- writing ---- */

static void put_lists(struct smq_writer *w, uint64_t lists)
{
	if (lists == SMQ_EVIDENCE_NONE)
		smq_cbor_put_null(w);
	else
		smq_cbor_put_uint(w, lists);
}

static void put_proof(struct smq_writer *w, const struct smq_evidence_item *i)
{
	if (i->signature.len == 0) {
		smq_cbor_put_array(w, i->checkpoint_count);
		for (size_t k = 0; k < i->checkpoint_count; k++)
			smq_cbor_put_uint(w, i->checkpoints[k]);
		return;
	}
	smq_cbor_put_array(w, 3);
	smq_cbor_put_bytes(w, i->signature);
	smq_cbor_put_uint(w, i->certificate);
	put_lists(w, i->lists);
}

static void put_message(struct smq_writer *w, const struct smq_evidence_item *i)
{
	smq_cbor_put_uint(w, i->stream);
	smq_cbor_put_uint(w, i->counter);
	smq_cbor_put_text(w, i->topic);
	if (i->has_stamp)
		smq_cbor_put_uint(w, i->stamp);
	else
		smq_cbor_put_null(w);
	smq_put_time(w, i->at_ms);
	smq_cbor_put_bytes(w, i->bytes);
	put_proof(w, i);
}

void smq_evidence_put(struct smq_writer *w, const struct smq_evidence_item *i)
{
	static const size_t fields[] = { 4, 2, 2, 4, 5, 8, 3 };
	smq_cbor_put_array(w, fields[i->kind]);
	if (i->kind != SMQ_EVIDENCE_HEAD)
		smq_cbor_put_uint(w, (uint64_t)i->kind);
	switch (i->kind) { /* GCOVR_EXCL_BR_LINE: these are all */
	case SMQ_EVIDENCE_HEAD:
		smq_cbor_put_text(w, smq_span_str(SMQ_EVIDENCE_MAGIC));
		smq_cbor_put_uint(w, VERSION);
		smq_cbor_put_text(w, i->realm);
		smq_put_time(w, i->at_ms);
		break;
	case SMQ_EVIDENCE_CERTIFICATE:
	case SMQ_EVIDENCE_LISTS:
		smq_cbor_put_bytes(w, i->bytes);
		break;
	case SMQ_EVIDENCE_STREAM:
		smq_cbor_put_bytes(w, i->context);
		smq_cbor_put_bytes(w, i->key);
		smq_cbor_put_bytes(w, i->base_iv);
		break;
	case SMQ_EVIDENCE_CHECKPOINT:
		smq_put_time(w, i->at_ms);
		smq_cbor_put_uint(w, i->certificate);
		put_lists(w, i->lists);
		smq_cbor_put_bytes(w, i->bytes);
		break;
	case SMQ_EVIDENCE_MESSAGE:
		put_message(w, i);
		break;
	case SMQ_EVIDENCE_END:
		smq_cbor_put_uint(w, i->counter);
		smq_cbor_put_bytes(w, i->digest);
		break;
	}
}

/* ---- reading ---- */

static uint64_t get_lists(struct smq_reader *r)
{
	if (smq_cbor_peek(r) != SMQ_CBOR_NULL)
		return smq_get_between(r, 0, UINT32_MAX);
	smq_cbor_get_null(r);
	return SMQ_EVIDENCE_NONE;
}

static smq_span get_sized(struct smq_reader *r, size_t len)
{
	smq_span s = smq_cbor_get_bytes(r);
	if (r->err == SMQ_OK && s.len != len)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	return s;
}

static void get_proof(struct smq_reader *r, struct smq_evidence_item *i)
{
	size_t count = smq_get_count(r, SMQ_EVIDENCE_CHECKPOINTS_MAX);
	i->lists = SMQ_EVIDENCE_NONE;
	if (count > 0 && smq_cbor_peek(r) == SMQ_CBOR_BYTES) {
		if (count != 3)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		i->signature = get_sized(r, SMQ_SIG_LEN);
		i->certificate = smq_get_between(r, 0, UINT32_MAX);
		i->lists = get_lists(r);
		return;
	}
	for (; i->checkpoint_count < count && r->err == SMQ_OK; i->checkpoint_count++)
		i->checkpoints[i->checkpoint_count] = smq_get_between(r, 0, UINT32_MAX);
}

static void get_message(struct smq_reader *r, struct smq_evidence_item *i)
{
	i->stream = smq_get_between(r, 0, UINT32_MAX);
	i->counter = smq_cbor_get_uint(r);
	i->topic = smq_cbor_get_text(r);
	i->has_stamp = smq_cbor_peek(r) != SMQ_CBOR_NULL;
	if (i->has_stamp)
		i->stamp = (uint32_t)smq_get_between(r, 0, STAMP_MAX);
	else
		smq_cbor_get_null(r);
	i->at_ms = smq_get_time(r);
	i->bytes = smq_cbor_get_bytes(r);
	get_proof(r, i);
}

static void get_head(struct smq_reader *r, struct smq_evidence_item *i)
{
	if (!smq_span_equal(smq_cbor_get_text(r), smq_span_str(SMQ_EVIDENCE_MAGIC)))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	if (smq_cbor_get_uint(r) != VERSION)
		smq_reader_fail(r, SMQ_ERR_VERSION);
	i->realm = smq_get_name(r);
	i->at_ms = smq_get_time(r);
}

static void get_rest(struct smq_reader *r, struct smq_evidence_item *i, uint64_t kind, size_t fields)
{
	static const size_t wanted[] = { 0, 2, 2, 4, 5, 8, 3 };
	if (kind == 0 || kind > SMQ_EVIDENCE_END || fields != wanted[kind]) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return;
	}
	i->kind = (enum smq_evidence_kind)kind;
	if (kind == SMQ_EVIDENCE_CERTIFICATE || kind == SMQ_EVIDENCE_LISTS) {
		i->bytes = smq_cbor_get_bytes(r);
	} else if (kind == SMQ_EVIDENCE_STREAM) {
		i->context = smq_cbor_get_bytes(r);
		i->key = smq_cbor_get_bytes(r);
		i->base_iv = smq_cbor_get_bytes(r);
	} else if (kind == SMQ_EVIDENCE_CHECKPOINT) {
		i->at_ms = smq_get_time(r);
		i->certificate = smq_get_between(r, 0, UINT32_MAX);
		i->lists = get_lists(r);
		i->bytes = smq_cbor_get_bytes(r);
	} else if (kind == SMQ_EVIDENCE_MESSAGE) {
		get_message(r, i);
	} else {
		i->counter = smq_cbor_get_uint(r);
		i->digest = get_sized(r, SMQ_HASH_LEN);
	}
}

smq_err smq_evidence_get(struct smq_reader *r, struct smq_evidence_item *ret_item)
{
	struct smq_evidence_item i = { .kind = SMQ_EVIDENCE_HEAD };
	size_t fields = smq_cbor_get_array(r);
	if (r->err == SMQ_OK && smq_cbor_peek(r) == SMQ_CBOR_TEXT) {
		if (fields != 4)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		get_head(r, &i);
	} else {
		uint64_t kind = smq_cbor_get_uint(r);
		if (r->err == SMQ_OK)
			get_rest(r, &i, kind, fields);
	}
	if (r->err == SMQ_OK)
		*ret_item = i;
	return r->err;
}
