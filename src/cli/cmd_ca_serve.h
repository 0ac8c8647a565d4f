/* `sealmq ca token`, `serve` and `enrol`: enrolment over the network. */
#ifndef SMQ_CLI_CMD_CA_SERVE_H
#define SMQ_CLI_CMD_CA_SERVE_H

#include <sealmq/enrol.h>

#include "cli/cmd_ca_args.h"

int ca_run_token(struct ca_args *args);
int ca_run_serve(struct ca_args *args);
int ca_run_enrol(struct ca_args *args);

/* What a server has to tell; self: struct ca_args. */
void ca_say_event(void *self, const struct smq_ca_server_event *event);
int ca_say_enrolled(const struct ca_args *a, const struct smq_enrolled *e);

#endif
