/*
 * What an enrolment server answers (RFC 7030, 4.1 and 4.2).
 *
 * Who asks for a first certificate proves it with a token, as the password of HTTP's basic authentication; who renews,
 * with the certificate it has, in TLS. The proof that it holds the new key is the request's own signature. Whatever is
 * refused is refused in the same few words; the operator is told why.
 */
#include "lib/ca_est.h"

#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "base/text.h"
#include "lib/ca_crl.h"
#include "lib/ca_identity.h"
#include "lib/ca_list.h"
#include "lib/ca_token.h"

enum {
	PEER_MAX = 8192,
	HTTP_OK = 200,
	HTTP_NO_CONTENT = 204,
	HTTP_BAD = 400,
	HTTP_LOGIN = 401,
	HTTP_FORBIDDEN = 403,
	HTTP_NOT_FOUND = 404,
	HTTP_METHOD = 405,
	HTTP_TYPE = 415,
	HTTP_FAILED = 500
};

/* One request on its way. */
struct asking {
	const struct smq_ca_est *est;
	const struct smq_http_request *request;
	const char *operation;
	struct smq_http_answer *answer;
};

/* ---- answering ---- */

static void say(struct asking *a, int status, const char *text)
{
	a->answer->status = status;
	a->answer->type = "text/plain";
	a->answer->body = (uint8_t *)strdup(text);
	a->answer->body_len = a->answer->body ? strlen(text) : 0;
}

static void give(struct asking *a, const char *type, struct smq_pem *body)
{
	a->answer->status = HTTP_OK;
	a->answer->type = type;
	a->answer->base64 = true;
	a->answer->body = body->p;
	a->answer->body_len = body->len;
	*body = (struct smq_pem){ NULL, 0 };
}

static void tell(const struct asking *a, const char *name, smq_err err, const struct smq_ca_issued *issued)
{
	struct smq_ca_server_event e = { .operation = a->operation,
					 .name = name,
					 .err = err,
					 .why = err == SMQ_OK ? "" : smq_ca_why(),
					 .issued = issued };
	if (a->est->on_event)
		a->est->on_event(a->est->self, &e);
}

static void refuse(struct asking *a, const char *name, smq_err err)
{
	int status = HTTP_FAILED;
	const char *text = "the authority could not do it; its operator knows why\n";
	if (err == SMQ_ERR_NOT_AUTHORIZED) {
		status = HTTP_LOGIN;
		text = "a name and its one-time token are needed, or a certificate to renew\n";
		a->answer->ask_for_login = strcmp(a->operation, "simpleenroll") == 0;
	} else if (err == SMQ_ERR_MALFORMED || err == SMQ_ERR_SIGNATURE || err == SMQ_ERR_ALGORITHM) {
		status = HTTP_BAD;
		text = "not a signing request, in base64, that its own key has signed\n";
	} else if (err == SMQ_ERR_NAME || err == SMQ_ERR_EXISTS || smq_err_kind_of(err) == SMQ_KIND_AUTH) {
		status = HTTP_FORBIDDEN;
		text = "not for this name\n";
	}
	say(a, status, text);
	tell(a, name, err, NULL);
}

/* ---- giving certificates ---- */

static smq_err read_pem(const struct asking *a, const char *name, struct smq_pem *ret_request)
{
	struct smq_ca_request request;
	smq_err err = smq_ca_request_of_base64(a->request->body, ret_request);
	if (err == SMQ_OK)
		err = smq_ca_read_request(smq_pem_span(ret_request), &request);
	if (err == SMQ_OK && strcmp(request.name, name) != 0)
		err = smq_ca_because(SMQ_ERR_NAME, "the request is for '%s'", request.name);
	return err;
}

static smq_err sign(struct asking *a, const char *name, const struct smq_ca_grant *grant, smq_span request,
		    struct smq_ca_issued *ret_issued)
{
	struct smq_pem chain = { NULL, 0 };
	struct smq_pem body = { NULL, 0 };
	struct smq_ca_issue_options o = { .name = name,
					  .roles = grant->roles,
					  .days = grant->days,
					  .reissue = grant->reissue,
					  .passphrase_file = a->est->passphrase_file };
	smq_err err = smq_ca_sign_only(a->est->dir, request, &o, &chain, ret_issued);
	if (err == SMQ_OK)
		err = smq_ca_certs_only(smq_pem_span(&chain), &body);
	if (err == SMQ_OK)
		give(a, "application/pkcs7-mime; smime-type=certs-only", &body);
	smq_pem_free(&chain);
	smq_pem_free(&body);
	return err;
}

/* With a token: it is used up before anything is signed, so that it never counts twice. */
static void enrol(struct asking *a)
{
	const char *name = a->request->user ? a->request->user : "";
	struct smq_ca_grant grant;
	struct smq_ca_issued issued;
	struct smq_pem request = { NULL, 0 };
	smq_err err = SMQ_ERR_NOT_AUTHORIZED;
	if (a->request->user && a->request->password)
		err = smq_ca_token_look(a->est->dir, name, a->request->password, &grant);
	if (err == SMQ_OK)
		err = read_pem(a, name, &request);
	if (err == SMQ_OK)
		err = smq_ca_token_use(a->est->dir, name, NULL);
	if (err == SMQ_OK)
		err = sign(a, name, &grant, smq_pem_span(&request), &issued);
	smq_pem_free(&request);
	if (err == SMQ_OK)
		tell(a, name, SMQ_OK, &issued);
	else
		refuse(a, name, err);
}

