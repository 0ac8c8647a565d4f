/* A private Mosquitto for one test. */
#include "broker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOSQUITTO "/usr/sbin/mosquitto"
#define START_TIMEOUT_MS 10000
#define STOP_TIMEOUT_MS 5000

/* Copies: a failed test's own are gone with its stack. */
static struct broker started[BROKERS_MAX];

static void note(const struct broker *b)
{
	struct broker *room = NULL;
	for (int i = 0; i < BROKERS_MAX; i++) {
		if (strcmp(started[i].dir, b->dir) == 0) {
			started[i] = *b;
			return;
		}
		if (!room && started[i].dir[0] == '\0')
			room = &started[i];
	}
	if (!room)
		abort();
	*room = *b;
}

static void forget(const struct broker *b)
{
	for (int i = 0; i < BROKERS_MAX; i++) {
		if (b->dir[0] && strcmp(started[i].dir, b->dir) == 0)
			started[i] = (struct broker){ 0 };
	}
}

static void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&ts, NULL);
}

static int complain(const char *what)
{
	fprintf(stderr, "broker: %s: %s\n", what, strerror(errno));
	return -1;
}

/* ---- files ---- */

static int write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	if (!f)
		return complain(path);
	fputs(text, f);
	if (fclose(f) != 0)
		return complain(path);
	return chmod(path, 0600);
}

static void show_file(const char *path)
{
	char line[512];
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "broker: | %s", line);
	if (f)
		fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

__attribute__((format(printf, 2, 3))) static void path_make(char ret_path[BROKER_PATH_ROOM], const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(ret_path, BROKER_PATH_ROOM, format, args);
	va_end(args);
}

/* ---- certificates ---- */

static const char certs_script[] =
    "set -e; cd \"$1\"; exec >certs.log 2>&1\n"
    "key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }\n"
    "root() { key $1; openssl req -x509 -new -key $1.key -out $1.pem -days 2 -subj \"/CN=$1\""
    " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign; }\n"
    "leaf() { key $1; printf '%s\\n' \"$3\" >$1.ext; openssl req -new -key $1.key -subj \"/CN=$1\" -out $1.csr;"
    " openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -set_serial $4 -days 2 -extfile $1.ext -out $1.pem; }\n"
    "root ca; root other\n"
    "leaf server ca \"subjectAltName=$2\" 1\n"
    "leaf client ca extendedKeyUsage=clientAuth 2\n"
    "leaf stranger other extendedKeyUsage=clientAuth 3\n";

int broker_make_certs(const char *dir, const char *server_name)
{
	char log[BROKER_PATH_ROOM];
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", certs_script, "certs", dir,
		      server_name ? server_name : "DNS:localhost,IP:127.0.0.1", (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "broker: making certificates failed\n");
		path_make(log, "%s/certs.log", dir);
		show_file(log);
		return -1;
	}
	return 0;
}

/* ---- configuration ---- */

static int write_config(const struct broker *b, const struct broker_options *o)
{
	char path[BROKER_PATH_ROOM], text[4096], part[1024];
	text[0] = '\0';
#define ADD(...) (snprintf(part, sizeof(part), __VA_ARGS__), strncat(text, part, sizeof(text) - strlen(text) - 1))
	ADD("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nlog_type all\n"
	    "log_dest stderr\nmax_queued_messages 100000\n",
	    b->port);
	/* Started by root it would become "mosquitto", who may not read the directory. */
	if (geteuid() == 0)
		ADD("user root\n");
	if (o->tls)
		ADD("cafile %s\ncertfile %s/server.pem\nkeyfile %s/server.key\n", b->ca_file, b->dir, b->dir);
	if (o->require_certs)
		ADD("require_certificate true\nuse_identity_as_username true\n");
	if (o->psk) {
		path_make(path, "%s/psk", b->dir);
		if (write_file(path, o->psk) != 0)
			return -1;
		ADD("psk_hint test\npsk_file %s\n", path);
	}
	if (o->unix_socket)
		ADD("listener 0 %s\n", b->socket_path);
	if (o->acl) {
		path_make(path, "%s/acl", b->dir);
		if (write_file(path, o->acl) != 0)
			return -1;
		ADD("acl_file %s\n", path);
	}
	ADD("%s\n", o->extra ? o->extra : "");
#undef ADD
	path_make(path, "%s/mosquitto.conf", b->dir);
	return write_file(path, text);
}

