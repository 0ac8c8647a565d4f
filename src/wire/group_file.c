/* The key file of a static group (FORMATS.md 3). */
#include "wire/group_file.h"

#include "base/reader.h"
#include "base/varint.h"
#include "base/wipe.h"
#include "wire/sealed.h"

/* ---- encoding ---- */

static void put_line(struct smq_writer *w, const char *word, const char *value)
{
	smq_write(w, smq_span_str(word));
	smq_write_u8(w, ' ');
	smq_write(w, smq_span_str(value));
	smq_write_u8(w, '\n');
}

static void put_number(struct smq_writer *w, const char *word, uint64_t value)
{
	char digits[21], *at = digits + sizeof(digits) - 1;
	*at = 0;
	do {
		*--at = (char)('0' + value % 10);
	} while ((value /= 10) != 0);
	put_line(w, word, at);
}

smq_err smq_group_file_encode(const struct smq_group_file *f, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	char hex[2 * SMQ_EPOCH_SECRET_LEN + 1];
	put_line(&w, "sealmq-group", "1");
	put_line(&w, "realm", f->realm);
	put_line(&w, "group", f->group);
	put_number(&w, "epoch", f->epoch);
	put_line(&w, "algorithm", f->alg->name);
	put_number(&w, "created", f->created_s);
	for (size_t i = 0; i < f->member_count; i++)
		put_line(&w, "member", f->members[i]);
	for (size_t i = 0; i < f->filter_count; i++)
		put_line(&w, "filter", f->filters[i]);
	smq_err err = smq_hex_encode(smq_span_of(f->secret.b, sizeof(f->secret.b)), hex, sizeof(hex));
	if (err != SMQ_OK) /* GCOVR_EXCL_BR_LINE: there is room */
		smq_writer_fail(&w, err);
	put_line(&w, "secret", hex);
	smq_wipe(hex, sizeof(hex));
	return smq_writer_end(&w, ret_len);
}

/* ---- decoding ---- */

struct lines {
	struct smq_reader r;
	size_t number; /* of the line taken last */
};

/* The value of the next line if it begins with this word; false, and nothing taken, if it does not. */
static bool next_line(struct lines *l, const char *word, smq_span *ret_value)
{
	size_t word_len = strlen(word);
	if (l->r.err != SMQ_OK || l->r.left < word_len + 2 || memcmp(l->r.p, word, word_len) != 0 ||
	    l->r.p[word_len] != ' ')
		return false;
	const uint8_t *value = l->r.p + word_len + 1;
	const uint8_t *end = memchr(value, '\n', l->r.left - word_len - 1);
	if (!end)
		return false;
	*ret_value = smq_span_of(value, (size_t)(end - value));
	smq_read(&l->r, (size_t)(end - l->r.p) + 1);
	l->number++;
	return true;
}

static smq_span need_line(struct lines *l, const char *word)
{
	smq_span value = smq_span_of(NULL, 0);
	if (l->r.err == SMQ_OK && !next_line(l, word, &value)) {
		l->number++;
		smq_reader_fail(&l->r, SMQ_ERR_MALFORMED);
	}
	return value;
}

static void copy_text(struct lines *l, smq_span value, bool valid, smq_err if_not, char *to, size_t room)
{
	if (l->r.err != SMQ_OK)
		return;
	if (!valid || value.len >= room) {
		smq_reader_fail(&l->r, if_not);
		return;
	}
	memcpy(to, value.p, value.len);
	to[value.len] = 0;
}

static void get_name(struct lines *l, const char *word, char to[SMQ_NAME_MAX + 1])
{
	smq_span value = need_line(l, word);
	copy_text(l, value, smq_name_valid(value), SMQ_ERR_NAME, to, SMQ_NAME_MAX + 1);
}

/* Decimal, no zeroes in front. */
static uint64_t get_number(struct lines *l, const char *word, uint64_t least)
{
	smq_span value = need_line(l, word);
	uint64_t number = 0;
	bool good = value.len >= 1 && value.len <= 17 && (value.len == 1 || value.p[0] != '0');
	for (size_t i = 0; good && i < value.len; i++) {
		good = value.p[i] >= '0' && value.p[i] <= '9';
		number = 10 * number + (uint64_t)(value.p[i] - '0');
	}
	if (!good || number < least || number > SMQ_VARINT_MAX)
		smq_reader_fail(&l->r, SMQ_ERR_MALFORMED);
	return number;
}

