/* The node message of a group's key tree (PROTOCOL.md 6.2). */
#include "wire/tree_node.h"

#include "wire/cbor.h"

enum { VERSION = 1, FIELDS = 7 };

static unsigned children_there(const struct smq_tree_node_message *m)
{
	unsigned mask = 0;
	for (unsigned i = 0; i < SMQ_TREE_ARITY; i++)
		mask |= m->wraps[i].there ? 1u << i : 0;
	return mask;
}

static size_t count_bits(unsigned mask)
{
	size_t count = 0;
	for (; mask; mask >>= 1)
		count += mask & 1;
	return count;
}

smq_err smq_tree_node_encode(const struct smq_tree_node_message *m, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	unsigned mask = children_there(m);
	size_t count = count_bits(mask);
	smq_cbor_put_array(&w, FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_uint(&w, m->height);
	smq_cbor_put_uint(&w, m->index);
	smq_cbor_put_uint(&w, m->epoch);
	smq_cbor_put_uint(&w, mask);
	smq_cbor_put_array(&w, count);
	for (unsigned i = 0; i < SMQ_TREE_ARITY; i++) {
		if (m->wraps[i].there)
			smq_cbor_put_uint(&w, m->wraps[i].version);
	}
	smq_cbor_put_bytes_head(&w, count * SMQ_TREE_WRAP_LEN);
	for (unsigned i = 0; i < SMQ_TREE_ARITY; i++) {
		if (m->wraps[i].there)
			smq_write(&w, smq_span_of(m->wraps[i].bytes, SMQ_TREE_WRAP_LEN));
	}
	return smq_writer_end(&w, ret_len);
}

static void read_wraps(struct smq_reader *r, unsigned mask, struct smq_tree_node_message *ret_message)
{
	if (smq_cbor_get_array(r) != count_bits(mask))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	for (unsigned i = 0; i < SMQ_TREE_ARITY; i++) {
		ret_message->wraps[i].there = mask >> i & 1;
		if (ret_message->wraps[i].there)
			ret_message->wraps[i].version = smq_cbor_get_uint(r);
	}
	smq_span bytes = smq_cbor_get_bytes(r);
	if (bytes.len != count_bits(mask) * SMQ_TREE_WRAP_LEN) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return;
	}
	for (unsigned i = 0; i < SMQ_TREE_ARITY; i++) {
		if (!ret_message->wraps[i].there)
			continue;
		memcpy(ret_message->wraps[i].bytes, bytes.p, SMQ_TREE_WRAP_LEN);
		bytes.p += SMQ_TREE_WRAP_LEN;
	}
}

smq_err smq_tree_node_decode(smq_span bytes, struct smq_tree_node_message *ret_message)
{
	struct smq_tree_node_message m = { 0 };
	struct smq_reader r = smq_reader_on(bytes);
	if (smq_cbor_get_array(&r) != FIELDS)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	if (smq_cbor_get_uint(&r) != VERSION)
		smq_reader_fail(&r, SMQ_ERR_VERSION);
	uint64_t height = smq_cbor_get_uint(&r);
	m.index = smq_cbor_get_uint(&r);
	m.epoch = smq_cbor_get_uint(&r);
	uint64_t mask = smq_cbor_get_uint(&r);
	if (height < 1 || height > SMQ_TREE_HEIGHT_MAX || mask < 1 || mask >= 1u << SMQ_TREE_ARITY) {
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
		mask = 0;
	}
	m.height = (unsigned)height;
	read_wraps(&r, (unsigned)mask, &m);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_message = m;
	return err;
}
