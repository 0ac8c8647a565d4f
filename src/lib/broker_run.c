/* Running a broker's deployment: its brokers and NGINX as children, watched, reloaded, and ended with us. */
#include <sealmq/broker.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/ca_openssl/ca_make.h"
#include "adapters/ca_openssl/crl_read.h"
#include "adapters/common_loader/loader.h"
#include "adapters/http_microhttpd/http.h"
#include "adapters/probe_openssl/probe.h"
#include "app/broker_ports.h"
#include "base/table.h"
#include "lib/broker_child.h"
#include "lib/broker_feed.h"
#include "lib/broker_lists.h"
#include "lib/files.h"

enum {
	TICK_MS = 100,
	LOOK_EVERY_MS = 1000, /* for exchanged directories and revocation lists */
	PROBE_MS = 2000,
	FIRST_MS = 20000, /* from the start to the first answer */
	FIRST_SLOW_MS = 240000,
	HEALTH_EVERY_S = 30,
	UNWELL_MOST = 3, /* unanswered probes in a row */
	PATIENCE_MS = 8000,
	HUNG_PATIENCE_MS = 1000, /* what does not answer will hardly hear */
	PORT_TRIES = 3,
	ENGINES_MAX = 4 /* three brokers, and Erlang's port mapper */
};

static _Thread_local char why[SMQ_WHY_MAX];

/* What changes when somebody exchanges a directory or a file. */
struct mark {
	dev_t dev;
	ino_t ino;
	struct timespec mtime;
	off_t size;
};

/* The engines that there are, by what is in conf/. */
static const struct kind {
	const char *name, *program;
	unsigned nodes;   /* 0: one, whose files have no number */
	const char *word; /* what the lines begin with that have the port for clients */
	bool erlang;
	const char *users; /* a file of users in conf/, where that has to do what a revocation list would; or NULL */
} kinds[] = {
	{ "mosquitto", "mosquitto", 0, "listener", false, NULL },
	{ "mosquitto", "mosquitto", 3, "listener", false, NULL },
	{ "nats", "nats-server", 3, "listen:", false, "nats-users.conf" },
	{ "rabbitmq", "/usr/lib/rabbitmq/bin/rabbitmq-server", 3, "mqtt.listeners.ssl.1", true, NULL },
};

struct engine {
	struct smq_child child;
	char name[24]; /* "mosquitto", "nats-2" */
	char conf[64]; /* below the deployment, as it is and as it runs; "": none */
	char run[64];
	char env[64]; /* RabbitMQ's environment; "" for the others */
	char run_env[64];
	char command[192];
	struct smq_broker_ports ports; /* where clients or NGINX come to it */
	uint64_t starts;
};

struct running {
	const struct smq_broker_run_options *o;
	char dir[SMQ_PATH_MAX];
	int lock;
	bool nginx, ends_tls;
	const struct kind *kind;
	struct engine engines[ENGINES_MAX];
	size_t engine_count;
	struct smq_child proxy, closer;        /* closer: RabbitMQ's word to its nodes that all are to come again */
	struct smq_broker_ports front, others; /* front: where clients come; others: between the engines */
	struct mark conf, certs, crl, ca_crl;
	size_t revoked;
	int unwell;
	bool answered; /* the last probe was */
	uint64_t proxy_starts, revocations, reloads;
	int64_t cert_until_s, crl_until_s; /* 0: unknown, none */
	struct smq_http *http;             /* NULL: none */
	const char *lists;                 /* where crl.pem is followed; NULL: nowhere */
	struct smq_broker_feed *feed;      /* NULL: lists come as files alone */
	int64_t look_ms, health_ms;
};

static smq_err because(smq_err err, const char *what, const char *text)
{
	return smq_because(err, why, sizeof(why), "%s%s%s", what, *text ? ": " : "", text);
}

static smq_err in_dir(const struct running *r, const char *name, char ret_path[SMQ_PATH_MAX])
{
	return smq_path_join(r->dir, name, ret_path);
}

/* ---- telling ---- */

static void tell(const struct running *r, const struct smq_broker_event *event)
{
	if (r->o->on_event)
		r->o->on_event(r->o->self, event);
}

static void tell_of(const struct running *r, enum smq_broker_event_kind kind, const struct smq_child *c)
{
	tell(r, &(struct smq_broker_event){ .kind = kind,
					    .program = c ? c->name : "",
					    .pid = c ? (int)c->pid : 0,
					    .status = c ? c->status : 0,
					    .text = "" });
}

static void tell_trouble(const struct running *r, const char *text)
{
	tell(r, &(struct smq_broker_event){ .kind = SMQ_BROKER_TROUBLE, .program = "", .text = text });
}

static void last_words(const struct running *r, const struct smq_child *c, char ret_line[SMQ_CHILD_SAID_MAX])
{
	char path[SMQ_PATH_MAX];
	smq_child_last_line(c->said, ret_line);
	char name[64];
	(void)snprintf(name, sizeof(name), c == &r->proxy ? "log/nginx-error.log" : "log/%s.log", c->name);
	if (!ret_line[0] && in_dir(r, name, path) == SMQ_OK)
		smq_child_last_line(path, ret_line);
}

/* ---- ports ---- */

