/* sealmq chat. */
#ifndef SMQ_CLI_CMD_CHAT_H
#define SMQ_CLI_CMD_CHAT_H

int cmd_chat(int argc, char **argv);

#endif
