/*
 * Proof of the sender in a running client (PROTOCOL.md 3.9): signs what is sealed, or gathers it into checkpoints and
 * publishes them; holds what is opened against signatures and checkpoints that arrive on topics of their own.
 *
 * The messenger owns one and asks it at its places; what goes out and comes back goes through the ports below.
 */
#ifndef SMQ_APP_PROOFS_H
#define SMQ_APP_PROOFS_H

#include <sealmq/client.h>
#include <sealmq/credential.h>

#include "app/groups.h"
#include "app/workers.h"
#include "core/seal.h"

struct smq_proofs;

struct smq_proofs_ports {
	void *self;
	/* QoS 1; on failure it is tried again later. */
	smq_err (*publish)(void *self, const char *topic, smq_span payload, bool retain);
	void (*subscribe)(void *self, const char *filter);
	/* A message that was kept back is proven, or is not (reason). */
	void (*deliver)(void *self, const struct smq_message *message);
	void (*refuse)(void *self, const struct smq_message *message, smq_err reason);
};

struct smq_proofs_config {
	const struct smq_client_options *options; /* outlives it */
	const struct smq_crypto *crypto;
	const struct smq_credentials *credentials;
	const struct smq_own_credential *own;
	const char *prefix, *name; /* the control prefix, and our own name; copied */
	const char *realm;         /* its name; outlives it */
	bool with_groups;
	const struct smq_workers *workers; /* they verify signatures; taken over, on failure too; NULL: none */
};

/* Whether the options ask for anything of this. */
bool smq_proofs_wanted(const struct smq_client_options *options);
SMQ_MUST_USE smq_err smq_proofs_new(const struct smq_proofs_config *config, struct smq_proofs **ret_proofs);
/* To be called before anything else. */
void smq_proofs_attach(struct smq_proofs *p, const struct smq_proofs_ports *ports);
void smq_proofs_free(struct smq_proofs *p);

/* ---- sending ---- */

/* What sealing this message, for a group or (NULL) not, is to do; false: nothing. */
bool smq_proofs_prepare(const struct smq_proofs *p, const char *group, const char *topic, bool retain,
			struct smq_seal_proof *ret_proof);
/* It was sealed, for a member (to) or a group. */
void smq_proofs_sealed(struct smq_proofs *p, const char *to, const char *group, const struct smq_seal_proof *proof,
		       struct smq_now now);

/* ---- receiving ---- */

/* Topics of proof and certificates. */
bool smq_proofs_takes(const struct smq_proofs *p, const char *topic);
void smq_proofs_input(struct smq_proofs *p, const char *topic, smq_span payload, struct smq_now now);

enum smq_proofs_answer { SMQ_PROOFS_DELIVER, SMQ_PROOFS_REFUSE, SMQ_PROOFS_KEEP };
/*
 * A message was opened; opened: what it carries, NULL if it carries nothing. DELIVER: message->proof says how it
 * stands; REFUSE: *ret_reason; KEEP: it was copied, and deliver or refuse follows. Where a message is delivered as
 * provisional, options->on_proof follows.
 */
enum smq_proofs_answer smq_proofs_opened(struct smq_proofs *p, struct smq_message *message,
					 const struct smq_opened_proof *opened, struct smq_now now,
					 smq_err *ret_reason);

/* Tells of all that workers have looked at, waiting for the rest, and delivers as provisional what was held back for a
 * checkpoint that could have come in the same burst. */
void smq_proofs_join(struct smq_proofs *p);
/* Whether messages are held back that a checkpoint would let be delivered as proven. */
bool smq_proofs_holds_back(const struct smq_proofs *p);

/* To be called right after a message was to be delivered: says in message->evidence, which is room then, what a third
 * party needs, until it is called again. A session's keys are shared with us and prove nothing to a third party: there
 * it stays NULL. */
void smq_proofs_add_evidence(struct smq_proofs *p, const struct smq_opened_proof *opened, struct smq_message *message,
			     struct smq_evidence *room);

/* ---- the connection, and time ---- */

void smq_proofs_online(struct smq_proofs *p, struct smq_now now);
/* The own certificate was renewed: those who check what we sign get the new one. */
void smq_proofs_identity(struct smq_proofs *p, struct smq_now now);
void smq_proofs_offline(struct smq_proofs *p);
/* Trust has changed: a new revocation list is in force. */
void smq_proofs_review(struct smq_proofs *p);
/* Signs what is gathered, before saying goodbye. */
void smq_proofs_flush(struct smq_proofs *p, struct smq_now now);
void smq_proofs_tick(struct smq_proofs *p, struct smq_now now);
int64_t smq_proofs_wake_at(const struct smq_proofs *p); /* mono ms; INT64_MIN: at once */
/* Publishes checkpoints that wait, as far as that goes; whether some still do. */
bool smq_proofs_behind(struct smq_proofs *p);
/* Checkpoints that wait to be published. */
size_t smq_proofs_pending(const struct smq_proofs *p);

#endif
