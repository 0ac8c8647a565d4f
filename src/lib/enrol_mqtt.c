/* A device's question to the authority over MQTT. */
#include "lib/enrol_mqtt.h"

#include <stdlib.h>
#include <string.h>

#include "adapters/crypto_openssl/signer.h"
#include "base/text.h"
#include "base/wipe.h"
#include "lib/ca_dir.h"
#include "lib/ca_token.h"
#include "lib/crl_line.h"
#include "lib/enrol_topics.h"
#include "lib/line.h"
#include "wire/cbor.h"
#include "wire/enrol.h"
#include "wire/sign1.h"

enum { AGAIN_MS = 5000, LISTS_MS = 1500, PATIENCE_MS = 60000, GOODBYE_MS = 50 };

struct asking {
	const struct smq_enrol_question *q;
	struct smq_line line;
	char request_topic[SMQ_ENROL_TOPIC_MAX], answer_topic[SMQ_ENROL_TOPIC_MAX], crl_topic[SMQ_CRL_TOPIC_MAX];
	uint8_t request[SMQ_ENROL_REQUEST_MAX];
	size_t request_len;
	uint8_t hash[SMQ_HASH_LEN];
	uint8_t answering[SMQ_HASH_LEN]; /* of the token */
	int answer_sub;
	bool ready, over, refused;
	int64_t again_ms, lists_until_ms;
	smq_err err;
	struct smq_enrol_reply reply;
};

void smq_enrol_reply_free(struct smq_enrol_reply *r)
{
	smq_pem_free(&r->certificates);
	smq_pem_free(&r->settings);
	smq_pem_free(&r->lists);
}

static int64_t mono_ms(void) { return smq_line_clock.now().mono_ms; }

/* ---- the request ---- */

static smq_err sign_first(struct asking *a, smq_span payload)
{
	struct smq_token_keys keys;
	struct smq_signer signer = { .self = NULL };
	uint8_t kid_room[SMQ_SIGN1_ID_MAX];
	struct smq_writer kid = smq_writer_on(smq_mspan_of(kid_room, sizeof(kid_room)));
	smq_cbor_put_map(&kid, 1);
	smq_cbor_put_uint(&kid, 4);
	smq_cbor_put_bytes(&kid, smq_span_str(a->q->name));
	smq_err err = smq_token_keys_of(a->q->token, &keys);
	if (err == SMQ_OK)
		err = smq_openssl_signer_from_raw(SMQ_ED25519, keys.signing, &signer);
	if (err == SMQ_OK)
		err = smq_sign1_encode(&signer, smq_writer_span(&kid), smq_span_str(SMQ_ENROL_FIRST), payload, false,
				       smq_mspan_of(a->request, sizeof(a->request)), &a->request_len);
	if (err == SMQ_OK)
		memcpy(a->answering, keys.answering, sizeof(a->answering));
	smq_openssl_signer_free(&signer);
	smq_wipe((uint8_t *)&keys, sizeof(keys));
	return err;
}

static smq_err make_request(struct asking *a)
{
	const struct smq_own_credential *own = a->q->own;
	struct smq_pem der = { NULL, 0 };
	uint8_t payload[SMQ_ENROL_REQUEST_MAX];
	size_t len = 0;
	smq_err err = smq_ca_request_to_der(a->q->csr_pem, &der);
	struct smq_enrol_request r = { .csr = smq_pem_span(&der),
				       .chain = a->q->token ? smq_span_of(NULL, 0) : own->id_cred_full };
	if (err == SMQ_OK)
		err = smq_enrol_request_encode(&r, smq_mspan_of(payload, sizeof(payload)), &len);
	smq_pem_free(&der);
	if (err != SMQ_OK)
		return err;
	if (a->q->token)
		return sign_first(a, smq_span_of(payload, len));
	return smq_sign1_encode(&own->signer, own->id_cred_short, smq_span_str(SMQ_ENROL_AGAIN),
				smq_span_of(payload, len), false, smq_mspan_of(a->request, sizeof(a->request)),
				&a->request_len);
}

static smq_err prepare(struct asking *a)
{
	char hex[2 * SMQ_HASH_LEN + 1];
	smq_err err = smq_crl_topic(a->q->control_prefix, a->crl_topic);
	if (err != SMQ_OK || a->q->csr_pem.len == 0)
		return err;
	err = make_request(a);
	smq_span request = smq_span_of(a->request, a->request_len);
	if (err == SMQ_OK)
		err = smq_crypto_openssl()->sha256(&request, 1, a->hash);
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(a->hash, sizeof(a->hash)), hex, sizeof(hex));
	if (err == SMQ_OK)
		err = smq_enrol_request_topic(a->q->control_prefix, a->request_topic);
	return err == SMQ_OK ? smq_enrol_answer_topic(a->q->control_prefix, hex, a->answer_topic) : err;
}

/* ---- the conversation ---- */

static void give_up(struct asking *a, smq_err err)
{
	a->err = err;
	a->over = true;
}

static void on_connected(void *self, int reason, bool session_present)
{
	struct asking *a = self;
	const struct smq_transport_ops *ops = a->line.transport->ops;
	int id = 0;
	(void)session_present;
	if (reason != 0)
		return;
	(void)!ops->subscribe(a->line.transport, a->crl_topic, 1, NULL, 0, &id);
	if (!a->answer_topic[0])
		a->lists_until_ms = mono_ms() + LISTS_MS;
	else if (ops->subscribe(a->line.transport, a->answer_topic, 1, NULL, 0, &a->answer_sub) != SMQ_OK)
		give_up(a, SMQ_ERR_NO_CONNECTION);
}

