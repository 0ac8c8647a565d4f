/*
 * The CA's log (FORMATS.md 1.3): one line for each certificate, written and synced before the certificate exists.
 *
 * Lines are only ever appended. Its lock is the CA's: who holds the log open for writing is alone.
 */
#ifndef SMQ_LIB_CA_LOG_H
#define SMQ_LIB_CA_LOG_H

#include <sealmq/ca.h>

/* Opens and locks; waits for whoever holds it. The descriptor is closed by the caller. */
SMQ_MUST_USE smq_err smq_ca_log_open(const char *dir, int *ret_fd, char *ret_why, size_t why_len);
SMQ_MUST_USE smq_err smq_ca_log_append(int fd, const struct smq_ca_issued *issued, char *ret_why, size_t why_len);
/* What append writes, for the first line of a new log. Returns its length. */
size_t smq_ca_log_line(const struct smq_ca_issued *issued, char *ret_line, size_t room);
SMQ_MUST_USE smq_err smq_ca_log_read(const char *dir, void (*each)(void *self, const struct smq_ca_issued *issued),
				     void *self, char *ret_why, size_t why_len);

#endif
