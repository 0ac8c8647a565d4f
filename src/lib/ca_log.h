/*
 * The CA's log (FORMATS.md 1.3): one line for each event, written and synced before what it is about exists.
 *
 * Lines are only ever appended. Its lock is the CA's: who holds the log open for writing is alone.
 */
#ifndef SMQ_LIB_CA_LOG_H
#define SMQ_LIB_CA_LOG_H

#include <sealmq/ca.h>

enum smq_ca_event_kind { SMQ_CA_ISSUE, SMQ_CA_AUTHORITY, SMQ_CA_REVOKE, SMQ_CA_CRL, SMQ_CA_ROOT };

struct smq_ca_event {
	enum smq_ca_event_kind kind;
	struct smq_ca_issued issued; /* ISSUE, AUTHORITY, ROOT; REVOKE: serial, name, reason, revoked_ms */
	int64_t when_ms;
	int64_t number, until_ms; /* CRL */
	size_t entries;
};

/* Opens and locks; waits for whoever holds it. The descriptor is closed by the caller. */
SMQ_MUST_USE smq_err smq_ca_log_open(const char *dir, int *ret_fd, char *ret_why, size_t why_len);
/* Appends them all with one write and one sync. */
SMQ_MUST_USE smq_err smq_ca_log_append(int fd, const struct smq_ca_event *events, size_t count, char *ret_why,
				       size_t why_len);
/* What append writes, for the first line of a new log. Returns its length; 0: no room. */
size_t smq_ca_log_line(const struct smq_ca_event *event, char *ret_line, size_t room);
/* In order. Only lines that hold `containing` are looked at; NULL: all. */
SMQ_MUST_USE smq_err smq_ca_log_read(const char *dir, const char *containing,
				     void (*each)(void *self, const struct smq_ca_event *event), void *self,
				     char *ret_why, size_t why_len);

#endif
