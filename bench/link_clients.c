/* Clients for link's measurements. */
#include "link.h"

#include <stdio.h>
#include <stdlib.h>

const char link_topic[] = "bench/fridge-07/temperature", link_plain_topic[] = "plain/fridge-07/temperature",
	   link_group[] = "bench";

_Noreturn void link_die(const char *what, const char *why)
{
	fprintf(stderr, "link: %s%s%s\n", what, why ? ": " : "", why ? why : "");
	exit(1);
}

double link_clock_s(clockid_t which)
{
	struct timespec t;
	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double link_now_s(void) { return link_clock_s(CLOCK_MONOTONIC); }

smq_client *link_client(const struct link_ask *a, const char *dir, struct smq_client_options *o)
{
	const char *why = NULL;
	static const char *groups[] = { link_group };
	smq_realm *realm = NULL;
	smq_client *client = NULL;
	if ((a->sealed || a->tls) && smq_realm_open(dir, &realm, &why) != SMQ_OK)
		link_die(dir, why);
	o->host = "localhost";
	o->port = a->port;
	o->realm = realm;
	o->plain = !a->sealed;
	o->tls.by_realm = a->tls;
	o->groups = groups;
	o->group_count = a->sealed && a->realm_pub ? 1 : 0;
	o->inflight_max = LINK_WINDOW;
	o->sign = a->realm_pub ? a->sign : SMQ_SIGN_NONE;
	if (smq_client_new(o, &client, &why) != SMQ_OK)
		link_die("client", why);
	return client;
}

void link_serve(smq_client *client, int timeout_ms)
{
	smq_err err = smq_client_run(client, timeout_ms);
	if (err != SMQ_OK)
		link_die("client", smq_err_text(err));
}

void link_connect(smq_client *client)
{
	if (smq_client_connect(client) != SMQ_OK)
		link_die("connecting", NULL);
	while (!smq_client_connected(client))
		link_serve(client, 20);
}

int link_by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}
