/* A part of the key server that is split by duty: which duties there are, what each may do, and the store's, which is
 * a database and a desk. */
#include "lib/keyserver_part.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "lib/broker_child.h"
#include "lib/realm_internal.h"

enum { LOCK_PATIENCE_MS = 2000, LOCK_STEP_MS = 50 };

static const struct {
	const char *name, *rights;
} duties[SMQ_DUTIES] = {
	[SMQ_DUTY_LISTENER] = { "listener", "network: out to the broker's port and for names, in on loopback where "
					    "--metrics-port is given; reads the files of TLS and of "
					    "the resolver; no key of a group, no database" },
	[SMQ_DUTY_SIGNER] = { "signer",
			      "identity and group keys; no network; reads the realm's directory, writes nothing" },
	[SMQ_DUTY_STORE] = { "store", "the database's files; no network, no other file; no identity key" },
};

const char *smq_keyserver_duty_name(enum smq_keyserver_duty duty) { return duties[duty].name; }

const char *smq_keyserver_duty_rights(enum smq_keyserver_duty duty) { return duties[duty].rights; }

smq_err smq_keyserver_duty_by_name(const char *name, enum smq_keyserver_duty *ret_duty)
{
	for (size_t i = 0; i < SMQ_COUNT(duties); i++) {
		if (strcmp(duties[i].name, name) != 0)
			continue;
		*ret_duty = (enum smq_keyserver_duty)i;
		return SMQ_OK;
	}
	return SMQ_ERR_USAGE;
}

/* ---- what each may do ---- */

/* Names are looked up by whatever the machine has for it. */
static const char *const resolver[] = { "/etc/resolv.conf",     "/etc/hosts",           "/etc/nsswitch.conf",
					"/etc/host.conf",       "/etc/gai.conf",        "/etc/services",
					"/etc/ssl/openssl.cnf", "/run/systemd/resolve", "/run/resolvconf",
					"/run/NetworkManager" };

static smq_err confine_listener(const struct smq_keyserver_part *p, struct smq_confined *ret_how)
{
	const struct smq_client_options *o = &p->line.options;
	const char *reads[SMQ_COUNT(resolver) + 4];
	struct smq_rights r = { .duty = "listener", .connects = true, .reads = reads, .listens = p->page != NULL };
	for (size_t i = 0; i < SMQ_COUNT(resolver); i++)
		reads[r.read_count++] = resolver[i];
	for (size_t i = 0; i < SMQ_COUNT(p->file_dirs); i++) {
		if (p->file_dirs[i][0])
			reads[r.read_count++] = p->file_dirs[i];
	}
	if (o->tls.ca_dir)
		reads[r.read_count++] = o->tls.ca_dir;
	r.local = o->host && o->host[0] == '/';
	if (!r.local && !o->socks5) {
		r.ports = p->ports;
		r.port_count = SMQ_COUNT(p->ports);
	}
	return smq_confine(&r, ret_how);
}

smq_err smq_keyserver_part_confine(const smq_keyserver_part *p, struct smq_confined *ret_how)
{
	const char *realm[] = { p->realm_dir }, *store[SMQ_COUNT(p->store_files)];
	const struct smq_rights signer = { .duty = "signer", .reads = realm, .read_count = 1 };
	const struct smq_rights keeper = {
		.duty = "store", .writes = store, .write_count = SMQ_COUNT(store), .removes = p->store_dir
	};
	for (size_t i = 0; i < SMQ_COUNT(store); i++)
		store[i] = p->store_files[i];
	switch (p->duty) {
	case SMQ_DUTY_LISTENER:
		return confine_listener(p, ret_how);
	case SMQ_DUTY_SIGNER:
		return smq_confine(&signer, ret_how);
	default:
		return smq_confine(&keeper, ret_how);
	}
}

/* ---- the store ---- */

/* The certificate, without the key: who signs the end of the audit log. */
static smq_err copy_certificate(struct smq_keyserver_part *p)
{
	const struct smq_own_credential *own = smq_realm_own(p->options.realm);
	size_t full = own->id_cred_full.len, brief = own->id_cred_short.len;
	p->own_room = malloc(full + brief + 1);
	if (!p->own_room)
		return SMQ_ERR_NO_MEMORY;
	memcpy(p->own_room, own->id_cred_full.p, full);
	memcpy(p->own_room + full, own->id_cred_short.p, brief);
	p->own.id_cred_full = smq_span_of(p->own_room, full);
	p->own.id_cred_short = smq_span_of(p->own_room + full, brief);
	p->own.signer = smq_store_desk_signer(&p->desk, own->signer.alg);
	return SMQ_OK;
}

