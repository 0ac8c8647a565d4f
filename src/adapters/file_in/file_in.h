/* Bulk input from a file or standard input, through stdio. */
#ifndef SMQ_ADAPTERS_FILE_IN_FILE_IN_H
#define SMQ_ADAPTERS_FILE_IN_FILE_IN_H

#include "app/bytes_in.h"

/* path "-" is standard input, which close() leaves open. ret_why (why_len bytes): "PATH: what is wrong", printable. */
SMQ_MUST_USE smq_err smq_file_in_open(const char *path, struct smq_bytes_in *ret_in, char *ret_why, size_t why_len);

#endif
