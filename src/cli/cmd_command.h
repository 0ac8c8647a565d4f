/* sealmq command and sealmq alert: what others are told to do, and what they answer. */
#ifndef SMQ_CLI_CMD_COMMAND_H
#define SMQ_CLI_CMD_COMMAND_H

int cmd_command(int argc, char **argv);
int cmd_alert(int argc, char **argv);

#endif
