/* Prefix varints (PROTOCOL.md 3.2). */
#include "base/varint.h"

size_t smq_varint_len(uint64_t value)
{
	size_t len = 1;
	while (len < SMQ_VARINT_MAX_LEN && value >> (7 * len) != 0)
		len++;
	return len;
}

void smq_write_varint_long(struct smq_writer *w, uint64_t value)
{
	if (value >= 0x80 && value < 0x4000) {
		uint8_t *two = smq_write_reserve(w, 2);
		if (two) {
			two[0] = (uint8_t)(0x80 | value >> 8);
			two[1] = (uint8_t)value;
		}
		return;
	}
	size_t len = smq_varint_len(value);
	if (value > SMQ_VARINT_MAX) {
		smq_writer_fail(w, SMQ_ERR_TOO_LARGE);
		return;
	}
	uint8_t *at = smq_write_reserve(w, len);
	if (!at)
		return;
	for (size_t i = len; i-- > 0; value >>= 8)
		at[i] = (uint8_t)value;
	at[0] |= (uint8_t)(0xff00u >> (len - 1));
}

/* The number of leading one bits. */
static size_t following(uint8_t first)
{
	return first == 0xff ? 8 : (size_t)__builtin_clz((uint32_t)(uint8_t)~first) - 24;
}

uint64_t smq_read_varint_long(struct smq_reader *r)
{
	uint8_t first = smq_read_u8(r);
	size_t more = following(first);
	if (more >= SMQ_VARINT_MAX_LEN) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return 0;
	}
	smq_span rest = smq_read(r, more);
	if (r->err != SMQ_OK)
		return 0;
	uint64_t value = first & (0x7fu >> more);
	for (size_t i = 0; i < rest.len; i++)
		value = value << 8 | rest.p[i];
	if (smq_varint_len(value) != more + 1) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return 0;
	}
	return value;
}
