/*
 * A sender's card (PROTOCOL.md 7.5): which name and which life a short sender id stands for. Signed by the key server
 * (6.4, kind `sealmq1 sender`), retained.
 *
 *     [ 1, realm, group, sender id, name, boot id : bstr .size 16, from_ms, until_ms / null ]
 */
#ifndef SMQ_WIRE_SENDER_CARD_H
#define SMQ_WIRE_SENDER_CARD_H

#include "wire/fields.h"
#include "wire/sealed.h"

#define SMQ_SENDER_CARD_KIND "sealmq1 sender"

enum { SMQ_SENDER_CARD_MAX = 320 };

struct smq_sender_card {
	smq_span realm, group;
	uint64_t sender_id;
	smq_span name;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	int64_t from_ms, until_ms; /* Unix time; until SMQ_NO_END: null */
};

SMQ_MUST_USE smq_err smq_sender_card_encode(const struct smq_sender_card *card, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_sender_card_decode(smq_span bytes, struct smq_sender_card *ret_card);

#endif