static void get_algorithm(struct lines *l, struct smq_group_file *f)
{
	char name[32] = "";
	smq_span value = need_line(l, "algorithm");
	copy_text(l, value, true, SMQ_ERR_ALGORITHM, name, sizeof(name));
	const struct smq_aead_alg *alg = smq_aead_alg_by_name(name);
	if (l->r.err != SMQ_OK)
		return;
	f->alg = alg ? smq_sealed_alg(alg->id) : NULL;
	if (!f->alg || strcmp(f->alg->name, name) != 0)
		smq_reader_fail(&l->r, SMQ_ERR_ALGORITHM);
}

static void get_members(struct lines *l, struct smq_group_file *f)
{
	smq_span value;
	while (next_line(l, "member", &value)) {
		if (f->member_count == SMQ_GROUP_MEMBERS_MAX) {
			smq_reader_fail(&l->r, SMQ_ERR_FULL);
			return;
		}
		char *to = f->members[f->member_count++];
		copy_text(l, value, smq_name_valid(value), SMQ_ERR_NAME, to, SMQ_NAME_MAX + 1);
		for (size_t i = 0; i + 1 < f->member_count; i++) {
			if (strcmp(f->members[i], to) == 0)
				smq_reader_fail(&l->r, SMQ_ERR_NAME);
		}
	}
	if (f->member_count == 0)
		smq_reader_fail(&l->r, SMQ_ERR_MALFORMED);
}

static void get_filters(struct lines *l, struct smq_group_file *f)
{
	smq_span value;
	while (next_line(l, "filter", &value)) {
		if (f->filter_count == SMQ_GROUP_FILTERS_MAX) {
			smq_reader_fail(&l->r, SMQ_ERR_FULL);
			return;
		}
		char *to = f->filters[f->filter_count++];
		copy_text(l, value, smq_topic_filter_valid(value), SMQ_ERR_TOPIC, to, SMQ_GROUP_FILTER_MAX + 1);
	}
}

static void get_secret(struct lines *l, struct smq_group_file *f)
{
	char hex[2 * SMQ_EPOCH_SECRET_LEN + 1] = "";
	size_t len = 0;
	smq_span value = need_line(l, "secret");
	copy_text(l, value, value.len == sizeof(hex) - 1, SMQ_ERR_MALFORMED, hex, sizeof(hex));
	for (size_t i = 0; i < sizeof(hex) - 1; i++) {
		if (hex[i] >= 'A' && hex[i] <= 'F')
			smq_reader_fail(&l->r, SMQ_ERR_MALFORMED);
	}
	if (l->r.err == SMQ_OK && smq_hex_decode(hex, smq_mspan_of(f->secret.b, sizeof(f->secret.b)), &len) != SMQ_OK)
		smq_reader_fail(&l->r, SMQ_ERR_MALFORMED);
	smq_wipe(hex, sizeof(hex));
}

smq_err smq_group_file_decode(smq_span text, struct smq_group_file *ret_file, size_t *ret_line)
{
	struct lines l = { .r = smq_reader_on(text) };
	struct smq_group_file *f = ret_file;
	memset(f, 0, sizeof(*f));
	smq_span version = need_line(&l, "sealmq-group");
	if (l.r.err == SMQ_OK && !smq_span_equal(version, smq_span_str("1")))
		smq_reader_fail(&l.r, SMQ_ERR_VERSION);
	get_name(&l, "realm", f->realm);
	get_name(&l, "group", f->group);
	f->epoch = l.r.err == SMQ_OK ? get_number(&l, "epoch", 1) : 0;
	if (l.r.err == SMQ_OK)
		get_algorithm(&l, f);
	f->created_s = l.r.err == SMQ_OK ? get_number(&l, "created", 0) : 0;
	if (l.r.err == SMQ_OK)
		get_members(&l, f);
	if (l.r.err == SMQ_OK)
		get_filters(&l, f);
	if (l.r.err == SMQ_OK)
		get_secret(&l, f);
	smq_err err = l.r.err == SMQ_OK ? smq_reader_end(&l.r) : l.r.err;
	if (err == SMQ_OK)
		return SMQ_OK;
	if (ret_line)
		*ret_line = l.number;
	smq_wipe(f, sizeof(*f));
	return err;
}
