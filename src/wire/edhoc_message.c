/* EDHOC's messages on the wire (RFC 9528, 5 and 6): each as a struct, decoded and encoded. */
#include "wire/edhoc_message.h"

#include "base/table.h"
#include "wire/cbor.h"

enum { COSE_KID = 4 };

/* What RFC 9528, 10.2 registers with keys of another length than 32 bytes: answered, never used. */
static const struct {
	int suite;
	size_t key_len;
} long_keys[] = { { 24, 48 }, { 25, 56 } };

enum { KEY_LEN_OTHER_MAX = 133, SUITE_MIN = -65536, SUITE_MAX = 65535, SUITE_KNOWN_MAX = 6 };

/* ---- identifiers ---- */

static bool is_one_byte_int(uint8_t b) { return b <= 0x17 || (b >= 0x20 && b <= 0x37); }

static bool stands_for_itself(smq_span id) { return id.len == 1 && is_one_byte_int(id.p[0]); }

void smq_edhoc_id_put(struct smq_writer *w, smq_span id)
{
	if (stands_for_itself(id))
		smq_write(w, id);
	else
		smq_cbor_put_bytes(w, id);
}

smq_span smq_edhoc_id_get(struct smq_reader *r)
{
	if (r->err == SMQ_OK && r->left > 0 && is_one_byte_int(r->p[0]))
		return smq_read(r, 1);
	smq_span id = smq_cbor_get_bytes(r);
	if (stands_for_itself(id))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	return id;
}

static smq_span get_cid(struct smq_reader *r)
{
	smq_span id = smq_edhoc_id_get(r);
	if (id.len > SMQ_EDHOC_CID_MAX)
		smq_reader_fail(r, SMQ_ERR_TOO_LARGE);
	return id;
}

/* ---- external authorization data ---- */

bool smq_edhoc_ead_next(struct smq_reader *r, struct smq_edhoc_ead *ret_item)
{
	struct smq_edhoc_ead item = { 0 };
	if (r->err != SMQ_OK || r->left == 0)
		return false;
	item.label = smq_cbor_get_int(r);
	if (r->left > 0 && smq_cbor_peek(r) == SMQ_CBOR_BYTES) {
		item.has_value = true;
		item.value = smq_cbor_get_bytes(r);
	}
	if (r->err != SMQ_OK)
		return false;
	*ret_item = item;
	return true;
}

smq_err smq_edhoc_ead_check(smq_span ead)
{
	struct smq_reader r = smq_reader_on(ead);
	struct smq_edhoc_ead item;
	if (ead.len > SMQ_EDHOC_EAD_MAX)
		return SMQ_ERR_TOO_LARGE;
	while (smq_edhoc_ead_next(&r, &item))
		;
	return smq_reader_end(&r);
}

/* EAD comes last in whatever it is part of. */
static smq_span get_ead(struct smq_reader *r)
{
	smq_span ead = smq_read_rest(r);
	smq_err err = smq_edhoc_ead_check(ead);
	if (err != SMQ_OK)
		smq_reader_fail(r, err);
	return ead;
}

/* ---- suites ---- */

static int get_suite(struct smq_reader *r)
{
	int64_t id = smq_cbor_get_int(r);
	if (id < SUITE_MIN || id > SUITE_MAX) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return 0;
	}
	return (int)id;
}

static void get_suites(struct smq_reader *r, struct smq_edhoc_suites *suites)
{
	size_t count = 1;
	if (smq_cbor_peek(r) == SMQ_CBOR_ARRAY) {
		count = smq_cbor_get_array(r);
		if (count < 2) /* one suite is written without an array */
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		if (count > SMQ_EDHOC_SUITES_MAX)
			smq_reader_fail(r, SMQ_ERR_TOO_LARGE);
	}
	for (size_t i = 0; i < count && r->err == SMQ_OK; i++)
		suites->id[i] = get_suite(r);
	suites->count = count;
}

static void put_suites(struct smq_writer *w, const struct smq_edhoc_suites *suites)
{
	if (suites->count != 1)
		smq_cbor_put_array(w, suites->count);
	for (size_t i = 0; i < suites->count; i++)
		smq_cbor_put_int(w, suites->id[i]);
}

