/* How `sealmq ca` says what was made and what there is: in words, and as JSON. */
#ifndef SMQ_CLI_CMD_CA_SAY_H
#define SMQ_CLI_CMD_CA_SAY_H

#include <sealmq/ca.h>
#include <sealmq/json.h>

enum { CA_JSON_LEN = 16384, CA_TIME_LEN = 24 };

void ca_time_text(int64_t ms, char text[CA_TIME_LEN]);
void ca_json_time(struct smq_json *j, const char *key, int64_t ms);
void ca_json_issued(struct smq_json *j, const struct smq_ca_issued *issued);
void ca_json_crl(struct smq_json *j, const struct smq_ca_crl *crl);

/* "member,admin", or "authority". */
const char *ca_roles_text(const struct smq_ca_issued *issued, char room[SMQ_ROLES_TEXT_MAX]);
void ca_print_crl(const struct smq_ca_crl *crl);

/* Prints what was written; returns the exit status. */
int ca_print_json(const struct smq_json *j, const char *text);

#endif
