/* Many AEAD messages at a time, over a port that may or may not have a form for that. */
#include <sealmq/crypto.h>

void smq_aead_seal_many(const struct smq_crypto *crypto, struct smq_aead_work *work, size_t count)
{
	if (crypto->aead_seal_many) {
		crypto->aead_seal_many(work, count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct smq_aead_work *w = &work[i];
		w->err = crypto->aead_seal(w->aead, w->nonce, w->aad, w->text, w->out);
	}
}

void smq_aead_open_many(const struct smq_crypto *crypto, struct smq_aead_work *work, size_t count)
{
	if (crypto->aead_open_many) {
		crypto->aead_open_many(work, count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct smq_aead_work *w = &work[i];
		w->err = crypto->aead_open(w->aead, w->nonce, w->aad, w->text, w->out);
	}
}
