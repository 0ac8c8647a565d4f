/* Rows as PostgreSQL's binary arrays. */
#include "array_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/big_endian.h"

enum { HEAD = 20, ROOM_FIRST = 4096 };

/* Type numbers that PostgreSQL never changes: of the arrays, and of what is in them. */
static const struct {
	uint32_t array, element;
} types[] = { [ARRAY_NUMBERS] = { 1016, 20 }, [ARRAY_BYTES] = { 1001, 17 }, [ARRAY_TEXTS] = { 1009, 25 } };

/* Room for so many more bytes behind what is there; NULL: none. */
static uint8_t *extend(struct array_column *c, size_t more)
{
	size_t room = c->room ? c->room : ROOM_FIRST;
	while (room < c->len + more)
		room *= 2;
	if (room > c->room) {
		uint8_t *p = realloc(c->p, room);
		if (!p)
			return NULL;
		c->p = p;
		c->room = room;
	}
	c->len += more;
	return c->p + c->len - more;
}

/* The next value of the row that is being made. */
static void put(struct array_rows *a, enum array_kind kind, const uint8_t *bytes, size_t len, bool is_null)
{
	if (a->failed || a->at >= ARRAY_COLUMNS_MAX)
		return;
	struct array_column *c = &a->columns[a->at++];
	if (c->len == 0)
		a->failed = !extend(c, HEAD);
	uint8_t *to = a->failed ? NULL : extend(c, 4 + len);
	a->failed = !to;
	if (!to)
		return;
	c->kind = kind;
	c->elements++;
	smq_put_be(to, is_null ? UINT32_MAX : len, 4);
	if (len > 0)
		memcpy(to + 4, bytes, len);
}

void array_number(struct array_rows *a, int64_t number)
{
	uint8_t bytes[8];
	smq_put_be(bytes, (uint64_t)number, sizeof(bytes));
	put(a, ARRAY_NUMBERS, bytes, sizeof(bytes), false);
}

void array_bytes(struct array_rows *a, enum array_kind kind, smq_span bytes)
{
	put(a, kind, bytes.p, bytes.len, false);
}

void array_null(struct array_rows *a, enum array_kind kind) { put(a, kind, NULL, 0, true); }

smq_err array_row_end(struct array_rows *a)
{
	a->at = 0;
	a->rows++;
	return a->failed ? SMQ_ERR_NO_MEMORY : SMQ_OK;
}

smq_span array_column(struct array_rows *a, size_t column, uint32_t *ret_type)
{
	struct array_column *c = &a->columns[column];
	smq_put_be(c->p, 1, 4);     /* dimensions */
	smq_put_be(c->p + 4, 1, 4); /* there may be NULLs */
	smq_put_be(c->p + 8, types[c->kind].element, 4);
	smq_put_be(c->p + 12, c->elements, 4);
	smq_put_be(c->p + 16, 1, 4); /* the first has number 1 */
	*ret_type = types[c->kind].array;
	return smq_span_of(c->p, c->len);
}

void array_clear(struct array_rows *a)
{
	for (size_t i = 0; i < ARRAY_COLUMNS_MAX; i++) {
		a->columns[i].len = 0;
		a->columns[i].elements = 0;
	}
	a->rows = a->at = 0;
	a->failed = false;
}

void array_free(struct array_rows *a)
{
	for (size_t i = 0; i < ARRAY_COLUMNS_MAX; i++)
		free(a->columns[i].p);
	*a = (struct array_rows){ 0 };
}
