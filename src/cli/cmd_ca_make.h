/* The commands of `sealmq ca` that make something. */
#ifndef SMQ_CLI_CMD_CA_MAKE_H
#define SMQ_CLI_CMD_CA_MAKE_H

#include "cli/cmd_ca_args.h"

/* Each returns the exit status. */
int ca_run_init(struct ca_args *args);
int ca_run_raw(struct ca_args *a);
int ca_run_issue(struct ca_args *args);
int ca_run_csr(struct ca_args *args);
int ca_run_sign(struct ca_args *args);
int ca_run_accept(struct ca_args *args);
int ca_run_renew(struct ca_args *args);
int ca_run_rollover(struct ca_args *args);
int ca_run_revoke(struct ca_args *args);
int ca_run_crl(struct ca_args *args);

#endif
