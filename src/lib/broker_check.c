/* Looking over a broker: its files, its certificates, and what it says to a stranger. */
#include <sealmq/broker.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/ca_openssl/crl_read.h"
#include "adapters/config_yaml/realm_yaml.h"
#include "adapters/probe_openssl/probe.h"
#include "app/broker_check.h"
#include "base/table.h"
#include "lib/files.h"

enum {
	INCLUDED_MAX = 256,
	DPKG_MAX = 64 * 1048576,
	KEEPALIVE_PRESET_S = 65535,
	TIMEOUT_MS = 5000,
	PORT = SMQ_BROKER_PORT
};

static const int64_t soon_ms = 30 * 86400000LL, very_soon_ms = 7 * 86400000LL, crl_soon_ms = 36 * 3600000LL;

static _Thread_local char why[SMQ_WHY_MAX];

struct checking {
	const struct smq_broker_check_options *o;
	struct smq_broker_checked done;
	struct smq_judge judge;
	char base[SMQ_PATH_MAX]; /* where paths in the configuration start */
	struct smq_conf_lines mosquitto, acl, nginx;
	bool other_engine;
	int64_t now_ms;
};

static void note(void *self, const struct smq_finding *finding)
{
	struct checking *c = self;
	c->done.counts[finding->severity]++;
	if (finding->severity > c->done.worst)
		c->done.worst = finding->severity;
	if (c->o->on_finding)
		c->o->on_finding(c->o->self, finding);
}

/* ---- files ---- */

static smq_err because_errno(const char *path)
{
	int code = errno;
	return smq_because(smq_err_of_errno(code), why, sizeof(why), "%s: %s", path, strerror(code));
}

/* Any file, whatever its mode: that is what we look at. */
static smq_err read_text(const char *path, size_t most, char **ret_text)
{
	FILE *file = fopen(path, "re");
	struct stat st;
	if (!file || fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode)) {
		smq_err err = because_errno(path);
		if (file)
			(void)fclose(file);
		return err;
	}
	size_t room = (size_t)st.st_size < most ? (size_t)st.st_size : most;
	char *text = malloc(room + 1);
	size_t len = text ? fread(text, 1, room, file) : 0;
	(void)fclose(file);
	if (!text)
		return SMQ_ERR_NO_MEMORY;
	text[len] = 0;
	*ret_text = text;
	return SMQ_OK;
}

/* A path as the configuration has it. */
static smq_err resolve(const char *base, const char *name, char ret_path[SMQ_PATH_MAX])
{
	if (name[0] != '/')
		return smq_path_join(base, name, ret_path);
	return snprintf(ret_path, SMQ_PATH_MAX, "%s", name) < SMQ_PATH_MAX ? SMQ_OK : SMQ_ERR_TOO_LARGE;
}

typedef smq_err adder(struct smq_conf_lines *lines, const char *file, const char *text);

static smq_err add_file(struct smq_conf_lines *lines, const char *path, adder *add)
{
	char *text = NULL;
	smq_err err = read_text(path, SMQ_FILE_MAX * 16, &text);
	if (err == SMQ_OK)
		err = add(lines, path, text);
	free(text);
	return err;
}

static int not_hidden(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* All files of a directory that the pattern takes, in the order in which both programs read them. */
static void add_files(struct smq_conf_lines *lines, const char *dir, const char *pattern, adder *add)
{
	struct dirent **list = NULL;
	char path[SMQ_PATH_MAX];
	int count = scandir(dir, &list, not_hidden, alphasort);
	for (int i = 0; i < count; i++) {
		if (i < INCLUDED_MAX && fnmatch(pattern, list[i]->d_name, 0) == 0 &&
		    smq_path_join(dir, list[i]->d_name, path) == SMQ_OK)
			(void)add_file(lines, path, add); /* what cannot be read is the programs' to complain about */
		free(list[i]);
	}
	free(list);
}

static void add_mosquitto_includes(struct checking *c)
{
	char dir[SMQ_PATH_MAX];
	size_t count = c->mosquitto.count;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(c->mosquitto.rows[i].key, "include_dir") == 0 &&
		    resolve(c->base, c->mosquitto.rows[i].value, dir) == SMQ_OK)
			add_files(&c->mosquitto, dir, "*.conf", smq_conf_add);
	}
}

