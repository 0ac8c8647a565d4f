/*
 * What an authority and its lists cost: identities issued (keys, certificates, directories, every file and the log
 * synced), and revocation lists of growing length loaded and looked into.
 *
 * usage: bench_pki [ISSUED [ENTRIES...]]      prints JSON
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include <sealmq/ca.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/x509_openssl/x509.h"
#include "adapters/x509_openssl/x509_internal.h"
#include "app/roles.h"

enum { CHECKED = 64, SIZES_MAX = 8 };

#define DAY INT64_C(86400000)

static char room[] = "/tmp/sealmq-bench-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void tidy(void)
{
	if (chdir("/") != 0 || nftw(room, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		fprintf(stderr, "bench_pki: %s is left\n", room);
}

static void must(smq_err err, const char *what)
{
	if (err == SMQ_OK)
		return;
	fprintf(stderr, "bench_pki: %s: %s\n", what, smq_err_text(err));
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), ascending);
	return values[count / 2];
}

/* ---- issuing ---- */

static void issue_many(int count)
{
	const char *why = "";
	must(smq_ca_init("plant", &(struct smq_ca_init_options){ .issuing = true }, &why), "init");
	char(*text)[32] = calloc((size_t)count, sizeof(*text));
	const char **names = calloc((size_t)count, sizeof(*names));
	if (!text || !names)
		exit(1);
	for (int i = 0; i < count; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "member-%05d", i);
		names[i] = text[i];
	}
	double begin = now_ms();
	must(smq_ca_issue_many("plant", names, (size_t)count, &(struct smq_ca_issue_options){ .days = 30 }, NULL, NULL,
			       &why),
	     "issue");
	double took = now_ms() - begin;
	printf("{\"bench\": \"pki\", \"issued\": %d, \"issue_ms\": %.3f, \"rows\": [", count, took);
	free(names);
	free(text);
}

/* ---- lists ---- */

struct party {
	struct smq_pem key, cert;
	uint8_t id[SMQ_ID_CRED_MAX];
	size_t id_len;
};

static smq_span span(const struct smq_pem *pem) { return smq_span_of(pem->p, pem->len); }

static void make_id(struct party *p)
{
	uint8_t der[SMQ_CRED_MAX];
	uint8_t *at = der;
	BIO *bio = BIO_new_mem_buf(p->cert.p, (int)p->cert.len);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	smq_span spans[1] = { smq_span_of(der, (size_t)i2d_X509(cert, &at)) };
	must(smq_id_cred_encode_chain(spans, 1, smq_mspan_of(p->id, sizeof(p->id)), &p->id_len), "id");
	X509_free(cert);
	BIO_free(bio);
}

static void make_parties(struct party *root, struct party *members, int64_t now)
{
	static const char name[] = "fridge-07";
	struct smq_cert_template r = { .common_name = "plant root",
				       .serial = { 0x41 },
				       .not_before_ms = now - DAY,
				       .not_after_ms = now + 999 * DAY,
				       .authority = true,
				       .path_len = 0,
				       .key_usage = SMQ_KEY_USAGE_ISSUE };
	struct smq_cert_template m = { .common_name = name,
				       .not_before_ms = now - DAY,
				       .not_after_ms = now + 90 * DAY,
				       .path_len = -1,
				       .key_usage = SMQ_KEY_USAGE_SIGN,
				       .usages = { SMQ_OID_CLIENT_AUTH, SMQ_OID_ARC ".1" },
				       .uri = "sealmq:plant/fridge-07" };
	must(smq_ca_make_key(SMQ_P256, &root->key), "key");
	must(smq_ca_make_cert(&r, span(&root->key), smq_span_of(NULL, 0), smq_span_of(NULL, 0), &root->cert), "root");
	for (int i = 0; i < CHECKED; i++) {
		m.serial[0] = 0x42;
		m.serial[15] = (uint8_t)i;
		must(smq_ca_make_key(SMQ_P256, &members[i].key), "key");
		must(smq_ca_make_cert(&m, span(&members[i].key), span(&root->cert), span(&root->key), &members[i].cert),
		     "member");
		make_id(&members[i]);
	}
}

