/*
 * Roles in certificates: which extended key usage stands for which role (PROTOCOL.md 2.4).
 *
 * The object identifiers of our own lie under an arc made of a UUID, which everybody may take without asking, in pieces
 * that fit any reader's integers (decisions/0010). The words for them are in sealmq/ca.h.
 */
#ifndef SMQ_APP_ROLES_H
#define SMQ_APP_ROLES_H

#include <sealmq/ca.h>

#define SMQ_OID_ARC "1.2.840.113556.1.8000.2554.14174.46921.53352.19316.36697.15369430.8618692"
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
