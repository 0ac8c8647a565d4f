/* A CA's directory opened, directories that appear whole, and the text that says what is wrong. */
#include "lib/ca_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "adapters/common_loader/loader.h"
#include "base/text.h"
#include "lib/ca_log.h"

static _Thread_local char why[SMQ_WHY_MAX];

char *smq_ca_why(void) { return why; }

void smq_ca_begin(const char **ret_why)
{
	why[0] = 0;
	if (ret_why)
		*ret_why = why;
}

smq_err smq_ca_because(smq_err err, const char *format, ...)
{
	char raw[SMQ_PATH_MAX + SMQ_WHY_MAX];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	return smq_because(err, why, sizeof(why), "%s", raw);
}

smq_err smq_ca_finish(smq_err err)
{
	return err != SMQ_OK && !why[0] ? smq_ca_because(err, "%s", smq_library_text(err)) : err;
}

int64_t smq_ca_now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * SMQ_CA_SECOND;
}

static smq_err draw(uint8_t *room, size_t len)
{
	const struct smq_random *random = smq_random_system();
	return random->fill(random->self, smq_mspan_of(room, len));
}

smq_err smq_ca_new_serial(uint8_t ret_serial[SMQ_SERIAL_LEN])
{
	smq_err err = draw(ret_serial, SMQ_SERIAL_LEN);
	ret_serial[0] = (uint8_t)((ret_serial[0] & 0x7f) | 0x40); /* positive, and always 16 bytes long */
	return err;
}

smq_err smq_ca_make_beside(const char *path, char ret_made[SMQ_PATH_MAX])
{
	uint8_t random[4];
	char hex[9];
	smq_err err = draw(random, sizeof(random));
	if (err == SMQ_OK)
		err = smq_hex_encode(smq_span_of(random, sizeof(random)), hex, sizeof(hex));
	if (err != SMQ_OK)
		return err;
	if (snprintf(ret_made, SMQ_PATH_MAX, "%s.new-%s", path, hex) >= SMQ_PATH_MAX)
		return smq_ca_because(SMQ_ERR_TOO_LARGE, "%s: the path is too long", path);
	if (mkdir(ret_made, 0700) != 0)
		return smq_ca_because(smq_err_of_errno(errno), "%s: %s", ret_made, strerror(errno));
	return SMQ_OK;
}

smq_err smq_ca_put_file(const char *dir, const char *name, smq_span bytes, mode_t mode)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, name, path);
	return err == SMQ_OK ? smq_file_create(path, bytes, mode, why, sizeof(why)) : err;
}

smq_err smq_ca_appear(const char *made, const char *path)
{
	char parent[SMQ_PATH_MAX];
	char *slash;
	smq_err err = smq_dir_sync(made);

	if (err != SMQ_OK)
		return err;
	if (rename(made, path) != 0) {
		err = errno == ENOTDIR ? SMQ_ERR_EXISTS : smq_err_of_errno(errno);
		return smq_ca_because(err, "%s: %s", path, err == SMQ_ERR_EXISTS ? "exists already" : strerror(errno));
	}
	(void)snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent ? 1 : 0] = 0;
	return smq_dir_sync(slash ? parent : ".");
}

/* ---- the directory ---- */

static smq_err read_settings(struct smq_ca_dir *ca)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(ca->dir, "realm.yaml", path);
	return err == SMQ_OK ? smq_realm_yaml_load(path, &ca->settings, why, sizeof(why)) : err;
}

void smq_ca_authority_file(const char *dir, const char *serial, const char *what, char ret_name[80])
{
	(void)snprintf(ret_name, 80, "roots/%.32s", serial);
	if (!*serial)
		(void)snprintf(ret_name, 80, "root.%s", what);
	else if (smq_dir_has(dir, ret_name))
		(void)snprintf(ret_name, 80, "roots/%.32s/root.%s", serial, what);
	else
		(void)snprintf(ret_name, 80, "issuers/%.32s/issuing.%s", serial, what);
}

struct newest {
	const char *dir;
	char issuing[33], root[33];
};

