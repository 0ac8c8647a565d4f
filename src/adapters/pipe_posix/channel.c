/* One end of a channel between two of the key server's processes. */
#include "adapters/pipe_posix/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/wipe.h"

smq_err smq_channel_pair(int ret_fds[2])
{
	int fds[2], room = SMQ_FRAME_MAX;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return SMQ_ERR_IO;
	for (size_t i = 0; i < 2; i++) {
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)); /* doubled by the kernel */
		ret_fds[i] = fds[i];
	}
	return SMQ_OK;
}

smq_err smq_channel_init(struct smq_channel *c, int fd)
{
	uint8_t *room = malloc(2 * SMQ_FRAME_MAX);
	if (!room)
		return SMQ_ERR_NO_MEMORY;
	*c = (struct smq_channel){ .fd = fd, .room = room };
	return SMQ_OK;
}

void smq_channel_done(struct smq_channel *c)
{
	if (c->room)
		smq_wipe(c->room, 2 * SMQ_FRAME_MAX);
	free(c->room);
	c->room = NULL;
}

static smq_err wait_for(int fd, short events, int patience_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n = poll(&p, 1, patience_ms);
	if (n < 0)
		return errno == EINTR ? SMQ_OK : SMQ_ERR_IO;
	return n == 0 ? SMQ_ERR_FULL : SMQ_OK;
}

static bool not_now(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

smq_err smq_channel_send(struct smq_channel *c, const struct smq_frame *frame, int patience_ms)
{
	uint8_t *out = c->room + SMQ_FRAME_MAX;
	size_t len = 0;
	smq_err err = smq_frame_encode(frame, smq_mspan_of(out, SMQ_FRAME_MAX), &len);
	while (err == SMQ_OK) {
		ssize_t n = send(c->fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == (ssize_t)len)
			break;
		if (n >= 0 || !not_now())
			err = SMQ_ERR_CONNECTION_LOST;
		else if (errno != EINTR)
			err = patience_ms == 0 ? SMQ_ERR_FULL : wait_for(c->fd, POLLOUT, patience_ms);
	}
	smq_wipe(out, len);
	return err;
}

smq_err smq_channel_receive(struct smq_channel *c, int patience_ms, struct smq_frame *ret_frame)
{
	for (;;) {
		ssize_t n = recv(c->fd, c->room, SMQ_FRAME_MAX, MSG_DONTWAIT | MSG_TRUNC);
		if (n == 0 || (n < 0 && !not_now()))
			return SMQ_ERR_CONNECTION_LOST;
		if (n > SMQ_FRAME_MAX)
			return SMQ_ERR_TOO_LARGE;
		if (n > 0)
			return smq_frame_decode(smq_span_of(c->room, (size_t)n), ret_frame);
		smq_err err = patience_ms == 0 && errno != EINTR ? SMQ_ERR_FULL : wait_for(c->fd, POLLIN, patience_ms);
		if (err != SMQ_OK)
			return err;
	}
}
