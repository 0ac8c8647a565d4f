/* Enrolment, the device's side: the first certificate, and each one after it in good time. */
#include <sealmq/enrol.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/ca_openssl/crl_read.h"
#include "adapters/tls_openssl/https.h"
#include "base/text.h"
#include "base/wipe.h"
#include "lib/ca_dir.h"
#include "lib/crl_line.h"
#include "lib/enrol_mqtt.h"
#include "lib/realm_internal.h"

struct enrolling {
	const struct smq_enrol_options *o;
	bool renewal;
	struct smq_file_bytes root, chain, key, token;
	struct smq_enrolled done;
	/* over MQTT: */
	smq_realm *realm; /* of a renewal */
	struct smq_enrol_reply reply;
};

/* ---- what is there ---- */

static smq_err read_own(struct enrolling *e)
{
	bool renewed = smq_dir_has(e->o->dir, "member.pem");
	smq_err err = smq_dir_read(e->o->dir, renewed ? "member.pem" : "member.crt", renewed, &e->chain, smq_ca_why(),
				   SMQ_WHY_MAX);
	return err == SMQ_OK ? smq_dir_read(e->o->dir, renewed ? "member.pem" : "member.key", true, &e->key,
					    smq_ca_why(), SMQ_WHY_MAX)
			     : err;
}

static smq_err read_all(struct enrolling *e)
{
	const struct smq_enrol_options *o = e->o;
	e->renewal = smq_dir_has(o->dir, "member.crt") || smq_dir_has(o->dir, "member.pem");
	smq_err err = o->root_file ? smq_file_read(o->root_file, false, &e->root, smq_ca_why(), SMQ_WHY_MAX)
				   : smq_dir_read(o->dir, "root.crt", false, &e->root, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK && e->renewal)
		return read_own(e);
	if (err == SMQ_OK && (!o->name || !o->token_file))
		return smq_ca_because(SMQ_ERR_USAGE, "%s: a first certificate needs a name and its token", o->dir);
	return err == SMQ_OK ? smq_passphrase_read(o->token_file, &e->token, smq_ca_why(), SMQ_WHY_MAX) : err;
}

/* Two thirds of its life, and up to a twelfth more, as the certificate's own hash has it. */
static smq_err look_when(struct enrolling *e, smq_span cert)
{
	int64_t from = 0;
	int64_t until = 0;
	uint8_t hash[SMQ_HASH_LEN];
	smq_err err = smq_ca_validity(cert, &from, &until);
	if (err == SMQ_OK)
		err = smq_ca_fingerprint(cert, hash);
	if (err != SMQ_OK)
		return smq_ca_because(SMQ_ERR_CORRUPT, "%s: its certificate does not read as PEM", e->o->dir);
	int64_t life = until - from;
	e->done.until_ms = until;
	e->done.due_ms = from + life / 3 * 2 + life / 12 * (hash[0] * 256 + hash[1]) / 65536;
	return SMQ_OK;
}

/* ---- asking over MQTT ---- */

static const char *text_of(const struct smq_file_bytes *line, char *room, size_t len)
{
	(void)snprintf(room, len, "%.*s", (int)line->len, line->p ? (const char *)line->p : "");
	return room;
}

/* An empty request asks for nothing but the lists. TLS by the realm means its root, where there is no identity yet. */
static smq_err ask_mqtt(struct enrolling *e, smq_span request)
{
	struct smq_client_options broker = *e->o->broker;
	char root[SMQ_PATH_MAX];
	char token[SMQ_WHY_MAX];
	smq_err err = smq_path_join(e->o->dir, "root.crt", root);
	broker.realm = e->realm;
	if (broker.tls.by_realm && !e->realm) {
		broker.tls.by_realm = false;
		broker.tls.ca_file = e->o->root_file ? e->o->root_file : root;
	}
	struct smq_enrol_question q = {
		.broker = &broker,
		.control_prefix = e->realm ? smq_realm_control_prefix(e->realm) : e->o->control_prefix,
		.timeout_ms = e->o->timeout_ms,
		.csr_pem = request,
		.name = e->o->name,
		.token = e->renewal ? NULL : text_of(&e->token, token, sizeof(token)),
		.own = e->realm ? smq_realm_own(e->realm) : NULL,
	};
	if (err == SMQ_OK && !q.control_prefix)
		return smq_ca_because(SMQ_ERR_USAGE, "a first certificate over MQTT needs the realm's control prefix");
	smq_enrol_reply_free(&e->reply);
	if (err == SMQ_OK)
		err = smq_enrol_ask(&q, &e->reply);
	smq_wipe(token, sizeof(token));
	return err;
}

static smq_err open_realm(struct enrolling *e)
{
	const char *why = NULL;
	if (!e->o->broker || !e->renewal)
		return SMQ_OK;
	smq_err err = smq_realm_open(e->o->dir, &e->realm, &why);
	return err == SMQ_OK ? err : smq_ca_because(err, "%s", why);
}

