/* A file of evidence as a directory of plain files, for other tools (FORMATS.md 9.2). */
#include "lib/evidence_unpack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sealmq/text.h>

#include "adapters/x509_openssl/x509.h"
#include "base/table.h"
#include "base/text.h"
#include "base/wipe.h"
#include "lib/files.h"
#include "wire/cbor.h"

static const char *const folders[] = { "certificates", "lists", "streams", "checkpoints", "messages" };

static const char readme[] =
    "Evidence, unpacked: what was received from whom, for verification with the openssl tool alone.\n"
    "index.csv has a line for each message: its number, and which of the other files belong to it.\n"
    "doc/FORMATS.md 9.3 of SealMQ has the commands, step by step.\n";

struct checkpoint_note {
	uint64_t certificate, lists;
	int64_t at_ms;
};

struct smq_unpacker {
	char dir[SMQ_PATH_MAX];
	char why[SMQ_WHY_MAX];
	smq_err err;
	FILE *index;
	enum smq_sig_id *algs; /* of the certificates */
	size_t alg_count;
	struct checkpoint_note *checkpoints;
	size_t checkpoint_count;
};

static void fail(struct smq_unpacker *u, smq_err err)
{
	if (u->err == SMQ_OK && err != SMQ_OK)
		u->err = err;
}

static void write_file(struct smq_unpacker *u, const char *folder, uint64_t number, const char *ending, smq_span bytes)
{
	char name[64], path[SMQ_PATH_MAX];
	if (u->err != SMQ_OK)
		return;
	snprintf(name, sizeof(name), "%s/%llu.%s", folder, (unsigned long long)number + 1, ending);
	fail(u, smq_path_join(u->dir, name, path));
	if (u->err == SMQ_OK)
		fail(u, smq_file_create_unsynced(path, bytes, 0600, u->why, sizeof(u->why)));
}

static void write_hex(struct smq_unpacker *u, const char *folder, uint64_t number, const char *ending, smq_span bytes)
{
	char text[2 * 64 + 2];
	if (smq_hex_encode(bytes, text, sizeof(text) - 1) != SMQ_OK) {
		fail(u, SMQ_ERR_TOO_LARGE);
		return;
	}
	size_t len = strlen(text);
	text[len++] = '\n';
	write_file(u, folder, number, ending, smq_span_of(text, len));
	smq_wipe(text, sizeof(text));
}

/* ---- PEM and DER ---- */

static size_t put_base64(char *out, smq_span bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t at = 0;
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t v = (uint32_t)bytes.p[i] << 16;
		v |= left > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0;
		v |= left > 2 ? bytes.p[i + 2] : 0;
		out[at++] = digits[v >> 18];
		out[at++] = digits[v >> 12 & 63];
		out[at++] = left > 1 ? digits[v >> 6 & 63] : '=';
		out[at++] = left > 2 ? digits[v & 63] : '=';
		if (at % 65 == 64)
			out[at++] = '\n';
	}
	if (at % 65 != 0)
		out[at++] = '\n';
	return at;
}

static void put_pem(char **at, smq_span der)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----\n", end[] = "-----END CERTIFICATE-----\n";
	memcpy(*at, begin, sizeof(begin) - 1);
	*at += sizeof(begin) - 1;
	*at += put_base64(*at, der);
	memcpy(*at, end, sizeof(end) - 1);
	*at += sizeof(end) - 1;
}

/* An INTEGER of 32 bytes at most, in its shortest form. */
static size_t put_integer(uint8_t *out, const uint8_t *value)
{
	size_t skip = 0;
	while (skip < 31 && value[skip] == 0)
		skip++;
	size_t pad = value[skip] >> 7, len = 32 - skip + pad;
	out[0] = 2;
	out[1] = (uint8_t)len;
	out[2] = 0;
	memcpy(out + 2 + pad, value + skip, 32 - skip);
	return 2 + len;
}

/* r || s becomes a SEQUENCE of the two; Ed25519's signature is as openssl has it. */
static void write_signature(struct smq_unpacker *u, const char *folder, uint64_t number, enum smq_sig_id alg,
			    const uint8_t *signature)
{
	uint8_t der[2 + 2 * 35];
	if (alg != SMQ_ES256) {
		write_file(u, folder, number, "sig", smq_span_of(signature, SMQ_SIG_LEN));
		return;
	}
	size_t len = put_integer(der + 2, signature);
	len += put_integer(der + 2 + len, signature + 32);
	der[0] = 0x30;
	der[1] = (uint8_t)len;
	write_file(u, folder, number, "sig", smq_span_of(der, len + 2));
}

/* ---- items ---- */

