/* `sealmq ca token`, `serve` and `enrol`: enrolment over the network. */
#ifndef SMQ_CLI_CMD_CA_SERVE_H
#define SMQ_CLI_CMD_CA_SERVE_H

#include "cli/cmd_ca_args.h"

int ca_run_token(struct ca_args *args);
int ca_run_serve(struct ca_args *args);
int ca_run_enrol(struct ca_args *args);

#endif
