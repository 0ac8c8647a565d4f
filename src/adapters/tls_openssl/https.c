/* One request over HTTPS, and its answer: for a device that enrols. */
#include "adapters/tls_openssl/https.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "adapters/common_openssl/pem.h"
#include "base/wipe.h"

enum { PATIENCE_S = 15, HEAD_MAX = 2048, LOGIN_MAX = 512, ADDRESS_LEN = 16 };

struct line {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
};

/* ---- the connection ---- */

static smq_err dial(struct line *l, const struct addrinfo *to)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	l->fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
	    connect(l->fd, to->ai_addr, to->ai_addrlen) != 0)
		return SMQ_ERR_NO_CONNECTION;
	return SMQ_OK;
}

static smq_err connect_to(struct line *l, const char *host, int port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	char text[16];
	smq_err err = SMQ_ERR_NO_CONNECTION;
	(void)snprintf(text, sizeof(text), "%d", port);
	if (getaddrinfo(host, text, &hints, &found) != 0)
		return SMQ_ERR_HOST;
	for (const struct addrinfo *at = found; at && err != SMQ_OK; at = at->ai_next) {
		if (l->fd >= 0)
			close(l->fd);
		err = dial(l, at);
	}
	freeaddrinfo(found);
	return err;
}

static bool use_root(SSL_CTX *ctx, smq_span pem)
{
	BIO *bio = smq_pem_open(pem);
	X509 *root;
	int count = 0;
	while ((root = smq_pem_next_cert(bio)) != NULL) {
		count += X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root) == 1 ? 1 : 0;
		X509_free(root);
	}
	BIO_free(bio);
	return count > 0;
}

static bool use_own(SSL_CTX *ctx, smq_span chain, smq_span key_pem)
{
	BIO *bio = smq_pem_open(chain);
	X509 *cert = smq_pem_next_cert(bio);
	EVP_PKEY *key = smq_pem_key(key_pem);
	bool ok = cert && key && SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	X509_free(cert);
	EVP_PKEY_free(key);
	while (ok && (cert = smq_pem_next_cert(bio)) != NULL) {
		ok = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
		if (!ok)
			X509_free(cert);
	}
	BIO_free(bio);
	return ok;
}

static bool is_address(const char *host)
{
	uint8_t room[ADDRESS_LEN];
	return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

static bool expect(SSL *ssl, const char *host)
{
	if (is_address(host))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static smq_err secure(struct line *l, const struct smq_https_request *r)
{
	l->ctx = SSL_CTX_new(TLS_client_method());
	if (!l->ctx)
		return SMQ_ERR_NO_MEMORY;
	if (SSL_CTX_set_min_proto_version(l->ctx, TLS1_3_VERSION) != 1 || !use_root(l->ctx, r->root) ||
	    (r->chain.len > 0 && !use_own(l->ctx, r->chain, r->key)))
		return SMQ_ERR_TLS;
	SSL_CTX_set_verify(l->ctx, SSL_VERIFY_PEER, NULL);
	l->ssl = SSL_new(l->ctx);
	if (!l->ssl || !expect(l->ssl, r->host) || SSL_set_fd(l->ssl, l->fd) != 1)
		return SMQ_ERR_TLS;
	return SSL_connect(l->ssl) == 1 ? SMQ_OK : SMQ_ERR_TLS;
}

/* ---- what is said ---- */

/* "Authorization: Basic ..." with its end, or nothing. */
static smq_err login(const struct smq_https_request *r, char ret_line[2 * LOGIN_MAX])
{
	char plain[LOGIN_MAX];
	char coded[LOGIN_MAX * 3 / 2];
	ret_line[0] = 0;
	if (!r->user)
		return SMQ_OK;
	int len = snprintf(plain, sizeof(plain), "%s:%s", r->user, r->password);
	if (len < 0 || len >= (int)sizeof(plain))
		return SMQ_ERR_TOO_LARGE;
	(void)EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)plain, len);
	(void)snprintf(ret_line, 2 * LOGIN_MAX, "Authorization: Basic %s\r\n", coded);
	smq_wipe(plain, sizeof(plain));
	smq_wipe(coded, sizeof(coded));
	return SMQ_OK;
}

