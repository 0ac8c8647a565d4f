/* Many public keys in one CSV file, as an admin registers them. */
#ifndef SMQ_LIB_ADMIN_KEYS_H
#define SMQ_LIB_ADMIN_KEYS_H

#include <sealmq/credential.h>
#include <sealmq/err.h>

/* The point of a public key of P-256 in PEM. why (why_len bytes) says what is wrong. */
SMQ_MUST_USE smq_err smq_key_file_read(const char *file, uint8_t ret_point[SMQ_PUBLIC_KEY_MAX], char *why,
				       size_t why_len);

struct smq_key_row {
	char name[SMQ_MEMBER_NAME_MAX + 1];
	uint8_t point[SMQ_PUBLIC_KEY_MAX];
	uint64_t line;
};
struct smq_key_rows {
	struct smq_key_row *all;
	size_t count, room;
	uint64_t bad;
};
/* Rows that are wrong by themselves are told, and counted in bad. */
SMQ_MUST_USE smq_err smq_key_rows_read(const char *csv_file, void *self,
				       void (*bad_row)(void *self, uint64_t line, const char *why),
				       struct smq_key_rows *ret_rows, char *why, size_t why_len);
void smq_key_rows_free(struct smq_key_rows *rows);

#endif