/* Free for the moment; somebody may be faster than us, so starting is tried again with others. */
/* Below what connections are made from (ip_local_port_range): one of those could take it before the program does. */
static int free_port(void)
{
	enum { LOW = 12000, HIGH = 32000, TRIES = 200 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	bool bound = false;
	for (int i = 0; i < TRIES && !bound; i++) {
		uint16_t dice = 0;
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (getrandom(&dice, sizeof(dice), 0) != sizeof(dice))
			dice = (uint16_t)(getpid() + i);
		a.sin_port = htons((uint16_t)(LOW + dice % (HIGH - LOW)));
		bound = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
		if (fd >= 0)
			(void)close(fd);
	}
	return bound ? ntohs(a.sin_port) : 0;
}

static void choose(const struct running *r, struct smq_broker_ports *ports)
{
	for (size_t i = 0; i < ports->count; i++)
		ports->rows[i].is = r->o->free_ports ? free_port() : ports->rows[i].was;
}

static const struct smq_broker_port *front_port(const struct running *r, bool web, size_t n)
{
	for (size_t i = 0; i < r->front.count; i++) {
		if (r->front.rows[i].web == web && n-- == 0)
			return &r->front.rows[i];
	}
	return NULL;
}

static int front_port_is(const struct running *r, bool web, size_t n)
{
	const struct smq_broker_port *port = front_port(r, web, n);
	return port ? port->is : 0;
}

static void choose_ports(struct running *r)
{
	int wanted[2] = { r->o->port, r->o->password_port };
	choose(r, &r->front);
	choose(r, &r->others);
	for (size_t i = 0; i < r->engine_count; i++)
		choose(r, &r->engines[i].ports);
	for (size_t i = 0; i < r->front.count; i++) {
		for (size_t n = 0; n < 2; n++) {
			if (wanted[n] && front_port(r, false, n) == &r->front.rows[i])
				r->front.rows[i].is = wanted[n];
		}
	}
}

/* ---- configuration ---- */

static smq_err read_text(const struct running *r, const char *name, char **ret_text)
{
	char path[SMQ_PATH_MAX];
	struct smq_file_bytes bytes = { NULL, 0 };
	smq_err err = in_dir(r, name, path);
	if (err == SMQ_OK)
		err = smq_file_read(path, false, &bytes, why, sizeof(why));
	if (err != SMQ_OK)
		return err;
	char *text = malloc(bytes.len + 1);
	if (text) {
		memcpy(text, bytes.p, bytes.len);
		text[bytes.len] = 0;
		*ret_text = text;
	}
	smq_file_bytes_free(&bytes);
	return text ? SMQ_OK : SMQ_ERR_NO_MEMORY;
}

/* Mosquitto gives root's rights away before it reads its key: to the key's owner, then, and not to somebody who may
 * not read it. */
static void user_line(const struct running *r, char ret_line[128])
{
	char path[SMQ_PATH_MAX];
	struct stat st;
	ret_line[0] = 0;
	if (geteuid() != 0 || in_dir(r, "certs/server.key", path) != SMQ_OK || stat(path, &st) != 0)
		return;
	const struct passwd *owner = getpwuid(st.st_uid);
	if (owner)
		(void)snprintf(ret_line, 128, "user %s\n", owner->pw_name);
}

static smq_err write_one(const struct running *r, const char *from, const char *to, const char *more,
			 const struct smq_broker_ports *ports)
{
	char path[SMQ_PATH_MAX];
	char *text = NULL;
	char *changed = NULL;
	smq_err err = read_text(r, from, &text);
	if (err == SMQ_OK)
		err = smq_broker_ports_exchange(text, ports, more, &changed);
	if (err == SMQ_OK)
		err = in_dir(r, to, path);
	if (err == SMQ_OK)
		err = smq_file_put(path, smq_span_str(changed), 0644, true, why, sizeof(why));
	free(text);
	free(changed);
	return err;
}

static void gather(struct smq_broker_ports *all, const struct smq_broker_ports *more)
{
	for (size_t i = 0; i < more->count && all->count < SMQ_BROKER_PORTS_MAX; i++)
		all->rows[all->count++] = more->rows[i];
}

static smq_err write_engine(const struct running *r, const struct engine *e, const char *user,
			    const struct smq_broker_ports *all)
{
	smq_err err = SMQ_OK;
	if (e->conf[0])
		err = write_one(r, e->conf, e->run, strcmp(r->kind->name, "mosquitto") == 0 ? user : "", all);
	if (err == SMQ_OK && e->env[0])
		err = write_one(r, e->env, e->run_env, "", all);
	return err;
}

/* The users, without those who are revoked: by the authority's log, where --realm names one. */
static smq_err write_users(const struct running *r)
{
	char from[64];
	char to[64];
	char path[SMQ_PATH_MAX];
	char *text = NULL;
	char *left = NULL;
	(void)snprintf(from, sizeof(from), "conf/%s", r->kind->users);
	(void)snprintf(to, sizeof(to), "run/%s", r->kind->users);
	smq_err err = read_text(r, from, &text);
	if (err == SMQ_OK && r->o->ca && smq_broker_lists_users(r->o->ca, text, &left) != SMQ_OK)
		tell_trouble(r, "NATS reads no revocation lists, and --realm has no log of an authority to go by");
	if (err == SMQ_OK)
		err = in_dir(r, to, path);
	if (err == SMQ_OK)
		err = smq_file_put(path, smq_span_str(left ? left : text), 0600, true, why, sizeof(why));
	free(text);
	free(left);
	return err;
}

static smq_err write_configs(const struct running *r)
{
	struct smq_broker_ports all = r->front;
	char user[128];
	smq_err err = SMQ_OK;
	for (size_t i = 0; r->nginx && i < r->engine_count; i++)
		gather(&all, &r->engines[i].ports);
	gather(&all, &r->others);
	user_line(r, user);
	for (size_t i = 0; err == SMQ_OK && i < r->engine_count; i++)
		err = write_engine(r, &r->engines[i], user, &all);
	if (err == SMQ_OK && r->kind->users)
		err = write_users(r);
	if (err != SMQ_OK || !r->nginx)
		return err;
	/* Where it comes to a socket, or reads the key, it must be who the broker is. */
	if (user[0])
		user[strlen(user) - 1] = ';';
	return write_one(r, "conf/nginx.conf", "run/nginx.conf", user[0] && r->ends_tls ? strcat(user, "\n") : "",
			 &all);
}

static bool known_port(const struct running *r, int port)
{
	const struct smq_broker_ports *lists[ENGINES_MAX + 1] = { &r->front };
	size_t count = 1;
	for (size_t i = 0; i < r->engine_count; i++)
		lists[count++] = &r->engines[i].ports;
	for (size_t k = 0; k < count; k++) {
		for (size_t i = 0; i < lists[k]->count; i++) {
			if (lists[k]->rows[i].was == port)
				return true;
		}
	}
	return false;
}

static smq_err find_in(const struct running *r, const char *name, const char *word, struct smq_broker_ports *ret_ports)
{
	char *text = NULL;
	smq_err err = read_text(r, name, &text);
	if (err != SMQ_OK)
		return err;
	if (word)
		smq_broker_ports_find(text, word, ret_ports);
	else
		smq_broker_ports_add(text, ret_ports);
	free(text);
	return SMQ_OK;
}

/* Ports that the engines have among themselves. */
static smq_err find_others(struct running *r)
{
	struct smq_broker_ports found = { .count = 0 };
	smq_err err = SMQ_OK;
	for (size_t i = 0; err == SMQ_OK && i < r->engine_count; i++) {
		if (r->engines[i].conf[0])
			err = find_in(r, r->engines[i].conf, NULL, &found);
		if (err == SMQ_OK && r->engines[i].env[0])
			err = find_in(r, r->engines[i].env, NULL, &found);
	}
	for (size_t i = 0; i < found.count; i++) {
		if (!known_port(r, found.rows[i].was))
			r->others.rows[r->others.count++] = found.rows[i];
	}
	return err;
}

static smq_err find_ports(struct running *r)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; err == SMQ_OK && i < r->engine_count; i++) {
		if (r->engines[i].conf[0])
			err = find_in(r, r->engines[i].conf, r->kind->word, &r->engines[i].ports);
	}
	if (err == SMQ_OK && r->nginx)
		err = find_in(r, "conf/nginx.conf", "listen", &r->front);
	else if (err == SMQ_OK)
		r->front = r->engines[0].ports;
	if (err == SMQ_OK)
		err = find_others(r);
	if (err == SMQ_OK && r->front.count == 0)
		err = because(SMQ_ERR_NOT_FOUND, r->dir, "no port to listen on in its configuration");
	return err;
}

