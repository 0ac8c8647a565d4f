/*
 * The realm's revocation list while a client runs: a new crl.pem is noticed and put in force, sessions with the
 * revoked end, and the end of the list is told of a good while before.
 */
#ifndef SMQ_LIB_CRL_WATCH_H
#define SMQ_LIB_CRL_WATCH_H

#include <sealmq/client.h>
#include <sealmq/member.h>

struct smq_crl_watch {
	smq_realm *realm;
	unsigned identity;   /* of the own certificate then */
	unsigned generation; /* of the list in force when we last looked */
	int64_t due_ms;      /* mono: when to look next; INT64_MAX without a realm */
	int64_t told_ms;     /* mono: when the coming or past end was last told */
	int64_t refused_ms;  /* mono: when a list that came over MQTT was last told to be refused */
	bool stale;          /* what was told was the past end */
	bool reviewed_stale; /* sessions were judged since the list ended */
};

/* realm may be NULL: then it never is due. */
struct smq_crl_watch smq_crl_watch_on(smq_realm *realm, struct smq_now now);
void smq_crl_watch_look(struct smq_crl_watch *w, smq_member *member, const struct smq_client_options *options,
			struct smq_now now);
/* A list that came over MQTT was not taken: told once a minute, however often a broker plays it. */
void smq_crl_watch_refused(struct smq_crl_watch *w, const struct smq_client_options *options, smq_err err,
			   struct smq_now now);

#endif
