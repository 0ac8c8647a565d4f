/* Many public keys in one CSV file: `member,key`, a row each. */
#include "lib/admin_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/admin.h>
#include <sealmq/text.h>

#include "adapters/crypto_openssl/signer.h"
#include "adapters/file_in/file_in.h"
#include "app/csv.h"
#include "lib/files.h"

enum { LINE_MAX = 4096, COLUMNS = 2 };
/* How a public key of P-256 begins in DER, and so in the base64 of its PEM: never a file's name by chance. */
static const char inline_key[] = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";

struct reading {
	struct smq_key_rows rows;
	const char *csv_file;
	void *self;
	void (*bad_row)(void *self, uint64_t line, const char *why);
};

/* ---- one key ---- */

static smq_err point_of(smq_span pem, const char *file, uint8_t ret_point[SMQ_PUBLIC_KEY_MAX], char *why,
			size_t why_len)
{
	smq_err err = smq_openssl_p256_from_pem(pem, ret_point);
	if (err == SMQ_ERR_UNSAFE_FILE)
		return smq_because(
		    err, why, why_len,
		    "%s: a private key, which stays with its member; register the public one, member.pub", file);
	return err == SMQ_OK ? err : smq_because(err, why, why_len, "%s: not a public key of P-256 in PEM", file);
}

smq_err smq_key_file_read(const char *file, uint8_t ret_point[SMQ_PUBLIC_KEY_MAX], char *why, size_t why_len)
{
	struct smq_file_bytes pem = { NULL, 0 };
	smq_err err = smq_file_read(file, false, &pem, why, why_len);
	if (err != SMQ_OK)
		return err;
	err = point_of(smq_span_of(pem.p, pem.len), file, ret_point, why, why_len);
	smq_file_bytes_free(&pem);
	return err;
}

/* From where the CSV file lies. */
static smq_err key_path(const char *csv_file, smq_span name, char ret_path[SMQ_PATH_MAX])
{
	const char *slash = strrchr(csv_file, '/');
	int dir = name.len > 0 && name.p[0] == '/' ? 0 : slash ? (int)(slash - csv_file) + 1 : 0;
	int len = snprintf(ret_path, SMQ_PATH_MAX, "%.*s%.*s", dir, csv_file, (int)name.len, (const char *)name.p);
	return len < SMQ_PATH_MAX ? SMQ_OK : SMQ_ERR_TOO_LARGE;
}

static smq_err read_key(const struct reading *r, smq_span text, uint8_t ret_point[SMQ_PUBLIC_KEY_MAX], char *why,
			size_t why_len)
{
	char path[SMQ_PATH_MAX], pem[LINE_MAX];
	bool is_inline = text.len >= sizeof(inline_key) - 1 && memcmp(text.p, inline_key, sizeof(inline_key) - 1) == 0;
	if (text.len == 0)
		return smq_because(SMQ_ERR_DATA, why, why_len, "without a key");
	if (is_inline && text.len < 200) {
		int len = snprintf(pem, sizeof(pem), "-----BEGIN PUBLIC KEY-----\n%.*s\n-----END PUBLIC KEY-----\n",
				   (int)text.len, (const char *)text.p);
		return point_of(smq_span_of((const uint8_t *)pem, (size_t)len), "this", ret_point, why, why_len);
	}
	smq_err err = key_path(r->csv_file, text, path);
	return err == SMQ_OK ? smq_key_file_read(path, ret_point, why, why_len)
			     : smq_because(err, why, why_len, "the file's name is too long");
}

/* ---- rows ---- */

static void bad(struct reading *r, uint64_t line, const char *why)
{
	r->rows.bad++;
	if (r->bad_row)
		r->bad_row(r->self, line, why);
}

static struct smq_key_row *add_row(struct reading *r)
{
	struct smq_key_rows *rows = &r->rows;
	if (rows->count == rows->room) {
		size_t room = rows->room ? 2 * rows->room : 64;
		struct smq_key_row *all = realloc(rows->all, room * sizeof(*all));
		if (!all)
			return NULL;
		rows->all = all;
		rows->room = room;
	}
	return &rows->all[rows->count];
}

static smq_err take_row(struct reading *r, const struct smq_csv_row *row)
{
	char why[SMQ_WHY_MAX];
	struct smq_key_row *to = add_row(r);
	if (!to)
		return SMQ_ERR_NO_MEMORY;
	if (row->count != COLUMNS) {
		bad(r, row->line, "not two values: a member and its key");
		return SMQ_OK;
	}
	smq_span name = row->fields[0].text;
	if (!smq_name_valid(name)) {
		bad(r, row->line, "no name: those are 1 to 64 of A-Z a-z 0-9 - _");
		return SMQ_OK;
	}
	if (read_key(r, row->fields[1].text, to->point, why, sizeof(why)) != SMQ_OK) {
		bad(r, row->line, why);
		return SMQ_OK;
	}
	memcpy(to->name, name.p, name.len);
	to->name[name.len] = 0;
	to->line = row->line;
	r->rows.count++;
	return SMQ_OK;
}

