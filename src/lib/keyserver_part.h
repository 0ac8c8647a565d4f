/* A part of the key server that is split by duty: what a part is made of, whichever it is (keyserver_*.c of src/lib).
 */
#ifndef SMQ_LIB_KEYSERVER_PART_H
#define SMQ_LIB_KEYSERVER_PART_H

#include "adapters/pipe_posix/channel.h"
#include "adapters/pipe_posix/store_desk.h"
#include "lib/keyserver_internal.h"
#include "lib/line.h"

/* The descriptors that a guard leaves open for its parts. */
enum { SMQ_PART_LINK = 3 /* listener and signer */, SMQ_PART_STORE = 4 /* signer and store */, SMQ_PART_GUARD = 5 };

/* What the signer tells the guard, a byte each. */
enum { SMQ_PART_READY = 'r', SMQ_PART_BAD_LISTENER = 'l' };

struct smq_keyserver_part {
	enum smq_keyserver_duty duty;
	struct smq_keyserver_options options; /* its strings are the owner's; the realm is the signer's alone */
	struct smq_channel link;
	/* listener */
	struct smq_line line;
	bool over, online;
	uint64_t ids[SMQ_KEYSERVER_INFLIGHT]; /* of the signer, by the transport's */
	int sent[SMQ_KEYSERVER_INFLIGHT];     /* 0: free */
	bool holding;                         /* a frame that the transport had no room for */
	struct smq_frame held;
	struct smq_http *page;
	uint8_t *status; /* what the signer said of itself last; NULL: there is no page */
	size_t status_len;
	bool status_well;
	char status_why[SMQ_STATUS_WHY_MAX];
	int64_t status_ms; /* mono: when; INT64_MIN: never */
	uint16_t ports[2];
	char file_dirs[3][SMQ_PATH_MAX]; /* of TLS */
	/* signer */
	struct smq_wakeup wakeup;
	struct smq_ks_store store;
	struct smq_keyserver *server;
	uint64_t next_id, in_flight;
	struct smq_keyserver_lists lists;
	struct smq_keyserver_again again;
	int64_t status_at;
	bool heard, rival; /* heard: the listener has said hello, and nothing malformed since */
	char realm_dir[SMQ_PATH_MAX];
	/* store */
	struct smq_store_desk desk;
	struct smq_own_credential own; /* its certificate; the key is the signer's */
	uint8_t *own_room;
	char store_dir[SMQ_PATH_MAX], store_files[4][SMQ_PATH_MAX];
};

SMQ_MUST_USE smq_err smq_listener_new(struct smq_keyserver_part *p);
SMQ_MUST_USE smq_err smq_listener_run(struct smq_keyserver_part *p);
SMQ_MUST_USE smq_err smq_signer_new(struct smq_keyserver_part *p);
SMQ_MUST_USE smq_err smq_signer_run(struct smq_keyserver_part *p);

#endif