/* ---- the process ---- */

int broker_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = -1;
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0)
		port = ntohs(a.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

static bool accepts(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	if (fd >= 0)
		close(fd);
	return yes;
}

static void run_mosquitto(const struct broker *b, pid_t parent)
{
	char config[BROKER_PATH_ROOM];
	path_make(config, "%s/mosquitto.conf", b->dir);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126); /* the test died before the line above */
	int log = open(b->log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDONLY);
	if (log < 0 || null < 0)
		_exit(126);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	/* Nothing of the test's own: a broker that held its sockets would keep them alive. */
	closefrom(3);
	signal(SIGPIPE, SIG_DFL);
	execl(MOSQUITTO, "mosquitto", "-c", config, (char *)NULL);
	_exit(127);
}

int broker_resume(struct broker *b)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return complain("fork");
	if (pid == 0)
		run_mosquitto(b, parent);
	b->pid = pid;
	note(b);
	for (int waited = 0; waited < START_TIMEOUT_MS; waited += 10) {
		if (waitpid(pid, NULL, WNOHANG) == pid) {
			b->pid = 0;
			note(b);
			break;
		}
		if (accepts(b->port))
			return 0;
		sleep_ms(10);
	}
	fprintf(stderr, "broker: did not start\n");
	show_file(b->log_file);
	broker_kill(b);
	return -1;
}

int broker_start(struct broker *b, const struct broker_options *o)
{
	static const struct broker_options none;
	const char *tmp = getenv("TMPDIR");
	*b = (struct broker){ 0 };
	if (!o)
		o = &none;
	snprintf(b->dir, sizeof(b->dir), "%s/smq-broker-XXXXXX", tmp && strlen(tmp) < 60 ? tmp : "/tmp");
	if (!mkdtemp(b->dir)) {
		b->dir[0] = '\0';
		return complain("mkdtemp");
	}
	note(b);
	path_make(b->ca_file, "%s/ca.pem", b->dir);
	path_make(b->client_cert, "%s/client.pem", b->dir);
	path_make(b->client_key, "%s/client.key", b->dir);
	path_make(b->stranger_cert, "%s/stranger.pem", b->dir);
	path_make(b->stranger_key, "%s/stranger.key", b->dir);
	path_make(b->socket_path, "%s/socket", b->dir);
	path_make(b->log_file, "%s/log", b->dir);
	int rc = o->tls ? broker_make_certs(b->dir, o->server_name) : 0;
	/* Somebody else may take a free port before we do: try again with another. */
	for (int tries = 0; rc == 0 && tries < 3; tries++) {
		b->port = o->port ? o->port : broker_free_port();
		rc = write_config(b, o);
		if (rc == 0 && broker_resume(b) == 0)
			return 0;
	}
	broker_stop(b);
	return -1;
}

static void end_by(struct broker *b, int signal_number)
{
	if (b->pid <= 0)
		return;
	kill(b->pid, signal_number);
	for (int waited = 0; waited < STOP_TIMEOUT_MS; waited += 5) {
		if (waitpid(b->pid, NULL, WNOHANG) != 0) {
			b->pid = 0;
			break;
		}
		sleep_ms(5);
	}
	if (b->pid > 0) {
		kill(b->pid, SIGKILL);
		waitpid(b->pid, NULL, 0);
		b->pid = 0;
	}
	note(b);
}

void broker_kill(struct broker *b) { end_by(b, SIGKILL); }

void broker_end(struct broker *b)
{
	broker_thaw(b);
	end_by(b, SIGTERM);
}

void broker_stop(struct broker *b)
{
	broker_kill(b);
	forget(b);
	if (b->dir[0])
		nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	b->dir[0] = '\0';
}

void broker_stop_all(void)
{
	for (int i = 0; i < BROKERS_MAX; i++) {
		struct broker b = started[i];
		if (b.dir[0])
			broker_stop(&b);
	}
}

void broker_freeze(struct broker *b)
{
	if (b->pid > 0)
		kill(b->pid, SIGSTOP);
}

void broker_thaw(struct broker *b)
{
	if (b->pid > 0)
		kill(b->pid, SIGCONT);
}
