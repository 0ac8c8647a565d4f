/* One request to the key server and its answer (PROTOCOL.md 7.2). */
#include "core/ks_asker.h"

#include "base/wipe.h"
#include "core/ks_keys.h"
#include "wire/registered_key.h"

/* EAD_1: SMQ_EAD_BY_KID and nothing else. */
static const uint8_t ead_by_kid[] = { 0x19, SMQ_EAD_BY_KID >> 8, SMQ_EAD_BY_KID & 0xff };

static smq_span own_id(const struct smq_ks_asker *a) { return smq_span_of(a->id, sizeof(a->id)); }
static smq_span peer_id(const struct smq_ks_asker *a) { return smq_span_of(a->peer_id, sizeof(a->peer_id)); }

static struct smq_keyex envelope(const struct smq_ks_asker *a, enum smq_keyex_kind kind, smq_span id, smq_span body)
{
	const char *server = a->config->keyserver;
	return (struct smq_keyex){ .kind = kind,
				   .to = smq_span_str(server ? server : "all"),
				   .from = smq_span_str(a->config->name),
				   .id = id,
				   .body = body };
}

static void forget_run(struct smq_ks_asker *a, enum smq_ks_asker_state state)
{
	smq_edhoc_done(&a->edhoc);
	smq_wipe(a->body, sizeof(a->body));
	a->state = state;
}

static void fill_config(struct smq_ks_asker *a, const struct smq_ks_asker_config *c)
{
	a->edhoc_config = (struct smq_edhoc_config){
		.crypto = c->crypto,
		.random = c->random,
		.credentials = c->credentials,
		.own = c->own,
		.method = c->method,
		.suites = c->suites,
		.suite_count = c->suite_count,
		.peer_suites = a->peer_suites,
		.expect = smq_span_str(c->keyserver),
	};
	if (!c->own->registered)
		return;
	a->edhoc_config.method = a->by_value ? 2 : 3;
	if (!a->by_value)
		a->edhoc_config.ead[1] = smq_span_of(ead_by_kid, sizeof(ead_by_kid));
}

smq_err smq_ks_asker_start(struct smq_ks_asker *a, const struct smq_ks_asker_config *config, smq_mspan room,
			   size_t *ret_len)
{
	size_t len = 0;
	forget_run(a, SMQ_KS_ASKER_FAILED);
	a->config = config;
	fill_config(a, config);
	smq_err err = config->random->fill(config->random->self, smq_mspan_of(a->id, sizeof(a->id)));
	if (err == SMQ_OK)
		err = smq_edhoc_start(&a->edhoc, &a->edhoc_config, own_id(a), smq_mspan_of(a->body, sizeof(a->body)),
				      &len);
	struct smq_keyex k = envelope(a, SMQ_KEYEX_MESSAGE_1, own_id(a), smq_span_of(a->body, len));
	if (err == SMQ_OK)
		err = smq_keyex_encode(&k, room, ret_len);
	if (err == SMQ_OK)
		a->state = SMQ_KS_ASKER_ASKING;
	return err;
}

/* ---- what arrives ---- */

static smq_err put_request(struct smq_ks_asker *a, smq_span request, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	struct smq_keyex k = envelope(a, SMQ_KEYEX_REQUEST, peer_id(a), smq_span_of(NULL, 0));
	size_t len = request.len + SMQ_KS_TAG_LEN;
	uint8_t *body = smq_keyex_put(&w, &k, len);
	if (!body)
		return SMQ_ERR_NO_ROOM;
	smq_err err = smq_ks_seal(&a->edhoc, a->config->crypto, SMQ_KS_TO_SERVER, peer_id(a), request,
				  smq_mspan_of(body, len), &len);
	return err == SMQ_OK ? smq_writer_end(&w, ret_len) : err;
}

/* Nobody but a key server is told what we want, whatever name it goes by. */
static smq_err check_server(const struct smq_ks_asker *a)
{
	const struct smq_credential *c = smq_edhoc_peer(&a->edhoc);
	if (!c)
		return SMQ_ERR_BUG;
	return c->roles & SMQ_ROLE_KEYSERVER ? SMQ_OK : SMQ_ERR_CERT_USAGE;
}

