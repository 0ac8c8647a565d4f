/* A broker of a test's own making. */
#include "fake.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

void fake_open(struct fake *f)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	*f = (struct fake){ .fd = -1 };
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&a, len) != 0 || listen(f->listener, 8) != 0 ||
	    getsockname(f->listener, (struct sockaddr *)&a, &len) != 0)
		abort();
	f->port = ntohs(a.sin_port);
}

void fake_hang_up(struct fake *f, bool reset)
{
	struct linger now = { 1, 0 };
	if (f->fd < 0)
		return;
	if (reset)
		setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(f->fd);
	f->fd = -1;
}

void fake_close(struct fake *f)
{
	fake_hang_up(f, false);
	if (f->listener >= 0)
		close(f->listener);
	f->listener = -1;
}

static bool readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	return poll(&p, 1, 0) > 0;
}

bool fake_accept(struct fake *f)
{
	fake_hang_up(f, false);
	if (!UNTIL(readable(f->listener), 3000))
		return false;
	f->fd = accept(f->listener, NULL, NULL);
	return f->fd >= 0;
}

static bool read_exactly(struct fake *f, size_t len)
{
	while (len > 0) {
		if (f->packet_len + len > sizeof(f->packet) || !UNTIL(readable(f->fd), 3000))
			return false;
		ssize_t n = read(f->fd, f->packet + f->packet_len, len);
		if (n <= 0)
			return false;
		f->packet_len += (size_t)n;
		len -= (size_t)n;
	}
	return true;
}

bool fake_read(struct fake *f)
{
	size_t len = 0;
	int shift = 0;
	f->packet_len = 0;
	if (!read_exactly(f, 1))
		return false;
	do {
		if (shift > 21 || !read_exactly(f, 1))
			return false;
		len |= (size_t)(f->packet[f->packet_len - 1] & 127) << shift;
		shift += 7;
	} while (f->packet[f->packet_len - 1] & 128);
	return read_exactly(f, len);
}

void fake_send(struct fake *f, const void *bytes, size_t len)
{
	if (write(f->fd, bytes, len) != (ssize_t)len)
		abort();
}

bool fake_welcome(struct fake *f)
{
	if (!fake_accept(f) || !fake_read(f) || f->packet[0] != 0x10)
		return false;
	fake_send(f, "\x20\x03\x00\x00\x00", 5);
	return true;
}
