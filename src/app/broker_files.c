/* The files of a broker's deployment: a table of templates (src/app/broker/) and what is filled into them. */
#include "app/broker_files.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sealmq/broker.h>
#include <sealmq/text.h>

#include "app/template.h"
#include "base/table.h"

/* Made from the templates by tools/embed.py. */
extern const char smq_broker_mosquitto_conf[], smq_broker_nginx_conf[], smq_broker_sealmq_mosquitto_service[],
    smq_broker_sealmq_nginx_service[], smq_broker_nftables_conf[], smq_broker_logrotate_conf[],
    smq_broker_docker_compose_yml[], smq_broker_mosquitto_dockerfile[], smq_broker_nginx_dockerfile[],
    smq_broker_readme_md[];

static const struct {
	struct smq_broker_file file;
	const char *text; /* NULL: the ACL, which is no template */
} rows[] = {
	{ { "conf/mosquitto.conf", 0644, false }, smq_broker_mosquitto_conf },
	{ { "conf/acl", 0600, false }, NULL },
	{ { "conf/nginx.conf", 0644, true }, smq_broker_nginx_conf },
	{ { "conf/sealmq-mosquitto.service", 0644, false }, smq_broker_sealmq_mosquitto_service },
	{ { "conf/sealmq-nginx.service", 0644, true }, smq_broker_sealmq_nginx_service },
	{ { "conf/nftables.conf", 0644, false }, smq_broker_nftables_conf },
	{ { "conf/logrotate.conf", 0644, false }, smq_broker_logrotate_conf },
	{ { "conf/docker-compose.yml", 0644, false }, smq_broker_docker_compose_yml },
	{ { "conf/docker/mosquitto.Dockerfile", 0644, false }, smq_broker_mosquitto_dockerfile },
	{ { "conf/docker/nginx.Dockerfile", 0644, true }, smq_broker_nginx_dockerfile },
	{ { "conf/README.md", 0644, false }, smq_broker_readme_md },
};

const struct smq_broker_file *smq_broker_file(size_t n) { return n < SMQ_COUNT(rows) ? &rows[n].file : NULL; }

/* ---- checking ---- */

__attribute__((format(printf, 3, 4))) static smq_err refuse(char *ret_why, size_t why_len, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(ret_why, why_len, format, args);
	va_end(args);
	return SMQ_ERR_USAGE;
}

static bool port_valid(int port) { return port >= 1 && port <= 65535; }

static smq_err check_ports(const struct smq_broker_plan *p, char *ret_why, size_t why_len)
{
	int ports[4] = { p->port, p->password_port, p->nginx ? p->backend_port : 0,
			 p->nginx && p->password_port ? p->backend_port + 1 : 0 };
	for (size_t i = 0; i < 4; i++) {
		if ((i == 0 || ports[i]) && !port_valid(ports[i]))
			return refuse(ret_why, why_len, "%d is no port", ports[i]);
		for (size_t k = 0; k < i; k++) {
			if (ports[i] && ports[i] == ports[k])
				return refuse(ret_why, why_len, "port %d is wanted for two things", ports[i]);
		}
	}
	return SMQ_OK;
}

/* Whether one of two topics is the other, or lies below it. */
static bool overlap(const char *a, const char *b)
{
	size_t n = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
	return strncmp(a, b, n) == 0 && (a[n] == 0 || a[n] == '/') && (b[n] == 0 || b[n] == '/');
}

static smq_err check_topics(const struct smq_broker_plan *p, char *ret_why, size_t why_len)
{
	const char *to = strstr(p->keyex_topic, "{to}");
	if (!smq_topic_valid(smq_span_str(p->topics)) || strpbrk(p->topics, " \t\r\n%") ||
	    p->topics[strlen(p->topics) - 1] == '/' || p->topics[0] == '$')
		return refuse(ret_why, why_len, "--topics takes a topic without wildcards, blanks and percent signs");
	if (to && ((to > p->keyex_topic && to[-1] != '/') || (to[4] && to[4] != '/')))
		return refuse(ret_why, why_len,
			      "the realm's key exchange topic has {to} inside of a level: an ACL can only hold whole "
			      "levels");
	if (overlap(p->topics, p->control_prefix) || (to && overlap(p->topics, p->keyex_topic)))
		return refuse(ret_why, why_len,
			      "members read all of %s, and the realm's own topics must not lie there: --topics names "
			      "another place",
			      p->topics);
	return SMQ_OK;
}

/* Paths stand in unit files, logrotate's and YAML, each with its own way of quoting. */
static bool place_valid(const char *place)
{
	for (const char *c = place; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("/-_.+", *c))
			return false;
	}
	return place[0] == '/';
}

static bool address_valid(const char *address)
{
	return strlen(address) <= 45 && strspn(address, "0123456789abcdefABCDEF.:") == strlen(address);
}

