/* Columns and JSON on the way out. */
#include "cli/print.h"

#include <stdlib.h>

#include <sealmq/text.h>

enum { CELL_MAX = 400, JSON_MAX = 256 << 20 };

/* Continuation bytes of UTF-8 take no place; wide letters are counted as one, which no harm comes of. */
static size_t places(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Cuts so that at most `max` places remain, the last ones "..". */
static void cut(char *text, size_t max)
{
	size_t n = 0;
	char *p = text;
	if (places(text) <= max || max < 2)
		return;
	for (; *p; p++) {
		n += ((unsigned char)*p & 0xc0) != 0x80;
		if (n > max - 2)
			break;
	}
	p[0] = '.';
	p[1] = '.';
	p[2] = 0;
}

static void make_cell(const char *text, size_t width_max, char ret_text[CELL_MAX + 4])
{
	(void)smq_escape(smq_span_str(text), ret_text, CELL_MAX);
	cut(ret_text, width_max);
}

size_t print_width(const char *text, size_t width_max)
{
	char cell[CELL_MAX + 4];
	make_cell(text, width_max, cell);
	return places(cell);
}

void print_cell(FILE *out, const char *text, size_t width, size_t width_max)
{
	char cell[CELL_MAX + 4];
	make_cell(text, width_max, cell);
	size_t taken = places(cell);
	(void)fprintf(out, "%s%*s", cell, taken < width ? (int)(width - taken) : 0, "");
}

smq_err print_json(FILE *out, void (*write)(struct smq_json *j, const void *of), const void *of)
{
	smq_err err = SMQ_ERR_NO_ROOM;
	for (size_t room = 1 << 16; err == SMQ_ERR_NO_ROOM && room <= JSON_MAX; room *= 4) {
		size_t len;
		char *text = malloc(room);
		if (!text)
			return SMQ_ERR_NO_MEMORY;
		struct smq_json j = smq_json_on(smq_mspan_of(text, room));
		write(&j, of);
		err = smq_json_finish(&j, &len);
		if (err == SMQ_OK)
			(void)fprintf(out, "%s\n", text);
		free(text);
	}
	return err;
}
