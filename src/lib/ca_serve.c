/* The enrolment server: sockets, TLS links and HTTP put together in one loop of one thread. */
#include <sealmq/enrol.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapters/common_loader/loader.h"
#include "adapters/desk_microhttpd/desk.h"
#include "adapters/tls_openssl/tls_link.h"
#include "lib/ca_dir.h"
#include "lib/ca_est.h"
#include "lib/ca_key.h"

enum { LINKS_MAX = 64, PATIENCE_S = 15 };

struct connection {
	struct smq_tls_link *link; /* NULL: free */
	int outer, inner;          /* ours, for poll */
	int http;                  /* the other end of inner, HTTP's: names the connection */
};

struct smq_ca_server {
	struct smq_ca_est est;
	char dir[SMQ_PATH_MAX], passphrase_file[SMQ_PATH_MAX];
	int listener, port;
	struct smq_tls_server *tls;
	struct smq_desk *http;
	struct connection links[LINKS_MAX];
	void (*on_event)(void *self, const struct smq_ca_server_event *event);
	void *self;
};

/* ---- what the operations ask of us ---- */

static size_t peer_of(void *self, int fd, uint8_t *ret_pem, size_t room)
{
	const struct smq_ca_server *s = self;
	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (s->links[i].link && s->links[i].http == fd)
			return smq_tls_link_peer(s->links[i].link, ret_pem, room);
	}
	return 0;
}

static void pass_event(void *self, const struct smq_ca_server_event *event)
{
	const struct smq_ca_server *s = self;
	if (s->on_event)
		s->on_event(s->self, event);
}

static void answer(void *self, const struct smq_http_request *request, struct smq_http_answer *ret_answer)
{
	const struct smq_ca_server *s = self;
	smq_ca_est_answer(&s->est, request, ret_answer);
}

/* ---- setting up ---- */

static smq_err listen_on(struct smq_ca_server *s, const struct addrinfo *to)
{
	int on = 1;
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	char port[NI_MAXSERV];
	s->listener = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener < 0 || setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(s->listener, to->ai_addr, to->ai_addrlen) != 0 || listen(s->listener, LINKS_MAX) != 0 ||
	    getsockname(s->listener, (struct sockaddr *)&bound, &len) != 0)
		return smq_ca_because(smq_err_of_errno(errno), "cannot listen there: %s", strerror(errno));
	if (getnameinfo((struct sockaddr *)&bound, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV) == 0)
		s->port = atoi(port);
	return SMQ_OK;
}

static smq_err open_listener(struct smq_ca_server *s, const struct smq_ca_server_options *o)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	char port[16];
	(void)snprintf(port, sizeof(port), "%d", o->port < 0 ? 0 : o->port ? o->port : SMQ_CA_ENROL_PORT);
	if (getaddrinfo(o->address ? o->address : "127.0.0.1", port, &hints, &found) != 0)
		return smq_ca_because(SMQ_ERR_HOST, "'%s' is no address", o->address ? o->address : "");
	smq_err err = listen_on(s, found);
	freeaddrinfo(found);
	return err;
}