static void certificate(struct smq_unpacker *u, uint64_t number, smq_span id_cred)
{
	struct smq_reader r = smq_reader_on(id_cred);
	enum smq_sig_id *algs = realloc(u->algs, (u->alg_count + 1) * sizeof(*algs));
	/* four lines for each three, and room for what stands around them */
	char *pem = malloc(2 * id_cred.len + 4 * 128), *at = pem;
	if (algs) {
		u->algs = algs;
		u->algs[u->alg_count++] = smq_x509_leaf_alg(id_cred);
	}
	size_t count = 1;
	(void)smq_cbor_get_map(&r);
	(void)smq_cbor_get_uint(&r);
	if (smq_cbor_peek(&r) == SMQ_CBOR_ARRAY)
		count = smq_cbor_get_array(&r);
	if (!pem || !algs)
		fail(u, SMQ_ERR_NO_MEMORY);
	for (size_t i = 0; i < count && i < 4 && u->err == SMQ_OK; i++) {
		smq_span der = smq_cbor_get_bytes(&r);
		fail(u, r.err);
		if (u->err == SMQ_OK)
			put_pem(&at, der);
	}
	if (u->err == SMQ_OK)
		write_file(u, "certificates", number, "pem", smq_span_of(pem, (size_t)(at - pem)));
	free(pem);
}

static void checkpoint(struct smq_unpacker *u, uint64_t number, const struct smq_evidence_item *item)
{
	struct smq_sign1 s;
	uint8_t *tbs = malloc(item->bytes.len + 64);
	struct checkpoint_note *notes = realloc(u->checkpoints, (u->checkpoint_count + 1) * sizeof(*notes));
	if (notes) {
		u->checkpoints = notes;
		notes[u->checkpoint_count++] = (struct checkpoint_note){ item->certificate, item->lists, item->at_ms };
	}
	fail(u, tbs && notes ? smq_sign1_decode(item->bytes, &s) : SMQ_ERR_NO_MEMORY);
	if (u->err == SMQ_OK) {
		/* the Sig_structure (RFC 9052, 4.4) */
		struct smq_writer w = smq_writer_on(smq_mspan_of(tbs, item->bytes.len + 64));
		smq_cbor_put_array(&w, 4);
		smq_cbor_put_text(&w, smq_span_str("Signature1"));
		smq_cbor_put_bytes(&w, s.header);
		smq_cbor_put_bytes(&w, smq_span_str(SMQ_CHECKPOINT_KIND));
		smq_cbor_put_bytes(&w, s.payload);
		fail(u, w.err);
		write_file(u, "checkpoints", number, "tbs", smq_span_of(tbs, w.len));
		write_signature(u, "checkpoints", number, s.alg, s.signature);
	}
	free(tbs);
}

void smq_unpacker_item(void *self, uint64_t number, const struct smq_evidence_item *item)
{
	struct smq_unpacker *u = self;
	if (u->err != SMQ_OK)
		return;
	if (item->kind == SMQ_EVIDENCE_CERTIFICATE)
		certificate(u, number, item->bytes);
	else if (item->kind == SMQ_EVIDENCE_LISTS)
		write_file(u, "lists", number, "pem", item->bytes);
	else if (item->kind == SMQ_EVIDENCE_CHECKPOINT)
		checkpoint(u, number, item);
	else if (item->kind == SMQ_EVIDENCE_STREAM) {
		write_file(u, "streams", number, "context", item->context);
		write_hex(u, "streams", number, "key", item->key);
	}
}

/* ---- messages ---- */

/* The initial counter block under which openssl's stream ciphers decrypt what the AEADs sealed. */
static size_t counter_block(const struct smq_evidence_detail *d, uint8_t ret_block[16])
{
	uint8_t nonce[SMQ_AEAD_NONCE_MAX];
	if (smq_seal_nonce(d->key, d->message->counter, nonce) != SMQ_OK)
		return 0;
	bool chacha = d->key->header.alg->id == SMQ_CHACHA20_POLY1305;
	memset(ret_block, 0, 16);
	memcpy(ret_block + (chacha ? 4 : 0), nonce, 12);
	ret_block[chacha ? 0 : 15] = chacha ? 1 : 2;
	return 16;
}

static const char *cipher_of(const struct smq_evidence_detail *d)
{
	int id = d->key->header.alg->id;
	return id == SMQ_A128GCM ? "aes-128-ctr" : id == SMQ_A256GCM ? "aes-256-ctr" : "chacha20";
}

static void put_number(char *text, size_t room, uint64_t number)
{
	*text = 0;
	if (number != SMQ_EVIDENCE_NONE)
		snprintf(text, room, "%llu", (unsigned long long)number + 1);
}

/* A topic may hold anything: quoted as RFC 4180 has it. */
static void put_quoted(FILE *out, smq_span text)
{
	fputc('"', out);
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '"')
			fputc('"', out);
		fputc(text.p[i], out);
	}
	fputc('"', out);
}

