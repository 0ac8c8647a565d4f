/* sealmq keyserver. */
#ifndef SMQ_CLI_CMD_KEYSERVER_H
#define SMQ_CLI_CMD_KEYSERVER_H

int cmd_keyserver(int argc, char **argv);

#endif
