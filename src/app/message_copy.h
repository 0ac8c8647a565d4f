/* A message that is kept past its callback: all that it points to is copied, and wiped with it. */
#ifndef SMQ_APP_MESSAGE_COPY_H
#define SMQ_APP_MESSAGE_COPY_H

#include <sealmq/client.h>

struct smq_message_copy {
	struct smq_message message;   /* without properties: what they say was never sealed */
	struct smq_evidence evidence; /* where the message has some, it is this */
	uint8_t signature[64];
	size_t len;
	uint8_t bytes[]; /* what the pointers above point to */
};

/* NULL: no memory */
struct smq_message_copy *smq_message_copy_new(const struct smq_message *message);
void smq_message_copy_free(struct smq_message_copy *c); /* NULL is fine */

#endif
