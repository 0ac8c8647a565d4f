/* Prints what opens, and why something did not: subscriber REALM_DIR HOST PORT FILTER [COUNT] */
#include <stdio.h>
#include <stdlib.h>

#include <sealmq/client.h>

static smq_client *client;
static long left = -1;

static void stop_if(smq_err err, const char *why)
{
	if (err == SMQ_OK)
		return;
	fprintf(stderr, "subscriber: %s%s%s\n", smq_err_text(err), why ? ": " : "", why ? why : "");
	exit(smq_err_exit(err));
}

static void on_message(void *self, const struct smq_message *m)
{
	(void)self;
	printf("%s, from %s: %.*s\n", m->mqtt.topic, m->sender, (int)m->mqtt.payload.len,
	       (const char *)m->mqtt.payload.p);
	fflush(stdout);
	if (left > 0 && --left == 0)
		smq_client_stop(client);
}

static void on_refused(void *self, const struct smq_refusal *r)
{
	(void)self;
	fprintf(stderr, "refused on %s: %s\n", r->topic, smq_err_text(r->reason));
}

int main(int argc, char **argv)
{
	struct smq_client_options options;
	smq_realm *realm;
	const char *why = NULL;
	smq_err err;

	if (argc < 5)
		return fprintf(stderr, "usage: %s REALM_DIR HOST PORT FILTER [COUNT]\n", argv[0]), 1;
	left = argc > 5 ? atol(argv[5]) : -1;
	err = smq_realm_open(argv[1], &realm, &why);
	stop_if(err, why);
	smq_client_options_init(&options);
	options.realm = realm;
	options.host = argv[2];
	options.port = atoi(argv[3]);
	options.only_subscribes = true;
	options.any_peer = true; /* every member of the realm may send to us */
	options.on_message = on_message;
	options.on_refused = on_refused;
	err = smq_client_new(&options, &client, &why);
	stop_if(err, why);
	stop_if(smq_client_subscribe(client, argv[4], 1, NULL, 0, NULL), NULL);
	stop_if(smq_client_connect(client), NULL);
	stop_if(smq_client_run(client, -1), NULL);

	smq_client_free(client);
	smq_realm_free(realm);
	return 0;
}
