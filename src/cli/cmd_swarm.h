/* sealmq swarm. */
#ifndef SMQ_CLI_CMD_SWARM_H
#define SMQ_CLI_CMD_SWARM_H

int cmd_swarm(int argc, char **argv);

#endif
