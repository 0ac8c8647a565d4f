/* What `link` measures with: clients of libsealmq over one broker, and clocks. */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include <time.h>

#include <sealmq/client.h>

enum { LINK_SIZE_MAX = 65536, LINK_COUNT_MAX = 2000000, LINK_WINDOW = 400, LINK_LIMIT_S = 20 };

/* A topic of the group, and one of the same length that is not. */
extern const char link_topic[], link_plain_topic[], link_group[];

struct link_ask {
	int port;
	int broker; /* its pid */
	const char *realm_pub, *realm_sub;
	bool sealed, tls;
	enum smq_sign sign;
	int qos;
	size_t size, count, subscribers;
	size_t warm; /* messages before those that count */
	double rate; /* 0: as fast as it goes */
};

_Noreturn void link_die(const char *what, const char *why);
double link_clock_s(clockid_t which);
double link_now_s(void);
int link_by_value(const void *a, const void *b); /* for qsort: uint32_t, the least first */

/* For a member in this directory, or for nobody where nothing is sealed and nothing encrypted; does not return without.
 */
smq_client *link_client(const struct link_ask *a, const char *dir, struct smq_client_options *o);
void link_connect(smq_client *client); /* and waits for it */
void link_serve(smq_client *client, int timeout_ms);

/* pace.c */
int link_pace(const struct link_ask *a);

#endif