static smq_err find_program(const struct running *r, struct smq_child *c, const char *name, const char *program)
{
	char path[SMQ_PATH_MAX];
	char said[64];
	(void)snprintf(said, sizeof(said), "run/%s.out", name);
	smq_err err = in_dir(r, said, path);
	if (err == SMQ_OK)
		err = smq_child_init(c, name, program, r->dir, path);
	return err == SMQ_ERR_NOT_FOUND ? because(err, program, "not installed") : err;
}

/* ---- what was exchanged ---- */

static struct mark mark_of(const struct running *r, const char *dir, const char *name)
{
	char path[SMQ_PATH_MAX];
	struct stat st;
	(void)r;
	if (!dir || smq_path_join(dir, name, path) != SMQ_OK || stat(path, &st) != 0)
		return (struct mark){ .dev = 0 };
	return (struct mark){ st.st_dev, st.st_ino, st.st_mtim, st.st_size };
}

static bool same(const struct mark *a, const struct mark *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static bool moved(struct mark *known, struct mark now)
{
	bool is = !same(known, &now);
	*known = now;
	return is;
}

static size_t revoked_now(const struct running *r)
{
	char path[SMQ_PATH_MAX];
	char said[SMQ_WHY_MAX];
	struct smq_file_bytes bytes = { NULL, 0 };
	struct smq_crl_summary sum = { .revoked = 0 };
	if (in_dir(r, "certs/crl.pem", path) != SMQ_OK || access(path, F_OK) != 0)
		return 0;
	if (smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &bytes, said, sizeof(said)) != SMQ_OK ||
	    smq_crl_summarize(smq_span_of(bytes.p, bytes.len), &sum) != SMQ_OK)
		sum.revoked = r->revoked;
	smq_file_bytes_free(&bytes);
	return sum.revoked;
}

static void read_ends(struct running *r)
{
	char path[SMQ_PATH_MAX];
	char said[SMQ_WHY_MAX];
	struct smq_file_bytes bytes = { NULL, 0 };
	struct smq_crl_summary sum;
	int64_t from = 0;
	int64_t until = 0;
	if (in_dir(r, "certs/server.crt", path) == SMQ_OK &&
	    smq_file_read(path, false, &bytes, said, sizeof(said)) == SMQ_OK &&
	    smq_ca_validity(smq_span_of(bytes.p, bytes.len), &from, &until) == SMQ_OK)
		r->cert_until_s = until / 1000;
	smq_file_bytes_free(&bytes);
	bytes = (struct smq_file_bytes){ NULL, 0 };
	if (in_dir(r, "certs/crl.pem", path) == SMQ_OK && access(path, R_OK) == 0 &&
	    smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &bytes, said, sizeof(said)) == SMQ_OK &&
	    smq_crl_summarize(smq_span_of(bytes.p, bytes.len), &sum) == SMQ_OK)
		r->crl_until_s = sum.next_update_ms / 1000;
	smq_file_bytes_free(&bytes);
}

