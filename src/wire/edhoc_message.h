/*
 * EDHOC's messages on the wire (RFC 9528, 5 and 6): each as a struct, decoded and encoded.
 *
 *     message_1   = METHOD, SUITES_I, G_X, C_I, ? EAD_1        PLAINTEXT_2 = C_R, ID_CRED_R, Signature_or_MAC_2, ?
 * EAD_2 message_2   = G_Y || CIPHERTEXT_2  (one byte string)     PLAINTEXT_3 = ID_CRED_I, Signature_or_MAC_3, ? EAD_3
 *     message_3,4 = CIPHERTEXT_n         (one byte string)     PLAINTEXT_4 = ? EAD_4
 *     error       = ERR_CODE, ERR_INFO
 *
 * There is one encoding of everything and the decoders take no other: a surplus array, map or byte string around
 * a field, a longer head than needed, an indefinite length or a trailing byte is SMQ_ERR_MALFORMED, _TRUNCATED or
 * _TRAILING; what goes over a limit below is SMQ_ERR_TOO_LARGE. Spans in decoded structs are views into the input.
 */
#ifndef SMQ_WIRE_EDHOC_MESSAGE_H
#define SMQ_WIRE_EDHOC_MESSAGE_H

#include <stdbool.h>

#include <sealmq/credential.h>

#include "base/reader.h"
#include "base/writer.h"

enum {
	SMQ_EDHOC_MESSAGE_MAX = 8192, /* bytes; no message is longer */
	SMQ_EDHOC_CID_MAX = 8,        /* bytes of a connection identifier; RFC 9528 sets no bound, one is needed */
	SMQ_EDHOC_EAD_MAX = 1024,     /* bytes, sum of the items in one message */
	SMQ_EDHOC_SUITES_MAX = 8,     /* entries of SUITES_I and SUITES_R */
	SMQ_EDHOC_KID_MAX = 64,       /* bytes of a key identifier */
	SMQ_EDHOC_ERROR_MAX = 64,     /* bytes of an error message that we write */
	/* A plaintext with the longest of everything: C_R, ID_CRED, a signature, EAD. */
	SMQ_EDHOC_PLAINTEXT_MAX = 1 + SMQ_EDHOC_CID_MAX + SMQ_ID_CRED_MAX + 2 + SMQ_SIG_LEN + SMQ_EDHOC_EAD_MAX
};

enum smq_edhoc_err_code {
	SMQ_EDHOC_ERR_UNSPECIFIED = 1,       /* ERR_INFO: a text for people */
	SMQ_EDHOC_ERR_SUITE = 2,             /* ERR_INFO: SUITES_R */
	SMQ_EDHOC_ERR_UNKNOWN_CREDENTIAL = 3 /* ERR_INFO: true */
};

/* SUITES_I or SUITES_R. The last of SUITES_I is the selected one. */
struct smq_edhoc_suites {
	int id[SMQ_EDHOC_SUITES_MAX];
	size_t count; /* at least 1 */
};

struct smq_edhoc_message_1 {
	int method;
	struct smq_edhoc_suites suites;
	smq_span g_x; /* of the length that the selected suite asks for, if that suite is known to RFC 9528 */
	smq_span c_i; /* the identifier's bytes, whichever way they were encoded (RFC 9528, 3.3.2) */
	smq_span ead;
};

SMQ_MUST_USE smq_err smq_edhoc_message_1_decode(smq_span message, struct smq_edhoc_message_1 *ret_message);
SMQ_MUST_USE smq_err smq_edhoc_message_1_encode(const struct smq_edhoc_message_1 *message, smq_mspan room,
						size_t *ret_len);

SMQ_MUST_USE smq_err smq_edhoc_message_2_decode(smq_span message, smq_span *ret_g_y, smq_span *ret_ciphertext);
/* message_3 and message_4. */
SMQ_MUST_USE smq_err smq_edhoc_ciphertext_decode(smq_span message, smq_span *ret_ciphertext);
/* Writes all but the ciphertext; returns where its len bytes go, NULL where they do not fit (w remembers). */
uint8_t *smq_edhoc_message_2_put(struct smq_writer *w, smq_span g_y, size_t ciphertext_len);
uint8_t *smq_edhoc_ciphertext_put(struct smq_writer *w, size_t ciphertext_len);

/* ID_CRED_x. map may point into kid_map: decode into place, do not copy. */
struct smq_edhoc_id_cred {
	smq_span map; /* always as the map that MACs and signatures cover, also where a bare kid was sent */
	uint8_t kid_map[2 + 2 + SMQ_EDHOC_KID_MAX];
};

/* PLAINTEXT_2 and PLAINTEXT_3. */
struct smq_edhoc_plaintext {
	smq_span c_r; /* PLAINTEXT_2 only */
	struct smq_edhoc_id_cred id_cred;
	smq_span sig_or_mac; /* 8, 16 or 64 bytes */
	smq_span ead;
};

/* n is 2 or 3. *ret_plaintext is undefined on failure. */
SMQ_MUST_USE smq_err smq_edhoc_plaintext_decode(int n, smq_span bytes, struct smq_edhoc_plaintext *ret_plaintext);
/* id_cred.map is taken, and sent as a bare kid where it holds that and nothing else. */
SMQ_MUST_USE smq_err smq_edhoc_plaintext_encode(int n, const struct smq_edhoc_plaintext *plaintext, smq_mspan room,
						size_t *ret_len);

/* A connection identifier or kid: one byte that is the encoding of -24..23 stands for itself (RFC 9528, 3.3.2). */
void smq_edhoc_id_put(struct smq_writer *w, smq_span id);
smq_span smq_edhoc_id_get(struct smq_reader *r);

/* One EAD item. A negative label is a critical item; label 0 is padding (RFC 9528, 3.8). */
struct smq_edhoc_ead {
	int64_t label;
	bool has_value;
	smq_span value;
};

/* The next item; false at the end or on failure, which r remembers. */
bool smq_edhoc_ead_next(struct smq_reader *r, struct smq_edhoc_ead *ret_item);
/* Whether these are EAD items and nothing else, within the limit. */
SMQ_MUST_USE smq_err smq_edhoc_ead_check(smq_span ead);

struct smq_edhoc_error {
	int code;                       /* enum smq_edhoc_err_code, or one that is not known here */
	struct smq_edhoc_suites suites; /* code 2 */
	smq_span text;                  /* code 1; untrusted */
};

/* Whether a message is an error message: they begin with an integer, messages 2 to 4 with a byte string. */
bool smq_edhoc_is_error(smq_span message);
SMQ_MUST_USE smq_err smq_edhoc_error_decode(smq_span message, struct smq_edhoc_error *ret_error);
SMQ_MUST_USE smq_err smq_edhoc_error_encode(const struct smq_edhoc_error *error, smq_mspan room, size_t *ret_len);

#endif
