/* The server's side of TLS 1.3: what comes in on a socket goes out in the clear on another descriptor, and back. */
#include "adapters/tls_openssl/tls_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "adapters/common_openssl/pem.h"

enum { ROOM = 16384, VERIFY_DEPTH = 3 };

struct smq_tls_server {
	SSL_CTX *ctx;
};

struct pipe {
	uint8_t bytes[ROOM];
	size_t from, to; /* what is in it */
	bool ended;      /* nothing more comes in */
};

struct smq_tls_link {
	SSL *ssl;
	int outer, inner;
	bool ready;       /* the handshake is done */
	bool wants_write; /* TLS cannot go on before it has written */
	bool inner_told;  /* that nothing more comes */
	struct pipe in, out;
};

/* ---- the server ---- */

static bool use_key(SSL_CTX *ctx, smq_span pem)
{
	EVP_PKEY *key = smq_pem_key(pem);
	bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	EVP_PKEY_free(key);
	return ok;
}

static bool use_chain(SSL_CTX *ctx, smq_span pem)
{
	BIO *bio = smq_pem_open(pem);
	X509 *cert = smq_pem_next_cert(bio);
	bool ok = cert && SSL_CTX_use_certificate(ctx, cert) == 1;
	X509_free(cert);
	while (ok && (cert = smq_pem_next_cert(bio)) != NULL) {
		ok = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
		if (!ok)
			X509_free(cert);
	}
	BIO_free(bio);
	return ok;
}

static bool use_root(SSL_CTX *ctx, smq_span pem)
{
	BIO *bio = smq_pem_open(pem);
	X509 *root;
	bool ok = bio != NULL;
	int count = 0;
	while (ok && (root = smq_pem_next_cert(bio)) != NULL) { /* several after a change */
		ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root) == 1 &&
		     SSL_CTX_add_client_CA(ctx, root) == 1;
		X509_free(root);
		count++;
	}
	ok = ok && count > 0;
	ERR_clear_error();
	BIO_free(bio);
	return ok;
}

smq_err smq_tls_server_new(smq_span chain, smq_span key, smq_span root, struct smq_tls_server **ret_server)
{
	struct smq_tls_server *s = calloc(1, sizeof(*s));
	if (!s)
		return SMQ_ERR_NO_MEMORY;
	s->ctx = SSL_CTX_new(TLS_server_method());
	bool ok = s->ctx && SSL_CTX_set_min_proto_version(s->ctx, TLS1_3_VERSION) == 1 && use_chain(s->ctx, chain) &&
		  use_key(s->ctx, key) && SSL_CTX_check_private_key(s->ctx) == 1 && use_root(s->ctx, root);
	ERR_clear_error();
	if (!ok) {
		smq_tls_server_free(s);
		return SMQ_ERR_MALFORMED;
	}
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, NULL); /* asked for, not demanded */
	SSL_CTX_set_verify_depth(s->ctx, VERIFY_DEPTH);
	/* no resumption: who somebody is, is proven on every connection */
	(void)SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(s->ctx, 0);
	(void)SSL_CTX_set_mode(s->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	*ret_server = s;
	return SMQ_OK;
}

void smq_tls_server_free(struct smq_tls_server *server)
{
	if (server)
		SSL_CTX_free(server->ctx);
	free(server);
}

/* ---- a link ---- */

smq_err smq_tls_link_new(struct smq_tls_server *server, int outer, int inner, struct smq_tls_link **ret_link)
{
	struct smq_tls_link *l = calloc(1, sizeof(*l));
	SSL *ssl = l ? SSL_new(server->ctx) : NULL;
	if (!ssl || SSL_set_fd(ssl, outer) != 1) {
		SSL_free(ssl);
		free(l);
		close(outer);
		close(inner);
		ERR_clear_error();
		return SMQ_ERR_NO_MEMORY;
	}
	l->ssl = ssl;
	l->outer = outer;
	l->inner = inner;
	*ret_link = l;
	return SMQ_OK;
}

void smq_tls_link_free(struct smq_tls_link *link)
{
	if (!link)
		return;
	SSL_free(link->ssl);
	close(link->outer);
	close(link->inner);
	OPENSSL_cleanse(link, sizeof(*link)); /* a password went through it */
	free(link);
}

