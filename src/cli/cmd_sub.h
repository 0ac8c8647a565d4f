/* sealmq sub: subscribes to topics and prints what opens. */
#ifndef SMQ_CLI_CMD_SUB_H
#define SMQ_CLI_CMD_SUB_H

int cmd_sub(int argc, char **argv);

#endif