/* NGINX's paths start where its configuration lies. What is included counts as if it stood there. */
static smq_err add_nginx(struct checking *c, const char *path)
{
	char dir[SMQ_PATH_MAX];
	char from[SMQ_PATH_MAX];
	smq_err err = add_file(&c->nginx, path, smq_conf_add_nginx);
	(void)snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = 0;
	size_t count = c->nginx.count;
	for (size_t i = 0; err == SMQ_OK && i < count; i++) {
		if (strcmp(c->nginx.rows[i].key, "include") != 0 ||
		    resolve(dir, c->nginx.rows[i].value, from) != SMQ_OK || !strrchr(from, '/'))
			continue;
		char *pattern = strrchr(from, '/');
		*pattern++ = 0;
		add_files(&c->nginx, from, pattern, smq_conf_add_nginx);
	}
	return err;
}

/* ---- what lies beside the configuration ---- */

static void judge_mode(struct checking *c, const char *path, bool secret)
{
	struct stat st;
	char write[SMQ_PATH_MAX + 32];
	if (stat(path, &st) != 0)
		return;
	(void)snprintf(write, sizeof(write), "chmod %s %s", secret ? "600" : "go-w", path);
	if (secret && (st.st_mode & 0007))
		smq_judge_find(&c->judge, SMQ_SEVERITY_CRITICAL, "file-open", NULL, path, write,
			       "everybody on this machine may read it");
	else if (secret && (st.st_mode & 0070))
		smq_judge_find(&c->judge, SMQ_SEVERITY_MEDIUM, "file-open", NULL, path, write, "its group may read it");
	else if (st.st_mode & 0002)
		smq_judge_find(&c->judge, SMQ_SEVERITY_HIGH, "file-open", NULL, path, write,
			       "everybody on this machine may change it");
}

static void judge_cert_end(struct checking *c, const char *where, int64_t end_ms, const char *write)
{
	int64_t left = end_ms - c->now_ms;
	if (left <= 0)
		smq_judge_find(&c->judge, SMQ_SEVERITY_CRITICAL, "certificate-end", NULL, where, write,
			       "the broker's certificate has expired: nobody can connect");
	else if (left < soon_ms)
		smq_judge_find(&c->judge, left < very_soon_ms ? SMQ_SEVERITY_HIGH : SMQ_SEVERITY_MEDIUM,
			       "certificate-end", NULL, where, write, "the broker's certificate ends in %d days",
			       (int)(left / 86400000));
}

static void judge_cert(struct checking *c, const char *path)
{
	char *text = NULL;
	int64_t from = 0;
	int64_t end = 0;
	if (read_text(path, SMQ_FILE_MAX, &text) != SMQ_OK)
		return;
	if (smq_ca_validity(smq_span_str(text), &from, &end) == SMQ_OK)
		judge_cert_end(c, path, end, "sealmq ca issue broker --role broker && sealmq broker init DIR");
	free(text);
}

static void judge_crl(struct checking *c, const char *path)
{
	static const char *const write = "sealmq broker run DIR --realm CA, which follows the authority's list";
	char *text = NULL;
	struct smq_crl_summary sum;
	if (read_text(path, SMQ_CRL_FILE_MAX, &text) != SMQ_OK) {
		smq_judge_find(&c->judge, SMQ_SEVERITY_HIGH, "crl", NULL, path, write,
			       "the revocation list is not there");
		return;
	}
	smq_err err = smq_crl_summarize(smq_span_str(text), &sum);
	free(text);
	if (err != SMQ_OK)
		smq_judge_find(&c->judge, SMQ_SEVERITY_HIGH, "crl", NULL, path, write, "no revocation list in PEM");
	else if (sum.next_update_ms <= c->now_ms)
		smq_judge_find(&c->judge, SMQ_SEVERITY_CRITICAL, "crl", NULL, path, write,
			       "the revocation list has ended: Mosquitto refuses everybody");
	else if (sum.next_update_ms - c->now_ms < crl_soon_ms)
		smq_judge_find(&c->judge, SMQ_SEVERITY_MEDIUM, "crl", NULL, path, write,
			       "the revocation list ends in %d hours; then Mosquitto refuses everybody",
			       (int)((sum.next_update_ms - c->now_ms) / 3600000));
}