static bool key_len_fits(int suite, size_t len)
{
	for (size_t i = 0; i < SMQ_COUNT(long_keys); i++) {
		if (long_keys[i].suite == suite)
			return len == long_keys[i].key_len;
	}
	if (suite >= 0 && suite <= SUITE_KNOWN_MAX)
		return len == SMQ_KEX_LEN;
	return len > 0 && len <= KEY_LEN_OTHER_MAX;
}

/* ---- message_1 ---- */

smq_err smq_edhoc_message_1_decode(smq_span message, struct smq_edhoc_message_1 *ret_message)
{
	struct smq_reader r = smq_reader_on(message);
	struct smq_edhoc_message_1 m = { 0 };
	smq_err err;

	if (message.len > SMQ_EDHOC_MESSAGE_MAX)
		return SMQ_ERR_TOO_LARGE;
	int64_t method = smq_cbor_get_int(&r);
	if (method < INT16_MIN || method > INT16_MAX)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	m.method = (int)method;
	get_suites(&r, &m.suites);
	m.g_x = smq_cbor_get_bytes(&r);
	if (r.err == SMQ_OK && !key_len_fits(m.suites.id[m.suites.count - 1], m.g_x.len))
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	m.c_i = get_cid(&r);
	m.ead = get_ead(&r);
	err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_message = m;
	return err;
}

smq_err smq_edhoc_message_1_encode(const struct smq_edhoc_message_1 *message, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_int(&w, message->method);
	put_suites(&w, &message->suites);
	smq_cbor_put_bytes(&w, message->g_x);
	smq_edhoc_id_put(&w, message->c_i);
	smq_write(&w, message->ead);
	return smq_writer_end(&w, ret_len);
}

/* ---- message_2, message_3, message_4: one byte string each ---- */

smq_err smq_edhoc_ciphertext_decode(smq_span message, smq_span *ret_ciphertext)
{
	struct smq_reader r = smq_reader_on(message);
	if (message.len > SMQ_EDHOC_MESSAGE_MAX)
		return SMQ_ERR_TOO_LARGE;
	smq_span ciphertext = smq_cbor_get_bytes(&r);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_ciphertext = ciphertext;
	return err;
}

smq_err smq_edhoc_message_2_decode(smq_span message, smq_span *ret_g_y, smq_span *ret_ciphertext)
{
	smq_span both = { 0 };
	smq_err err = smq_edhoc_ciphertext_decode(message, &both);
	if (err != SMQ_OK)
		return err;
	if (both.len <= SMQ_KEX_LEN)
		return SMQ_ERR_TRUNCATED;
	*ret_g_y = smq_span_of(both.p, SMQ_KEX_LEN);
	*ret_ciphertext = smq_span_of(both.p + SMQ_KEX_LEN, both.len - SMQ_KEX_LEN);
	return SMQ_OK;
}

uint8_t *smq_edhoc_message_2_put(struct smq_writer *w, smq_span g_y, size_t ciphertext_len)
{
	smq_cbor_put_bytes_head(w, g_y.len + ciphertext_len);
	smq_write(w, g_y);
	return smq_write_reserve(w, ciphertext_len);
}

uint8_t *smq_edhoc_ciphertext_put(struct smq_writer *w, size_t ciphertext_len)
{
	smq_cbor_put_bytes_head(w, ciphertext_len);
	return smq_write_reserve(w, ciphertext_len);
}

/* ---- ID_CRED_x: a map, but a kid alone travels without it ---- */

/* The kid, where that is all the map holds; else a span of NULL. */
static smq_span lone_kid(smq_span map)
{
	struct smq_reader r = smq_reader_on(map);
	if (smq_cbor_get_map(&r) != 1 || smq_read_peek(&r) != COSE_KID)
		return smq_span_of(NULL, 0);
	smq_read(&r, 1);
	smq_span kid = smq_cbor_get_bytes(&r);
	return smq_reader_end(&r) == SMQ_OK ? kid : smq_span_of(NULL, 0);
}

static void put_id_cred(struct smq_writer *w, smq_span map)
{
	smq_span kid = lone_kid(map);
	if (kid.p)
		smq_edhoc_id_put(w, kid);
	else
		smq_write(w, map);
}

