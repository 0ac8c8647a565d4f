/* Revocation lists: signed, put in place, and carried to those that are in reach. */
#include "lib/ca_crl.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/ca_openssl/crl_read.h"
#include "base/text.h"
#include "lib/ca_key.h"
#include "lib/ca_list.h"

/* RFC 5280, 3.3: an entry stays until a list was issued after its certificate's end. */
#define KEPT_MS (31 * SMQ_CA_DAY)

struct making {
	const struct smq_ca_dir *ca;
	const struct smq_ca_crl_options *o;
	struct smq_ca_record record;
	struct smq_crl_entry *entries;
	struct smq_pem all;
	bool roots; /* what is carried is root.crt */
	struct smq_ca_crl made;
};

/* ---- the lists ---- */

/* Those of one authority; an empty serial: the root. */
static smq_err collect(struct making *m, const char *issuer, size_t *ret_count)
{
	size_t count = 0;
	for (size_t k = 0; k < m->record.count; k++) {
		const struct smq_ca_issued *i = &m->record.issued[k];
		struct smq_crl_entry *e = &m->entries[count];
		size_t len = 0;
		if (i->status != SMQ_CA_REVOKED || strcmp(i->issuer, issuer) != 0 ||
		    i->not_after_ms + KEPT_MS < m->made.this_update_ms)
			continue;
		smq_err err = smq_hex_decode(i->serial, smq_mspan_of(e->serial, sizeof(e->serial)), &len);
		if (err != SMQ_OK)
			return err;
		e->when_ms = i->revoked_ms;
		e->reason = (int)i->reason;
		count++;
	}
	*ret_count = count;
	return SMQ_OK;
}

static smq_err append(struct making *m, smq_span pem, size_t entries)
{
	uint8_t *more = realloc(m->all.p, m->all.len + pem.len);
	if (!more)
		return SMQ_ERR_NO_MEMORY;
	memcpy(more + m->all.len, pem.p, pem.len);
	m->all.p = more;
	m->all.len += pem.len;
	m->made.entries += entries;
	m->made.lists++;
	return SMQ_OK;
}

/* An empty serial: the root. */
static smq_err sign(struct making *m, const char *serial, smq_span cert, size_t count, int64_t until_ms,
		    struct smq_pem *ret_crl)
{
	struct smq_ca_issuer *issuer = NULL;
	smq_err err = smq_ca_key_open(m->ca, serial, cert, m->o->passphrase_file, &issuer);
	if (err == SMQ_OK)
		err = smq_ca_issuer_crl(issuer, m->entries, count, m->made.number, m->made.this_update_ms, until_ms,
					ret_crl);
	smq_ca_issuer_free(issuer);
	return err;
}

/* roots/SERIAL for a later root. */
static smq_err kept_path(const struct making *m, const char *serial, char ret_path[SMQ_PATH_MAX])
{
	char name[80];
	(void)snprintf(name, sizeof(name), *serial ? "roots/%.32s/root-crl.pem" : "root-crl.pem%s", serial);
	return smq_path_join(m->ca->dir, name, ret_path);
}

/* The list that the root signed when it was here: good as long as it says everything. */
static smq_err kept_root_list(struct making *m, const char *serial, size_t count)
{
	char path[SMQ_PATH_MAX];
	struct smq_file_bytes file = { NULL, 0 };
	struct smq_crl_summary was;
	smq_err err = kept_path(m, serial, path);
	if (err == SMQ_OK)
		err = smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &file, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK && smq_crl_summarize(smq_file_span(&file), &was) != SMQ_OK)
		err = smq_ca_because(SMQ_ERR_CORRUPT, "%s: not a revocation list in PEM", path);
	if (err == SMQ_OK && (was.next_update_ms <= smq_ca_now_ms() || count > was.revoked))
		err = smq_ca_because(SMQ_ERR_NOT_FOUND,
				     "%s/root.key: is not here, and the root's list must be made anew", m->ca->dir);
	if (err == SMQ_OK)
		err = append(m, smq_file_span(&file), was.revoked);
	if (err == SMQ_OK && was.next_update_ms < m->made.next_update_ms)
		m->made.next_update_ms = was.next_update_ms;
	smq_file_bytes_free(&file);
	return err;
}