/* Every second one of the members is revoked, among count others. */
static void make_list(const struct party *root, size_t count, int64_t now, struct smq_pem *ret_crl)
{
	struct smq_crl_entry *e = calloc(count + CHECKED, sizeof(*e));
	size_t n = 0;
	if (!e)
		exit(1);
	for (; n < count; n++) {
		for (size_t k = 0; k < 8; k++)
			e[n].serial[k + 4] = (uint8_t)((n * 0x9E3779B97F4A7C15u) >> (8 * k));
		e[n].serial[0] = 0x50;
		e[n].when_ms = now - DAY;
		e[n].reason = SMQ_CA_CESSATION;
	}
	for (int i = 0; i < CHECKED; i += 2, n++) {
		e[n] = (struct smq_crl_entry){ .serial = { 0x42 }, .when_ms = now - DAY };
		e[n].serial[15] = (uint8_t)i;
	}
	must(smq_ca_make_crl(span(&root->cert), span(&root->key), e, n, 1, now - DAY, now + DAY, ret_crl), "list");
	free(e);
}

static void look(const struct party *root, const struct party *members, size_t count, int64_t now, bool last)
{
	struct smq_pem crl;
	struct smq_x509 *x = NULL;
	struct smq_x509_config config = { .realm = "plant", .root_pem = span(&root->cert) };
	struct smq_credential c;
	double took[2][CHECKED / 2];
	size_t n[2] = { 0, 0 };

	double begin = now_ms();
	make_list(root, count, now, &crl);
	double made = now_ms() - begin;
	must(smq_x509_new(&config, &x), "trust");
	begin = now_ms();
	must(smq_x509_set_crl(x, span(&crl)), "load");
	double loaded = now_ms() - begin;
	struct smq_credentials who = smq_x509_credentials(x);
	double first = 0;
	for (int i = 0; i < CHECKED; i++) {
		begin = now_ms();
		smq_err err = who.resolve(who.self, smq_span_of(members[i].id, members[i].id_len), now, &c);
		double one = (now_ms() - begin) * 1e3;
		must(err == (i % 2 ? SMQ_OK : SMQ_ERR_CERT_REVOKED) ? SMQ_OK : SMQ_ERR_BUG, "judge");
		if (i == 0)
			first = one;
		took[i % 2][n[i % 2]++] = one;
	}
	printf("\n  {\"entries\": %zu, \"bytes\": %zu, \"make_ms\": %.3f, \"load_ms\": %.3f, \"first_us\": %.1f, "
	       "\"good_us\": %.1f, \"revoked_us\": %.1f}%s",
	       count, crl.len, made, loaded, first, median(took[1], n[1]), median(took[0], n[0]), last ? "" : ",");
	smq_x509_free(x);
	smq_pem_free(&crl);
}

int main(int argc, char **argv)
{
	static struct party root;
	static struct party members[CHECKED];
	size_t sizes[SIZES_MAX] = { 0, 1000, 10000, 100000 };
	int size_count = 4;
	int64_t now = (int64_t)time(NULL) * 1000;
	int issued = argc > 1 ? atoi(argv[1]) : 1000;

	if (argc > 2) {
		for (size_count = 0; size_count < SIZES_MAX && size_count + 2 < argc; size_count++)
			sizes[size_count] = (size_t)atol(argv[size_count + 2]);
	}
	if (!mkdtemp(room) || chdir(room) != 0)
		return 1;
	(void)atexit(tidy);
	issue_many(issued);
	make_parties(&root, members, now);
	for (int i = 0; i < size_count; i++)
		look(&root, members, sizes[i], now, i + 1 == size_count);
	printf("\n]}\n");
	smq_pem_free(&root.key);
	smq_pem_free(&root.cert);
	for (int i = 0; i < CHECKED; i++) {
		smq_pem_free(&members[i].key);
		smq_pem_free(&members[i].cert);
	}
	return 0;
}