static void on_disconnected(void *self, smq_err err, int reason)
{
	struct asking *a = self;
	(void)reason;
	a->ready = false;
	if (err == SMQ_ERR_CONNECTION_REFUSED || err == SMQ_ERR_TLS || err == SMQ_ERR_NOT_AUTHORIZED ||
	    err == SMQ_ERR_HOST)
		give_up(a, err);
}

static void on_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct asking *a = self;
	if (id != a->answer_sub || !a->answer_topic[0])
		return;
	if (count > 0 && reasons[0] >= 128)
		give_up(a, SMQ_ERR_NOT_AUTHORIZED);
	a->ready = true;
	a->again_ms = 0;
}

static smq_err copy(smq_span from, struct smq_pem *ret)
{
	struct smq_pem made = { .p = malloc(from.len + 1), .len = from.len };
	if (!made.p)
		return SMQ_ERR_NO_MEMORY;
	memcpy(made.p, from.p, from.len);
	made.p[from.len] = 0;
	smq_pem_free(ret);
	*ret = made;
	return SMQ_OK;
}

/* Forged and spoilt answers are passed over: the right one may still come. */
static void take_answer(struct asking *a, smq_span payload)
{
	struct smq_enrol_answer answer;
	if (a->reply.certificates.len > 0 ||
	    smq_enrol_answer_decode(payload, smq_crypto_openssl(), a->q->token ? a->answering : NULL, a->hash,
				    &answer) != SMQ_OK)
		return;
	if (answer.outcome != SMQ_ENROL_GIVEN) {
		a->refused = true;
		give_up(a, answer.outcome == SMQ_ENROL_FAILED ? SMQ_ERR_PEER_REFUSED : SMQ_ERR_NOT_AUTHORIZED);
		return;
	}
	smq_err err = copy(answer.certificates, &a->reply.certificates);
	if (err == SMQ_OK)
		err = copy(answer.settings, &a->reply.settings);
	if (err != SMQ_OK)
		give_up(a, err);
	a->lists_until_ms = mono_ms() + LISTS_MS;
}

static void on_message(void *self, const struct smq_mqtt_message *m)
{
	struct asking *a = self;
	if (strcmp(m->topic, a->crl_topic) == 0)
		(void)!copy(m->payload, &a->reply.lists);
	else if (!m->retain && a->answer_topic[0] && strcmp(m->topic, a->answer_topic) == 0)
		take_answer(a, m->payload);
}

static void on_published(void *self, int id, int reason)
{
	(void)id;
	if (reason >= 128)
		give_up(self, SMQ_ERR_NOT_AUTHORIZED);
}

/* The lists may have come already; then there is nothing to wait for. */
static void tick(void *self)
{
	struct asking *a = self;
	int64_t now = mono_ms();
	bool answered = !a->answer_topic[0] || a->reply.certificates.len > 0;
	if (answered && a->lists_until_ms > 0 && (a->reply.lists.len > 0 || now >= a->lists_until_ms))
		a->over = true;
	if (answered || !a->ready || now < a->again_ms)
		return;
	struct smq_mqtt_message m = { .topic = a->request_topic,
				      .payload = smq_span_of(a->request, a->request_len),
				      .qos = 1 };
	int id = 0;
	a->again_ms = now + AGAIN_MS;
	(void)!a->line.transport->ops->publish(a->line.transport, &m, &id);
}

static int64_t wake_at(void *self)
{
	const struct asking *a = self;
	return a->lists_until_ms > 0 ? a->lists_until_ms : a->ready ? a->again_ms : INT64_MAX;
}

static void say_goodbye(struct asking *a)
{
	bool never = false;
	if (a->line.transport->ops->connected(a->line.transport) &&
	    a->line.transport->ops->disconnect(a->line.transport, 0, NULL, 0) == SMQ_OK)
		smq_line_run(&a->line, &never, GOODBYE_MS);
}

static smq_err converse(struct asking *a)
{
	const struct smq_transport_events events = { .self = a,
						     .connected = on_connected,
						     .disconnected = on_disconnected,
						     .message = on_message,
						     .published = on_published,
						     .subscribed = on_subscribed };
	const char *why = "";
	a->line.self = a;
	a->line.tick = tick;
	a->line.wake_at = wake_at;
	a->answer_sub = -1;
	smq_err err = smq_line_open(&a->line, a->q->broker, &events, &why);
	if (err != SMQ_OK)
		return smq_ca_because(err, "%s", why && *why ? why : smq_err_text(err));
	smq_line_run(&a->line, &a->over, a->q->timeout_ms ? a->q->timeout_ms : PATIENCE_MS);
	say_goodbye(a);
	if (a->refused)
		return smq_ca_because(a->err, "%s",
				      a->err == SMQ_ERR_NOT_AUTHORIZED ? "the authority refused, or somebody at the "
									 "broker in its name: the token or the "
									 "certificate is not good for this"
								       : "the authority could not do it; its operator "
									 "knows why");
	if (a->err != SMQ_OK)
		return smq_ca_because(a->err, "the broker: %s", smq_err_text(a->err));
	return a->over ? SMQ_OK : smq_ca_because(SMQ_ERR_TIMEOUT, "no answer from the authority over the broker");
}

smq_err smq_enrol_ask(const struct smq_enrol_question *question, struct smq_enrol_reply *ret_reply)
{
	struct asking *a = calloc(1, sizeof(*a));
	if (!a)
		return SMQ_ERR_NO_MEMORY;
	a->q = question;
	smq_err err = prepare(a);
	if (err == SMQ_OK)
		err = converse(a);
	smq_line_close(&a->line);
	if (err == SMQ_OK)
		*ret_reply = a->reply;
	else
		smq_enrol_reply_free(&a->reply);
	smq_wipe((uint8_t *)a, sizeof(*a));
	free(a);
	return err;
}
