/* The key reference inside both forms of a sealed message (PROTOCOL.md 3.2): shared by sealed.c and sealed_cose.c. */
#ifndef SMQ_WIRE_SEALED_KEY_REF_H
#define SMQ_WIRE_SEALED_KEY_REF_H

#include "base/reader.h"
#include "base/writer.h"
#include "wire/sealed.h"

enum { SMQ_KEY_REF_MAX = 3 * 8 + SMQ_BOOT_ID_LEN };

/* Writes and reads the fields that sealed->kind has; a kind that does not exist fails with SMQ_ERR_MALFORMED. */
void smq_write_key_ref(struct smq_writer *w, const struct smq_sealed *sealed);
void smq_read_key_ref(struct smq_reader *r, struct smq_sealed *sealed);

/* What an encoder refuses: fields out of range, a ciphertext without a tag, half a signature. */
SMQ_MUST_USE smq_err smq_sealed_check(const struct smq_sealed *sealed);

/* The expanded form, whose first byte has been seen to be SMQ_SEALED_COSE_TAG. */
enum { SMQ_SEALED_COSE_TAG = 0xd0 };
SMQ_MUST_USE smq_err smq_sealed_decode_cose(smq_span payload, struct smq_sealed *ret_sealed);

#endif