/* The authority's list takes the place of ours, whole; one that is no list does not. */
static void fetch_crl(const struct running *r)
{
	char from[SMQ_PATH_MAX];
	char to[SMQ_PATH_MAX];
	struct stat old;
	struct smq_file_bytes bytes = { NULL, 0 };
	struct smq_crl_summary sum;
	smq_err err = smq_path_join(r->lists, "crl.pem", from);
	if (err == SMQ_OK)
		err = in_dir(r, "certs/crl.pem", to);
	if (err == SMQ_OK)
		err = smq_file_read_most(from, false, SMQ_CRL_FILE_MAX, &bytes, why, sizeof(why));
	if (err == SMQ_OK) {
		err = smq_crl_summarize(smq_span_of(bytes.p, bytes.len), &sum);
		if (err != SMQ_OK)
			err = because(err, from, "not a revocation list in PEM");
	}
	bool had = err == SMQ_OK && stat(to, &old) == 0;
	if (err == SMQ_OK)
		err = smq_file_put(to, smq_span_of(bytes.p, bytes.len), 0644, true, why, sizeof(why));
	if (err == SMQ_OK && had && old.st_uid != geteuid() && chown(to, old.st_uid, old.st_gid) != 0)
		err = because(smq_err_of_errno(errno), to, strerror(errno));
	if (err != SMQ_OK)
		tell_trouble(r, why);
	smq_file_bytes_free(&bytes);
}

/* What Erlang looks into, from certs/crl.pem. */
static void split_lists(const struct running *r)
{
	char path[SMQ_PATH_MAX];
	char certs[SMQ_PATH_MAX];
	struct smq_file_bytes bytes = { NULL, 0 };
	if (!r->kind->erlang || in_dir(r, "certs/crl.pem", path) != SMQ_OK || access(path, F_OK) != 0)
		return;
	smq_err err = smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &bytes, why, sizeof(why));
	if (err == SMQ_OK)
		err = in_dir(r, "certs", certs);
	if (err == SMQ_OK)
		err = smq_broker_lists_split(certs, smq_span_of(bytes.p, bytes.len), why, sizeof(why));
	if (err != SMQ_OK)
		tell_trouble(r, why[0] ? why : smq_err_text(err));
	smq_file_bytes_free(&bytes);
}

static void signal_engines(const struct running *r, int number)
{
	for (size_t i = 0; i < r->engine_count; i++) {
		if (!r->kind->erlang)
			smq_child_signal(&r->engines[i].child, number);
	}
}

/* RabbitMQ takes new lists as they are, and is told to end the connections that there are: by the first node that
 * lives, for all. */
static void close_all_of_rabbit(struct running *r)
{
	static const char command[] =
	    "set -a; . ./run/rabbitmq-1.env; for node in 1 2 3; do /usr/lib/rabbitmq/bin/rabbitmqctl -q -n "
	    "sealmq$node@localhost eval '[rpc:call(N, rabbit_mqtt, close_all_client_connections, "
	    "[\"a certificate was revoked\"], 5000) || N <- [node() | nodes()]].' && exit; done; exit 1";
	const char *args[] = { "-c", command, NULL };
	smq_err err = find_program(r, &r->closer, "rabbitmqctl", "sh");
	memcpy(r->closer.args, args, sizeof(args));
	if (err == SMQ_OK)
		err = smq_child_start(&r->closer, smq_child_mono_ms());
	if (err != SMQ_OK)
		tell_trouble(r, "rabbitmqctl does not start: who was revoked stays until the next connection");
}

static void reap_closer(struct running *r)
{
	if (r->closer.pid && smq_child_ended(&r->closer, smq_child_mono_ms()) && r->closer.status != 0)
		tell_trouble(r, "rabbitmqctl found no node: who was revoked stays until the next connection");
}

/* Certificates are judged when clients come. Those that are there already are judged by coming again. NATS reads no
 * lists, and has no users any more who are revoked (write_users): a signal is enough. */
static void start_anew(struct running *r)
{
	r->revocations++;
	tell_of(r, SMQ_BROKER_REVOKED, r->ends_tls ? &r->proxy : &r->engines[0].child);
	if (r->kind->users)
		signal_engines(r, SIGHUP);
	if (r->kind->users && !r->o->ca)
		tell_trouble(r, "NATS reads no revocation lists: --realm has the log to go by, or `broker init` again");
	if (r->kind->erlang)
		close_all_of_rabbit(r);
	if (r->kind->users || r->kind->erlang)
		return;
	for (size_t i = 0; i < r->engine_count && !r->ends_tls; i++) {
		smq_child_stop(&r->engines[i].child, PATIENCE_MS);
		r->engines[i].child.due_ms = 0;
	}
	if (r->ends_tls) {
		smq_child_stop(&r->proxy, PATIENCE_MS);
		r->proxy.due_ms = 0;
	}
}

