/* HTTP/1.1 over connections that are handed in, by libmicrohttpd. */
#include "adapters/desk_microhttpd/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>

#include "adapters/common_microhttpd/mhd.h"
#include "base/wipe.h"

enum { MEMORY_PER_CONNECTION = 32768, TIMEOUT_MOST_MS = 60000 };

struct smq_desk {
	struct smq_http_desk desk;
	struct MHD_Daemon *daemon;
	int epoll_fd;
};

/* A request while it is read. */
struct reading {
	uint8_t body[SMQ_HTTP_BODY_MAX];
	size_t len;
	bool too_large;
};

static enum MHD_Result answer(struct MHD_Connection *connection, const struct smq_http_answer *a)
{
	struct MHD_Response *r = smq_mhd.create_response_from_buffer(a->body_len, a->body, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(a->body);
		return MHD_NO;
	}
	if (a->type)
		(void)smq_mhd.add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
	if (a->base64)
		(void)smq_mhd.add_response_header(r, "Content-Transfer-Encoding", "base64");
	if (a->ask_for_login)
		(void)smq_mhd.add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"sealmq\"");
	(void)smq_mhd.add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	enum MHD_Result queued = smq_mhd.queue_response(connection, (unsigned)a->status, r);
	smq_mhd.destroy_response(r);
	return queued;
}

static enum MHD_Result whole(struct smq_desk *h, struct MHD_Connection *connection, const char *path,
			     const char *method, const struct reading *reading)
{
	struct smq_http_answer a = { .status = reading->too_large ? 413 : 500 };
	char *password = NULL;
	char *user = smq_mhd.basic_auth_get_username_password(connection, &password);
	const char *type = smq_mhd.lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
	const union MHD_ConnectionInfo *info =
	    smq_mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct smq_http_request request = { .method = method,
					    .path = path,
					    .type = type ? type : "",
					    .user = user,
					    .password = password,
					    .body = smq_span_of(reading->body, reading->len),
					    .fd = info ? info->connect_fd : -1 };
	if (!reading->too_large)
		h->desk.answer(h->desk.self, &request, &a);
	if (password)
		smq_wipe((uint8_t *)password, strlen(password));
	smq_mhd.free(user);
	smq_mhd.free(password);
	return answer(connection, &a);
}

static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *path, const char *method,
				  const char *version, const char *data, size_t *data_len, void **at)
{
	struct smq_desk *h = self;
	struct reading *reading = *at;
	(void)version;
	if (!reading) {
		reading = calloc(1, sizeof(*reading));
		*at = reading;
		return reading ? MHD_YES : MHD_NO;
	}
	if (*data_len > 0) {
		size_t room = sizeof(reading->body) - reading->len;
		reading->too_large |= *data_len > room;
		if (!reading->too_large) {
			memcpy(reading->body + reading->len, data, *data_len);
			reading->len += *data_len;
		}
		*data_len = 0;
		return MHD_YES;
	}
	return whole(h, connection, path, method, reading);
}

static void on_end(void *self, struct MHD_Connection *connection, void **at, enum MHD_RequestTerminationCode code)
{
	(void)self;
	(void)connection;
	(void)code;
	free(*at);
	*at = NULL;
}

/* What strangers send is no news of ours. */
static void say_nothing(void *self, const char *format, va_list args)
{
	(void)self;
	(void)format;
	(void)args;
}

smq_err smq_desk_new(const struct smq_http_desk *desk, unsigned connections, unsigned timeout_s,
		     struct smq_desk **ret_desk)
{
	smq_err err = smq_mhd_load();
	if (err != SMQ_OK)
		return err;
	struct smq_desk *h = calloc(1, sizeof(*h));
	if (!h)
		return SMQ_ERR_NO_MEMORY;
	h->desk = *desk;
	h->daemon = smq_mhd.start_daemon(
	    MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, h,
	    MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL,
	    MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT, timeout_s,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_PER_CONNECTION, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
	    h->daemon ? smq_mhd.get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info) {
		smq_desk_free(h);
		return SMQ_ERR_NO_MEMORY;
	}
	h->epoll_fd = info->epoll_fd;
	*ret_desk = h;
	return SMQ_OK;
}

void smq_desk_free(struct smq_desk *http)
{
	if (!http)
		return;
	if (http->daemon)
		smq_mhd.stop_daemon(http->daemon);
	free(http);
}

smq_err smq_desk_add(struct smq_desk *http, int fd)
{
	/* the library wants an address; all of ours come through a socket pair */
	struct sockaddr_in nowhere = { .sin_family = AF_INET };
	if (smq_mhd.add_connection(http->daemon, fd, (const struct sockaddr *)&nowhere, sizeof(nowhere)) == MHD_YES)
		return SMQ_OK;
	return SMQ_ERR_FULL; /* the library has closed it */
}

int smq_desk_fd(const struct smq_desk *http) { return http->epoll_fd; }

int smq_desk_timeout_ms(const struct smq_desk *http)
{
	MHD_UNSIGNED_LONG_LONG ms = 0;
	if (smq_mhd.get_timeout(http->daemon, &ms) != MHD_YES)
		return -1;
	return ms < TIMEOUT_MOST_MS ? (int)ms : TIMEOUT_MOST_MS;
}

void smq_desk_run(struct smq_desk *http) { (void)smq_mhd.run(http->daemon); }