/* ---- asking ---- */

static smq_err ask(const struct enrolling *e, struct smq_https_request *r, struct smq_https_answer *ret_answer)
{
	r->host = e->o->host;
	r->port = e->o->port ? e->o->port : SMQ_CA_ENROL_PORT;
	r->root = smq_file_span(&e->root);
	smq_err err = smq_https_ask(r, ret_answer);
	if (err != SMQ_OK)
		return smq_ca_because(err, "%s port %d: %s", r->host, r->port, smq_err_text(err));
	return SMQ_OK;
}

static smq_err ask_certificate(const struct enrolling *e, smq_span request, struct smq_pem *ret_chain)
{
	struct smq_pem body = { NULL, 0 };
	struct smq_https_answer answer = { .status = 0 };
	char token[SMQ_WHY_MAX];
	smq_err err = smq_ca_request_to_base64(request, &body);
	(void)snprintf(token, sizeof(token), "%.*s", (int)e->token.len, e->token.p ? (const char *)e->token.p : "");
	struct smq_https_request r = {
		.method = "POST",
		.path = e->renewal ? "/.well-known/est/simplereenroll" : "/.well-known/est/simpleenroll",
		.type = "application/pkcs10",
		.user = e->renewal ? NULL : e->o->name,
		.password = token,
		.chain = smq_file_span(&e->chain),
		.key = smq_file_span(&e->key),
		.body = smq_pem_span(&body),
	};
	if (err == SMQ_OK)
		err = ask(e, &r, &answer);
	smq_wipe(token, sizeof(token));
	if (err == SMQ_OK && answer.status != 200)
		err = smq_ca_because(SMQ_ERR_NOT_AUTHORIZED, "%s refused (%d)", e->o->host, answer.status);
	if (err == SMQ_OK && smq_ca_certs_of(smq_span_of(answer.body, answer.len), ret_chain) != SMQ_OK)
		err = smq_ca_because(SMQ_ERR_PROTOCOL, "%s gave no certificate", e->o->host);
	free(answer.body);
	smq_pem_free(&body);
	return err;
}

/* A file that the server gives everybody; empty where it has none. */
static smq_err fetch(const struct enrolling *e, const char *path, struct smq_https_answer *ret_answer)
{
	struct smq_https_request r = { .method = "GET", .path = path };
	smq_err err = ask(e, &r, ret_answer);
	if (err == SMQ_OK && ret_answer->status != 200) {
		free(ret_answer->body);
		*ret_answer = (struct smq_https_answer){ .status = ret_answer->status };
	}
	return err;
}

/* ---- putting it in place ---- */

static smq_err gather(const struct enrolling *e, const char *made, smq_span chain)
{
	struct smq_https_answer settings = { .status = 0 };
	smq_err err = smq_ca_put_file(made, "member.crt", chain, 0644);
	if (err == SMQ_OK && !e->renewal && !e->o->broker)
		err = fetch(e, "/.well-known/sealmq/realm.yaml", &settings);
	smq_span text = e->o->broker ? smq_pem_span(&e->reply.settings) : smq_span_of(settings.body, settings.len);
	if (err == SMQ_OK && !e->renewal)
		err = smq_ca_put_file(made, "realm.yaml", text, 0644);
	if (err == SMQ_OK && !e->renewal)
		err = smq_ca_put_file(made, "root.crt", smq_file_span(&e->root), 0644);
	free(settings.body);
	return err;
}

static smq_err take(struct enrolling *e, smq_span chain)
{
	char made[SMQ_PATH_MAX];
	const char *why = NULL;
	smq_err err = smq_ca_make_beside(e->o->dir, made);
	if (err != SMQ_OK)
		return err;
	err = gather(e, made, chain);
	if (err == SMQ_OK)
		err = smq_ca_accept(e->o->dir, made, &why);
	smq_dir_remove(made);
	if (err == SMQ_OK)
		err = look_when(e, chain);
	e->done.issued = err == SMQ_OK;
	return err;
}

/* A root that ours vouches for, before a certificate can be of it. Over HTTPS /cacerts has it (RFC 7030, 4.1.3). */
static smq_err get_roots(struct enrolling *e)
{
	struct smq_https_answer answer = { .status = 0 };
	struct smq_pem certs = { NULL, 0 };
	char unused[SMQ_WHY_MAX];
	bool new = false;
	smq_err err = SMQ_OK;
	if (!e->renewal) /* its root is what the operator has given it */
		return SMQ_OK;
	if (!e->o->broker)
		err = fetch(e, "/.well-known/est/cacerts", &answer);
	if (err == SMQ_OK && answer.len > 0 && smq_ca_certs_of(smq_span_of(answer.body, answer.len), &certs) != SMQ_OK)
		certs = (struct smq_pem){ NULL, 0 };
	smq_span offered = e->o->broker ? smq_pem_span(&e->reply.lists) : smq_pem_span(&certs);
	if (err == SMQ_OK && offered.len > 0)
		(void)!smq_roots_take(e->o->dir, offered, &new, unused, sizeof(unused));
	free(answer.body);
	smq_pem_free(&certs);
	return err;
}