static void get_kid(struct smq_reader *r, struct smq_edhoc_id_cred *id)
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(id->kid_map, sizeof(id->kid_map)));
	smq_span kid = smq_edhoc_id_get(r);
	if (kid.len > SMQ_EDHOC_KID_MAX) {
		smq_reader_fail(r, SMQ_ERR_TOO_LARGE);
		return;
	}
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, COSE_KID);
	smq_cbor_put_bytes(&w, kid);
	id->map = smq_writer_span(&w);
}

static void get_id_cred(struct smq_reader *r, struct smq_edhoc_id_cred *id)
{
	if (smq_cbor_peek(r) != SMQ_CBOR_MAP) {
		get_kid(r, id);
		return;
	}
	id->map = smq_cbor_get_item(r);
	if (id->map.len > SMQ_ID_CRED_MAX)
		smq_reader_fail(r, SMQ_ERR_TOO_LARGE);
	struct smq_reader inside = smq_reader_on(id->map);
	size_t pairs = smq_cbor_get_map(&inside);
	if (pairs == 0 || (pairs == 1 && smq_read_peek(&inside) == COSE_KID))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
}

/* ---- plaintexts ---- */

static smq_span get_sig_or_mac(struct smq_reader *r)
{
	smq_span value = smq_cbor_get_bytes(r);
	if (value.len != 8 && value.len != 16 && value.len != SMQ_SIG_LEN)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	return value;
}

smq_err smq_edhoc_plaintext_decode(int n, smq_span bytes, struct smq_edhoc_plaintext *ret_plaintext)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct smq_edhoc_plaintext *p = ret_plaintext; /* in place: id_cred points into itself */
	memset(p, 0, sizeof(*p));
	if (n == 2)
		p->c_r = get_cid(&r);
	get_id_cred(&r, &p->id_cred);
	p->sig_or_mac = get_sig_or_mac(&r);
	p->ead = get_ead(&r);
	return smq_reader_end(&r);
}

smq_err smq_edhoc_plaintext_encode(int n, const struct smq_edhoc_plaintext *plaintext, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (n == 2)
		smq_edhoc_id_put(&w, plaintext->c_r);
	put_id_cred(&w, plaintext->id_cred.map);
	smq_cbor_put_bytes(&w, plaintext->sig_or_mac);
	smq_write(&w, plaintext->ead);
	return smq_writer_end(&w, ret_len);
}

/* ---- error messages ---- */

bool smq_edhoc_is_error(smq_span message) { return message.len > 0 && message.p[0] >> 5 <= 1; }

static void get_error_info(struct smq_reader *r, struct smq_edhoc_error *error)
{
	switch (error->code) {
	case SMQ_EDHOC_ERR_UNSPECIFIED:
		error->text = smq_cbor_get_text(r);
		return;
	case SMQ_EDHOC_ERR_SUITE:
		get_suites(r, &error->suites);
		return;
	case SMQ_EDHOC_ERR_UNKNOWN_CREDENTIAL:
		if (!smq_cbor_get_bool(r))
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return;
	default:
		smq_cbor_get_item(r);
	}
}

smq_err smq_edhoc_error_decode(smq_span message, struct smq_edhoc_error *ret_error)
{
	struct smq_reader r = smq_reader_on(message);
	struct smq_edhoc_error error = { 0 };
	smq_err err;

	if (message.len > SMQ_EDHOC_MESSAGE_MAX)
		return SMQ_ERR_TOO_LARGE;
	int64_t code = smq_cbor_get_int(&r);
	if (code == 0 || code < INT16_MIN || code > INT16_MAX) /* 0 says success: never sent (RFC 9528, 6.1) */
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	error.code = (int)code;
	get_error_info(&r, &error);
	err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_error = error;
	return err;
}

smq_err smq_edhoc_error_encode(const struct smq_edhoc_error *error, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_int(&w, error->code);
	switch (error->code) {
	case SMQ_EDHOC_ERR_UNSPECIFIED:
		smq_cbor_put_text(&w, error->text);
		break;
	case SMQ_EDHOC_ERR_SUITE:
		put_suites(&w, &error->suites);
		break;
	case SMQ_EDHOC_ERR_UNKNOWN_CREDENTIAL:
		smq_cbor_put_bool(&w, true);
		break;
	default:
		return SMQ_ERR_BUG;
	}
	return smq_writer_end(&w, ret_len);
}