static smq_err open_tls(struct smq_ca_server *s, const char *identity)
{
	struct smq_file_bytes chain = { NULL, 0 };
	struct smq_file_bytes key = { NULL, 0 };
	struct smq_file_bytes root = { NULL, 0 };
	smq_err err = smq_dir_read(identity, "server.crt", false, &chain, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_dir_read(identity, "server.key", true, &key, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = smq_dir_read(s->dir, "root.crt", false, &root, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK) {
		err = smq_tls_server_new(smq_file_span(&chain), smq_file_span(&key), smq_file_span(&root), &s->tls);
		if (err != SMQ_OK)
			err = smq_ca_because(err, "%s: server.crt and server.key are no pair for TLS", identity);
	} else if (err == SMQ_ERR_NOT_FOUND) {
		err = smq_ca_because(
		    err, "%s: no server.crt there; `sealmq ca issue enrol --role broker --dns HOST` makes one",
		    identity);
	}
	smq_file_bytes_free(&chain);
	smq_file_bytes_free(&key);
	smq_file_bytes_free(&root);
	return err;
}

/* The authority must open, and its key too, before anybody is told that there is a server. */
static smq_err try_authority(const struct smq_ca_server *s)
{
	struct smq_ca_dir ca;
	struct smq_ca_issuer *issuer = NULL;
	smq_err err = smq_ca_dir_open(s->dir, &ca);
	if (err == SMQ_OK)
		err = smq_ca_key_open_issuer(&ca, s->est.passphrase_file, &issuer);
	smq_ca_issuer_free(issuer);
	smq_ca_dir_close(&ca);
	return err;
}

static smq_err start(struct smq_ca_server *s, const struct smq_ca_server_options *o)
{
	char usual[SMQ_PATH_MAX];
	struct smq_http_desk desk = { .self = s, .answer = answer };
	if (snprintf(s->dir, sizeof(s->dir), "%s", o->dir) >= (int)sizeof(s->dir) ||
	    snprintf(s->passphrase_file, sizeof(s->passphrase_file), "%s",
		     o->passphrase_file ? o->passphrase_file : "") >= (int)sizeof(s->passphrase_file))
		return SMQ_ERR_TOO_LARGE;
	s->est = (struct smq_ca_est){ .dir = s->dir,
				      .passphrase_file = o->passphrase_file ? s->passphrase_file : NULL,
				      .peer = peer_of,
				      .on_event = pass_event,
				      .self = s };
	smq_err err = try_authority(s);
	if (err == SMQ_OK)
		err = smq_path_join(s->dir, "members/enrol", usual);
	if (err == SMQ_OK)
		err = open_tls(s, o->identity ? o->identity : usual);
	if (err == SMQ_OK)
		err = smq_desk_new(&desk, LINKS_MAX, PATIENCE_S, &s->http);
	return err == SMQ_OK ? open_listener(s, o) : err;
}

smq_err smq_ca_server_new(const struct smq_ca_server_options *options, struct smq_ca_server **ret_server,
			  const char **ret_why)
{
	struct smq_ca_server *s = calloc(1, sizeof(*s));
	smq_ca_begin(ret_why);
	if (!s)
		return smq_ca_finish(SMQ_ERR_NO_MEMORY);
	s->listener = -1;
	s->on_event = options->on_event;
	s->self = options->self;
	smq_err err = start(s, options);
	if (err == SMQ_OK)
		*ret_server = s;
	else
		smq_ca_server_free(s);
	return smq_ca_finish(err);
}

smq_err smq_ca_server_confine(const struct smq_ca_server *s, struct smq_confined *ret_how)
{
	const char *writes[] = { s->dir }, *reads[] = { s->passphrase_file, "/etc/localtime" };
	struct smq_rights rights = { .duty = "enrolment",
				     .listens = true,
				     .reads = s->passphrase_file[0] ? reads : reads + 1,
				     .read_count = s->passphrase_file[0] ? 2 : 1,
				     .writes = writes,
				     .write_count = 1 };
	smq_err err = smq_ca_key_in_token(s->dir, &rights.foreign);
	return err == SMQ_OK ? smq_confine(&rights, ret_how) : err;
}

int smq_ca_server_port(const struct smq_ca_server *server) { return server->port; }

void smq_ca_server_free(struct smq_ca_server *server)
{
	if (!server)
		return;
	smq_desk_free(server->http);
	for (size_t i = 0; i < LINKS_MAX; i++)
		smq_tls_link_free(server->links[i].link);
	smq_tls_server_free(server->tls);
	if (server->listener >= 0)
		close(server->listener);
	free(server);
}

/* ---- the loop ---- */

static struct connection *free_place(struct smq_ca_server *s)
{
	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (!s->links[i].link)
			return &s->links[i];
	}
	return NULL;
}

/* HTTP may have closed its end of an older connection already, and the number comes again: it names the new one. */
static void forget_number(struct smq_ca_server *s, int http)
{
	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (s->links[i].link && s->links[i].http == http)
			s->links[i].http = -1;
	}
}

static void take(struct smq_ca_server *s, struct connection *place)
{
	int pair[2];
	int outer = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (outer < 0)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		close(outer);
		return;
	}
	if (smq_desk_add(s->http, pair[1]) != SMQ_OK) {
		close(outer);
		close(pair[0]);
		return;
	}
	forget_number(s, pair[1]);
	/* without memory for TLS both ends close, and HTTP sees the end of its own */
	struct smq_tls_link *link = NULL;
	if (smq_tls_link_new(s->tls, outer, pair[0], &link) == SMQ_OK)
		*place = (struct connection){ .link = link, .outer = outer, .inner = pair[0], .http = pair[1] };
}

static void move_links(struct smq_ca_server *s)
{
	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (!s->links[i].link || smq_tls_link_move(s->links[i].link))
			continue;
		smq_tls_link_free(s->links[i].link);
		s->links[i].link = NULL;
	}
}

static nfds_t fill(const struct smq_ca_server *s, struct pollfd *p, bool room)
{
	nfds_t n = 0;
	p[n++] = (struct pollfd){ .fd = smq_desk_fd(s->http), .events = POLLIN };
	p[n++] = (struct pollfd){ .fd = room ? s->listener : -1, .events = POLLIN };
	for (size_t i = 0; i < LINKS_MAX; i++) {
		short outer;
		short inner;
		if (!s->links[i].link)
			continue;
		smq_tls_link_wants(s->links[i].link, &outer, &inner);
		/* one that nothing is wanted of must not wake us by having hung up */
		p[n++] = (struct pollfd){ .fd = outer ? s->links[i].outer : -1, .events = outer };
		p[n++] = (struct pollfd){ .fd = inner ? s->links[i].inner : -1, .events = inner };
	}
	return n;
}

smq_err smq_ca_server_step(struct smq_ca_server *s, int timeout_ms)
{
	struct pollfd p[2 + 2 * LINKS_MAX];
	struct connection *place = free_place(s);
	nfds_t n = fill(s, p, place != NULL);
	int wish = smq_desk_timeout_ms(s->http);
	int got = poll(p, n, wish >= 0 && wish < timeout_ms ? wish : timeout_ms);
	if (got < 0)
		return errno == EINTR ? SMQ_OK : smq_err_of_errno(errno);
	if (place && p[1].revents)
		take(s, place);
	move_links(s);
	smq_desk_run(s->http);
	move_links(s);
	return SMQ_OK;
}