/* The last ones that the log has and that are there; a crash may have kept one from getting its name. */
static void look_at(void *self, const struct smq_ca_event *e)
{
	struct newest *n = self;
	char name[80];
	if (e->kind != SMQ_CA_AUTHORITY && e->kind != SMQ_CA_ROOT)
		return;
	smq_ca_authority_file(n->dir, e->issued.serial, "crt", name);
	if (smq_dir_has(n->dir, name))
		memcpy(e->kind == SMQ_CA_ROOT ? n->root : n->issuing, e->issued.serial, 33);
}

static smq_err read_issuer(struct smq_ca_dir *ca)
{
	struct newest n = { .dir = ca->dir };
	smq_err err = smq_ca_log_read(ca->dir, "authority\t", look_at, &n, why, sizeof(why));
	if (err == SMQ_OK)
		err = smq_ca_log_read(ca->dir, "root\t", look_at, &n, why, sizeof(why));
	memcpy(ca->root_serial, n.root, sizeof(ca->root_serial));
	if (err != SMQ_OK || !n.issuing[0])
		return err;
	memcpy(ca->issuer_serial, n.issuing, sizeof(ca->issuer_serial));
	return smq_ca_dir_cert(ca, n.issuing, &ca->issuer);
}

smq_err smq_ca_dir_open(const char *dir, struct smq_ca_dir *ca)
{
	*ca = (struct smq_ca_dir){ .dir = dir, .log = -1 };
	smq_err err = smq_ca_log_open(dir, &ca->log, why, sizeof(why));
	if (err == SMQ_OK)
		err = read_settings(ca);
	if (err == SMQ_OK)
		err = smq_ca_dir_cert(ca, "", &ca->root);
	return err == SMQ_OK ? read_issuer(ca) : err;
}

void smq_ca_dir_close(struct smq_ca_dir *ca)
{
	if (ca->log >= 0)
		close(ca->log);
	smq_file_bytes_free(&ca->root);
	smq_file_bytes_free(&ca->issuer);
}

smq_span smq_ca_dir_issuer(const struct smq_ca_dir *ca)
{
	return ca->issuer.len > 0 ? smq_file_span(&ca->issuer) : smq_file_span(&ca->root);
}

smq_err smq_ca_dir_chain(const struct smq_ca_dir *ca, smq_span cert, struct smq_pem *ret_chain)
{
	uint8_t *p = malloc(cert.len + ca->issuer.len + 1);
	if (!p)
		return SMQ_ERR_NO_MEMORY;
	memcpy(p, cert.p, cert.len);
	if (ca->issuer.len > 0)
		memcpy(p + cert.len, ca->issuer.p, ca->issuer.len);
	*ret_chain = (struct smq_pem){ .p = p, .len = cert.len + ca->issuer.len };
	return SMQ_OK;
}

smq_err smq_ca_dir_cert(const struct smq_ca_dir *ca, const char *serial, struct smq_file_bytes *ret_cert)
{
	char name[80];
	int64_t from;
	int64_t until;
	smq_ca_authority_file(ca->dir, serial, "crt", name);
	smq_err err = smq_dir_read(ca->dir, name, false, ret_cert, why, sizeof(why));
	if (err == SMQ_OK && smq_ca_validity(smq_file_span(ret_cert), &from, &until) != SMQ_OK)
		err = smq_ca_because(SMQ_ERR_CORRUPT, "%s/%s: not a certificate in PEM", ca->dir, name);
	return err;
}

smq_err smq_ca_dir_settings(const struct smq_ca_dir *ca, struct smq_file_bytes *ret_settings)
{
	return smq_dir_read(ca->dir, "realm.yaml", false, ret_settings, why, sizeof(why));
}

smq_err smq_ca_dir_crl(const struct smq_ca_dir *ca, struct smq_file_bytes *ret_crl)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(ca->dir, "crl.pem", path);
	if (err == SMQ_OK)
		err = smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, ret_crl, why, sizeof(why));
	if (err != SMQ_ERR_NOT_FOUND)
		return err;
	why[0] = 0;
	*ret_crl = (struct smq_file_bytes){ NULL, 0 };
	return SMQ_OK;
}
