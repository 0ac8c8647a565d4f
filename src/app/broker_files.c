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

#include "app/broker_acl.h"
#include "app/template.h"
#include "base/table.h"

/* Made from the templates by tools/embed.py. */
extern const char smq_broker_mosquitto_conf[], smq_broker_nginx_conf[], smq_broker_sealmq_mosquitto_service[],
    smq_broker_sealmq_nginx_service[], smq_broker_nftables_conf[], smq_broker_logrotate_conf[],
    smq_broker_docker_compose_yml[], smq_broker_mosquitto_dockerfile[], smq_broker_nginx_dockerfile[],
    smq_broker_readme_md[], smq_broker_identity_js[], smq_broker_nats_conf[], smq_broker_rabbitmq_conf[],
    smq_broker_rabbitmq_env[], smq_broker_rabbitmq_plugins[], smq_broker_rabbitmq_advanced_config[],
    smq_broker_sealmq_nats_service[], smq_broker_sealmq_rabbitmq_service[], smq_broker_sealmq_epmd_service[],
    smq_broker_sealmq_revoked_path[], smq_broker_sealmq_revoked_service[], smq_broker_revoked_sh[],
    smq_broker_nats_dockerfile[], smq_broker_rabbitmq_dockerfile[], smq_broker_hardening[];

typedef smq_err maker(const struct smq_broker_plan *plan, char **ret_text);

/* Who has a file: bits of profiles, and what else must be. */
enum {
	NGINX = 1 << SMQ_BROKER_NGINX,
	SINGLE = 1 << SMQ_BROKER_SINGLE,
	MESH = 1 << SMQ_BROKER_MOSQUITTOS,
	NATS = 1 << SMQ_BROKER_NATS,
	RABBIT = 1 << SMQ_BROKER_RABBITMQ,
	ONE = NGINX | SINGLE,
	MOSQUITTO = ONE | MESH,
	ALL = MOSQUITTO | NATS | RABBIT,
	PROXIED = ALL & ~SINGLE,
	IF_TERMINATE = 1 << 8,
	IF_CRL = 1 << 9
};