/* NAME:$6$... or NAME:$7$...; anything else is the password itself. */
static void judge_passwords(struct checking *c, const char *path)
{
	char *text = NULL;
	char *save = NULL;
	judge_mode(c, path, true);
	if (read_text(path, SMQ_FILE_MAX, &text) != SMQ_OK)
		return;
	for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
		const char *colon = strchr(line, ':');
		if (!colon || strncmp(colon, ":$6$", 4) == 0 || strncmp(colon, ":$7$", 4) == 0)
			continue;
		smq_judge_find(&c->judge, SMQ_SEVERITY_CRITICAL, "password-plain", NULL, path,
			       "mosquitto_passwd -U passwords", "passwords stand there as they are");
		break;
	}
	free(text);
}

/* Whoever may open a socket behind a proxy that tells who somebody is may be anybody. */
static void judge_socket(struct checking *c, const char *name)
{
	char path[SMQ_PATH_MAX];
	char write[SMQ_PATH_MAX + 32];
	struct stat st;
	if (resolve(c->base, name, path) != SMQ_OK || !strrchr(path, '/'))
		return;
	*strrchr(path, '/') = 0;
	(void)snprintf(write, sizeof(write), "chmod o= %s", path);
	if (stat(path, &st) == 0 && (st.st_mode & 0001))
		smq_judge_find(&c->judge, SMQ_SEVERITY_CRITICAL, "file-open", NULL, path, write,
			       "everybody on this machine may come to the broker's socket, under any name");
}

static void judge_files(struct checking *c)
{
	char path[SMQ_PATH_MAX];
	for (size_t i = 0; i < c->mosquitto.count; i++) {
		const struct smq_conf_line *row = &c->mosquitto.rows[i];
		if (!*row->value || resolve(c->base, row->value, path) != SMQ_OK)
			continue;
		if (strcmp(row->key, "listener") == 0 && strncmp(row->value, "0 ", 2) == 0)
			judge_socket(c, row->value + 2);
		else if (strcmp(row->key, "keyfile") == 0)
			judge_mode(c, path, true);
		else if (strcmp(row->key, "certfile") == 0)
			judge_cert(c, path);
		else if (strcmp(row->key, "crlfile") == 0)
			judge_crl(c, path);
		else if (strcmp(row->key, "password_file") == 0)
			judge_passwords(c, path);
		else if (strcmp(row->key, "acl_file") == 0)
			judge_mode(c, path, false);
	}
}

/* Members are revoked by the realm, and the broker is not told of it. */
static void judge_crl_used(struct checking *c)
{
	char path[SMQ_PATH_MAX];
	if (!smq_conf_find(&c->mosquitto, "crlfile") && !smq_conf_find(&c->nginx, "ssl_crl") && smq_path_join(c->base, "certs/crl.pem", path) == SMQ_OK &&
	    access(path, F_OK) == 0)
		smq_judge_find(&c->judge, SMQ_SEVERITY_HIGH, "crl", NULL, c->mosquitto.rows[0].file,
			       "crlfile certs/crl.pem", "there is a revocation list, and Mosquitto does not read it");
}

static void judge_acl(struct checking *c)
{
	char path[SMQ_PATH_MAX];
	struct smq_realm_settings settings;
	const char *name = smq_conf_value(&c->mosquitto, "acl_file", NULL);
	bool realm = smq_path_join(c->base, "conf/realm.yaml", path) == SMQ_OK && access(path, R_OK) == 0 &&
		     smq_realm_yaml_load(path, &settings, why, sizeof(why)) == SMQ_OK;
	if (name && resolve(c->base, name, path) == SMQ_OK && add_file(&c->acl, path, smq_conf_add) == SMQ_OK)
		smq_judge_acl(&c->judge, &c->acl, realm ? settings.control_prefix : NULL,
			      smq_conf_value(&c->mosquitto, "plugin_opt_link_user", NULL));
}

/* ---- what is installed ---- */

static void judge_package(struct checking *c, const char *status, const char *package)
{
	char head[64];
	char version[64];
	(void)snprintf(head, sizeof(head), "\nPackage: %s\n", package);
	const char *at = strstr(status, head);
	const char *end = at ? strstr(at + 1, "\n\n") : NULL;
	const char *said = at ? strstr(at, "\nVersion: ") : NULL;
	const char *installed = at ? strstr(at, "\nStatus: install ok installed") : NULL;
	if (!said || !installed || (end && (said > end || installed > end)))
		return;
	(void)snprintf(version, sizeof(version), "%.*s", (int)strcspn(said + 10, "\n"), said + 10);
	smq_judge_version(&c->judge, package, version);
}

