/* `sealmq ca`: a realm's authority: make one, issue identities, list them. */
#ifndef SMQ_CLI_CMD_CA_H
#define SMQ_CLI_CMD_CA_H

int cmd_ca(int argc, char **argv);

#endif