static const struct {
	struct smq_broker_file file;
	unsigned wanted;
	unsigned node;    /* 0: it is about all */
	const char *text; /* NULL: made by: */
	maker *make;
} rows[] = {
	{ { "conf/mosquitto.conf", 0644 }, ONE, 0, smq_broker_mosquitto_conf, NULL },
	{ { "conf/mosquitto-1.conf", 0644 }, MESH, 1, smq_broker_mosquitto_conf, NULL },
	{ { "conf/mosquitto-2.conf", 0644 }, MESH, 2, smq_broker_mosquitto_conf, NULL },
	{ { "conf/mosquitto-3.conf", 0644 }, MESH, 3, smq_broker_mosquitto_conf, NULL },
	{ { "conf/acl", 0600 }, MOSQUITTO, 0, NULL, smq_broker_acl_text },
	{ { "conf/nats-1.conf", 0600 }, NATS, 1, smq_broker_nats_conf, NULL },
	{ { "conf/nats-2.conf", 0600 }, NATS, 2, smq_broker_nats_conf, NULL },
	{ { "conf/nats-3.conf", 0600 }, NATS, 3, smq_broker_nats_conf, NULL },
	{ { "conf/nats-users.conf", 0600 }, NATS, 0, NULL, smq_broker_acl_nats },
	{ { "conf/rabbitmq-1.conf", 0644 }, RABBIT, 1, smq_broker_rabbitmq_conf, NULL },
	{ { "conf/rabbitmq-2.conf", 0644 }, RABBIT, 2, smq_broker_rabbitmq_conf, NULL },
	{ { "conf/rabbitmq-3.conf", 0644 }, RABBIT, 3, smq_broker_rabbitmq_conf, NULL },
	{ { "conf/rabbitmq-1.env", 0644 }, RABBIT, 1, smq_broker_rabbitmq_env, NULL },
	{ { "conf/rabbitmq-2.env", 0644 }, RABBIT, 2, smq_broker_rabbitmq_env, NULL },
	{ { "conf/rabbitmq-3.env", 0644 }, RABBIT, 3, smq_broker_rabbitmq_env, NULL },
	{ { "conf/rabbitmq-advanced.config", 0644 }, RABBIT | IF_CRL, 0, smq_broker_rabbitmq_advanced_config, NULL },
	{ { "conf/rabbitmq-plugins", 0644 }, RABBIT, 0, smq_broker_rabbitmq_plugins, NULL },
	{ { "conf/rabbitmq-users.json", 0600 }, RABBIT, 0, NULL, smq_broker_acl_rabbitmq },
	{ { "conf/nginx.conf", 0644 }, PROXIED, 0, smq_broker_nginx_conf, NULL },
	{ { "conf/identity.js", 0644 }, NGINX | IF_TERMINATE, 0, smq_broker_identity_js, NULL },
	{ { "conf/sealmq-mosquitto.service", 0644 }, ONE, 0, smq_broker_sealmq_mosquitto_service, NULL },
	{ { "conf/sealmq-mosquitto@.service", 0644 }, MESH, 0, smq_broker_sealmq_mosquitto_service, NULL },
	{ { "conf/sealmq-nats@.service", 0644 }, NATS, 0, smq_broker_sealmq_nats_service, NULL },
	{ { "conf/sealmq-rabbitmq@.service", 0644 }, RABBIT, 0, smq_broker_sealmq_rabbitmq_service, NULL },
	{ { "conf/sealmq-epmd.service", 0644 }, RABBIT, 0, smq_broker_sealmq_epmd_service, NULL },
	{ { "conf/sealmq-nginx.service", 0644 }, PROXIED, 0, smq_broker_sealmq_nginx_service, NULL },
	{ { "conf/sealmq-revoked.path", 0644 }, MOSQUITTO | IF_CRL, 0, smq_broker_sealmq_revoked_path, NULL },
	{ { "conf/sealmq-revoked.service", 0644 }, MOSQUITTO | IF_CRL, 0, smq_broker_sealmq_revoked_service, NULL },
	{ { "conf/revoked.sh", 0755 }, MOSQUITTO | IF_CRL, 0, smq_broker_revoked_sh, NULL },
	{ { "conf/nftables.conf", 0644 }, ALL, 0, smq_broker_nftables_conf, NULL },
	{ { "conf/logrotate.conf", 0644 }, ALL, 0, smq_broker_logrotate_conf, NULL },
	{ { "conf/docker-compose.yml", 0644 }, ALL, 0, smq_broker_docker_compose_yml, NULL },
	{ { "conf/docker/mosquitto.Dockerfile", 0644 }, MOSQUITTO, 0, smq_broker_mosquitto_dockerfile, NULL },
	{ { "conf/docker/nats.Dockerfile", 0644 }, NATS, 0, smq_broker_nats_dockerfile, NULL },
	{ { "conf/docker/rabbitmq.Dockerfile", 0644 }, RABBIT, 0, smq_broker_rabbitmq_dockerfile, NULL },
	{ { "conf/docker/nginx.Dockerfile", 0644 }, PROXIED, 0, smq_broker_nginx_dockerfile, NULL },
	{ { "conf/README.md", 0644 }, ALL, 0, smq_broker_readme_md, NULL },
};

const struct smq_broker_file *smq_broker_file(size_t n) { return n < SMQ_COUNT(rows) ? &rows[n].file : NULL; }

bool smq_broker_file_wanted(size_t n, const struct smq_broker_plan *plan)
{
	unsigned w = n < SMQ_COUNT(rows) ? rows[n].wanted : 0;
	return (w >> plan->profile & 1) && (!(w & IF_TERMINATE) || plan->terminate) && (!(w & IF_CRL) || plan->crl);
}

/* ---- ports ---- */

unsigned smq_broker_nodes(const struct smq_broker_plan *p)
{
	return p->profile >= SMQ_BROKER_MOSQUITTOS ? SMQ_BROKER_NODES : 1;
}

int smq_broker_port_members(const struct smq_broker_plan *p, unsigned node)
{
	return p->nginx ? p->backend_port + (int)node - 1 : p->port;
}

int smq_broker_port_passwords(const struct smq_broker_plan *p, unsigned node)
{
	return p->nginx ? p->backend_port + (int)(smq_broker_nodes(p) + node) - 1 : p->password_port;
}

int smq_broker_port_link(const struct smq_broker_plan *p, unsigned node)
{
	return p->backend_port + (int)(2 * smq_broker_nodes(p) + node) - 1;
}

int smq_broker_port_names(const struct smq_broker_plan *p) { return smq_broker_port_link(p, SMQ_BROKER_NODES) + 1; }
int smq_broker_port_web(const struct smq_broker_plan *p) { return p->backend_port + 2; }

/* ---- checking ---- */

