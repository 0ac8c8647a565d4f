/* sealmq group create|next with --members: the key file of a static group that has no key server. */
#ifndef SMQ_CLI_CMD_GROUP_FILE_H
#define SMQ_CLI_CMD_GROUP_FILE_H

int cmd_group_file(int argc, char **argv);

#endif