static void put_line(struct smq_unpacker *u, const struct smq_evidence_finding *f, const struct smq_evidence_detail *d)
{
	const struct smq_evidence_item *m = d->message;
	const struct checkpoint_note *c = d->checkpoint < u->checkpoint_count ? &u->checkpoints[d->checkpoint] : NULL;
	uint64_t certificate = c ? c->certificate : m->certificate;
	int64_t judged_ms = c ? c->at_ms : m->at_ms;
	char by[24], lists[24], checkpoint[24];
	put_number(by, sizeof(by), f->is_signed || c ? certificate : SMQ_EVIDENCE_NONE);
	put_number(lists, sizeof(lists), c ? c->lists : m->lists);
	put_number(checkpoint, sizeof(checkpoint), d->checkpoint);
	fprintf(u->index, "%llu,%s,", (unsigned long long)f->number, f->sender);
	put_quoted(u->index, f->topic);
	fprintf(u->index, ",%lld,%llu,%s,%llu,%s,%s,%s,%s,%lld,%s\n", (long long)(f->received_ms / 1000),
		(unsigned long long)f->counter, f->is_signed ? "signature" : "checkpoint",
		(unsigned long long)m->stream + 1, by, lists, checkpoint, cipher_of(d), (long long)(judged_ms / 1000),
		certificate < u->alg_count && u->algs[certificate] == SMQ_EDDSA ? "ed25519" : "ecdsa");
}

void smq_unpacker_message(void *self, const struct smq_evidence_finding *f, const struct smq_evidence_detail *d)
{
	struct smq_unpacker *u = self;
	uint8_t block[16];
	uint64_t number = f->number - 1;
	const struct smq_evidence_item *m = d->message;
	if (u->err != SMQ_OK || !d->input)
		return;
	size_t tag_len = d->key->header.alg->tag_len;
	uint8_t *tbs = malloc(d->input->head_len + m->bytes.len);
	if (!tbs) {
		fail(u, SMQ_ERR_NO_MEMORY);
		return;
	}
	memcpy(tbs, d->input->head, d->input->head_len);
	memcpy(tbs + d->input->head_len, m->bytes.p, m->bytes.len);
	write_file(u, "messages", number, "tbs", smq_span_of(tbs, d->input->head_len + m->bytes.len));
	free(tbs);
	write_file(u, "messages", number, "sealed", smq_span_of(m->bytes.p, m->bytes.len - tag_len));
	write_file(u, "messages", number, "record", f->payload);
	write_hex(u, "messages", number, "iv", smq_span_of(block, counter_block(d, block)));
	if (m->signature.len && m->certificate < u->alg_count)
		write_signature(u, "messages", number, u->algs[m->certificate], m->signature.p);
	put_line(u, f, d);
}

/* ---- the directory ---- */

static smq_err make(struct smq_unpacker *u)
{
	char path[SMQ_PATH_MAX];
	for (size_t i = 0; i < SMQ_COUNT(folders); i++) {
		smq_err err = smq_path_join(u->dir, folders[i], path);
		if (err == SMQ_OK && mkdir(path, 0700) != 0)
			err = SMQ_ERR_IO;
		if (err != SMQ_OK)
			return err;
	}
	smq_err err = smq_path_join(u->dir, "README.txt", path);
	if (err == SMQ_OK)
		err = smq_file_create_unsynced(path, smq_span_str(readme), 0600, u->why, sizeof(u->why));
	if (err == SMQ_OK)
		err = smq_path_join(u->dir, "index.csv", path);
	if (err == SMQ_OK && !(u->index = fopen(path, "wxe")))
		err = SMQ_ERR_IO;
	if (err == SMQ_OK)
		fputs("message,sender,topic,received,counter,proof,stream,certificate,lists,checkpoint,cipher,judged,"
		      "key\n",
		      u->index);
	return err;
}

smq_err smq_unpacker_new(const char *dir, struct smq_unpacker **ret_unpacker, char *ret_why, size_t why_len)
{
	struct smq_unpacker *u = calloc(1, sizeof(*u));
	if (!u)
		return smq_because(SMQ_ERR_NO_MEMORY, ret_why, why_len, "out of memory");
	if (strlen(dir) >= sizeof(u->dir) || mkdir(dir, 0700) != 0) {
		smq_err err = strlen(dir) >= sizeof(u->dir) ? SMQ_ERR_TOO_LARGE : smq_err_of_errno(errno);
		free(u);
		return smq_because(err, ret_why, why_len, "%s: %s", dir,
				   err == SMQ_ERR_EXISTS ? "is there already" : smq_err_text(err));
	}
	snprintf(u->dir, sizeof(u->dir), "%s", dir);
	smq_err err = make(u);
	if (err != SMQ_OK)
		return smq_unpacker_end(u, err, ret_why, why_len);
	*ret_unpacker = u;
	return SMQ_OK;
}

smq_err smq_unpacker_end(struct smq_unpacker *u, smq_err err, char *ret_why, size_t why_len)
{
	if (u->index && (ferror(u->index) || fflush(u->index) != 0))
		fail(u, SMQ_ERR_IO);
	if (u->index)
		fclose(u->index);
	if (err == SMQ_OK && u->err != SMQ_OK) {
		err = u->err;
		(void)smq_because(err, ret_why, why_len, "%s", *u->why ? u->why : smq_err_text(err));
	}
	if (err != SMQ_OK)
		smq_dir_remove(u->dir);
	free(u->algs);
	free(u->checkpoints);
	free(u);
	return err;
}
