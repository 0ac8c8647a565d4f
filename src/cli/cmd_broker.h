/* `sealmq broker`: the broker side of a realm. */
#ifndef SMQ_CLI_CMD_BROKER_H
#define SMQ_CLI_CMD_BROKER_H

int cmd_broker(int argc, char **argv);

#endif
