/* sealmq config: checking and showing sealmq.yaml. */
#ifndef SMQ_CLI_CMD_CONFIG_H
#define SMQ_CLI_CMD_CONFIG_H

int cmd_config(int argc, char **argv);

#endif
