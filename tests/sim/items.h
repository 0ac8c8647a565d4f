/* The key server's store in memory: transactions, and a death in the middle of any call. */
#ifndef SMQ_TESTS_SIM_ITEMS_H
#define SMQ_TESTS_SIM_ITEMS_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "app/keyserver_store.h"

enum { ITEMS_MAX = 512 };

struct items {
	size_t count;
	struct item {
		enum smq_ks_item kind;
		char group[24];
		uint64_t a, b;
		uint8_t *bytes;
		size_t len;
	} at[ITEMS_MAX];
};

struct item_store {
	struct items durable, working;
	bool open, dead;
	unsigned die_in; /* calls until it dies, 0: never */
	bool dies_done;  /* what it dies in is durable all the same */
	unsigned fail_commits;
	size_t mark; /* of the watch, at the beginning of the transaction */
};

void items_clear(struct items *l);
void items_copy(struct items *to, const struct items *from);
bool items_put(struct items *l, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_span value);
struct smq_ks_store item_store_port(struct item_store *s);

#endif
