/* Reasons and states of certificates, as words. */
#include <string.h>

#include <sealmq/ca.h>

#include "base/table.h"

static const struct {
	enum smq_ca_reason reason;
	const char *name;
} reasons[] = {
	{ SMQ_CA_UNSPECIFIED, "unspecified" },
	{ SMQ_CA_KEY_COMPROMISE, "key-compromise" },
	{ SMQ_CA_CA_COMPROMISE, "ca-compromise" },
	{ SMQ_CA_AFFILIATION_CHANGED, "affiliation-changed" },
	{ SMQ_CA_SUPERSEDED, "superseded" },
	{ SMQ_CA_CESSATION, "cessation" },
	{ SMQ_CA_PRIVILEGE_WITHDRAWN, "privilege-withdrawn" },
};

const char *smq_ca_reason_name(enum smq_ca_reason reason)
{
	for (size_t i = 0; i < SMQ_COUNT(reasons); i++) {
		if (reasons[i].reason == reason)
			return reasons[i].name;
	}
	return reasons[0].name;
}

smq_err smq_ca_reason_parse(const char *text, enum smq_ca_reason *ret_reason)
{
	for (size_t i = 0; i < SMQ_COUNT(reasons); i++) {
		if (strcmp(reasons[i].name, text) != 0)
			continue;
		*ret_reason = reasons[i].reason;
		return SMQ_OK;
	}
	return SMQ_ERR_USAGE;
}

const char *smq_ca_status_name(enum smq_ca_status status)
{
	static const char *const names[] = { "valid", "expiring", "expired", "revoked" };
	return (unsigned)status < SMQ_COUNT(names) ? names[status] : "unknown";
}