static void look_for_changes(struct running *r)
{
	if (r->lists && moved(&r->ca_crl, mark_of(r, r->lists, "crl.pem")) && r->ca_crl.dev)
		fetch_crl(r);
	bool conf = moved(&r->conf, mark_of(r, r->dir, "conf"));
	bool certs = moved(&r->certs, mark_of(r, r->dir, "certs"));
	bool crl = moved(&r->crl, mark_of(r, r->dir, "certs/crl.pem"));
	size_t revoked = certs || crl ? revoked_now(r) : r->revoked;
	if (!conf && !certs && !crl)
		return;
	if (certs || crl)
		split_lists(r);
	if (write_configs(r) != SMQ_OK)
		tell_trouble(r, why);
	if (revoked > r->revoked)
		start_anew(r);
	else
		signal_engines(r, SIGHUP);
	if (conf || (r->ends_tls && (certs || crl)))
		smq_child_signal(&r->proxy, SIGHUP);
	if (conf && r->kind->erlang)
		tell_trouble(r, "RabbitMQ reads who its members are when it starts: `rabbitmqctl import_definitions`");
	r->revoked = revoked;
	r->reloads++;
	read_ends(r);
	tell_of(r, SMQ_BROKER_RELOADED, NULL);
}

/* ---- health ---- */

static bool answers(const struct smq_broker_ports *ports)
{
	for (size_t i = 0; i < ports->count; i++) {
		struct smq_probe_answer answer = { .tls_version = 0 };
		struct smq_probe_ask ask = {
			.host = ports->rows[i].host, .port = ports->rows[i].is, .timeout_ms = PROBE_MS, .tls = true
		};
		if (!ports->rows[i].plain && (smq_probe(&ask, &answer) != SMQ_OK || answer.tls_version == 0))
			return false;
	}
	return true;
}

static void end_unwell(struct running *r, struct smq_child *c, int64_t now)
{
	tell_of(r, SMQ_BROKER_UNWELL, c);
	smq_child_stop(c, HUNG_PATIENCE_MS);
	c->due_ms = now;
}

static bool all_run(const struct running *r)
{
	for (size_t i = 0; i < r->engine_count; i++) {
		if (r->engines[i].child.pid == 0)
			return false;
	}
	return !r->nginx || r->proxy.pid != 0;
}

/* The engine that does not answer; none: it is NGINX, or nobody. */
static struct smq_child *unwell_engine(struct running *r)
{
	for (size_t i = 0; i < r->engine_count; i++) {
		if (!answers(&r->engines[i].ports))
			return &r->engines[i].child;
	}
	return NULL;
}

static void check_health(struct running *r, int64_t now)
{
	int every = r->o->health_every_s ? r->o->health_every_s : HEALTH_EVERY_S;
	if (now < r->health_ms || !all_run(r))
		return;
	r->health_ms = now + (int64_t)every * 1000;
	r->answered = answers(&r->front);
	/* Behind NGINX one of three may be silent and nobody would notice. */
	struct smq_child *engine = r->engine_count > 1 || !r->answered ? unwell_engine(r) : NULL;
	if (r->answered && !engine) {
		r->unwell = 0;
	} else if (++r->unwell >= UNWELL_MOST) {
		end_unwell(r, engine || !r->nginx ? engine ? engine : &r->engines[0].child : &r->proxy, now);
		r->unwell = 0;
	} else {
		r->health_ms = now + 1000;
	}
}

/* ---- telling how it is ---- */

struct page {
	smq_mspan room;
	size_t len;
	bool full;
};

__attribute__((format(printf, 2, 3))) static void say(struct page *p, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf((char *)p->room.p + p->len, p->room.len - p->len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= p->room.len - p->len)
		p->full = true;
	else
		p->len += (size_t)n;
}

static void say_programs(struct page *p, const struct running *r)
{
	say(p, "# HELP sealmq_broker_up Whether the program runs.\n# TYPE sealmq_broker_up gauge\n");
	for (size_t i = 0; i < r->engine_count; i++)
		say(p, "sealmq_broker_up{program=\"%s\"} %d\n", r->engines[i].name, r->engines[i].child.pid != 0);
	say(p, "sealmq_broker_up{program=\"nginx\"} %d\n", r->proxy.pid != 0);
	say(p, "# HELP sealmq_broker_starts_total Starts of the program.\n# TYPE sealmq_broker_starts_total counter\n");
	for (size_t i = 0; i < r->engine_count; i++)
		say(p, "sealmq_broker_starts_total{program=\"%s\"} %" PRIu64 "\n", r->engines[i].name,
		    r->engines[i].starts);
	say(p, "sealmq_broker_starts_total{program=\"nginx\"} %" PRIu64 "\n", r->proxy_starts);
}

static smq_err status_metrics(void *self, smq_mspan room, size_t *ret_len)
{
	const struct running *r = self;
	struct page p = { room, 0, false };
	say_programs(&p, r);
	say(&p,
	    "# HELP sealmq_broker_answers Whether the last TLS handshake was answered.\n"
	    "# TYPE sealmq_broker_answers gauge\nsealmq_broker_answers %d\n"
	    "# HELP sealmq_broker_reloads_total Exchanges of conf/, certs/ or the revocation list.\n"
	    "# TYPE sealmq_broker_reloads_total counter\nsealmq_broker_reloads_total %" PRIu64 "\n"
	    "# HELP sealmq_broker_revocations_total Starts because of new revocations.\n"
	    "# TYPE sealmq_broker_revocations_total counter\nsealmq_broker_revocations_total %" PRIu64 "\n"
	    "# HELP sealmq_broker_certificate_end_seconds When the certificate ends, Unix time.\n"
	    "# TYPE sealmq_broker_certificate_end_seconds gauge\n"
	    "sealmq_broker_certificate_end_seconds %" PRId64 "\n"
	    "# HELP sealmq_broker_crl_end_seconds When the revocation list ends, Unix time; 0: none.\n"
	    "# TYPE sealmq_broker_crl_end_seconds gauge\nsealmq_broker_crl_end_seconds %" PRId64 "\n",
	    r->answered, r->reloads, r->revocations, r->cert_until_s, r->crl_until_s);
	if (p.full)
		return SMQ_ERR_NO_ROOM;
	*ret_len = p.len;
	return SMQ_OK;
}