smq_err smq_broker_plan_check(const struct smq_broker_plan *p, char *ret_why, size_t why_len)
{
	smq_err err = check_ports(p, ret_why, why_len);
	if (err == SMQ_OK)
		err = check_topics(p, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	if (p->connections < 1 || p->connections > 1000000 || p->per_address < 1 || p->per_address > 1000000)
		return refuse(ret_why, why_len, "connections are 1 to 1000000");
	if (p->message_max < 1024 || p->message_max > 268435455 - 65536)
		return refuse(ret_why, why_len, "the largest message is 1024 to 268369919 bytes");
	if (p->keepalive_max_s < 10 || p->keepalive_max_s > 65535)
		return refuse(ret_why, why_len, "the longest keepalive is 10 to 65535 seconds");
	if (p->address && !address_valid(p->address))
		return refuse(ret_why, why_len, "the address to listen on is an IPv4 or IPv6 address");
	if (!place_valid(p->place))
		return refuse(ret_why, why_len,
			      "the directory's absolute path may hold A-Z a-z 0-9 / - _ . + only, because it stands in "
			      "unit files; --place names another");
	return SMQ_OK;
}

/* ---- filling in ---- */

enum { VALUES_MAX = 64, VALUE_ROOM = 256 };

/* Values, and room for those that are numbers. */
struct values {
	struct smq_template_value rows[VALUES_MAX];
	char room[VALUES_MAX][VALUE_ROOM];
	size_t count;
};

static void text_value(struct values *v, const char *name, const char *text)
{
	v->rows[v->count++] = (struct smq_template_value){ name, text };
}

__attribute__((format(printf, 3, 4))) static void value(struct values *v, const char *name, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(v->room[v->count], VALUE_ROOM, format, args);
	va_end(args);
	text_value(v, name, v->room[v->count]);
}

static void flag(struct values *v, const char *name, bool on) { text_value(v, name, on ? "yes" : ""); }

static void listener(struct values *v, const char *name, int port, const char *address)
{
	value(v, name, "%d%s%s", port, address ? " " : "", address ? address : "");
}

static void listen_at(struct values *v, const char *name, int port, const char *address)
{
	bool six = address && strchr(address, ':');
	value(v, name, "%s%s%s%s%d", six ? "[" : "", address ? address : "", six ? "]" : "", address ? ":" : "", port);
}

static void fill_ports(struct values *v, const struct smq_broker_plan *p)
{
	int members = p->nginx ? p->backend_port : p->port;
	int passwords = p->nginx ? p->backend_port + 1 : p->password_port;
	const char *address = p->nginx ? "127.0.0.1" : p->address;

	flag(v, "nginx", p->nginx);
	flag(v, "passwords", p->password_port != 0);
	flag(v, "ipv6", p->ipv6 && !p->address);
	value(v, "port", "%d", p->port);
	value(v, "password_port", "%d", p->password_port);
	listen_at(v, "listen", p->port, p->address);
	listen_at(v, "password_listen", p->password_port, p->address);
	listener(v, "mosquitto_listener", members, address);
	listener(v, "password_listener", passwords, address);
	text_value(v, "mosquitto_address", "127.0.0.1");
	value(v, "mosquitto_port", "%d", members);
	value(v, "password_backend_port", "%d", passwords);
	if (p->password_port) {
		value(v, "public_ports", "%d, %d", p->port, p->password_port);
		value(v, "backend_ports", "%d, %d", members, passwords);
	} else {
		value(v, "public_ports", "%d", p->port);
		value(v, "backend_ports", "%d", members);
	}
}

static void fill_limits(struct values *v, const struct smq_broker_plan *p)
{
	value(v, "message_max", "%d", p->message_max);
	/* topic and properties stand before the payload */
	value(v, "packet_max", "%d", p->message_max + 65536);
	value(v, "keepalive_max", "%d", p->keepalive_max_s);
	value(v, "proxy_timeout", "%d", p->keepalive_max_s * 3 / 2 + 60);
	value(v, "memory_max", "%d", SMQ_BROKER_MEMORY_MAX);
	value(v, "memory_docker", "%d", SMQ_BROKER_MEMORY_MAX / 1048576 + 256);
	value(v, "max_connections", "%d", p->connections);
	value(v, "per_address", "%d", p->per_address);
	value(v, "worker_connections", "%d", 2 * p->connections + 64); /* each has two sides */
	value(v, "worker_files", "%d", 2 * p->connections + 1024);
	/* a site behind one address may come back at once, after a power cut */
	value(v, "new_per_second", "%d", 50);
	value(v, "new_burst", "%d", p->per_address);
}

static void fill_names(struct values *v, const struct smq_broker_plan *p)
{
	time_t seconds = (time_t)(p->server_not_after_ms / 1000);
	struct tm tm;

	text_value(v, "realm", p->realm);
	text_value(v, "control_prefix", p->control_prefix);
	text_value(v, "topics", p->topics);
	text_value(v, "place", p->place);
	text_value(v, "protect_home", strncmp(p->place, "/home/", 6) == 0 ? "read-only" : "yes");
	text_value(v, "nginx_modules", "/usr/lib/nginx/modules");
	text_value(v, "programs", p->nginx ? "Mosquitto and NGINX" : "Mosquitto");
	text_value(v, "nginx_unit", p->nginx ? " sealmq-nginx" : "");
	value(v, "passwords_path", "%s", "");
	if (p->password_port)
		v->rows[v->count - 1].text = " passwords";
	flag(v, "crl", p->crl);
	flag(v, "log_denials", p->log_denials);
	value(v, "uid", "%u", p->uid);
	value(v, "gid", "%u", p->gid);
	value(v, "server_until", "%s", "");
	if (gmtime_r(&seconds, &tm))
		(void)snprintf(v->room[v->count - 1], VALUE_ROOM, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1,
			       tm.tm_mday);
}

smq_err smq_broker_file_text(size_t n, const struct smq_broker_plan *plan, char **ret_text)
{
	if (n >= SMQ_COUNT(rows))
		return SMQ_ERR_BUG;
	if (!rows[n].text)
		return smq_broker_acl_text(plan, ret_text);
	struct values *v = calloc(1, sizeof(*v));
	if (!v)
		return SMQ_ERR_NO_MEMORY;
	fill_ports(v, plan);
	fill_limits(v, plan);
	fill_names(v, plan);
	smq_err err = smq_template_fill(rows[n].text, v->rows, v->count, ret_text);
	free(v);
	return err;
}