/* One that was killed a moment ago may not be quite gone. */
static smq_err open_patiently(struct smq_keyserver_part *p)
{
	smq_err err = SMQ_ERR_LOCKED;
	for (int waited = 0; err == SMQ_ERR_LOCKED && waited < LOCK_PATIENCE_MS; waited += LOCK_STEP_MS) {
		if (waited > 0)
			smq_child_sleep_ms(LOCK_STEP_MS);
		err = smq_keyserver_open_database(&p->options, &p->own, &p->store);
	}
	return err;
}

/* All of them are there once it is open. */
static const char *const files_of[] = { "", "-wal", "-shm", ".lock" };

static smq_err store_new(struct smq_keyserver_part *p)
{
	char copy[SMQ_PATH_MAX];
	if (snprintf(copy, sizeof(copy), "%s", p->options.database) >= (int)sizeof(copy))
		return smq_because(SMQ_ERR_TOO_LARGE, smq_keyserver_why, SMQ_WHY_MAX,
				   "the database's path is too long");
	snprintf(p->store_dir, sizeof(p->store_dir), "%s", dirname(copy));
	for (size_t i = 0; i < SMQ_COUNT(files_of); i++) {
		if (snprintf(p->store_files[i], SMQ_PATH_MAX, "%s%s", p->options.database, files_of[i]) >= SMQ_PATH_MAX)
			return SMQ_ERR_TOO_LARGE;
	}
	smq_err err = smq_store_desk_init(&p->desk, SMQ_PART_STORE);
	if (err == SMQ_OK)
		err = copy_certificate(p);
	if (err != SMQ_OK)
		return smq_because(err, smq_keyserver_why, SMQ_WHY_MAX, "%s", smq_err_text(err));
	return open_patiently(p);
}

/* ---- any part ---- */

static smq_err make(struct smq_keyserver_part *p)
{
	smq_err err = smq_keyserver_check_role(&p->options);
	if (err != SMQ_OK)
		return err;
	switch (p->duty) {
	case SMQ_DUTY_LISTENER:
		return smq_listener_new(p);
	case SMQ_DUTY_SIGNER:
		return smq_signer_new(p);
	default:
		return store_new(p);
	}
}

smq_err smq_keyserver_part_new(const struct smq_keyserver_options *options, enum smq_keyserver_duty duty,
			       smq_keyserver_part **ret_part, const char **ret_why)
{
	struct smq_keyserver_part *p = calloc(1, sizeof(*p));
	smq_err err = SMQ_ERR_NO_MEMORY;
	smq_keyserver_why[0] = 0;
	if (p) {
		p->duty = duty;
		p->options = *options;
		p->wakeup = (struct smq_wakeup){ .poll_fd = -1, .timer_fd = -1, .stop_fd = -1 };
		err = make(p);
	}
	if (err != SMQ_OK) {
		if (ret_why)
			*ret_why = smq_keyserver_why;
		smq_keyserver_part_free(p);
		return err;
	}
	if (duty != SMQ_DUTY_SIGNER)
		p->options.realm = NULL;
	*ret_part = p;
	return SMQ_OK;
}

smq_err smq_keyserver_part_run(smq_keyserver_part *p)
{
	switch (p->duty) {
	case SMQ_DUTY_LISTENER:
		return smq_listener_run(p);
	case SMQ_DUTY_SIGNER:
		return smq_signer_run(p);
	default:
		return smq_store_desk_serve(&p->desk, &p->store);
	}
}

/* The store ends with its signer. */
void smq_keyserver_part_stop(smq_keyserver_part *p)
{
	if (p->duty == SMQ_DUTY_LISTENER)
		smq_line_stop(&p->line);
	else if (p->duty == SMQ_DUTY_SIGNER)
		smq_wakeup_stop(&p->wakeup);
}

void smq_keyserver_part_free(smq_keyserver_part *p)
{
	if (!p)
		return;
	if (p->server)
		smq_keyserver_free(p->server); /* and its store */
	else if (p->duty == SMQ_DUTY_STORE && p->store.free)
		p->store.free(p->store.self);
	smq_line_close(&p->line);
	smq_http_free(p->page);
	free(p->status);
	smq_wakeup_done(&p->wakeup);
	smq_store_desk_done(&p->desk);
	smq_channel_done(&p->link);
	free(p->own_room);
	free(p);
}
