/*
 * Deterministic simulation of the core in a hostile world (doc/EVIDENCE.md).
 *
 * A schedule is a list of operations drawn from a seed: what members do, and what goes wrong. Each operation carries
 * its own chance, so that leaving some out leaves the others as they are, which is what the shrinker does. Time, disk,
 * randomness, network and, mostly, cryptography are ours: one seed gives one trace, bit for bit.
 *
 * After every operation the oracle holds: nothing forged, moved or delivered twice, no (key, nonce) used twice, nothing
 * opened that was not granted, no epoch issued twice. Once the faults stop, everybody must hear everybody again.
 */
#ifndef SMQ_TESTS_SIM_H
#define SMQ_TESTS_SIM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <sealmq/credential.h>
#include <sealmq/member.h>

#include "base/table.h"

enum { SIM_MEMBERS = 5, SIM_OPS_MAX = 160, SIM_TEXT = 16, SIM_TOPIC = 96, SIM_PAYLOAD = 4096 };

/* Members, a key server, an admin. */
enum { SIM_NODES = SIM_MEMBERS + 2 };

/* ---- chance ---- */

struct dice {
	uint64_t state;
	const uint8_t *bytes; /* not NULL: chance is taken from there, and is 0 at its end */
	size_t left;
};
uint64_t dice_roll(struct dice *d);
uint64_t dice_below(struct dice *d, uint64_t n); /* n > 0 */
bool dice_one_in(struct dice *d, uint64_t n);

/* ---- the run ---- */

struct op {
	uint8_t kind; /* index into the scenario's table; the bus's operations come first */
	bool off;     /* left out by the shrinker */
	uint64_t chance;
};

struct sim;

struct sim_op {
	const char *name;
	unsigned weight;
	void (*run)(struct sim *s, struct dice *d);
};

struct scenario {
	const char *name;
	const struct sim_op *ops;
	size_t op_count;
	void (*up)(struct sim *s, struct dice *d);
	void (*receive)(struct sim *s, int member, const char *topic, smq_span payload, bool retained);
	bool (*reads)(struct sim *s, int member, const char *topic);
	void (*tick)(struct sim *s); /* after time has passed and after each operation */
	void (*calm)(struct sim *s); /* the faults have stopped: everybody must hear everybody again */
	void (*down)(struct sim *s);
};

struct bus_message {
	char topic[SIM_TOPIC];
	uint8_t payload[SIM_PAYLOAD];
	size_t len;
	bool retain;
};

enum { FLIGHT_MAX = 256, ARCHIVE_MAX = 256, RETAINED_MAX = 192, TEXTS_MAX = 4096 };

/* What was published in the clear, as the oracle knows it. */
struct text {
	int from;
	uint64_t readers; /* bit i: member i may open it */
	char topic[SIM_TOPIC];
	uint32_t delivered; /* bit i */
};

struct sim {
	const struct scenario *scenario;
	uint64_t seed;
	bool real; /* cryptography */
	bool verbose;
	bool bare; /* nobody is there but the key server and who runs it */
	struct op ops[SIM_OPS_MAX];
	size_t op_count;
	int at; /* operation under way; -1 before, -2 calm */

	const struct smq_crypto *crypto;
	struct smq_random random;
	struct dice random_dice;
	struct smq_credentials credentials;
	struct smq_now now; /* of an observer; members have clocks of their own */
	int64_t skew_ms[SIM_NODES];
	bool cut_off[SIM_NODES];

	struct bus_message flight[FLIGHT_MAX];
	size_t flight_count;
	struct bus_message archive[ARCHIVE_MAX];
	size_t archive_count; /* ever; the ring holds the newest */
	struct bus_message retained[RETAINED_MAX];
	size_t retained_count;

	struct text texts[TEXTS_MAX];
	size_t text_count;

	uint64_t trace;
	uint64_t delivered;
	char failure[256];
	jmp_buf failed;
};

struct sim_identity {
	char name[16];
	struct smq_own_credential own;
	uint8_t id_cred[8], cred[80];
	uint8_t public_key[SMQ_PUBLIC_KEY_MAX];
	size_t public_key_len;
};

/* Ends the schedule. */
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
#define SIM_CHECK(s, condition, ...)                                                                                   \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			sim_fail(s, __VA_ARGS__);                                                                      \
	} while (0)
/* Into the trace, and onto standard output with --verbose. */
void sim_note(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Operations of the bus and of the scenario, in one row. */
const struct sim_op *sim_op_of(const struct sim *s, size_t kind);
/* Everything but scenario, seed and operations as it is before a run. */
void sim_begin(struct sim *s);
struct smq_now sim_now(const struct sim *s, int member);
const struct sim_identity *sim_identity(bool real, int i); /* members, then key servers */
void sim_identities_init(void);
void sim_identities_done(void);

/* ---- cryptography under watch (watch.c) ---- */

const struct smq_crypto *watch_crypto(bool real);
void watch_begin(struct sim *s);
void watch_end(struct sim *s); /* no key may be left over */
/* What was sealed since the mark never left its maker: its nonces may be used for what takes its place. */
size_t watch_mark(void);
void watch_forget(size_t mark);
/* A public key of the mock, for an odd number; and a signer: anybody's, by public key. */
void mock_public(uint8_t number, uint8_t ret_public_key[SMQ_PUBLIC_KEY_MAX]);
void mock_signer(const uint8_t public_key[SMQ_PUBLIC_KEY_MAX], struct smq_signer *ret_signer);
void mock_hash(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN]);

/* ---- the broker (bus.c) ---- */

void bus_copy(struct bus_message *to, const struct bus_message *from);
void bus_publish(struct sim *s, const char *topic, smq_span payload, bool retain);
void bus_deliver_some(struct sim *s, size_t count);
void bus_deliver_all(struct sim *s);
/* What the broker has retained, to one member that has just subscribed. */
void bus_send_retained(struct sim *s, int member);
extern const struct sim_op bus_ops[];
extern const size_t bus_op_count;

/* ---- the oracle (oracle.c) ---- */

/* A new text for these readers; ret_text is what is to be sealed. */
void oracle_publish(struct sim *s, int from, uint64_t readers, const char *topic, char ret_text[SIM_TEXT]);
void oracle_sealed(struct sim *s, smq_span payload);
/* again: a restored receiver may hear once more what it has forgotten. */
void oracle_delivered(struct sim *s, int to, const char *sender, const char *topic, smq_span plain, bool again);
/* Whether the newest text has reached all who may read it. */
bool oracle_reached(const struct sim *s, size_t text, uint64_t readers);

extern const struct scenario scenario_sessions, scenario_static, scenario_keyed, scenario_kept, scenario_served;

#endif
