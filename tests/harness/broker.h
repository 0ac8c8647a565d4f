/*
 * A private Mosquitto for one test.
 *
 *     struct broker b;
 *     assert_int_equal(broker_start(&b, &(struct broker_options){ .tls = true }), 0);
 *     ... 127.0.0.1, b.port, b.ca_file, b.client_cert, b.client_key ...
 *     broker_stop(&b);
 *
 * At most BROKERS_MAX at a time. It runs the packaged /usr/sbin/mosquitto on a free loopback port with a generated
 * configuration in a directory of its own under $TMPDIR or /tmp, and accepts connections when broker_start returns. It
 * is stopped by its pid, and the kernel kills it when the test dies. Linking it asks for nothing but libc; certificates
 * are made with the openssl command.
 *
 * On failure the functions print why (the broker's log too) to stderr and return -1.
 */
#ifndef SMQ_TESTS_BROKER_H
#define SMQ_TESTS_BROKER_H

#include <stdbool.h>
#include <sys/types.h>

#define BROKER_PATH_ROOM 128
#define BROKERS_MAX 16

struct broker_options {
	bool tls;                /* TLS 1.2 and later, with a CA, server and client certificates made for this run */
	bool require_certs;      /* refuses clients without a certificate; its name is the user name */
	const char *server_name; /* subjectAltName of the server; NULL: "DNS:localhost,IP:127.0.0.1" */
	bool unix_socket;        /* listens on socket_path as well */
	const char *acl;         /* text of an ACL file; NULL: all is allowed */
	const char *psk;         /* "identity:hexkey" lines; a TLS listener by pre-shared key instead of certificates */
	const char *extra;       /* lines to add to the configuration */
	int port;                /* 0: a free one */
};

struct broker {
	pid_t pid; /* 0 while stopped */
	int port;
	char dir[BROKER_PATH_ROOM - 32]; /* yours to put files in, too; removed by broker_stop */
	char ca_file[BROKER_PATH_ROOM], client_cert[BROKER_PATH_ROOM], client_key[BROKER_PATH_ROOM];
	char stranger_cert[BROKER_PATH_ROOM], stranger_key[BROKER_PATH_ROOM]; /* of a CA nobody knows */
	char socket_path[BROKER_PATH_ROOM];
	char log_file[BROKER_PATH_ROOM];
};

int broker_start(struct broker *b, const struct broker_options *o);
/* Ends it and removes its directory. Fine to call after a failed start, or twice. */
void broker_stop(struct broker *b);

/* All that this process started and has not stopped: for a test's teardown, where a failed one left some behind. */
void broker_stop_all(void);

/* Ends it at once (SIGKILL) but keeps directory and port; broker_resume starts it there again. */
void broker_kill(struct broker *b);
/* Ends it in good order (SIGTERM: with persistence it saves, and MQTT 5 clients get a DISCONNECT). */
void broker_end(struct broker *b);
int broker_resume(struct broker *b);

/* Stops it from running without closing anything (SIGSTOP), and lets it run on. */
void broker_freeze(struct broker *b);
void broker_thaw(struct broker *b);

/* A loopback port that was free a moment ago. */
int broker_free_port(void);

/* Makes ca.pem, server.pem/.key, client.pem/.key (CN "client") and stranger.pem/.key in dir. */
int broker_make_certs(const char *dir, const char *server_name);

#endif
