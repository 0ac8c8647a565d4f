/* `sealmq ca`: a realm's authority. */
#ifndef SMQ_CLI_CMD_CA_H
#define SMQ_CLI_CMD_CA_H

int cmd_ca(int argc, char **argv);

#endif
