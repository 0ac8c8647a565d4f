/* One connection to a broker, over TLS or in the clear, and what it answers to a stranger. */
#include "adapters/probe_openssl/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

/* MQTT 3.1.1 CONNECT: clean session, keepalive 5 s, client id "sealmq-check". */
static const uint8_t connect_packet[] = { 0x10, 24,  0,   4,   'M', 'Q', 'T', 'T', 4,   2,   0,   5,   0,
					  12,   's', 'e', 'a', 'l', 'm', 'q', '-', 'c', 'h', 'e', 'c', 'k' };
static const uint8_t disconnect_packet[] = { 0xe0, 0 };

struct line {
	int fd;
	SSL *ssl; /* NULL: in the clear */
	int64_t until_ms;
};

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool wait_for(const struct line *l, short events)
{
	struct pollfd p = { .fd = l->fd, .events = events };
	for (;;) {
		int64_t left = l->until_ms - now_ms();
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (n >= 0 || errno != EINTR)
			return n > 0;
	}
}

/* ---- connecting ---- */

static smq_err dial(struct line *l, const struct addrinfo *to)
{
	int bad = 0;
	socklen_t len = sizeof(bad);
	l->fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return SMQ_ERR_NO_CONNECTION;
	if (connect(l->fd, to->ai_addr, to->ai_addrlen) == 0)
		return SMQ_OK;
	if (errno != EINPROGRESS)
		bad = errno;
	else if (!wait_for(l, POLLOUT))
		return SMQ_ERR_TIMEOUT;
	else if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &bad, &len) != 0)
		bad = errno;
	return bad == 0 ? SMQ_OK : bad == ECONNREFUSED ? SMQ_ERR_CONNECTION_REFUSED : SMQ_ERR_NO_CONNECTION;
}

static smq_err open_line(struct line *l, const char *host, int port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[12];
	smq_err err = SMQ_ERR_HOST;
	(void)snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(host, service, &hints, &list) != 0)
		return SMQ_ERR_HOST;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		err = dial(l, a);
		if (err == SMQ_OK)
			break;
		if (l->fd >= 0)
			(void)close(l->fd);
		l->fd = -1;
	}
	freeaddrinfo(list);
	return err;
}

/* ---- bytes, both ways ---- */

/* Whether a call of OpenSSL is to be made again; waits for what it wants. */
static bool again(const struct line *l, int result)
{
	int wants = SSL_get_error(l->ssl, result);
	if (wants == SSL_ERROR_WANT_READ)
		return wait_for(l, POLLIN);
	return wants == SSL_ERROR_WANT_WRITE && wait_for(l, POLLOUT);
}

static bool send_bytes(const struct line *l, const uint8_t *bytes, size_t len)
{
	int n;
	if (!l->ssl)
		return wait_for(l, POLLOUT) && send(l->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
	do
		n = SSL_write(l->ssl, bytes, (int)len);
	while (n <= 0 && again(l, n));
	return n == (int)len;
}

static int receive_bytes(const struct line *l, uint8_t *room, size_t len)
{
	int n;
	if (!l->ssl)
		return wait_for(l, POLLIN) ? (int)recv(l->fd, room, len, 0) : 0;
	do
		n = SSL_read(l->ssl, room, (int)len);
	while (n <= 0 && again(l, n));
	return n;
}

static void ask_mqtt(const struct line *l, struct smq_probe_answer *answer)
{
	uint8_t said[64];
	if (!send_bytes(l, connect_packet, sizeof(connect_packet)))
		return;
	int n = receive_bytes(l, said, sizeof(said));
	if (n <= 0)
		return;
	answer->answered = true;
	answer->connack = n >= 4 && said[0] == 0x20 && said[1] == 2 ? said[3] : -1;
	if (answer->connack == 0)
		(void)send_bytes(l, disconnect_packet, sizeof(disconnect_packet));
}

/* ---- TLS ---- */

static int note_wanted(SSL *ssl, X509 **cert, EVP_PKEY **key)
{
	bool *wanted = SSL_get_app_data(ssl);
	(void)cert;
	(void)key;
	*wanted = true;
	return 0;
}

static int64_t not_after(SSL *ssl)
{
	struct tm tm;
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	if (!cert || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}

static int version_of(int version)
{
	switch (version) {
	case TLS1_VERSION:
		return 10;
	case TLS1_1_VERSION:
		return 11;
	case TLS1_2_VERSION:
		return 12;
	case TLS1_3_VERSION:
		return 13;
	default:
		return 0;
	}
}

/* Everything is accepted, the oldest too: what the server would take is the question. */
static SSL *new_ssl(SSL_CTX *ctx, const struct smq_probe_ask *ask, int fd)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_client_cert_cb(ctx, note_wanted);
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0") != 1 ||
	    (ask->at_most_1_2 && SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) != 1))
		return NULL;
	SSL *ssl = SSL_new(ctx);
	if (ssl && SSL_set_fd(ssl, fd) == 1)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static smq_err ask_tls(struct line *l, const struct smq_probe_ask *ask, struct smq_probe_answer *answer)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int n;
	l->ssl = ctx ? new_ssl(ctx, ask, l->fd) : NULL;
	SSL_CTX_free(ctx);
	if (!l->ssl)
		return SMQ_ERR_NO_MEMORY;
	SSL_set_app_data(l->ssl, &answer->certificate_wanted);
	if (strspn(ask->host, "0123456789.:abcdefABCDEF") != strlen(ask->host))
		(void)SSL_set_tlsext_host_name(l->ssl, ask->host);
	do
		n = SSL_connect(l->ssl);
	while (n <= 0 && again(l, n));
	/* Before TLS 1.3 a server that wants a certificate ends the handshake of who has none: a version was agreed all
	 * the same. */
	if (n == 1 || answer->certificate_wanted) {
		answer->tls_version = version_of(SSL_version(l->ssl));
		answer->not_after_ms = not_after(l->ssl);
	}
	if (n == 1) {
		if (ask->mqtt)
			ask_mqtt(l, answer);
		(void)SSL_shutdown(l->ssl);
	}
	SSL_free(l->ssl);
	return SMQ_OK;
}

smq_err smq_probe(const struct smq_probe_ask *ask, struct smq_probe_answer *ret_answer)
{
	struct line l = { .fd = -1, .until_ms = now_ms() + ask->timeout_ms };
	struct smq_probe_answer answer = { .connack = -1 };
	smq_err err = open_line(&l, ask->host, ask->port);
	if (err != SMQ_OK)
		return err;
	if (ask->tls)
		err = ask_tls(&l, ask, &answer);
	else
		ask_mqtt(&l, &answer);
	(void)close(l.fd);
	if (err == SMQ_OK)
		*ret_answer = answer;
	return err;
}
