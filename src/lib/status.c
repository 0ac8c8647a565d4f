/* /metrics and /healthz for whoever has a loop of his own. */
#include <sealmq/status.h>

#include <stdlib.h>

#include "adapters/common_loader/loader.h"
#include "adapters/http_microhttpd/http.h"

struct smq_status {
	struct smq_status_page page;
	struct smq_http *http;
};

static smq_err metrics(void *self, smq_mspan room, size_t *ret_len)
{
	const struct smq_status *s = self;
	size_t len = s->page.metrics(s->page.self, (char *)room.p, room.len);
	if (len == 0 || len > room.len)
		return SMQ_ERR_NO_ROOM;
	*ret_len = len;
	return SMQ_OK;
}

static bool healthy(void *self, char *ret_why, size_t room)
{
	const struct smq_status *s = self;
	return s->page.healthy(s->page.self, ret_why, room);
}

smq_err smq_status_new(const struct smq_status_page *page, int port, smq_status **ret_status, const char **ret_why)
{
	struct smq_status *s = calloc(1, sizeof(*s));
	smq_err err = port < 0 || port > 65535 ? SMQ_ERR_USAGE : s ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK) {
		const struct smq_status_source source = { s, metrics, healthy };
		s->page = *page;
		err = smq_http_new(&source, (uint16_t)port, &s->http);
	}
	if (err != SMQ_OK) {
		free(s);
		if (ret_why)
			*ret_why = err == SMQ_ERR_LIBRARY ? smq_library_text(err)
							  : "/metrics: the port is taken, or there is no memory";
		return err;
	}
	*ret_status = s;
	return SMQ_OK;
}

int smq_status_fd(const smq_status *s) { return smq_http_fd(s->http); }

void smq_status_run(smq_status *s) { smq_http_run(s->http); }

void smq_status_free(smq_status *s)
{
	if (!s)
		return;
	smq_http_free(s->http);
	free(s);
}
