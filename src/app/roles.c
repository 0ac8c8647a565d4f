/* Roles in certificates: names and object identifiers. */
#include "app/roles.h"

#include <string.h>

const struct smq_role_row smq_role_rows[SMQ_ROLE_COUNT] = {
	{ SMQ_ROLE_MEMBER, "member", SMQ_OID_ARC ".1" },
	{ SMQ_ROLE_KEYSERVER, "keyserver", SMQ_OID_ARC ".2" },
	{ SMQ_ROLE_ADMIN, "admin", SMQ_OID_ARC ".3" },
	{ SMQ_ROLE_BROKER, "broker", SMQ_OID_SERVER_AUTH },
};

static unsigned role_named(const char *word, size_t len)
{
	for (size_t i = 0; i < SMQ_ROLE_COUNT; i++) {
		if (strlen(smq_role_rows[i].name) == len && memcmp(smq_role_rows[i].name, word, len) == 0)
			return smq_role_rows[i].role;
	}
	return 0;
}

smq_err smq_roles_parse(const char *text, unsigned *ret_roles)
{
	unsigned roles = 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		unsigned role = role_named(text, len);
		if (role == 0)
			return SMQ_ERR_USAGE;
		roles |= role;
		if (text[len] == 0)
			break;
		text += len + 1;
	}
	*ret_roles = roles;
	return SMQ_OK;
}

void smq_roles_print(unsigned roles, char ret_text[SMQ_ROLES_TEXT_MAX])
{
	ret_text[0] = 0;
	for (size_t i = 0; i < SMQ_ROLE_COUNT; i++) {
		if (!(roles & smq_role_rows[i].role))
			continue;
		if (ret_text[0])
			strcat(ret_text, ",");
		strcat(ret_text, smq_role_rows[i].name);
	}
}