static smq_err keep_root_list(struct making *m, const char *serial, smq_span crl)
{
	char path[SMQ_PATH_MAX];
	smq_err err = kept_path(m, serial, path);
	return err == SMQ_OK ? smq_file_put(path, crl, 0644, true, smq_ca_why(), SMQ_WHY_MAX) : err;
}

/* With authorities below it, the root's list lives long, so that its key can be elsewhere. */
static smq_err root_list(struct making *m, const char *serial)
{
	bool below = m->ca->issuer.len > 0;
	int64_t until = below ? smq_ca_now_ms() + SMQ_CA_ROOT_CRL_HOURS * SMQ_CA_HOUR : m->made.next_update_ms;
	struct smq_file_bytes cert = { NULL, 0 };
	struct smq_pem crl = { NULL, 0 };
	int64_t from, end = 0;
	size_t count = 0;
	smq_err err = smq_ca_dir_cert(m->ca, serial, &cert);
	if (err == SMQ_OK)
		err = smq_ca_validity(smq_file_span(&cert), &from, &end);
	if (err == SMQ_OK && m->ca->root_serial[0] && end <= smq_ca_now_ms()) {
		smq_file_bytes_free(&cert); /* nobody goes by it any more, and there is a later one */
		return SMQ_OK;
	}
	if (err == SMQ_OK)
		err = collect(m, serial, &count);
	if (err == SMQ_OK)
		err = sign(m, serial, smq_file_span(&cert), count, until, &crl);
	smq_file_bytes_free(&cert);
	if (err == SMQ_ERR_NOT_FOUND && below) {
		smq_ca_why()[0] = 0;
		return kept_root_list(m, serial, count);
	}
	if (err == SMQ_OK && below)
		err = keep_root_list(m, serial, smq_pem_span(&crl));
	if (err == SMQ_OK)
		err = append(m, smq_pem_span(&crl), count);
	smq_pem_free(&crl);
	return err;
}

/* A root that was made later, beside the issuing authorities. */
static bool is_root(const struct smq_ca_issued *i) { return strcmp(i->name, "root") == 0; }

static smq_err issuing_list(struct making *m, const struct smq_ca_issued *authority)
{
	struct smq_file_bytes cert = { NULL, 0 };
	struct smq_pem crl = { NULL, 0 };
	size_t count = 0;
	smq_err err = smq_ca_dir_cert(m->ca, authority->serial, &cert);
	if (err == SMQ_ERR_NOT_FOUND) { /* a crash kept it from getting its name: nobody has anything of it */
		smq_ca_why()[0] = 0;
		return SMQ_OK;
	}
	if (err == SMQ_OK)
		err = collect(m, authority->serial, &count);
	if (err == SMQ_OK)
		err = sign(m, authority->serial, smq_file_span(&cert), count, m->made.next_update_ms, &crl);
	if (err == SMQ_OK)
		err = append(m, smq_pem_span(&crl), count);
	smq_file_bytes_free(&cert);
	smq_pem_free(&crl);
	return err;
}

static smq_err all_lists(struct making *m)
{
	m->entries = calloc(m->record.count + 1, sizeof(*m->entries));
	if (!m->entries)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = root_list(m, "");
	for (size_t k = 0; err == SMQ_OK && k < m->record.count; k++) {
		const struct smq_ca_issued *i = &m->record.issued[k];
		if (i->roles == 0 && i->not_after_ms > smq_ca_now_ms())
			err = is_root(i) ? root_list(m, i->serial) : issuing_list(m, i);
	}
	return err;
}

/* ---- where they go ---- */

static smq_err put(const struct making *m, const char *dir, const char *name)
{
	char path[SMQ_PATH_MAX];
	smq_err err = smq_path_join(dir, name, path);
	return err == SMQ_OK ? smq_file_put(path, smq_pem_span(&m->all), 0644, true, smq_ca_why(), SMQ_WHY_MAX) : err;
}

