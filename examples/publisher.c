/* Publishes standard input, one sealed message a line, for one member: publisher REALM_DIR HOST PORT TOPIC TO < lines
 */
#include <stdio.h>
#include <stdlib.h>

#include <sealmq/client.h>

static void stop_if(smq_err err, const char *why)
{
	if (err == SMQ_OK)
		return;
	fprintf(stderr, "publisher: %s%s%s\n", smq_err_text(err), why ? ": " : "", why ? why : "");
	exit(smq_err_exit(err));
}

int main(int argc, char **argv)
{
	struct smq_client_options options;
	smq_realm *realm;
	smq_client *client;
	const char *why = NULL;
	smq_err err;
	char line[1024];

	if (argc != 6)
		return fprintf(stderr, "usage: %s REALM_DIR HOST PORT TOPIC TO < lines\n", argv[0]), 1;
	err = smq_realm_open(argv[1], &realm, &why);
	stop_if(err, why);
	smq_client_options_init(&options);
	options.realm = realm;
	options.host = argv[2];
	options.port = atoi(argv[3]);
	options.only_publishes = true;
	err = smq_client_new(&options, &client, &why);
	stop_if(err, why);
	stop_if(smq_client_connect(client), NULL);

	while (fgets(line, sizeof(line), stdin)) {
		struct smq_publish message = { .topic = argv[4], .to = argv[5], .qos = 1 };
		line[strcspn(line, "\n")] = '\0';
		message.payload = smq_span_str(line);
		stop_if(smq_client_publish(client, &message, NULL), NULL); /* waits inside for a session, if it must */
	}
	while (smq_client_pending(client) > 0) /* until the broker has acknowledged all of them */
		stop_if(smq_client_run(client, 50), NULL);

	smq_client_free(client);
	smq_realm_free(realm);
	return 0;
}
