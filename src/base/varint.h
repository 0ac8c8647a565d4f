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
void smq_write_varint(struct smq_writer *w, uint64_t value);
/* Longer than necessary, or longer than 8 bytes: SMQ_ERR_MALFORMED. */
uint64_t smq_read_varint(struct smq_reader *r);

#endif