static smq_err carry_to(struct making *m, const char *dir)
{
	smq_err err = SMQ_OK;
	if (smq_dir_has(dir, "certs/server.crt"))
		err =
		    put(m, dir, m->roots ? "certs/root.crt" : "certs/crl.pem"); /* which `sealmq broker run` watches */
	else if (smq_dir_has(dir, "realm.yaml") || smq_dir_has(dir, "server.crt"))
		err = put(m, dir, m->roots ? "root.crt" : "crl.pem");
	else
		err = smq_ca_because(SMQ_ERR_REALM, "%s: neither a member's directory nor a broker's", dir);
	m->made.copies += err == SMQ_OK ? 1 : 0;
	return err;
}

static smq_err carry(struct making *m)
{
	char members[SMQ_PATH_MAX];
	char path[SMQ_PATH_MAX];
	struct dirent *entry;
	smq_err err = smq_path_join(m->ca->dir, "members", members);
	DIR *dir = err == SMQ_OK ? opendir(members) : NULL;
	while (err == SMQ_OK && dir && (entry = readdir(dir)) != NULL) {
		if (!smq_name_valid(smq_span_str(entry->d_name)) ||
		    smq_path_join(members, entry->d_name, path) != SMQ_OK)
			continue;
		if (smq_dir_has(path, "realm.yaml") || smq_dir_has(path, "server.crt"))
			err = carry_to(m, path);
	}
	if (dir)
		closedir(dir);
	for (size_t k = 0; err == SMQ_OK && k < m->o->to_count; k++)
		err = carry_to(m, m->o->to[k]);
	return err;
}

/* ---- all of it ---- */

/* The number is used up before a list can bear it. */
static smq_err log_it(struct making *m)
{
	struct smq_ca_event e = { .kind = SMQ_CA_CRL,
				  .when_ms = smq_ca_now_ms(),
				  .until_ms = m->made.next_update_ms,
				  .number = m->made.number,
				  .entries = m->made.entries };
	return smq_ca_log_append(m->ca->log, &e, 1, smq_ca_why(), SMQ_WHY_MAX);
}

static smq_err make(struct making *m)
{
	int hours = m->o->hours ? m->o->hours : SMQ_CA_CRL_HOURS;
	int64_t now = smq_ca_now_ms();
	if (hours < 1 || hours > SMQ_CA_DAYS_MAX * 24)
		return smq_ca_because(SMQ_ERR_USAGE, "a revocation list is good for 1 to 876000 hours");
	smq_err err = smq_ca_record_read(m->ca->dir, NULL, now, &m->record);
	m->made.number = m->record.crl_number + 1;
	m->made.this_update_ms = now - SMQ_CA_BACKDATE; /* what says which is newer is the number */
	m->made.next_update_ms = now + hours * SMQ_CA_HOUR;
	if (err == SMQ_OK)
		err = smq_path_join(m->ca->dir, "crl.pem", m->made.path);
	if (err == SMQ_OK)
		err = all_lists(m);
	if (err == SMQ_OK)
		err = log_it(m);
	if (err == SMQ_OK)
		err = put(m, m->ca->dir, "crl.pem");
	return err == SMQ_OK ? carry(m) : err;
}

/* root.crt as it is now, for everybody in reach. */
smq_err smq_ca_carry_roots(const struct smq_ca_dir *ca, const char *const *to, size_t to_count)
{
	const struct smq_ca_crl_options o = { .to = to, .to_count = to_count };
	struct making *m = calloc(1, sizeof(*m));
	struct smq_file_bytes roots = { NULL, 0 };
	if (!m)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = smq_ca_dir_cert(ca, "", &roots);
	*m = (struct making){ .ca = ca, .o = &o, .all = { roots.p, roots.len }, .roots = true };
	if (err == SMQ_OK)
		err = carry(m);
	smq_file_bytes_free(&roots);
	free(m);
	return err;
}