static smq_err on_message_2(struct smq_ks_asker *a, size_t len, smq_span request, const smq_mspan room[2],
			    size_t ret_len[2])
{
	size_t lens[2] = { 0, 0 };
	smq_err err = check_server(a);
	smq_span cid = smq_edhoc_peer_cid(&a->edhoc);
	if (err == SMQ_OK && cid.len != sizeof(a->peer_id))
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK) {
		memcpy(a->peer_id, cid.p, sizeof(a->peer_id));
		struct smq_keyex k = envelope(a, SMQ_KEYEX_MESSAGE_3, peer_id(a), smq_span_of(a->body, len));
		err = smq_keyex_encode(&k, room[0], &lens[0]);
	}
	if (err == SMQ_OK)
		err = put_request(a, request, room[1], &lens[1]);
	if (err != SMQ_OK) {
		forget_run(a, SMQ_KS_ASKER_FAILED);
		return err;
	}
	memcpy(ret_len, lens, sizeof(lens));
	return SMQ_OK;
}

static smq_err on_answer(struct smq_ks_asker *a, smq_span body, smq_mspan answer_room, smq_span *ret_answer)
{
	if (smq_edhoc_state(&a->edhoc) != SMQ_EDHOC_DONE)
		return SMQ_ERR_STATE;
	smq_err err =
	    smq_ks_open(&a->edhoc, a->config->crypto, SMQ_KS_FROM_SERVER, own_id(a), body, answer_room, ret_answer);
	if (err == SMQ_OK) {
		a->state = SMQ_KS_ASKER_ANSWERED;
		a->by_value = false;
	}
	return err;
}

/* An error message proves nothing; what it says of suites is a hint for the next start. */
static smq_err on_error(struct smq_ks_asker *a, smq_span body, int64_t now_ms)
{
	size_t len = 0;
	smq_err err = smq_edhoc_input(&a->edhoc, body, now_ms, smq_mspan_of(a->body, sizeof(a->body)), &len);
	if (err == SMQ_ERR_PEER_REFUSED && smq_edhoc_peer_error(&a->edhoc) == 2)
		a->peer_suites = *smq_edhoc_peer_suites(&a->edhoc);
	return err;
}

static smq_err on_edhoc(struct smq_ks_asker *a, const struct smq_keyex *k, int64_t now_ms, smq_span request,
			const smq_mspan room[2], size_t ret_len[2])
{
	enum smq_edhoc_state before = smq_edhoc_state(&a->edhoc);
	size_t len = 0;
	int expected = before == SMQ_EDHOC_WAIT_2 ? SMQ_KEYEX_MESSAGE_2 : SMQ_KEYEX_MESSAGE_4;
	if ((int)k->kind != expected)
		return SMQ_ERR_STATE;
	smq_err err = smq_edhoc_input(&a->edhoc, k->body, now_ms, smq_mspan_of(a->body, sizeof(a->body)), &len);
	if (smq_edhoc_state(&a->edhoc) == SMQ_EDHOC_FAILED)
		forget_run(a, SMQ_KS_ASKER_FAILED);
	if (err == SMQ_ERR_CREDENTIAL && a->config->own->registered && !a->by_value) {
		a->by_value = true; /* once: whoever forges this makes us ask the longer way, and no more */
		return smq_ks_asker_start(a, a->config, room[0], &ret_len[0]);
	}
	if (err != SMQ_OK || expected == SMQ_KEYEX_MESSAGE_4)
		return err;
	return on_message_2(a, len, request, room, ret_len);
}

smq_err smq_ks_asker_input(struct smq_ks_asker *a, smq_span payload, int64_t now_ms, smq_span request,
			   const smq_mspan room[2], size_t ret_len[2], smq_mspan answer_room, smq_span *ret_answer)
{
	struct smq_keyex k;
	ret_len[0] = ret_len[1] = 0;
	if (a->state != SMQ_KS_ASKER_ASKING)
		return SMQ_ERR_NO_KEY;
	smq_err err = smq_keyex_decode(payload, &k);
	if (err != SMQ_OK)
		return err;
	if (!smq_span_equal(k.to, smq_span_str(a->config->name)) || !smq_span_equal(k.id, own_id(a)))
		return SMQ_ERR_NO_KEY;
	switch (k.kind) {
	case SMQ_KEYEX_ANSWER:
		return on_answer(a, k.body, answer_room, ret_answer);
	case SMQ_KEYEX_ERROR:
		return on_error(a, k.body, now_ms);
	default:
		return on_edhoc(a, &k, now_ms, request, room, ret_len);
	}
}

const char *smq_ks_asker_server(const struct smq_ks_asker *a)
{
	const struct smq_credential *c = smq_edhoc_peer(&a->edhoc);
	return c ? c->name : "";
}

void smq_ks_asker_done(struct smq_ks_asker *a) { forget_run(a, SMQ_KS_ASKER_IDLE); }