static bool status_healthy(void *self, char *ret_why, size_t room)
{
	const struct running *r = self;
	const char *still = NULL;
	for (size_t i = 0; i < r->engine_count && !still; i++)
		still = r->engines[i].child.pid == 0 ? r->engines[i].name : NULL;
	if (!still && r->nginx && r->proxy.pid == 0)
		still = "nginx";
	if (still)
		(void)snprintf(ret_why, room, "%s does not run", still);
	else if (!r->answered)
		(void)snprintf(ret_why, room, "it runs and does not answer");
	return !still && r->answered;
}

static smq_err serve(struct running *r)
{
	struct smq_status_source source = { r, status_metrics, status_healthy };
	if (r->o->http_port == 0)
		return SMQ_OK;
	smq_err err = smq_http_new(&source, (uint16_t)r->o->http_port, &r->http);
	return err == SMQ_OK ? err
			     : because(err, "/metrics",
				       err == SMQ_ERR_LIBRARY ? smq_library_text(err)
							      : "the port is taken, or there is no memory");
}

/* ---- starting, and going on ---- */

static bool stop_asked(const struct running *r, int timeout_ms)
{
	struct pollfd p[2] = { { .fd = r->o->stop_fd, .events = POLLIN },
			       { .fd = r->http ? smq_http_fd(r->http) : -1, .events = POLLIN } };
	(void)poll(p, 2, timeout_ms);
	if (r->http)
		smq_http_run(r->http);
	return p[0].revents != 0;
}

static smq_err start(struct running *r, struct smq_child *c, int64_t now)
{
	smq_err err = smq_child_start(c, now);
	if (err != SMQ_OK)
		return err;
	for (size_t i = 0; i < r->engine_count; i++)
		r->engines[i].starts += c == &r->engines[i].child;
	r->proxy_starts += c == &r->proxy;
	tell_of(r, SMQ_BROKER_STARTED, c);
	return SMQ_OK;
}

static void keep(struct running *r, struct smq_child *c, int64_t now)
{
	char said[SMQ_CHILD_SAID_MAX];
	if (smq_child_ended(c, now)) {
		last_words(r, c, said);
		tell(r, &(struct smq_broker_event){ .kind = SMQ_BROKER_ENDED,
						    .program = c->name,
						    .status = c->status,
						    .again_ms = c->due_ms - now,
						    .text = said });
	}
	if (c->pid == 0 && now >= c->due_ms && start(r, c, now) != SMQ_OK)
		c->due_ms = now + LOOK_EVERY_MS;
}

static void stop_one(struct running *r, struct smq_child *c)
{
	bool was = c->pid != 0;
	smq_child_stop(c, PATIENCE_MS);
	if (was)
		tell_of(r, SMQ_BROKER_STOPPED, c);
}

/* All are asked at once, so that the brokers of a cluster do not wait for each other. */
static void stop_all(struct running *r)
{
	stop_one(r, &r->proxy);
	signal_engines(r, SIGTERM);
	for (size_t i = r->engine_count; i-- > 0;)
		stop_one(r, &r->engines[i].child);
}

static smq_err did_not_start(struct running *r, const struct smq_child *c)
{
	char said[SMQ_CHILD_SAID_MAX];
	char what[64];
	last_words(r, c, said);
	(void)snprintf(what, sizeof(what), "%s did not start", c->name);
	return because(SMQ_ERR_UNSUPPORTED, what, said);
}

/* From the first start to the first answer. An early end is a mistake that another start would not mend. */
static smq_err come_up(struct running *r, bool *ret_stopped)
{
	int64_t now = smq_child_mono_ms();
	int64_t until = now + (r->kind->erlang ? FIRST_SLOW_MS : FIRST_MS);
	choose_ports(r);
	smq_err err = write_configs(r);
	for (size_t i = 0; err == SMQ_OK && i < r->engine_count; i++)
		err = start(r, &r->engines[i].child, now);
	if (err == SMQ_OK && r->nginx)
		err = start(r, &r->proxy, now);
	while (err == SMQ_OK && !(*ret_stopped = stop_asked(r, TICK_MS))) {
		now = smq_child_mono_ms();
		for (size_t i = 0; i < r->engine_count; i++) {
			if (smq_child_ended(&r->engines[i].child, now))
				return did_not_start(r, &r->engines[i].child);
		}
		if (smq_child_ended(&r->proxy, now))
			return did_not_start(r, &r->proxy);
		if (!unwell_engine(r) && answers(&r->front))
			break;
		if (now > until)
			err = because(SMQ_ERR_TIMEOUT, r->dir, "all programs run, and a port does not answer");
	}
	return err;
}

