/* A file of evidence as a directory of plain files, for other tools (FORMATS.md 9.2). */
#ifndef SMQ_LIB_EVIDENCE_UNPACK_H
#define SMQ_LIB_EVIDENCE_UNPACK_H

#include "app/evidence.h"

struct smq_unpacker;

/* SMQ_ERR_EXISTS: dir is there already. */
SMQ_MUST_USE smq_err smq_unpacker_new(const char *dir, struct smq_unpacker **ret_unpacker, char *ret_why,
				      size_t why_len);
/* As struct smq_evidence_reading has them; failures are remembered. */
void smq_unpacker_item(void *self, uint64_t number, const struct smq_evidence_item *item);
void smq_unpacker_message(void *self, const struct smq_evidence_finding *finding,
			  const struct smq_evidence_detail *detail);
/* Closes; where it or reading (err) failed, the directory is removed. */
SMQ_MUST_USE smq_err smq_unpacker_end(struct smq_unpacker *u, smq_err err, char *ret_why, size_t why_len);

#endif