static bool is_heading(const struct smq_csv_row *row)
{
	return row->count == COLUMNS && smq_span_equal(row->fields[0].text, smq_span_str("member")) &&
	       smq_span_equal(row->fields[1].text, smq_span_str("key"));
}

static smq_err take_rows(struct reading *r, struct smq_csv *csv, char *why, size_t why_len)
{
	struct smq_csv_row row = { .line = 1 };
	smq_err err = smq_csv_next(csv, &row);
	if (err == SMQ_ERR_NOT_FOUND || err == SMQ_ERR_DATA || (err == SMQ_OK && !is_heading(&row)))
		return smq_because(SMQ_ERR_DATA, why, why_len, "%s: its first line is to be: member,key", r->csv_file);
	while (err == SMQ_OK || err == SMQ_ERR_DATA) {
		err = smq_csv_next(csv, &row);
		if (err == SMQ_ERR_DATA)
			bad(r, row.line, row.reason);
		else if (err == SMQ_OK && r->rows.count == SMQ_REGISTER_MAX)
			return smq_because(SMQ_ERR_TOO_LARGE, why, why_len, "%s: more than %d keys", r->csv_file,
					   SMQ_REGISTER_MAX);
		else if (err == SMQ_OK)
			err = take_row(r, &row);
	}
	return err == SMQ_ERR_NOT_FOUND ? SMQ_OK
					: smq_because(err, why, why_len, "%s: %s", r->csv_file, smq_err_text(err));
}

/* ---- the same twice ---- */

static int by_name(const void *a, const void *b)
{
	const struct smq_key_row *const *x = a, *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);
	return order ? order : ((*x)->line > (*y)->line) - ((*x)->line < (*y)->line);
}

static int by_key(const void *a, const void *b)
{
	const struct smq_key_row *const *x = a, *const *y = b;
	int order = memcmp((*x)->point, (*y)->point, sizeof((*x)->point));
	return order ? order : ((*x)->line > (*y)->line) - ((*x)->line < (*y)->line);
}

static smq_err find_twice(struct reading *r)
{
	struct smq_key_rows *rows = &r->rows;
	char why[96];
	const struct smq_key_row **order = calloc(rows->count + 1, sizeof(*order));
	if (!order)
		return SMQ_ERR_NO_MEMORY;
	for (int names = 0; names <= 1; names++) {
		for (size_t i = 0; i < rows->count; i++)
			order[i] = &rows->all[i];
		qsort(order, rows->count, sizeof(*order), names ? by_name : by_key);
		for (size_t i = 1; i < rows->count; i++) {
			bool same = names ? strcmp(order[i]->name, order[i - 1]->name) == 0
					  : memcmp(order[i]->point, order[i - 1]->point, sizeof(order[i]->point)) == 0;
			snprintf(why, sizeof(why), "the same %s as in line %llu", names ? "name" : "key",
				 (unsigned long long)order[i - 1]->line);
			if (same)
				bad(r, order[i]->line, why);
		}
	}
	free(order);
	return SMQ_OK;
}

smq_err smq_key_rows_read(const char *csv_file, void *self, void (*bad_row)(void *self, uint64_t line, const char *why),
			  struct smq_key_rows *ret_rows, char *why, size_t why_len)
{
	struct reading r = { .csv_file = csv_file, .self = self, .bad_row = bad_row };
	struct smq_bytes_in in;
	struct smq_csv csv;
	smq_err err = smq_file_in_open(csv_file, &in, why, why_len);
	if (err != SMQ_OK)
		return err;
	err = smq_csv_init(&csv, &in, LINE_MAX, COLUMNS);
	if (err == SMQ_OK) {
		err = take_rows(&r, &csv, why, why_len);
		smq_csv_done(&csv);
	} else {
		(void)smq_because(err, why, why_len, "%s: %s", csv_file, smq_err_text(err));
	}
	if (in.close)
		in.close(in.self);
	if (err == SMQ_OK && find_twice(&r) != SMQ_OK)
		err = smq_because(SMQ_ERR_NO_MEMORY, why, why_len, "out of memory");
	if (err == SMQ_OK && r.rows.count == 0 && r.rows.bad == 0)
		err = smq_because(SMQ_ERR_DATA, why, why_len, "%s: no key in it", csv_file);
	if (err != SMQ_OK) {
		smq_key_rows_free(&r.rows);
		return err;
	}
	*ret_rows = r.rows;
	return SMQ_OK;
}

void smq_key_rows_free(struct smq_key_rows *rows)
{
	free(rows->all);
	*rows = (struct smq_key_rows){ 0 };
}
