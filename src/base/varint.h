/*
 * Prefix varints (PROTOCOL.md 3.2): the number of leading one bits of the first
 * byte is the number of bytes that follow it; big endian; shortest form only.
 * 1 byte holds 7 bits, 2 hold 14, 3 hold 21, ..., 8 hold 56.
 */
#ifndef SMQ_BASE_VARINT_H
#define SMQ_BASE_VARINT_H

#include "base/reader.h"
#include "base/writer.h"

#define SMQ_VARINT_MAX ((UINT64_C(1) << 56) - 1)
#define SMQ_VARINT_MAX_LEN 8

size_t smq_varint_len(uint64_t value);
/* Values above SMQ_VARINT_MAX fail with SMQ_ERR_TOO_LARGE. */
void smq_write_varint_long(struct smq_writer *w, uint64_t value);
static inline void smq_write_varint(struct smq_writer *w, uint64_t value)
{
	if (value < 0x80) /* most of them */
		smq_write_u8(w, (uint8_t)value);
	else
		smq_write_varint_long(w, value);
}
/* Longer than necessary, or longer than 8 bytes: SMQ_ERR_MALFORMED. */
uint64_t smq_read_varint_long(struct smq_reader *r);
static inline uint64_t smq_read_varint(struct smq_reader *r)
{
	if (r->err == SMQ_OK && r->left > 0 && r->p[0] < 0x80)
		return smq_read_u8(r);
	return smq_read_varint_long(r);
}

#endif
