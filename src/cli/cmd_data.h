/* sealmq data: looking at telemetry before it is sent. */
#ifndef SMQ_CLI_CMD_DATA_H
#define SMQ_CLI_CMD_DATA_H

int cmd_data(int argc, char **argv);

#endif
