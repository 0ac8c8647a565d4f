/* /metrics and /healthz over libmicrohttpd. */
#include "adapters/http_microhttpd/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapters/common_microhttpd/mhd.h"

enum { CONNECTIONS_MAX = 16, TIMEOUT_S = 10, MEMORY_MAX = 16384 };

struct smq_http {
	struct MHD_Daemon *daemon;
	struct smq_status_source source;
	int fd;
	uint16_t port;
	char page[SMQ_STATUS_PAGE_MAX];
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, const char *text, size_t len)
{
	struct MHD_Response *r =
	    smq_mhd.create_response_from_buffer(len, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	if (!r)
		return MHD_NO;
	(void)smq_mhd.add_response_header(r, "Content-Type", type);
	(void)smq_mhd.add_response_header(r, "Cache-Control", "no-store");
	(void)smq_mhd.add_response_header(r, "X-Content-Type-Options", "nosniff");
	enum MHD_Result queued = smq_mhd.queue_response(c, status, r);
	smq_mhd.destroy_response(r);
	return queued;
}

static enum MHD_Result plain(struct MHD_Connection *c, unsigned status, const char *text)
{
	return answer(c, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result metrics(struct smq_http *http, struct MHD_Connection *c)
{
	size_t len = 0;
	if (http->source.metrics(http->source.self, smq_mspan_of(http->page, sizeof(http->page)), &len) != SMQ_OK)
		return plain(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no numbers\n");
	return answer(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", http->page, len);
}

static enum MHD_Result healthz(struct smq_http *http, struct MHD_Connection *c)
{
	char why[SMQ_STATUS_WHY_MAX] = "";
	char text[SMQ_STATUS_WHY_MAX + 2];
	bool well = http->source.healthy(http->source.self, why, sizeof(why));
	(void)snprintf(text, sizeof(text), "%s\n", well ? "ok" : why);
	return plain(c, well ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

/* A page of another site that the user's browser has open must not read us under a name of its own. */
static bool host_is_ours(struct MHD_Connection *c)
{
	const char *host = smq_mhd.lookup_connection_value(c, MHD_HEADER_KIND, "Host");
	size_t len = host ? strcspn(host, ":") : 0;
	return !host || (len == 9 && (strncmp(host, "127.0.0.1", 9) == 0 || strncmp(host, "localhost", 9) == 0));
}

static enum MHD_Result take(void *self, struct MHD_Connection *c, const char *url, const char *method,
			    const char *version, const char *upload, size_t *upload_len, void **request)
{
	static int seen;
	struct smq_http *http = self;
	(void)version;
	(void)upload;
	if (!*request) { /* the headers alone; the answer is given at the second call */
		*request = &seen;
		return MHD_YES;
	}
	if (*upload_len) {
		*upload_len = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return plain(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n");
	if (!host_is_ours(c))
		return plain(c, MHD_HTTP_FORBIDDEN, "not under this name\n");
	if (strcmp(url, "/metrics") == 0)
		return metrics(http, c);
	if (strcmp(url, "/healthz") == 0)
		return healthz(http, c);
	return plain(c, MHD_HTTP_NOT_FOUND, "there are /metrics and /healthz\n");
}

/* Bound by us, so that an address that is taken is told apart from everything else. */
static smq_err listen_on(uint16_t port, int *ret_fd, uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return SMQ_ERR_NO_MEMORY;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, CONNECTIONS_MAX) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
		(void)close(fd);
		return SMQ_ERR_LOCKED;
	}
	*ret_fd = fd;
	*ret_port = ntohs(a.sin_port);
	return SMQ_OK;
}

smq_err smq_http_new(const struct smq_status_source *source, uint16_t port, struct smq_http **ret_http)
{
	int fd = -1;
	smq_err err = smq_mhd_load();
	if (err != SMQ_OK)
		return err;
	struct smq_http *http = calloc(1, sizeof(*http));
	if (!http)
		return SMQ_ERR_NO_MEMORY;
	http->source = *source;
	err = listen_on(port, &fd, &http->port);
	if (err != SMQ_OK) {
		free(http);
		return err;
	}
	http->daemon = smq_mhd.start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, take, http, MHD_OPTION_LISTEN_SOCKET, fd,
					    MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
					    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
					    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
	    http->daemon ? smq_mhd.get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info) {
		if (http->daemon)
			smq_mhd.stop_daemon(http->daemon);
		else
			(void)close(fd);
		free(http);
		return SMQ_ERR_NO_MEMORY;
	}
	http->fd = info->epoll_fd;
	*ret_http = http;
	return SMQ_OK;
}

void smq_http_free(struct smq_http *http)
{
	if (!http)
		return;
	smq_mhd.stop_daemon(http->daemon);
	free(http);
}

int smq_http_fd(const struct smq_http *http) { return http->fd; }

uint16_t smq_http_port(const struct smq_http *http) { return http->port; }

void smq_http_run(struct smq_http *http) { (void)smq_mhd.run(http->daemon); }
