/* sealmq group. */
#ifndef SMQ_CLI_CMD_GROUP_H
#define SMQ_CLI_CMD_GROUP_H

int cmd_group(int argc, char **argv);

#endif