static void judge_installed(struct checking *c)
{
	char *status = NULL;
	if (read_text("/var/lib/dpkg/status", DPKG_MAX, &status) != SMQ_OK)
		return; /* no Debian: nothing to hold it against */
	judge_package(c, status, "mosquitto");
	if (c->nginx.count)
		judge_package(c, status, "nginx");
	free(status);
}

/* ---- a directory ---- */

static bool is_file(const char *dir, const char *name, char ret_path[SMQ_PATH_MAX])
{
	struct stat st;
	return smq_path_join(dir, name, ret_path) == SMQ_OK && stat(ret_path, &st) == 0 && S_ISREG(st.st_mode);
}

static smq_err find_conf(struct checking *c, const char *target, char ret_conf[SMQ_PATH_MAX])
{
	struct stat st;
	if (stat(target, &st) != 0)
		return because_errno(target);
	if (snprintf(c->base, sizeof(c->base), "%s", target) >= (int)sizeof(c->base))
		return SMQ_ERR_TOO_LARGE;
	if (S_ISREG(st.st_mode)) {
		(void)snprintf(ret_conf, SMQ_PATH_MAX, "%s", target);
		char *slash = strrchr(c->base, '/');
		if (slash && slash != c->base)
			*slash = 0;
		else
			(void)snprintf(c->base, sizeof(c->base), "%s", slash ? "/" : ".");
		return SMQ_OK;
	}
	if (is_file(target, "conf/mosquitto.conf", ret_conf) || is_file(target, "conf/mosquitto-1.conf", ret_conf) ||
	    is_file(target, "mosquitto.conf", ret_conf))
		return SMQ_OK;
	/* NATS and RabbitMQ have configurations of their own; what is in front of them is looked at. */
	if (is_file(target, "conf/nats-1.conf", ret_conf) || is_file(target, "conf/rabbitmq-1.conf", ret_conf)) {
		c->other_engine = true;
		return SMQ_OK;
	}
	return smq_because(SMQ_ERR_NOT_FOUND, why, sizeof(why), "%s: no mosquitto.conf there", target);
}

static smq_err check_proxy(struct checking *c)
{
	char path[SMQ_PATH_MAX];
	if (!is_file(c->base, "conf/nginx.conf", path) && !is_file(c->base, "nginx.conf", path))
		return SMQ_OK;
	int preset = c->other_engine ? SMQ_BROKER_KEEPALIVE_MAX : KEEPALIVE_PRESET_S;
	int keepalive = atoi(smq_conf_value(&c->mosquitto, "max_keepalive", "0"));
	judge_mode(c, path, false);
	smq_err err = add_nginx(c, path);
	if (err == SMQ_OK)
		smq_judge_nginx(&c->judge, &c->nginx, keepalive > 0 ? keepalive : preset);
	return err;
}

/* What lies open in a deployment of another engine: its certificates, its secrets, and what is in front of it. */
static smq_err check_other(struct checking *c, const char *conf)
{
	static const char *const secret[] = { "certs/server.key", "data/link.secret", "conf/nats-users.conf",
					      "conf/rabbitmq-users.json" };
	char path[SMQ_PATH_MAX];
	judge_mode(c, conf, false);
	for (size_t i = 0; i < SMQ_COUNT(secret); i++) {
		if (is_file(c->base, secret[i], path))
			judge_mode(c, path, true);
	}
	if (is_file(c->base, "certs/server.crt", path))
		judge_cert(c, path);
	smq_err err = check_proxy(c);
	judge_installed(c);
	return err;
}

static smq_err check_dir(struct checking *c, const char *target)
{
	char path[SMQ_PATH_MAX];
	smq_err err = find_conf(c, target, path);
	if (err == SMQ_OK && c->other_engine)
		return check_other(c, path);
	if (err == SMQ_OK)
		err = add_file(&c->mosquitto, path, smq_conf_add);
	if (err != SMQ_OK)
		return err;
	add_mosquitto_includes(c);
	if (c->mosquitto.count == 0)
		return smq_because(SMQ_ERR_MALFORMED, why, sizeof(why), "%s: says nothing", path);
	judge_mode(c, path, false);
	smq_judge_mosquitto(&c->judge, &c->mosquitto);
	judge_acl(c);
	judge_files(c);
	err = check_proxy(c);
	judge_crl_used(c);
	judge_installed(c);
	return err;
}

/* ---- an address ---- */