smq_err smq_ca_crl_renew(const struct smq_ca_dir *ca, const struct smq_ca_crl_options *o, struct smq_ca_crl *ret_crl)
{
	struct making *m = calloc(1, sizeof(*m));
	if (!m)
		return SMQ_ERR_NO_MEMORY;
	m->ca = ca;
	m->o = o;
	smq_err err = make(m);
	if (err == SMQ_OK)
		*ret_crl = m->made;
	smq_ca_record_free(&m->record);
	free(m->entries);
	smq_pem_free(&m->all);
	free(m);
	return err;
}

smq_err smq_ca_crl(const char *dir, const struct smq_ca_crl_options *options, struct smq_ca_crl *ret_crl,
		   const char **ret_why)
{
	static const struct smq_ca_crl_options defaults;
	struct smq_ca_dir ca;
	smq_ca_begin(ret_why);
	smq_err err = smq_ca_dir_open(dir, &ca);
	if (err == SMQ_OK)
		err = smq_ca_crl_renew(&ca, options ? options : &defaults, ret_crl);
	smq_ca_dir_close(&ca);
	return smq_ca_finish(err);
}

/* ---- for a way that nobody vouches for ---- */

static smq_err add(struct smq_pem *all, smq_span pem)
{
	uint8_t *more = realloc(all->p, all->len + pem.len + 1);
	if (!more)
		return SMQ_ERR_NO_MEMORY;
	memcpy(more + all->len, pem.p, pem.len);
	all->p = more;
	all->len += pem.len;
	return SMQ_OK;
}

/* What the root before says of a later one. */
static smq_err add_link(const struct smq_ca_dir *ca, const char *serial, struct smq_pem *all)
{
	struct smq_file_bytes link = { NULL, 0 };
	char name[80];
	char path[SMQ_PATH_MAX];
	(void)snprintf(name, sizeof(name), "roots/%.32s/link.crt", serial);
	smq_err err = smq_path_join(ca->dir, name, path);
	if (err == SMQ_OK)
		err = smq_file_read(path, false, &link, smq_ca_why(), SMQ_WHY_MAX);
	if (err == SMQ_OK)
		err = add(all, smq_file_span(&link));
	smq_file_bytes_free(&link);
	return err;
}

smq_err smq_ca_add_authorities(const struct smq_ca_dir *ca, struct smq_pem *all)
{
	struct smq_ca_record record;
	smq_err err = smq_ca_record_read(ca->dir, NULL, smq_ca_now_ms(), &record);
	if (err != SMQ_OK)
		return err;
	for (size_t k = 0; err == SMQ_OK && k < record.count; k++) {
		struct smq_file_bytes cert = { NULL, 0 };
		if (record.issued[k].roles != 0 || record.issued[k].not_after_ms <= smq_ca_now_ms())
			continue;
		err = smq_ca_dir_cert(ca, record.issued[k].serial, &cert);
		if (err == SMQ_OK)
			err = add(all, smq_file_span(&cert));
		if (err == SMQ_OK && is_root(&record.issued[k]))
			err = add_link(ca, record.issued[k].serial, all);
		else if (err == SMQ_ERR_NOT_FOUND)
			err = SMQ_OK;
		smq_file_bytes_free(&cert);
	}
	smq_ca_record_free(&record);
	return err;
}

smq_err smq_ca_crl_bundle(const char *dir, struct smq_pem *ret_bundle)
{
	struct smq_ca_dir ca;
	struct smq_file_bytes lists = { NULL, 0 };
	struct smq_pem all = { NULL, 0 };
	smq_err err = smq_ca_dir_open(dir, &ca);
	if (err == SMQ_OK)
		err = smq_ca_dir_crl(&ca, &lists);
	if (err == SMQ_OK && lists.len == 0)
		err = SMQ_ERR_NOT_FOUND;
	if (err == SMQ_OK)
		err = smq_ca_add_authorities(&ca, &all);
	if (err == SMQ_OK)
		err = add(&all, smq_file_span(&lists));
	if (err == SMQ_OK)
		*ret_bundle = all;
	else
		smq_pem_free(&all);
	smq_file_bytes_free(&lists);
	smq_ca_dir_close(&ca);
	return err;
}