__attribute__((format(printf, 3, 4))) static smq_err refuse(char *ret_why, size_t why_len, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(ret_why, why_len, format, args);
	va_end(args);
	return SMQ_ERR_USAGE;
}

enum { PORTS_MOST = 24 };

static bool port_valid(int port) { return port >= 1 && port <= 65535; }

/* All ports that a deployment takes. */
static size_t ports_of(const struct smq_broker_plan *p, int ports[PORTS_MOST])
{
	size_t n = 0;
	ports[n++] = p->port;
	if (p->password_port)
		ports[n++] = p->password_port;
	if (p->wss_port) {
		ports[n++] = p->wss_port;
		ports[n++] = smq_broker_port_web(p);
	}
	for (unsigned node = 1; p->nginx && node <= smq_broker_nodes(p); node++) {
		ports[n++] = smq_broker_port_members(p, node);
		if (p->password_port)
			ports[n++] = smq_broker_port_passwords(p, node);
		if (p->profile == SMQ_BROKER_NATS || p->profile == SMQ_BROKER_RABBITMQ)
			ports[n++] = smq_broker_port_link(p, node);
	}
	if (p->profile == SMQ_BROKER_RABBITMQ)
		ports[n++] = smq_broker_port_names(p);
	return n;
}

static smq_err check_ports(const struct smq_broker_plan *p, char *ret_why, size_t why_len)
{
	int ports[PORTS_MOST];
	size_t count = ports_of(p, ports);
	for (size_t i = 0; i < count; i++) {
		if (!port_valid(ports[i]))
			return refuse(ret_why, why_len, "%d is no port", ports[i]);
		for (size_t k = 0; k < i; k++) {
			if (ports[i] == ports[k])
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

static bool is_cluster(const struct smq_broker_plan *p)
{
	return p->profile == SMQ_BROKER_NATS || p->profile == SMQ_BROKER_RABBITMQ;
}

static smq_err check_topics(const struct smq_broker_plan *p, char *ret_why, size_t why_len)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-_";
	const char *to = strstr(p->keyex_topic, "{to}");
	if (!smq_topic_valid(smq_span_str(p->topics)) || strpbrk(p->topics, " \t\r\n%") ||
	    p->topics[strlen(p->topics) - 1] == '/' || p->topics[0] == '$')
		return refuse(ret_why, why_len, "--topics takes a topic without wildcards, blanks and percent signs");
	if (to && ((to > p->keyex_topic && to[-1] != '/') || (to[4] && to[4] != '/')))
		return refuse(ret_why, why_len,
			      "the realm's key exchange topic has {to} inside of a level: an ACL can only hold whole "
			      "levels");
	if (is_cluster(p) && (strspn(p->topics, plain) != strlen(p->topics) ||
			      strspn(p->control_prefix, plain) != strlen(p->control_prefix)))
		return refuse(ret_why, why_len,
			      "this engine takes topics of A-Z a-z 0-9 / - _ only: neither %s nor %s may hold more",
			      p->topics, p->control_prefix);
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

/* What stands in nginx.conf. */
static bool word_valid(const char *text, const char *more)
{
	size_t len = text ? strlen(text) : 0;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr(more, text[i]))
			return false;
	}
	return len > 0 && len < 256;
}

static smq_err check_routes(const struct smq_broker_plan *p, char *ret_why, size_t why_len)
{
	if (p->route_count && (!p->nginx || p->terminate))
		return refuse(ret_why, why_len, "connections are routed by NGINX where it passes TLS through");
	for (size_t i = 0; i < p->route_count; i++) {
		const struct smq_broker_route *r = &p->routes[i];
		if ((r->name && !word_valid(r->name, "-._*")) || !word_valid(r->to, "-._:[]") || !strchr(r->to, ':'))
			return refuse(ret_why, why_len, "a route is NAME=ADDRESS:PORT");
	}
	return SMQ_OK;
}

static smq_err check_profile(const struct smq_broker_plan *p, char *ret_why, size_t why_len)
{
	if ((p->terminate || p->wss_port) && p->profile != SMQ_BROKER_NGINX)
		return refuse(ret_why, why_len,
			      "TLS ends at NGINX, and WebSockets are served, in front of one Mosquitto only: --profile "
			      "nginx");
	if (is_cluster(p) && p->password_port)
		return refuse(ret_why, why_len,
			      "passwords are Mosquitto's here; with this engine members have certificates");
	return check_routes(p, ret_why, why_len);
}

smq_err smq_broker_plan_check(const struct smq_broker_plan *p, char *ret_why, size_t why_len)
{
	smq_err err = check_ports(p, ret_why, why_len);
	if (err == SMQ_OK)
		err = check_topics(p, ret_why, why_len);
	if (err == SMQ_OK)
		err = check_profile(p, ret_why, why_len);
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

enum { VALUES_MAX = 128, VALUE_ROOM = 256, LONG_ROOM = 8192 };

/* Values, and room for those that are numbers. */
struct values {
	struct smq_template_value rows[VALUES_MAX];
	char room[VALUES_MAX][VALUE_ROOM];
	size_t count;
	char large[12][LONG_ROOM]; /* of several lines */
	size_t large_count;
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

/* ---- values of several lines ---- */

struct lines {
	char *p;
	size_t len;
};

static struct lines large_value(struct values *v, const char *name)
{
	struct lines l = { v->large[v->large_count++], 0 };
	l.p[0] = 0;
	text_value(v, name, l.p);
	return l;
}

__attribute__((format(printf, 2, 3))) static void line(struct lines *l, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(l->p + l->len, LONG_ROOM - l->len, format, args);
	va_end(args);
	if (n > 0 && l->len + (size_t)n < LONG_ROOM)
		l->len += (size_t)n;
	else
		l->p[l->len] = 0;
}

/* The last line's end is the template's. */
static void chop(struct lines *l)
{
	if (l->len && l->p[l->len - 1] == '\n')
		l->p[--l->len] = 0;
}

static void fill_servers(struct values *v, const struct smq_broker_plan *p)
{
	static const char format[] = "\t\tserver 127.0.0.1:%d max_fails=1 fail_timeout=5s;\n";
	struct lines members = large_value(v, "member_servers");
	struct lines passwords = large_value(v, "password_servers");
	for (unsigned node = 1; node <= smq_broker_nodes(p); node++) {
		line(&members, format, smq_broker_port_members(p, node));
		line(&passwords, format, smq_broker_port_passwords(p, node));
	}
	chop(&members);
	chop(&passwords);
	text_value(v, "balance", p->balance == SMQ_BROKER_HASH ? "hash $remote_addr consistent;" : "least_conn;");
}

/* Each broker asks the others, as a member that may do everything; a short silence is a dead link. */
static void fill_links(struct values *v, const struct smq_broker_plan *p, unsigned node)
{
	struct lines l = large_value(v, "links");
	for (unsigned other = 1; p->profile == SMQ_BROKER_MOSQUITTOS && other <= SMQ_BROKER_NODES; other++) {
		if (other == node)
			continue;
		line(&l,
		     "connection from-%u\naddress 127.0.0.1:%d\ntopic # in 1\nbridge_protocol_version mqttv50\n"
		     "remote_clientid %s-%u\nlocal_clientid %s-%u-here\ncleansession false\nnotifications false\n"
		     "bridge_attempt_unsubscribe false\nkeepalive_interval 10\nrestart_timeout 1 2\n"
		     "bridge_max_packet_size %d\nbridge_cafile certs/root.crt\nbridge_certfile certs/link.crt\n"
		     "bridge_keyfile certs/link.key\nbridge_tls_version tlsv1.3\n\n",
		     other, smq_broker_port_members(p, other), p->link_name, node, p->link_name, other,
		     p->message_max + 65536);
	}
	chop(&l);
	chop(&l);
	l = large_value(v, "routes");
	for (unsigned other = 1; p->link_secret && other <= SMQ_BROKER_NODES; other++) {
		if (other != node)
			line(&l, "\t\tnats-route://link:%s@127.0.0.1:%d\n", p->link_secret,
			     smq_broker_port_link(p, other));
	}
	chop(&l);
}

static void fill_routes(struct values *v, const struct smq_broker_plan *p)
{
	struct lines map = large_value(v, "sni_map");
	struct lines upstreams = large_value(v, "sni_upstreams");
	const char *alpn = NULL;
	bool sni = false;
	for (size_t i = 0; i < p->route_count; i++) {
		const struct smq_broker_route *r = &p->routes[i];
		if (!r->name) {
			alpn = r->to;
			continue;
		}
		sni = true;
		line(&map, "\t\t%s sni_%zu;\n", r->name, i);
		line(&upstreams, "\tupstream sni_%zu {\n\t\tserver %s;\n\t}\n", i, r->to);
	}
	chop(&map);
	chop(&upstreams);
	text_value(v, "alpn_to", alpn);
	flag(v, "sni", sni);
	text_value(v, "by_alpn", alpn ? "$by_alpn" : "members");
	text_value(v, "by_name", sni ? "$by_name" : alpn ? "$by_alpn" : "members");
}

/* ---- what differs by engine ---- */

static const struct {
	const char *name, *program, *user, *log_signal, *logs;
} engines[] = {
	[SMQ_BROKER_NGINX] = { "Mosquitto", "mosquitto", "mosquitto", "HUP", "mosquitto.log" },
	[SMQ_BROKER_SINGLE] = { "Mosquitto", "mosquitto", "mosquitto", "HUP", "mosquitto.log" },
	[SMQ_BROKER_MOSQUITTOS] = { "Mosquitto", "mosquitto", "mosquitto", "HUP", "mosquitto-?.log" },
	[SMQ_BROKER_NATS] = { "NATS", "nats", "nats", "USR1", "nats-?.log" },
	[SMQ_BROKER_RABBITMQ] = { "RabbitMQ", "rabbitmq", "rabbitmq", "HUP", "rabbitmq-?.log" },
};

static void fill_compose(struct values *v, const struct smq_broker_plan *p)
{
	struct lines l = large_value(v, "compose_nodes");
	const char *engine = engines[p->profile].program;
	for (unsigned node = 1; node <= smq_broker_nodes(p) && smq_broker_nodes(p) > 1; node++) {
		line(&l, "  %s-%u:\n    <<: *common\n    build: { context: docker, dockerfile: %s.Dockerfile }\n",
		     engine, node, engine);
		line(&l, "    mem_limit: %dm\n    network_mode: \"service:nginx\"\n    depends_on: [nginx]\n",
		     SMQ_BROKER_MEMORY_MAX / 1048576 + 512);
		if (p->profile == SMQ_BROKER_RABBITMQ)
			line(&l, "    pids_limit: 256\n    env_file: rabbitmq-%u.env\n", node);
		else
			line(&l, "    entrypoint: [\"/usr/sbin/%s\", \"-c\", \"conf/%s-%u.conf\"]\n",
			     p->profile == SMQ_BROKER_NATS ? "nats-server" : "mosquitto", engine, node);
		line(&l, "    volumes:\n      - \"..:/srv/sealmq:ro\"\n      - \"../data:/srv/sealmq/data\"\n"
			 "      - \"../log:/srv/sealmq/log\"\n      - \"../run:/srv/sealmq/run\"\n");
		line(&l,
		     "    healthcheck:\n      test: [\"CMD\", \"openssl\", \"s_client\", \"-brief\", \"-tls1_3\", "
		     "\"-connect\", \"127.0.0.1:%d\"]\n      interval: 60s\n      timeout: 5s\n      retries: 3\n"
		     "      start_period: %s\n",
		     smq_broker_port_members(p, node), p->profile == SMQ_BROKER_RABBITMQ ? "180s" : "10s");
	}
	chop(&l);
}

static void fill_units(struct values *v, const struct smq_broker_plan *p)
{
	const char *program = engines[p->profile].program;
	bool several = smq_broker_nodes(p) > 1;
	const char *names = p->profile == SMQ_BROKER_RABBITMQ ? " sealmq-epmd" : "";
	if (several) {
		value(v, "engine_units", " sealmq-%s@1.service sealmq-%s@2.service sealmq-%s@3.service", program,
		      program, program);
		value(v, "enable_units", "%s sealmq-%s@1 sealmq-%s@2 sealmq-%s@3 sealmq-nginx", names, program, program,
		      program);
	} else {
		value(v, "engine_units", " sealmq-%s.service", program);
		value(v, "enable_units", " sealmq-%s%s", program, p->nginx ? " sealmq-nginx" : "");
	}
	value(v, "engine_unit_glob", "sealmq-%s%s.service", program, several ? "@*" : "");
	if (p->terminate)
		text_value(v, "revoked_units", "sealmq-nginx.service");
	else
		value(v, "revoked_units", "%s", v->room[v->count - 3] + 1);
	text_value(v, "node_unit", several ? "-%i" : "");
	text_value(v, "node_words", several ? ", node %i," : "");
	text_value(v, "hardening", smq_broker_hardening);
	/* NGINX comes to a socket that only the broker's group may open. */
	text_value(v, "engine_umask", p->terminate ? "0007" : "0077");
	value(v, "run_path", "%s%s%s", p->terminate ? " " : "", p->terminate ? p->place : "",
	      p->terminate ? "/run" : "");
	/* Where TLS ends there, it reads the broker's key, and so it is the broker's user. */
	text_value(v, "nginx_user", p->terminate || p->wss_port ? engines[p->profile].user : "www-data");
	flag(v, "nginx_reads_certs", p->terminate || p->wss_port);
	value(v, "nginx_certs", "%s%s%s", p->terminate || p->wss_port ? "" : "-",
	      p->terminate || p->wss_port ? "" : p->place, p->terminate || p->wss_port ? "" : "/certs ");
	text_value(v, "njs_package", p->terminate ? " \"libnginx-mod-stream-js=0.7.9-*\"" : "");
}

static void fill_engine(struct values *v, const struct smq_broker_plan *p, unsigned node)
{
	bool several = smq_broker_nodes(p) > 1;
	text_value(v, "engine", engines[p->profile].name);
	text_value(v, "engine_user", engines[p->profile].user);
	text_value(v, "engine_log_signal", engines[p->profile].log_signal);
	text_value(v, "engine_logs", engines[p->profile].logs);
	flag(v, "cluster", several);
	flag(v, "mesh", p->profile == SMQ_BROKER_MOSQUITTOS);
	flag(v, "mosquitto", p->profile <= SMQ_BROKER_MOSQUITTOS);
	flag(v, "nats", p->profile == SMQ_BROKER_NATS);
	flag(v, "rabbitmq", p->profile == SMQ_BROKER_RABBITMQ);
	flag(v, "terminate", p->terminate);
	flag(v, "wss", p->wss_port != 0);
	flag(v, "hash", p->balance == SMQ_BROKER_HASH);
	text_value(v, "link_name", p->link_name);
	text_value(v, "link_secret", p->link_secret);
	value(v, "node", "%u", node);
	if (several) {
		value(v, "node_suffix", "-%u", node);
		value(v, "node_dir", "%u/", node);
	} else {
		text_value(v, "node_suffix", "");
		text_value(v, "node_dir", "");
	}
	value(v, "link_port", "%d", smq_broker_port_link(p, node));
	value(v, "names_port", "%d", smq_broker_port_names(p));
	value(v, "wss_port", "%d", p->wss_port);
	value(v, "web_port", "%d", smq_broker_port_web(p));
	listen_at(v, "wss_listen", p->wss_port, p->address);
	/* a session that a member left behind at another broker fills up until it ends */
	text_value(v, "session_expiry", several ? "1h" : "14d");
	/* where there are others to ask, one that does not answer is not waited for */
	text_value(v, "connect_timeout", several ? "2" : "5");
}

static void fill_ports(struct values *v, const struct smq_broker_plan *p, unsigned node)
{
	int members = smq_broker_port_members(p, node);
	int passwords = smq_broker_port_passwords(p, node);
	int ports[PORTS_MOST];
	size_t count = ports_of(p, ports);
	struct lines public_ports = large_value(v, "public_ports");
	struct lines backend_ports = large_value(v, "backend_ports");
	const char *address = p->nginx ? "127.0.0.1" : p->address;

	flag(v, "nginx", p->nginx);
	flag(v, "passwords", p->password_port != 0);
	flag(v, "password_file", p->password_port || p->wss_port);
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
	for (size_t i = 0; i < count; i++) {
		bool open = ports[i] == p->port || ports[i] == p->password_port || ports[i] == p->wss_port;
		struct lines *l = open ? &public_ports : &backend_ports;
		line(l, "%s%d", l->len ? ", " : "", ports[i]);
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
	value(v, "programs", "%s%s", engines[p->profile].name, p->nginx ? " and NGINX" : "");
	value(v, "passwords_path", "%s", "");
	if (p->password_port || p->wss_port)
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
		return rows[n].make(plan, ret_text);
	struct values *v = calloc(1, sizeof(*v));
	unsigned node = rows[n].node ? rows[n].node : 1;
	if (!v)
		return SMQ_ERR_NO_MEMORY;
	fill_ports(v, plan, node);
	fill_limits(v, plan);
	fill_names(v, plan);
	fill_engine(v, plan, node);
	fill_servers(v, plan);
	fill_links(v, plan, node);
	fill_routes(v, plan);
	fill_units(v, plan);
	fill_compose(v, plan);
	smq_err err = smq_template_fill(rows[n].text, v->rows, v->count, ret_text);
	free(v);
	return err;
}