static void renew(struct asking *a)
{
	uint8_t pem[PEER_MAX];
	uint8_t hash[SMQ_HASH_LEN];
	struct smq_ca_holder holder = { .name = "" };
	struct smq_ca_issued issued;
	struct smq_pem request = { NULL, 0 };
	size_t len = a->est->peer(a->est->self, a->request->fd, pem, sizeof(pem));
	smq_err err = len > 0 ? smq_ca_read_holder(smq_span_of(pem, len), &holder) : SMQ_ERR_NOT_AUTHORIZED;
	if (err == SMQ_OK)
		err = smq_ca_fingerprint(smq_span_of(pem, len), hash);
	if (err == SMQ_OK)
		err = smq_ca_judge_holder(a->est->dir, hash);
	if (err == SMQ_OK && (holder.roles & SMQ_ROLE_BROKER))
		err = smq_ca_because(SMQ_ERR_NAME, "a broker is renewed here: its host names are nobody else's to say");
	if (err == SMQ_OK)
		err = read_pem(a, holder.name, &request);
	struct smq_ca_grant grant = { .roles = holder.roles, .reissue = true };
	if (err == SMQ_OK)
		err = sign(a, holder.name, &grant, smq_pem_span(&request), &issued);
	smq_pem_free(&request);
	if (err == SMQ_OK)
		tell(a, holder.name, SMQ_OK, &issued);
	else
		refuse(a, holder.name, err);
}

/* ---- giving what everybody may have ---- */

static void give_cacerts(struct asking *a)
{
	struct smq_ca_dir ca;
	struct smq_pem chain = { NULL, 0 };
	struct smq_pem body = { NULL, 0 };
	smq_err err = smq_ca_dir_open(a->est->dir, &ca);
	if (err == SMQ_OK)
		err = smq_ca_dir_chain(&ca, smq_file_span(&ca.root), &chain);
	if (err == SMQ_OK && ca.root_serial[0]) /* RFC 7030, 4.1.3: and what leads to a new root */
		err = smq_ca_add_authorities(&ca, &chain);
	if (err == SMQ_OK)
		err = smq_ca_certs_only(smq_pem_span(&chain), &body);
	if (err == SMQ_OK)
		give(a, "application/pkcs7-mime", &body);
	else
		refuse(a, "", err);
	smq_pem_free(&chain);
	smq_pem_free(&body);
	smq_ca_dir_close(&ca);
}

static void give_nothing(struct asking *a) { a->answer->status = HTTP_NO_CONTENT; }

/* What a realm directory needs beside its certificate. */
static void give_file(struct asking *a, smq_err (*read)(const struct smq_ca_dir *, struct smq_file_bytes *),
		      const char *type)
{
	struct smq_ca_dir ca;
	struct smq_file_bytes file = { NULL, 0 };
	smq_err err = smq_ca_dir_open(a->est->dir, &ca);
	if (err == SMQ_OK)
		err = read(&ca, &file);
	if (err == SMQ_OK && file.len > 0) {
		a->answer->status = HTTP_OK;
		a->answer->type = type;
		a->answer->body = file.p;
		a->answer->body_len = file.len;
		file = (struct smq_file_bytes){ NULL, 0 };
	} else {
		say(a, HTTP_NOT_FOUND, "there is none\n");
	}
	smq_file_bytes_free(&file);
	smq_ca_dir_close(&ca);
}

static void give_crl(struct asking *a) { give_file(a, smq_ca_dir_crl, "application/x-pem-file"); }

static void give_settings(struct asking *a) { give_file(a, smq_ca_dir_settings, "application/yaml"); }

/* ---- the table ---- */

static const struct {
	const char *path, *method, *operation;
	void (*run)(struct asking *a);
} rows[] = {
	{ "/.well-known/est/cacerts", "GET", "cacerts", give_cacerts },
	{ "/.well-known/est/csrattrs", "GET", "csrattrs", give_nothing },
	{ "/.well-known/est/simpleenroll", "POST", "simpleenroll", enrol },
	{ "/.well-known/est/simplereenroll", "POST", "simplereenroll", renew },
	{ "/.well-known/sealmq/crl.pem", "GET", "crl", give_crl },
	{ "/.well-known/sealmq/realm.yaml", "GET", "realm", give_settings },
};

static bool is_pkcs10(const char *type)
{
	static const char want[] = "application/pkcs10";
	size_t len = sizeof(want) - 1;
	return strncasecmp(type, want, len) == 0 && (type[len] == 0 || type[len] == ';' || type[len] == ' ');
}

void smq_ca_est_answer(const struct smq_ca_est *est, const struct smq_http_request *request,
		       struct smq_http_answer *ret_answer)
{
	struct asking a = { .est = est, .request = request, .answer = ret_answer };
	smq_ca_begin(NULL);
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (strcmp(rows[i].path, request->path) != 0)
			continue;
		a.operation = rows[i].operation;
		if (strcmp(rows[i].method, request->method) != 0)
			say(&a, HTTP_METHOD, "not this way\n");
		else if (strcmp(rows[i].method, "POST") == 0 && !is_pkcs10(request->type))
			say(&a, HTTP_TYPE, "application/pkcs10 is wanted\n");
		else
			rows[i].run(&a);
		return;
	}
	say(&a, HTTP_NOT_FOUND, "there is no such thing here\n");
}