static size_t room_of(const struct pipe *p) { return p->from == p->to ? ROOM : ROOM - p->to; }

static size_t held(const struct pipe *p) { return p->to - p->from; }

static uint8_t *space(struct pipe *p)
{
	if (p->from == p->to)
		p->from = p->to = 0;
	return p->bytes + p->to;
}

void smq_tls_link_wants(const struct smq_tls_link *l, short *ret_outer, short *ret_inner)
{
	bool can_read = !l->in.ended && room_of(&l->in) > 0;
	*ret_outer = (short)((!l->ready || can_read ? POLLIN : 0) | (l->wants_write || held(&l->out) ? POLLOUT : 0));
	*ret_inner = 0;
	if (!l->ready)
		return;
	if (held(&l->in) > 0)
		*ret_inner = (short)(*ret_inner | POLLOUT);
	if (!l->out.ended && room_of(&l->out) > 0)
		*ret_inner = (short)(*ret_inner | POLLIN);
}

/* Whether TLS goes on later; false: it has ended or failed. */
static bool later(struct smq_tls_link *l, int result)
{
	int error = SSL_get_error(l->ssl, result);
	l->wants_write = error == SSL_ERROR_WANT_WRITE;
	ERR_clear_error();
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void from_outer(struct smq_tls_link *l)
{
	while (!l->in.ended && room_of(&l->in) > 0) {
		uint8_t *at = space(&l->in);
		int n = SSL_read(l->ssl, at, (int)room_of(&l->in));
		if (n <= 0) {
			l->in.ended = !later(l, n);
			return;
		}
		l->in.to += (size_t)n;
	}
}

/* false: nobody is there any more. */
static bool to_inner(struct smq_tls_link *l)
{
	while (held(&l->in) > 0) {
		ssize_t n = send(l->inner, l->in.bytes + l->in.from, held(&l->in), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		l->in.from += (size_t)n;
	}
	if (l->in.ended && !l->inner_told) {
		l->inner_told = true;
		(void)shutdown(l->inner, SHUT_WR);
	}
	return true;
}

static void from_inner(struct smq_tls_link *l)
{
	while (!l->out.ended && room_of(&l->out) > 0) {
		uint8_t *at = space(&l->out);
		ssize_t n = recv(l->inner, at, room_of(&l->out), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		l->out.ended = n <= 0;
		l->out.to += n > 0 ? (size_t)n : 0;
	}
}

static bool to_outer(struct smq_tls_link *l)
{
	while (held(&l->out) > 0) {
		int n = SSL_write(l->ssl, l->out.bytes + l->out.from, (int)held(&l->out));
		if (n <= 0)
			return later(l, n);
		l->out.from += (size_t)n;
	}
	return true;
}

bool smq_tls_link_move(struct smq_tls_link *l)
{
	if (!l->ready) {
		char byte;
		int n = SSL_accept(l->ssl);
		/* who waits behind us may have lost patience */
		if (recv(l->inner, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			return false;
		if (n != 1)
			return later(l, n);
		l->ready = true;
		l->wants_write = false;
	}
	from_outer(l);
	if (!to_inner(l))
		l->out.ended = true;
	from_inner(l);
	if (!to_outer(l))
		return false;
	if (l->out.ended && held(&l->out) == 0) {
		(void)SSL_shutdown(l->ssl);
		ERR_clear_error();
		return false;
	}
	return true;
}

size_t smq_tls_link_peer(const struct smq_tls_link *l, uint8_t *ret_pem, size_t room)
{
	X509 *cert = SSL_get1_peer_certificate(l->ssl);
	BIO *bio = cert && SSL_get_verify_result(l->ssl) == X509_V_OK ? BIO_new(BIO_s_mem()) : NULL;
	char *at = NULL;
	long len = bio && PEM_write_bio_X509(bio, cert) == 1 ? BIO_get_mem_data(bio, &at) : 0;
	size_t got = len > 0 && (size_t)len <= room ? (size_t)len : 0;
	if (got > 0)
		memcpy(ret_pem, at, got);
	BIO_free(bio);
	X509_free(cert);
	return got;
}
