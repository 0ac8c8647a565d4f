/* sealmq simulate: what rekeying costs a group, without a network. */
#ifndef SMQ_CLI_CMD_SIMULATE_H
#define SMQ_CLI_CMD_SIMULATE_H

int cmd_simulate(int argc, char **argv);

#endif
