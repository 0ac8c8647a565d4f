/* Rows in PostgreSQL's binary COPY format. */
#include "copy_rows.h"

#include <stdlib.h>

#include "base/big_endian.h"

enum { ROOM_FIRST = 1 << 16 };

static const uint8_t heading[19] = "PGCOPY\n\377\r\n"; /* then flags and the length of an extension, both zero */

static void put(struct copy_rows *c, const void *bytes, size_t len)
{
	if (c->failed)
		return;
	if (c->len + len > c->room) {
		size_t room = c->room ? c->room : ROOM_FIRST;
		while (room < c->len + len)
			room *= 2;
		uint8_t *p = realloc(c->p, room);
		if (!p) {
			c->failed = true;
			return;
		}
		c->p = p;
		c->room = room;
	}
	if (len > 0)
		memcpy(c->p + c->len, bytes, len);
	c->len += len;
}

static void put_be(struct copy_rows *c, uint64_t number, size_t len)
{
	uint8_t bytes[8];
	smq_put_be(bytes, number, len);
	put(c, bytes, len);
}

void copy_row(struct copy_rows *c, int fields)
{
	if (c->len == 0)
		put(c, heading, sizeof(heading));
	put_be(c, (uint64_t)fields, 2);
	c->rows++;
}

void copy_int8(struct copy_rows *c, int64_t number)
{
	put_be(c, 8, 4);
	put_be(c, (uint64_t)number, 8);
}

void copy_float8(struct copy_rows *c, double number)
{
	uint64_t bits;
	memcpy(&bits, &number, sizeof(bits));
	put_be(c, 8, 4);
	put_be(c, bits, 8);
}

void copy_bytes(struct copy_rows *c, smq_span bytes)
{
	put_be(c, bytes.len, 4);
	put(c, bytes.p, bytes.len);
}

void copy_null(struct copy_rows *c) { put_be(c, UINT32_MAX, 4); }

smq_err copy_end(struct copy_rows *c)
{
	put_be(c, UINT16_MAX, 2);
	return c->failed ? SMQ_ERR_NO_MEMORY : SMQ_OK;
}

void copy_clear(struct copy_rows *c)
{
	c->len = c->rows = 0;
	c->failed = false;
}

void copy_free(struct copy_rows *c)
{
	free(c->p);
	*c = (struct copy_rows){ 0 };
}
