/*
 * What the key server's processes say to each other: one frame a datagram, in one encoding.
 *
 * A frame is its kind (one byte) and then its fields, in the order of the table in frame.c. Numbers have eight bytes,
 * big endian; bytes and texts have their length in four before them; a text has a zero after it and none in it. What is
 * not so, or goes on after the last field, is malformed: whoever sent it is not what it should be.
 */
#ifndef SMQ_ADAPTERS_PIPE_POSIX_FRAME_H
#define SMQ_ADAPTERS_PIPE_POSIX_FRAME_H

#include <sealmq/err.h>
#include <sealmq/span.h>

enum smq_frame_kind {
	/* signer to store, one at a time; each but ROLLBACK is answered by RESULT */
	SMQ_FRAME_BEGIN = 1,
	SMQ_FRAME_COMMIT,   /* SIGN may come before the RESULT */
	SMQ_FRAME_ROLLBACK, /* RESULT, too */
	SMQ_FRAME_PUT,      /* kind, group, a, b, value */
	SMQ_FRAME_REMOVE,   /* kind, group, a, b */
	SMQ_FRAME_GET,      /* kind, group, a, b, room: VALUE or RESULT */
	SMQ_FRAME_EACH,     /* kind, of one group (1) or all (0), group: ITEMs, then RESULT */
	SMQ_FRAME_AUDIT,    /* outcome, what, who, group, whom */
	SMQ_FRAME_SIGNED,   /* error, signature: to SIGN */
	/* store to signer */
	SMQ_FRAME_RESULT, /* error */
	SMQ_FRAME_VALUE,  /* value */
	SMQ_FRAME_ITEM,   /* a, b, group, value */
	SMQ_FRAME_SIGN,   /* bytes to be signed: the end of the audit log alone */
	/* listener to signer */
	SMQ_FRAME_HELLO,     /* version: from here on it is a new listener */
	SMQ_FRAME_ONLINE,    /* the broker has accepted us */
	SMQ_FRAME_OFFLINE,   /* error */
	SMQ_FRAME_MESSAGE,   /* retained, topic, payload */
	SMQ_FRAME_PUBLISHED, /* id, error */
	SMQ_FRAME_DENIED,    /* a subscription was refused */
	/* signer to listener */
	SMQ_FRAME_SUBSCRIBE, /* filter */
	SMQ_FRAME_PUBLISH,   /* id, retain, topic, payload */
	SMQ_FRAME_ANEW,      /* a new signer: the listener says hello again */
	SMQ_FRAME_STATUS,    /* well (1) or not (0), why not, numbers for /metrics */
	SMQ_FRAME_KINDS
};

enum {
	SMQ_FRAME_NUMBERS_MAX = 4,
	SMQ_FRAME_PARTS_MAX = 4,
	SMQ_FRAME_TEXT_MAX = 512,
	SMQ_FRAME_MAX = 160 * 1024, /* bytes; the longest are answers and policies, of some 48 kB */
	SMQ_FRAME_VERSION = 1
};

struct smq_frame {
	enum smq_frame_kind kind;
	uint64_t numbers[SMQ_FRAME_NUMBERS_MAX];
	smq_span parts[SMQ_FRAME_PARTS_MAX]; /* texts end with a zero that their length does not count */
};

/* SMQ_ERR_NO_ROOM, SMQ_ERR_TOO_LARGE (a text). */
SMQ_MUST_USE smq_err smq_frame_encode(const struct smq_frame *frame, smq_mspan room, size_t *ret_len);
/* ret_frame's parts lie in bytes. */
SMQ_MUST_USE smq_err smq_frame_decode(smq_span bytes, struct smq_frame *ret_frame);

/* A number that is to be an error code. SMQ_ERR_MALFORMED: it is none. */
SMQ_MUST_USE smq_err smq_frame_err(uint64_t number, smq_err *ret_err);
static inline const char *smq_frame_text(const struct smq_frame *f, size_t i) { return (const char *)f->parts[i].p; }

#endif
