/* What the key server's processes say to each other, taken apart strictly. */
#include "adapters/pipe_posix/frame.h"

#include <stdbool.h>

#include "base/reader.h"
#include "base/writer.h"

/* Of each kind its fields: n a number, t a text, b bytes. */
static const char *const shapes[SMQ_FRAME_KINDS] = {
	[SMQ_FRAME_BEGIN] = "",    [SMQ_FRAME_COMMIT] = "",     [SMQ_FRAME_ROLLBACK] = "",
	[SMQ_FRAME_PUT] = "ntnnb", [SMQ_FRAME_REMOVE] = "ntnn", [SMQ_FRAME_GET] = "ntnnn",
	[SMQ_FRAME_EACH] = "nnt",  [SMQ_FRAME_AUDIT] = "ntttt", [SMQ_FRAME_SIGNED] = "nb",
	[SMQ_FRAME_RESULT] = "n",  [SMQ_FRAME_VALUE] = "b",     [SMQ_FRAME_ITEM] = "nntb",
	[SMQ_FRAME_SIGN] = "b",    [SMQ_FRAME_HELLO] = "n",     [SMQ_FRAME_ONLINE] = "",
	[SMQ_FRAME_OFFLINE] = "n", [SMQ_FRAME_MESSAGE] = "ntb", [SMQ_FRAME_PUBLISHED] = "nn",
	[SMQ_FRAME_DENIED] = "",   [SMQ_FRAME_SUBSCRIBE] = "t", [SMQ_FRAME_PUBLISH] = "nntb",
	[SMQ_FRAME_ANEW] = "",     [SMQ_FRAME_STATUS] = "ntb",
};

static void put_number(struct smq_writer *w, uint64_t n, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		smq_write_u8(w, (uint8_t)(n >> (8 * i)));
}

static uint64_t get_number(struct smq_reader *r, int bytes)
{
	uint64_t n = 0;
	for (int i = 0; i < bytes; i++)
		n = n << 8 | smq_read_u8(r);
	return n;
}

static bool is_text(smq_span s) { return s.len <= SMQ_FRAME_TEXT_MAX && (s.len == 0 || !memchr(s.p, 0, s.len)); }

static void put_part(struct smq_writer *w, smq_span part, bool text)
{
	if (text && !is_text(part))
		smq_writer_fail(w, SMQ_ERR_TOO_LARGE);
	put_number(w, part.len, 4);
	smq_write(w, part);
	if (text)
		smq_write_u8(w, 0);
}

static smq_span get_part(struct smq_reader *r, bool text)
{
	smq_span part = smq_read(r, (size_t)get_number(r, 4));
	if (text && (!is_text(part) || smq_read_u8(r) != 0))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	return part;
}

smq_err smq_frame_encode(const struct smq_frame *f, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	size_t numbers = 0, parts = 0;
	smq_write_u8(&w, (uint8_t)f->kind);
	for (const char *field = shapes[f->kind]; *field; field++) {
		if (*field == 'n')
			put_number(&w, f->numbers[numbers++], 8);
		else
			put_part(&w, f->parts[parts++], *field == 't');
	}
	return smq_writer_end(&w, ret_len);
}

smq_err smq_frame_decode(smq_span bytes, struct smq_frame *ret_frame)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct smq_frame f = { .kind = (enum smq_frame_kind)smq_read_u8(&r) };
	size_t numbers = 0, parts = 0;
	if (f.kind < SMQ_FRAME_BEGIN || f.kind >= SMQ_FRAME_KINDS)
		return SMQ_ERR_MALFORMED;
	for (const char *field = shapes[f.kind]; *field; field++) {
		if (*field == 'n')
			f.numbers[numbers++] = get_number(&r, 8);
		else
			f.parts[parts++] = get_part(&r, *field == 't');
	}
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_frame = f;
	return err;
}

smq_err smq_frame_err(uint64_t number, smq_err *ret_err)
{
	smq_err err = (smq_err)number;
	if (number > SMQ_ERR_BUG || (number != SMQ_ERR_BUG && smq_err_name(err) == smq_err_name(SMQ_ERR_BUG)))
		return SMQ_ERR_MALFORMED;
	*ret_err = err;
	return SMQ_OK;
}
