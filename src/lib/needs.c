/* What a process needs, gathered from all who need something, and then the rights for exactly that. And what the
 * processes of the tool may do, in a line each. */
#include <sealmq/confine.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sealmq/client.h>
#include <sealmq/keyserver.h>

#include "adapters/confine_seccomp/names.h"
#include "base/table.h"
#include "lib/files.h"
#include "lib/realm_internal.h"

enum { PATHS_MAX = 64, PORTS_MAX = 16, DNS_PORT = 53, MQTT_PORT = 1883, MQTTS_PORT = 8883, SOCKS_PORT = 1080 };

struct paths {
	char *at[PATHS_MAX];
	size_t count;
};

struct smq_needs {
	struct smq_rights rights; /* its lists are the ones below */
	struct paths reads, writes, executes;
	uint16_t ports[PORTS_MAX];
	char *removes;
	bool any_port;
	bool failed; /* memory, or room */
};

/* Every line says all that is left to a process; what a mode needs beyond it stands behind "where". */
static const struct smq_process processes[] = {
	{ "pub",
	  "network: out to the broker's port (or the proxy's, or any with --srv) and for names; writes its realm "
	  "directory and the outbox; threads; reads the directories of the TLS files and of the resolver" },
	{ "sub",
	  "network: out to the broker's port (or the proxy's, or any with --srv) and for names; writes its realm "
	  "directory; threads; reads the directories of the TLS files and of the resolver" },
	{ "chat", "as sub" },
	{ "command, alert", "as sub" },
	{ "record", "as sub; writes the store's files, or out to the database's port or socket where the store is "
		    "postgres://; in on loopback where --metrics-port is given" },
	{ "watch", "no network, in on loopback where --metrics-port is given; reads the logs' directories and the "
		   "deployment's; writes the directories of --position and --metrics" },
	{ "broker run",
	  "it and all that it starts: programs: its brokers and NGINX; writes the deployment's directory and "
	  "the programs' own; reads the system's files, no home directory; no tracing, mounting, or kernel keys; "
	  "any programs below /usr where the broker is RabbitMQ" },
	{ "ca serve", "network: in on its port; writes the authority's directory; no programs; any files where the "
		      "authority's key is in a token, for its module" },
	{ "ca serve --mqtt",
	  "as sub; writes the authority's directory; any files where the authority's key is in a token, "
	  "for its module" },
	{ "keyserver: listener", NULL },
	{ "keyserver: signer", NULL },
	{ "keyserver: store", NULL },
};

/* Names are looked up by whatever the machine has for it. */
static const char *const resolver[] = { "/etc/resolv.conf",     "/etc/hosts",           "/etc/nsswitch.conf",
					"/etc/host.conf",       "/etc/gai.conf",        "/etc/services",
					"/etc/ssl/openssl.cnf", "/run/systemd/resolve", "/run/resolvconf",
					"/run/NetworkManager" };
static const char *const system_certs[] = { "/etc/ssl/certs", "/usr/lib/ssl", "/usr/share/ca-certificates",
					    "/usr/local/share/ca-certificates" };

smq_needs *smq_needs_new(const char *duty)
{
	smq_needs *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->rights.duty = duty;
	/* the time of day, for people */
	smq_needs_read(n, "/etc/localtime");
	smq_needs_read(n, "/usr/share/zoneinfo");
	return n;
}

static void free_paths(struct paths *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->at[i]);
}

void smq_needs_free(smq_needs *n)
{
	if (!n)
		return;
	free_paths(&n->reads);
	free_paths(&n->writes);
	free_paths(&n->executes);
	free(n->removes);
	free(n);
}

static void add(smq_needs *n, struct paths *p, const char *path)
{
	char *copy = n && path && p->count < PATHS_MAX ? strdup(path) : NULL;
	if (copy)
		p->at[p->count++] = copy;
	else if (n && path)
		n->failed = true;
}

void smq_needs_read(smq_needs *n, const char *path)
{
	if (n)
		add(n, &n->reads, path);
}

void smq_needs_write(smq_needs *n, const char *path)
{
	if (n)
		add(n, &n->writes, path);
}

void smq_needs_program(smq_needs *n, const char *path)
{
	if (n)
		add(n, &n->executes, path);
}

/* Where a file lies. */
static bool place_of(smq_needs *n, const char *file, char ret_dir[SMQ_PATH_MAX])
{
	if (!n || !file)
		return false;
	if (smq_path_dir(file, ret_dir) == SMQ_OK)
		return true;
	n->failed = true;
	return false;
}

void smq_needs_directory(smq_needs *n, const char *file)
{
	char dir[SMQ_PATH_MAX];
	if (place_of(n, file, dir))
		smq_needs_read(n, dir);
}

