/* The commands' functions, one a file cmd_<name>.c; the table in main.c names them all. */
#ifndef SMQ_CLI_CMD_H
#define SMQ_CLI_CMD_H

int cmd_pub(int argc, char **argv);
int cmd_sub(int argc, char **argv);

#endif