static smq_err parse_address(const char *target, char *host, size_t room, int *ret_port)
{
	const char *end = target[0] == '[' ? strchr(target, ']') : NULL;
	const char *colon = end ? (end[1] == ':' ? end + 1 : NULL) : strrchr(target, ':');
	const char *from = end ? target + 1 : target;
	size_t len = end ? (size_t)(end - from) : colon ? (size_t)(colon - target) : strlen(target);
	char *rest = NULL;
	long port = colon ? strtol(colon + 1, &rest, 10) : PORT;
	if (len == 0 || len >= room || strchr(target, '/') || (colon && (!colon[1] || *rest)) || port < 1 ||
	    port > 65535)
		return smq_because(SMQ_ERR_NOT_FOUND, why, sizeof(why),
				   "%s: neither a file, nor a directory, nor HOST:PORT", target);
	memcpy(host, from, len);
	host[len] = 0;
	*ret_port = (int)port;
	return SMQ_OK;
}

/* What a stranger hears who says CONNECT. */
static void judge_answer(struct checking *c, const char *where, const struct smq_probe_answer *a, bool tls)
{
	if (a->connack == 0)
		smq_judge_find(&c->judge, SMQ_SEVERITY_CRITICAL, "anonymous", NULL, where, "allow_anonymous false",
			       "a stranger without a name was let in%s", tls ? "" : ", without TLS");
	else if (!tls && a->answered)
		smq_judge_find(&c->judge, SMQ_SEVERITY_HIGH, "plaintext", NULL, where, "certfile certs/server.crt",
			       "it speaks MQTT without TLS");
	else if (a->answered)
		smq_judge_find(&c->judge, SMQ_SEVERITY_LOW, "no-client-certificate", NULL, where,
			       "require_certificate true",
			       "a stranger without a certificate may try names and passwords");
}

static void judge_old_tls(struct checking *c, const char *where, const struct smq_probe_answer *a)
{
	if (a->tls_version)
		smq_judge_find(&c->judge, a->tls_version < 12 ? SMQ_SEVERITY_HIGH : SMQ_SEVERITY_MEDIUM, "tls-version",
			       NULL, where, "tls_version tlsv1.3", "TLS 1.%d was agreed to", a->tls_version - 10);
}

static smq_err check_address(struct checking *c, const char *target)
{
	char host[256];
	struct smq_probe_answer answer = { .connack = -1 };
	struct smq_probe_ask ask = { .host = host, .timeout_ms = c->o->timeout_ms ? c->o->timeout_ms : TIMEOUT_MS };
	smq_err err = parse_address(target, host, sizeof(host), &ask.port);
	if (err != SMQ_OK)
		return err;
	ask.tls = ask.mqtt = true;
	err = smq_probe(&ask, &answer);
	if (err != SMQ_OK)
		return smq_because(err, why, sizeof(why), "%s: %s", target, smq_err_text(err));
	if (answer.tls_version == 0) {
		ask.tls = false;
		err = smq_probe(&ask, &answer);
		if (err == SMQ_OK)
			judge_answer(c, target, &answer, false);
		if (err == SMQ_OK && !answer.answered)
			return smq_because(SMQ_ERR_PROTOCOL, why, sizeof(why), "%s: speaks neither TLS nor MQTT",
					   target);
		return err;
	}
	judge_answer(c, target, &answer, true);
	judge_cert_end(c, target, answer.not_after_ms, "certfile of a certificate that is valid");
	ask.at_most_1_2 = true;
	ask.mqtt = false;
	if (smq_probe(&ask, &answer) == SMQ_OK)
		judge_old_tls(c, target, &answer);
	return SMQ_OK;
}

/* ---- all of it ---- */

smq_err smq_broker_check(const char *target, const struct smq_broker_check_options *options,
			 struct smq_broker_checked *ret_checked, const char **ret_why)
{
	struct checking c = { .o = options, .now_ms = (int64_t)time(NULL) * 1000 };
	c.judge = (struct smq_judge){ &c, note };
	why[0] = 0;
	if (ret_why)
		*ret_why = why;
	bool file = access(target, F_OK) == 0 || strchr(target, '/');
	smq_err err = file ? check_dir(&c, target) : check_address(&c, target);
	smq_conf_free(&c.mosquitto);
	smq_conf_free(&c.acl);
	smq_conf_free(&c.nginx);
	if (err == SMQ_OK)
		*ret_checked = c.done;
	else if (!why[0])
		(void)smq_because(err, why, sizeof(why), "%s", smq_err_text(err));
	return err;
}