/* Files by name, as their directory may hold anything. Those that are not there now would have to be made in it. */
void smq_needs_sqlite(smq_needs *n, const char *file)
{
	static const char *const behind[] = { "", "-wal", "-shm", "-journal" };
	char dir[SMQ_PATH_MAX], path[SMQ_PATH_MAX];
	if (!place_of(n, file, dir))
		return;
	bool is_open = true;
	for (size_t i = 0; i < SMQ_COUNT(behind); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", file, behind[i]);
		smq_needs_write(n, path);
		is_open = is_open && (i > 1 || access(path, F_OK) == 0);
	}
	if (!is_open)
		smq_needs_write(n, dir);
	free(n->removes);
	n->removes = strdup(dir);
	n->failed = n->failed || !n->removes;
}

void smq_needs_port(smq_needs *n, int port)
{
	if (!n)
		return;
	n->rights.connects = true;
	if (port <= 0 || port > UINT16_MAX || n->rights.port_count == PORTS_MAX)
		n->any_port = true;
	else
		n->ports[n->rights.port_count++] = (uint16_t)port;
}

void smq_needs_names(smq_needs *n)
{
	bool local = false;
	if (!n)
		return;
	smq_names_load(&local);
	n->rights.local = n->rights.local || local;
	for (size_t i = 0; i < SMQ_COUNT(resolver); i++)
		smq_needs_read(n, resolver[i]);
	smq_needs_port(n, DNS_PORT);
}

void smq_needs_local(smq_needs *n)
{
	if (n)
		n->rights.local = true;
}

void smq_needs_listen(smq_needs *n)
{
	if (n)
		n->rights.listens = true;
}

void smq_needs_threads(smq_needs *n)
{
	if (n)
		n->rights.starts = true;
}

void smq_needs_foreign(smq_needs *n)
{
	if (n)
		n->rights.foreign = true;
}

smq_err smq_needs_confine(const smq_needs *n, struct smq_confined *ret_how)
{
	if (!n || n->failed)
		return SMQ_ERR_NO_MEMORY;
	struct smq_rights r = n->rights;
	r.reads = (const char *const *)n->reads.at;
	r.read_count = n->reads.count;
	r.writes = (const char *const *)n->writes.at;
	r.write_count = n->writes.count;
	r.executes = (const char *const *)n->executes.at;
	r.execute_count = n->executes.count;
	r.removes = n->removes;
	r.ports = n->ports;
	if (n->any_port)
		r.port_count = 0;
	return smq_confine(&r, ret_how);
}

/* ---- a client ---- */

static void need_tls(const struct smq_tls_options *tls, smq_needs *n)
{
	const char *const files[] = { tls->ca_file, tls->cert_file, tls->key_file, tls->key_passphrase_file };
	for (size_t i = 0; i < SMQ_COUNT(files); i++)
		smq_needs_directory(n, files[i]);
	smq_needs_read(n, tls->ca_dir);
	for (size_t i = 0; (tls->os_certs || tls->ca_dir) && i < SMQ_COUNT(system_certs); i++)
		smq_needs_read(n, system_certs[i]);
	if (tls->engine || (tls->key_form && strcmp(tls->key_form, "engine") == 0))
		smq_needs_foreign(n);
}

/* "socks5h://user:pass@host:port" */
static int socks_port(const char *url)
{
	const char *at = strrchr(url, '@'), *host = at ? at + 1 : strstr(url, "://") ? strstr(url, "://") + 3 : url;
	const char *colon = strrchr(host, ':');
	return colon ? (int)strtol(colon + 1, NULL, 10) : SOCKS_PORT;
}

static void need_network(const struct smq_client_options *o, smq_needs *n)
{
	const struct smq_tls_options *tls = &o->tls;
	bool encrypted = tls->by_realm || tls->ca_file || tls->ca_dir || tls->os_certs || tls->psk;
	if (o->host && o->host[0] == '/') {
		smq_needs_local(n);
		return;
	}
	smq_needs_names(n);
	if (o->srv_lookup)
		smq_needs_port(n, 0);
	else if (o->socks5)
		smq_needs_port(n, socks_port(o->socks5));
	else
		smq_needs_port(n, o->port ? o->port : encrypted ? MQTTS_PORT : MQTT_PORT);
}

void smq_client_needs(const struct smq_client_options *o, smq_needs *n)
{
	if (!n)
		return;
	if (o->realm) {
		smq_needs_write(n, smq_realm_dir(o->realm)); /* renewals are read, lists and roots written */
		smq_needs_write(n, smq_realm_state_dir(o->realm));
		smq_needs_threads(n); /* one that writes behind, and those that verify */
	}
	need_network(o, n);
	need_tls(&o->tls, n);
	smq_needs_sqlite(n, o->outbox_file);
}

/* ---- in words ---- */

/* The key server's own words for its three. */
const struct smq_process *smq_process_rights(size_t number)
{
	static _Thread_local struct smq_process duty;
	if (number >= SMQ_COUNT(processes))
		return NULL;
	if (processes[number].rights)
		return &processes[number];
	duty = processes[number];
	duty.rights =
	    smq_keyserver_duty_rights((enum smq_keyserver_duty)(number - (SMQ_COUNT(processes) - SMQ_DUTIES)));
	return &duty;
}
