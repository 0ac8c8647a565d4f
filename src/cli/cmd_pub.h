/* sealmq pub: publishes messages, sealed end to end. */
#ifndef SMQ_CLI_CMD_PUB_H
#define SMQ_CLI_CMD_PUB_H

int cmd_pub(int argc, char **argv);

#endif