static smq_err come_up_somewhere(struct running *r, bool *ret_stopped)
{
	smq_err err = come_up(r, ret_stopped);
	for (int i = 1; err == SMQ_ERR_UNSUPPORTED && r->o->free_ports && i < PORT_TRIES; i++) {
		stop_all(r);
		err = come_up(r, ret_stopped);
	}
	return err;
}

static void feed_lists(struct running *r)
{
	smq_err err = r->feed ? smq_broker_feed_service(r->feed) : SMQ_OK;
	if (err == SMQ_OK)
		return;
	tell_trouble(r, "the member of --member listens no more: revocation lists do not come over MQTT now");
	smq_broker_feed_free(r->feed);
	r->feed = NULL;
}

static smq_err run(struct running *r)
{
	bool stopped = false;
	smq_err err = come_up_somewhere(r, &stopped);
	r->answered = err == SMQ_OK && !stopped;
	if (r->answered) {
		int64_t now = smq_child_mono_ms();
		tell(r, &(struct smq_broker_event){ .kind = SMQ_BROKER_READY,
						    .program = "",
						    .port = front_port_is(r, false, 0),
						    .password_port = front_port_is(r, false, 1),
						    .wss_port = front_port_is(r, true, 0),
						    .text = "" });
		r->health_ms = now + (int64_t)(r->o->health_every_s ? r->o->health_every_s : HEALTH_EVERY_S) * 1000;
	}
	if (r->answered && r->o->member)
		err = smq_broker_feed_start(r->o->member, front_port_is(r, false, 0), &r->feed, why, sizeof(why));
	while (err == SMQ_OK && !stopped && !stop_asked(r, TICK_MS)) {
		int64_t now = smq_child_mono_ms();
		for (size_t i = 0; i < r->engine_count; i++)
			keep(r, &r->engines[i].child, now);
		if (r->nginx)
			keep(r, &r->proxy, now);
		if (now >= r->look_ms) {
			r->look_ms = now + LOOK_EVERY_MS;
			look_for_changes(r);
		}
		reap_closer(r);
		feed_lists(r);
		check_health(r, now);
	}
	smq_broker_feed_free(r->feed);
	r->feed = NULL;
	stop_all(r);
	return err;
}

/* ---- what all of it needs, the programs too ---- */

/* A script is run by others, and RabbitMQ is many. */
static bool is_script(const char *path)
{
	char first[2] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is = fd < 0 || (read(fd, first, sizeof(first)) == 2 && memcmp(first, "#!", 2) == 0);
	if (fd >= 0)
		(void)close(fd);
	return is;
}

static void need_program(const struct smq_child *c, bool erlang, smq_needs *n)
{
	static const char *const all[] = { "/usr", "/bin", "/sbin", "/lib", "/lib64" };
	smq_needs_program(n, c->path);
	for (size_t i = 0; (erlang || is_script(c->path)) && i < SMQ_COUNT(all); i++)
		smq_needs_program(n, all[i]);
}

static void need_files(const struct running *r, smq_needs *n)
{
	static const char *const reads[] = {
		"/etc", "/usr", "/bin", "/lib", "/lib64", "/proc", "/sys", "/dev", "/run"
	};
	static const char *const writes[] = { "/dev/null", "/dev/shm", "/var/lib/nginx", "/var/log/nginx" };
	static const char *const of_rabbitmq[] = { "/tmp", "/var/lib/rabbitmq", "/var/log/rabbitmq", "/proc" };
	for (size_t i = 0; i < SMQ_COUNT(reads); i++)
		smq_needs_read(n, reads[i]);
	for (size_t i = 0; i < SMQ_COUNT(writes); i++)
		smq_needs_write(n, writes[i]);
	for (size_t i = 0; r->kind->erlang && i < SMQ_COUNT(of_rabbitmq); i++)
		smq_needs_write(n, of_rabbitmq[i]);
	smq_needs_write(n, r->dir);
	smq_needs_write(n, r->o->member); /* lists are put there */
	smq_needs_read(n, r->o->ca);
}

static smq_err confine(const struct running *r)
{
	struct smq_confined how;
	if (!r->o->confine)
		return SMQ_OK;
	smq_needs *n = smq_needs_new("broker");
	need_files(r, n);
	for (size_t i = 0; i < r->engine_count; i++)
		need_program(&r->engines[i].child, r->kind->erlang, n);
	if (r->nginx)
		need_program(&r->proxy, false, n);
	smq_err err = smq_needs_confine(n, &how);
	smq_needs_free(n);
	if (r->o->on_confined && (err == SMQ_OK || err == SMQ_ERR_UNSUPPORTED))
		r->o->on_confined(r->o->self, err == SMQ_OK ? &how : NULL);
	return err == SMQ_ERR_UNSUPPORTED ? SMQ_OK : err;
}

/* ---- all of it ---- */

static smq_err lock_dir(struct running *r)
{
	char path[SMQ_PATH_MAX];
	smq_err err = in_dir(r, "run/lock", path);
	if (err != SMQ_OK)
		return err;
	r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->lock < 0)
		return because(smq_err_of_errno(errno), path, strerror(errno));
	if (flock(r->lock, LOCK_EX | LOCK_NB) != 0)
		return because(SMQ_ERR_LOCKED, r->dir, "it runs already");
	return SMQ_OK;
}

static bool has_file(const struct running *r, const char *name)
{
	char path[SMQ_PATH_MAX];
	return in_dir(r, name, path) == SMQ_OK && access(path, F_OK) == 0;
}

