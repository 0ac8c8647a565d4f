/*
 * The key server's state (FORMATS.md): named items in one database, changed in transactions, secrets encrypted at
 * rest.
 *
 * Items are (kind, group, a, b) -> bytes. What is committed is durable; a reader never sees half of a transaction.
 * The adapter encrypts the values of the kinds that hold secrets under the master key, bound to (kind, group, a, b).
 */
#ifndef SMQ_APP_KEYSERVER_STORE_H
#define SMQ_APP_KEYSERVER_STORE_H

#include <sealmq/err.h>
#include <sealmq/span.h>

enum smq_ks_item {
	SMQ_KS_ITEM_SERVER = 1, /* "" 0 0: realm, name, format; a 1: set by a restore, see keyserver.h */
	SMQ_KS_ITEM_GROUP = 2,  /* group 0 0: epoch, next sender id, tree height, policy mark, times */
	SMQ_KS_ITEM_POLICY = 3, /* group 0 0: signed policy; group 1 0: its admin's ID_CRED_x by value; templates
				 * likewise, with their pattern as the group, 0 1 and 1 1 */
	SMQ_KS_ITEM_MEMBER =
	    4, /* group leaf 0; group n 1: a credential that was expelled, then whose (group "": everywhere) */
	SMQ_KS_ITEM_NODE = 5,     /* group height index: secret */
	SMQ_KS_ITEM_MESSAGE = 6,  /* group height index: node message as published */
	SMQ_KS_ITEM_MANIFEST = 7, /* group 0 0: the latest, signed */
	SMQ_KS_ITEM_EPOCH = 8,    /* group epoch 0: its secret and manifest hash: secret */
	SMQ_KS_ITEM_SLOTS = 9,    /* group tree 0: root of a slot tree: secret */
	SMQ_KS_ITEM_CARD = 10,    /* group sender 0: card, signed */
	SMQ_KS_ITEM_OUT = 11,     /* group n what: topic: committed, and not acknowledged by the broker yet. The payload
				   * is the item that it was made as: manifest, policy, message or card */
	SMQ_KS_ITEM_KEY = 12      /* name 0 0: a registered key; name 1 0: one that was taken back */
};

struct smq_ks_store {
	void *self;
	smq_err (*begin)(void *self);
	smq_err (*commit)(void *self); /* SMQ_ERR_DISK_FULL, SMQ_ERR_STORE: nothing has changed */
	void (*rollback)(void *self);
	smq_err (*put)(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_span value);
	smq_err (*remove)(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b);
	/* All items of a kind, of one group or (group NULL) of all, in rising order. SMQ_ERR_CORRUPT: one does not
	 * decrypt. An error of the callback ends it. */
	smq_err (*each)(void *self, enum smq_ks_item kind, const char *group, void *context,
			smq_err (*take)(void *context, const char *group, uint64_t a, uint64_t b, smq_span value));
	/* SMQ_ERR_NOT_FOUND, SMQ_ERR_NO_ROOM. */
	smq_err (*get)(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_mspan room,
		       size_t *ret_len);
	/* One line of the audit log: what, who, group, about whom, outcome; within the transaction that is open. The
	 * adapter adds number, time, and the hash of the line before; a head signed by the key server follows each
	 * commit (audit verify). */
	smq_err (*audit)(void *self, const char *what, const char *who, const char *group, const char *whom,
			 smq_err outcome);
	void (*free)(void *self);
};

#endif
