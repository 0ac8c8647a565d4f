/* sealmq inspect. */
#ifndef SMQ_CLI_CMD_INSPECT_H
#define SMQ_CLI_CMD_INSPECT_H

int cmd_inspect(int argc, char **argv);

#endif
