/*
 * Roles in certificates: which extended key usage stands for which role (PROTOCOL.md 2.4).
 *
 * The object identifiers of our own lie under 2.25.<UUID>, an arc that everybody may take without asking
 * (ITU-T X.667); the UUID is 375eb749-d068-4b74-8f59-ea84d68382c4. The words for them are in sealmq/ca.h.
 */
#ifndef SMQ_APP_ROLES_H
#define SMQ_APP_ROLES_H

#include <sealmq/ca.h>

#define SMQ_OID_ARC "2.25.73599333201984945259493250225288741572"
#define SMQ_OID_SERVER_AUTH "1.3.6.1.5.5.7.3.1"
#define SMQ_OID_CLIENT_AUTH "1.3.6.1.5.5.7.3.2"

struct smq_role_row {
	enum smq_role role;
	const char *name; /* "member" */
	const char *oid;  /* dotted */
};

enum { SMQ_ROLE_COUNT = 4 };
extern const struct smq_role_row smq_role_rows[SMQ_ROLE_COUNT];

#endif
