/*
 * One end of a channel between two of the key server's processes: frames over a socket of type SEQPACKET.
 *
 * Datagrams have their bounds from the kernel: a malformed one never spoils the next.
 */
#ifndef SMQ_ADAPTERS_PIPE_POSIX_CHANNEL_H
#define SMQ_ADAPTERS_PIPE_POSIX_CHANNEL_H

#include <stdbool.h>

#include "adapters/pipe_posix/frame.h"

struct smq_channel {
	int fd;        /* not owned */
	uint8_t *room; /* twice a frame: what came in, then what goes out */
};

/* Two ends; closed when programs are started. */
SMQ_MUST_USE smq_err smq_channel_pair(int ret_fds[2]);

SMQ_MUST_USE smq_err smq_channel_init(struct smq_channel *c, int fd);
void smq_channel_done(struct smq_channel *c); /* wipes the room */

/* Waits for at most patience_ms (-1: as long as the other one lives) for the other one to have read what came before.
 * SMQ_ERR_FULL: it has not. SMQ_ERR_CONNECTION_LOST: it is gone. */
SMQ_MUST_USE smq_err smq_channel_send(struct smq_channel *c, const struct smq_frame *frame, int patience_ms);
/* The frame's parts are valid until the next one is received. SMQ_ERR_FULL: nothing has come in patience_ms;
 * SMQ_ERR_CONNECTION_LOST; SMQ_ERR_MALFORMED and the like: what has come is no frame. */
SMQ_MUST_USE smq_err smq_channel_receive(struct smq_channel *c, int patience_ms, struct smq_frame *ret_frame);

#endif