static smq_err send_request(struct line *l, const struct smq_https_request *r)
{
	char head[HEAD_MAX];
	char auth[2 * LOGIN_MAX];
	char content[256] = "";
	smq_err err = login(r, auth);
	if (r->type)
		(void)snprintf(content, sizeof(content), "Content-Type: %s\r\nContent-Length: %zu\r\n", r->type,
			       r->body.len);
	int len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s%s\r\n", r->method,
			   r->path, r->host, auth, content);
	if (err == SMQ_OK && (len < 0 || len >= (int)sizeof(head) || r->body.len > INT32_MAX))
		err = SMQ_ERR_TOO_LARGE;
	if (err == SMQ_OK && SSL_write(l->ssl, head, len) != len)
		err = SMQ_ERR_TLS;
	if (err == SMQ_OK && r->body.len > 0 && SSL_write(l->ssl, r->body.p, (int)r->body.len) != (int)r->body.len)
		err = SMQ_ERR_TLS;
	smq_wipe(head, sizeof(head));
	smq_wipe(auth, sizeof(auth));
	return err;
}

static smq_err receive(struct line *l, uint8_t *room, size_t *ret_len)
{
	size_t len = 0;
	for (;;) {
		if (len == SMQ_HTTPS_ANSWER_MAX)
			return SMQ_ERR_TOO_LARGE;
		int n = SSL_read(l->ssl, room + len, (int)(SMQ_HTTPS_ANSWER_MAX - len));
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		int error = SSL_get_error(l->ssl, n);
		*ret_len = len;
		/* an answer that is cut short must not look like a whole one */
		if (error == SSL_ERROR_ZERO_RETURN)
			return SMQ_OK;
		return errno == EAGAIN ? SMQ_ERR_TIMEOUT : SMQ_ERR_TLS;
	}
}

static smq_err take_answer(uint8_t *room, size_t len, struct smq_https_answer *ret)
{
	char first[16];
	uint8_t *body = memmem(room, len, "\r\n\r\n", 4);
	if (!body || len < sizeof(first) || memcmp(room, "HTTP/1.", 7) != 0 || room[8] != ' ')
		return SMQ_ERR_PROTOCOL;
	memcpy(first, room + 9, 3);
	first[3] = 0;
	int status = atoi(first);
	if (status < 100 || status > 599)
		return SMQ_ERR_PROTOCOL;
	body += 4;
	size_t left = len - (size_t)(body - room);
	uint8_t *copy = left > 0 ? malloc(left) : NULL;
	if (left > 0 && !copy)
		return SMQ_ERR_NO_MEMORY;
	if (copy)
		memcpy(copy, body, left);
	*ret = (struct smq_https_answer){ .status = status, .body = copy, .len = left };
	return SMQ_OK;
}

smq_err smq_https_ask(const struct smq_https_request *request, struct smq_https_answer *ret_answer)
{
	struct line l = { .fd = -1 };
	uint8_t *room = malloc(SMQ_HTTPS_ANSWER_MAX);
	size_t len = 0;
	smq_err err = room ? connect_to(&l, request->host, request->port) : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK)
		err = secure(&l, request);
	if (err == SMQ_OK)
		err = send_request(&l, request);
	if (err == SMQ_OK)
		err = receive(&l, room, &len);
	if (err == SMQ_OK)
		err = take_answer(room, len, ret_answer);
	SSL_free(l.ssl);
	SSL_CTX_free(l.ctx);
	if (l.fd >= 0)
		close(l.fd);
	free(room);
	ERR_clear_error();
	return err;
}
