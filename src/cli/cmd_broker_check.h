/* `sealmq broker check`: what would hurt at a broker. */
#ifndef SMQ_CLI_CMD_BROKER_CHECK_H
#define SMQ_CLI_CMD_BROKER_CHECK_H

int broker_check(int argc, char **argv);

#endif