/* RabbitMQ takes half of what it must know from its environment, by way of a shell. */
static smq_err prepare_erlang(const struct running *r, struct engine *e, const char *last)
{
	const char *args[] = { "-c", e->command, NULL };
	smq_err err = find_program(r, &e->child, e->name, "sh");
	char env[sizeof(e->run_env)];
	memcpy(env, e->run_env, sizeof(env));
	(void)snprintf(e->command, sizeof(e->command), "set -a; . ./%s; %s", env, last);
	memcpy(e->child.args, args, sizeof(args));
	return err;
}

static smq_err prepare_node(struct running *r, unsigned node)
{
	struct engine *e = &r->engines[r->engine_count++];
	char last[128];
	const char *args[] = { "-c", e->run, NULL };
	char name[sizeof(e->name)];
	(void)snprintf(name, sizeof(name), node ? "%s-%u" : "%s", r->kind->name, node);
	memcpy(e->name, name, sizeof(name));
	(void)snprintf(e->conf, sizeof(e->conf), "conf/%s.conf", name);
	(void)snprintf(e->run, sizeof(e->run), "run/%s.conf", name);
	if (!r->kind->erlang) {
		smq_err err = find_program(r, &e->child, e->name, r->kind->program);
		memcpy(e->child.args, args, sizeof(args));
		return err;
	}
	(void)snprintf(e->env, sizeof(e->env), "conf/%s.env", name);
	(void)snprintf(e->run_env, sizeof(e->run_env), "run/%s.env", name);
	(void)snprintf(last, sizeof(last), "RABBITMQ_CONFIG_FILE=run/%s.conf; exec %s", name, r->kind->program);
	return prepare_erlang(r, e, last);
}

/* Erlang's nodes find each other by way of it, and would start one that outlives us. */
static smq_err prepare_names(struct running *r)
{
	struct engine *e = &r->engines[r->engine_count++];
	(void)snprintf(e->name, sizeof(e->name), "epmd");
	(void)snprintf(e->env, sizeof(e->env), "conf/rabbitmq-1.env");
	(void)snprintf(e->run_env, sizeof(e->run_env), "run/epmd.env");
	return prepare_erlang(r, e, "exec epmd -port $ERL_EPMD_PORT -address 127.0.0.1");
}

static smq_err prepare_engines(struct running *r)
{
	char first[64];
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < SMQ_COUNT(kinds) && !r->kind; i++) {
		(void)snprintf(first, sizeof(first), kinds[i].nodes ? "conf/%s-1.conf" : "conf/%s.conf", kinds[i].name);
		if (has_file(r, first))
			r->kind = &kinds[i];
	}
	if (!r->kind)
		return because(SMQ_ERR_NOT_FOUND, r->dir, "not a deployment (`sealmq broker init` makes one)");
	if (access(r->kind->program, X_OK) != 0 && r->kind->program[0] == '/')
		return because(SMQ_ERR_NOT_FOUND, r->kind->program, "not installed");
	if (r->kind->erlang)
		err = prepare_names(r);
	for (unsigned node = 1; err == SMQ_OK && node <= r->kind->nodes; node++)
		err = prepare_node(r, node);
	return err == SMQ_OK && r->kind->nodes == 0 ? prepare_node(r, 0) : err;
}

static smq_err prepare(struct running *r, const char *dir)
{
	char real[4096];
	if (!realpath(dir, real) || snprintf(r->dir, sizeof(r->dir), "%s", real) >= (int)sizeof(r->dir))
		return because(SMQ_ERR_NOT_FOUND, dir, strerror(errno));
	r->nginx = has_file(r, "conf/nginx.conf");
	r->ends_tls = has_file(r, "conf/identity.js");
	smq_err err = prepare_engines(r);
	if (err == SMQ_OK)
		err = lock_dir(r);
	if (err == SMQ_OK && r->nginx)
		err = find_program(r, &r->proxy, "nginx", "nginx");
	if (err == SMQ_OK)
		err = find_ports(r);
	const char *proxy[] = { "-p", r->dir,        "-e", "log/nginx-error.log", "-c", "run/nginx.conf",
				"-g", "daemon off;", NULL };
	memcpy(r->proxy.args, proxy, sizeof(proxy));
	r->lists = r->o->member ? r->o->member : r->o->ca;
	if (err == SMQ_OK && r->lists && (r->ca_crl = mark_of(r, r->lists, "crl.pem")).dev)
		fetch_crl(r);
	if (err == SMQ_OK)
		split_lists(r);
	r->conf = mark_of(r, r->dir, "conf");
	r->certs = mark_of(r, r->dir, "certs");
	r->crl = mark_of(r, r->dir, "certs/crl.pem");
	r->revoked = revoked_now(r);
	read_ends(r);
	return err;
}

smq_err smq_broker_run(const char *dir, const struct smq_broker_run_options *options, const char **ret_why)
{
	struct running *r = calloc(1, sizeof(*r));
	why[0] = 0;
	if (ret_why)
		*ret_why = why;
	if (!r)
		return because(SMQ_ERR_NO_MEMORY, smq_err_text(SMQ_ERR_NO_MEMORY), "");
	r->o = options;
	r->lock = -1;
	smq_err err = prepare(r, dir);
	if (err == SMQ_OK)
		err = serve(r);
	if (err == SMQ_OK)
		err = confine(r);
	if (err == SMQ_OK)
		err = run(r);
	smq_http_free(r->http);
	if (err != SMQ_OK && !why[0])
		(void)because(err, smq_err_text(err), "");
	if (r->lock >= 0)
		(void)close(r->lock);
	free(r);
	return err;
}