static smq_err get_certificate(struct enrolling *e)
{
	struct smq_ca_csr_options o = { .name = e->renewal ? NULL : e->o->name, .curve = e->o->curve };
	struct smq_file_bytes request = { NULL, 0 };
	struct smq_pem chain = { NULL, 0 };
	char path[SMQ_PATH_MAX];
	const char *why = NULL;
	smq_err err = SMQ_OK;
	/* a first request that was not answered is asked again; a renewal's key is made anew */
	if (e->renewal || !smq_dir_has(e->o->dir, "member.csr"))
		err = smq_ca_csr(e->o->dir, &o, path, &why);
	if (err == SMQ_OK)
		err = smq_dir_read(e->o->dir, e->renewal ? "next.csr" : "member.csr", false, &request, smq_ca_why(),
				   SMQ_WHY_MAX);
	if (err == SMQ_OK && e->o->broker)
		err = ask_mqtt(e, smq_file_span(&request));
	else if (err == SMQ_OK)
		err = ask_certificate(e, smq_file_span(&request), &chain);
	if (err == SMQ_OK && e->o->broker)
		err = get_roots(e);
	if (err == SMQ_OK)
		err = take(e, e->o->broker ? smq_pem_span(&e->reply.certificates) : smq_pem_span(&chain));
	smq_file_bytes_free(&request);
	smq_pem_free(&chain);
	return err;
}

/* A list that reads as one takes the place of ours; whether it is the realm's, clients judge when they take it. */
static smq_err get_list(struct enrolling *e)
{
	struct smq_https_answer list = { .status = 0 };
	struct smq_file_bytes ours = { NULL, 0 };
	struct smq_crl_summary sum;
	char path[SMQ_PATH_MAX];
	smq_err err = fetch(e, "/.well-known/sealmq/crl.pem", &list);
	if (err == SMQ_OK)
		err = smq_path_join(e->o->dir, "crl.pem", path);
	if (err != SMQ_OK || list.len == 0)
		goto out;
	if (smq_crl_summarize(smq_span_of(list.body, list.len), &sum) != SMQ_OK) {
		err = smq_ca_because(SMQ_ERR_PROTOCOL, "%s gave no revocation list", e->o->host);
		goto out;
	}
	if (smq_dir_has(e->o->dir, "crl.pem"))
		err = smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &ours, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK && !smq_span_equal(smq_file_span(&ours), smq_span_of(list.body, list.len))) {
		err = smq_file_put(path, smq_span_of(list.body, list.len), 0644, true, smq_ca_why(), SMQ_WHY_MAX);
		e->done.crl = err == SMQ_OK;
	}
out:
	smq_file_bytes_free(&ours);
	free(list.body);
	return err;
}

/* Over MQTT each list is judged, since it may come from anybody. What is old or not ours is no failure of ours. */
static smq_err get_list_mqtt(struct enrolling *e)
{
	char unused[SMQ_WHY_MAX];
	smq_err err = e->reply.lists.len > 0 || e->done.issued ? SMQ_OK : ask_mqtt(e, smq_span_of(NULL, 0));
	if (err != SMQ_OK || e->reply.lists.len == 0)
		return err;
	bool roots = false;
	(void)!smq_roots_take(e->o->dir, smq_pem_span(&e->reply.lists), &roots, unused, sizeof(unused));
	if (smq_crl_take(e->o->dir, smq_pem_span(&e->reply.lists), &e->done.crl, unused, sizeof(unused)) != SMQ_OK)
		e->done.crl = false;
	return SMQ_OK;
}

smq_err smq_enrol(const struct smq_enrol_options *options, struct smq_enrolled *ret_enrolled, const char **ret_why)
{
	struct enrolling e = { .o = options };
	smq_ca_begin(ret_why);
	smq_err err = read_all(&e);
	if (err == SMQ_OK)
		err = open_realm(&e);
	if (err == SMQ_OK && e.renewal)
		err = look_when(&e, smq_file_span(&e.chain));
	if (err == SMQ_OK && !options->broker)
		err = get_roots(&e);
	if (err == SMQ_OK && (!e.renewal || options->force || e.done.due_ms <= smq_ca_now_ms()))
		err = get_certificate(&e);
	if (err == SMQ_OK)
		err = options->broker ? get_list_mqtt(&e) : get_list(&e);
	if (err == SMQ_OK)
		*ret_enrolled = e.done;
	smq_file_bytes_free(&e.root);
	smq_file_bytes_free(&e.chain);
	smq_file_bytes_free(&e.key);
	smq_file_bytes_free(&e.token);
	smq_enrol_reply_free(&e.reply);
	smq_realm_free(e.realm);
	return smq_ca_finish(err);
}
