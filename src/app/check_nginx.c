/* What would hurt in nginx.conf. */
#include "app/broker_check.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, PER_ADDRESS_LEAST = 12, PROXY_TIMEOUT_PRESET_S = 600 };

/* Where we are: the names of the blocks around, outermost first. */
struct place {
	const char *names[DEPTH_MAX];
	size_t depth;
};

static bool inside(const struct place *p, const char *name)
{
	for (size_t i = 0; i < p->depth && i < DEPTH_MAX; i++) {
		if (strcmp(p->names[i], name) == 0)
			return true;
	}
	return false;
}

/* NGINX's times: 660, 660s, 11m, 1h. What is beyond all numbers is as long as can be. */
static long seconds_of(const char *text)
{
	char *end = NULL;
	long n = strtol(text, &end, 10), unit = 1, most;
	switch (*end) {
	case 'm':
		if (end[1] == 's')
			return n / 1000;
		unit = 60;
		break;
	case 'h':
		unit = 3600;
		break;
	case 'd':
		unit = 86400;
		break;
	default:
		break;
	}
	most = LONG_MAX / unit;
	return (n > most ? most : n < -most ? -most : n) * unit;
}

static bool has_word(const char *value, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = strstr(value, word); at; at = strstr(at + 1, word)) {
		if ((at == value || at[-1] == ' ' || at[-1] == '\t') && (!at[len] || at[len] == ' ' || at[len] == '\t'))
			return true;
	}
	return false;
}

/* What was met on the way. */
struct met {
	bool stream, proxies, module, limit, js, js_module;
	const struct smq_conf_line *terminates, *own_certificate, *timeout;
	/* WebSockets by way of HTTP */
	const struct smq_conf_line *upgrade, *web_timeout;
	bool web_limit;
	/* a choice by the name that was dialled */
	const struct smq_conf_line *by_name;
	bool by_name_default;
};

static void judge_limit_zone(const struct smq_judge *j, const struct smq_conf_line *row)
{
	if (strstr(row->value, "$ssl_client"))
		smq_judge_find(j, SMQ_SEVERITY_HIGH, "limit-key", row, NULL,
			       "limit_conn_zone $binary_remote_addr zone=per_address:10m;",
			       "a limit keyed on the certificate limits nothing: it is empty until TLS is done, and "
			       "empty keys are not counted");
	else if (!strstr(row->value, "remote_addr"))
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "limit-key", row, NULL,
			       "limit_conn_zone $binary_remote_addr zone=per_address:10m;",
			       "the limit is not by address: one address may take all connections");
}

static void judge_limit(const struct smq_judge *j, const struct smq_conf_line *row)
{
	const char *number = strrchr(row->value, ' ');
	if (number && atol(number + 1) < PER_ADDRESS_LEAST)
		smq_judge_find(j, SMQ_SEVERITY_LOW, "limit-low", row, NULL, "limit_conn per_address 1024;",
			       "%s connections from one address are few: a whole site may be behind one", number + 1);
}

static void judge_protocols(const struct smq_judge *j, const struct smq_conf_line *row)
{
	bool old = has_word(row->value, "TLSv1") || has_word(row->value, "TLSv1.1") || strstr(row->value, "SSLv");
	if (old || has_word(row->value, "TLSv1.2"))
		smq_judge_find(j, old ? SMQ_SEVERITY_HIGH : SMQ_SEVERITY_MEDIUM, "tls-version", row, NULL,
			       "ssl_protocols TLSv1.3;", "versions of TLS before 1.3 are taken");
}

static void look_at_web(const struct smq_judge *j, struct met *m, const struct smq_conf_line *row)
{
	if (strcmp(row->key, "limit_conn_zone") == 0)
		judge_limit_zone(j, row);
	else if (strcmp(row->key, "limit_conn") == 0)
		m->web_limit = true;
	else if (strcmp(row->key, "proxy_read_timeout") == 0)
		m->web_timeout = row;
	else if (strcmp(row->key, "proxy_set_header") == 0 && strncmp(row->value, "Upgrade", 7) == 0)
		m->upgrade = row;
}

static void look_at(const struct smq_judge *j, struct met *m, const struct place *p, const struct smq_conf_line *row)
{
	const char *key = row->key;
	bool stream = inside(p, "stream");
	if (strcmp(key, "load_module") == 0 && strstr(row->value, "ngx_stream_module"))
		m->module = true;
	if (strcmp(key, "include") == 0 && strstr(row->value, "modules-enabled"))
		m->module = true;
	if (strcmp(key, "load_module") == 0 && strstr(row->value, "ngx_stream_js_module"))
		m->js_module = true;
	if (strcmp(key, "ssl_protocols") == 0)
		judge_protocols(j, row);
	if (inside(p, "http"))
		look_at_web(j, m, row);
	if (!stream)
		return;
	if (strcmp(key, "map") == 0)
		m->by_name = strstr(row->value, "$ssl_preread_server_name") ? row : NULL;
	if (inside(p, "map") && m->by_name && strcmp(key, "default") == 0)
		m->by_name_default = true;
	if (strcmp(key, "limit_conn_zone") == 0)
		judge_limit_zone(j, row);
	else if (strcmp(key, "limit_conn") == 0)
		judge_limit(j, row);
	else if (strcmp(key, "proxy_timeout") == 0)
		m->timeout = row;
	else if (strcmp(key, "listen") == 0 && has_word(row->value, "ssl"))
		m->terminates = row;
	else if (strcmp(key, "proxy_ssl_certificate") == 0)
		m->own_certificate = row;
	m->limit = m->limit || strcmp(key, "limit_conn") == 0;
	m->proxies = m->proxies || strcmp(key, "proxy_pass") == 0;
	m->js = m->js || strcmp(key, "js_filter") == 0;
}

