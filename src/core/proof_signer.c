/* Checkpoints, as their sender makes them (PROTOCOL.md 3.9). */
#include "core/proof_signer.h"

smq_err smq_proof_signer_init(struct smq_proof_signer *s, const struct smq_own_credential *own, size_t messages,
			      uint32_t every_ms)
{
	size_t enough = messages ? messages : SMQ_CHECKPOINT_MESSAGES;
	messages = messages ? messages : SMQ_CHECKPOINT_MESSAGES_MAX;
	every_ms = every_ms ? every_ms : SMQ_CHECKPOINT_EVERY_MS;
	if (!own->signer.sign || (own->signer.alg != SMQ_ES256 && own->signer.alg != SMQ_EDDSA))
		return SMQ_ERR_CERT_USAGE;
	if (messages > SMQ_CHECKPOINT_MESSAGES_MAX || every_ms < SMQ_CHECKPOINT_EVERY_MIN_MS ||
	    every_ms > SMQ_CHECKPOINT_EVERY_MAX_MS)
		return SMQ_ERR_USAGE;
	*s = (struct smq_proof_signer){
		.own = own,
		.messages = messages,
		.enough = enough,
		.gather_ms = every_ms < SMQ_CHECKPOINT_GATHER_MS ? every_ms : SMQ_CHECKPOINT_GATHER_MS,
		.every_ms = every_ms,
	};
	return SMQ_OK;
}

bool smq_proof_signer_fits(const struct smq_proof_signer *s, const struct smq_seal_proof *proof)
{
	if (s->count == 0)
		return true;
	return s->count < s->messages && proof->counter == s->first + s->count &&
	       memcmp(s->stream, proof->stream, sizeof(s->stream)) == 0;
}

smq_err smq_proof_signer_add(struct smq_proof_signer *s, const struct smq_seal_proof *proof, int64_t mono_ms)
{
	if (!smq_proof_signer_fits(s, proof))
		return SMQ_ERR_FULL;
	if (s->count == 0) {
		memcpy(s->stream, proof->stream, sizeof(s->stream));
		s->first = proof->counter;
		s->since_ms = mono_ms;
	}
	memcpy(s->body + SMQ_CHECKPOINT_HEAD_MAX + SMQ_HASH_LEN * s->count++, proof->digest, SMQ_HASH_LEN);
	return SMQ_OK;
}

int64_t smq_proof_signer_due(const struct smq_proof_signer *s)
{
	if (s->count == 0)
		return INT64_MAX;
	if (s->count >= s->messages)
		return INT64_MIN;
	return s->since_ms + (s->count >= s->enough ? s->gather_ms : s->every_ms);
}

smq_err smq_proof_signer_take(struct smq_proof_signer *s, smq_mspan room, size_t *ret_len)
{
	uint8_t head[SMQ_CHECKPOINT_HEAD_MAX];
	size_t head_len = 0;
	uint8_t *digests = s->body + SMQ_CHECKPOINT_HEAD_MAX;
	struct smq_checkpoint c = { .first = s->first, .digests = smq_span_of(digests, s->count * SMQ_HASH_LEN) };
	if (s->count == 0)
		return SMQ_ERR_STATE;
	memcpy(c.stream, s->stream, sizeof(c.stream));
	smq_err err = smq_checkpoint_encode_head(&c, smq_mspan_of(head, sizeof(head)), &head_len);
	if (err != SMQ_OK)
		return err;
	memcpy(digests - head_len, head, head_len);
	smq_span payload = smq_span_of(digests - head_len, head_len + c.digests.len);
	err = smq_sign1_encode_document(s->own, SMQ_CHECKPOINT_KIND, payload, room, ret_len);
	if (err == SMQ_OK)
		s->count = 0;
	return err;
}