static void judge_identities(const struct smq_judge *j, const struct met *m)
{
	static const char *const write = "ssl_preread on;";
	if (m->own_certificate)
		smq_judge_find(j, SMQ_SEVERITY_CRITICAL, "identity-ends", m->own_certificate, NULL, write,
			       "the proxy shows the broker a certificate of its own: every client is that one to it");
	else if (m->terminates && m->js && !m->js_module)
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "stream-module", m->terminates, NULL,
			       "load_module /usr/lib/nginx/modules/ngx_stream_js_module.so;",
			       "on Debian it does not start: njs is a module that must be loaded");
	else if (m->terminates && !m->js)
		smq_judge_find(j, SMQ_SEVERITY_HIGH, "identity-ends", m->terminates, NULL, write,
			       "TLS ends at the proxy: the broker does not see who its clients are");
}

static void judge_timeout(const struct smq_judge *j, const struct met *m, const char *file, int keepalive_max_s)
{
	long timeout = m->timeout ? seconds_of(m->timeout->value) : PROXY_TIMEOUT_PRESET_S;
	long least = (long)keepalive_max_s * 3 / 2;
	char write[64];
	(void)snprintf(write, sizeof(write), "proxy_timeout %lds;", least + 60);
	if (timeout <= least)
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "proxy-timeout", m->timeout, file, write,
			       "proxy_timeout of %ld s is not longer than one and a half keepalives (%ld s): quiet "
			       "clients are cut off",
			       timeout, least);
}

enum { WEB_TIMEOUT_PRESET_S = 60 };

/* HTTP's timeout is a minute where nothing is said, and a client may be silent for longer. */
static void judge_web(const struct smq_judge *j, const struct met *m, int keepalive_max_s)
{
	long timeout = m->web_timeout ? seconds_of(m->web_timeout->value) : WEB_TIMEOUT_PRESET_S;
	long least = (long)keepalive_max_s * 3 / 2;
	char write[64];
	if (!m->upgrade)
		return;
	(void)snprintf(write, sizeof(write), "proxy_read_timeout %lds;", least + 60);
	if (timeout <= least)
		smq_judge_find(
		    j, SMQ_SEVERITY_MEDIUM, "proxy-timeout", m->web_timeout ? m->web_timeout : m->upgrade, NULL, write,
		    "proxy_read_timeout of %ld s is not longer than one and a half keepalives (%ld s): quiet "
		    "browsers are cut off",
		    timeout, least);
	if (!m->web_limit)
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "no-limit", m->upgrade, NULL, "limit_conn web_per_address 1024;",
			       "one address may take all connections of the WebSockets");
}

static void judge_names(const struct smq_judge *j, const struct smq_conf_line *map, bool has_default)
{
	if (map && !has_default)
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "sni", map, NULL, "default members;",
			       "clients that dial an address send it as the name, or send none: without a default they "
			       "get nowhere");
}

void smq_judge_nginx(const struct smq_judge *j, const struct smq_conf_lines *conf, int keepalive_max_s)
{
	const char *file = conf->count ? conf->rows[0].file : "nginx.conf";
	struct place place = { .depth = 0 };
	struct met met = { .stream = false };
	for (size_t i = 0; i < conf->count; i++) {
		const struct smq_conf_line *row = &conf->rows[i];
		if (strcmp(row->key, "{") == 0) {
			if (place.depth < DEPTH_MAX)
				place.names[place.depth] = i ? conf->rows[i - 1].key : "";
			place.depth++;
		} else if (strcmp(row->key, "}") == 0) {
			place.depth -= place.depth > 0;
			if (met.by_name && place.depth == 1) {
				judge_names(j, met.by_name, met.by_name_default);
				met.by_name = NULL;
				met.by_name_default = false;
			}
		} else {
			met.stream = met.stream || strcmp(row->key, "stream") == 0;
			look_at(j, &met, &place, row);
		}
	}
	judge_web(j, &met, keepalive_max_s);
	if (!met.stream || !met.proxies)
		return;
	if (!met.module)
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "stream-module", NULL, file,
			       "load_module /usr/lib/nginx/modules/ngx_stream_module.so;",
			       "on Debian it does not start: stream is a module that must be loaded");
	if (!met.limit)
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "no-limit", NULL, file, "limit_conn per_address 1024;",
			       "one address may take all connections");
	judge_identities(j, &met);
	judge_timeout(j, &met, file, keepalive_max_s);
}
