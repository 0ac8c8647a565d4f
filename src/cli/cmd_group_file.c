/* sealmq group create|next with --members: the key file of a static group that has no key server. */
#include "cli/cmd_group_file.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/group.h>

static int wrong_use(const char *why)
{
	fprintf(stderr, "sealmq group: %s; `sealmq group --help` tells more\n", why);
	return smq_err_exit(SMQ_ERR_USAGE);
}

/* Cuts the list at its commas, in place. */
static size_t split(char *list, const char **ret_words, size_t room)
{
	size_t count = 0;
	for (char *at = list; at; count++) {
		char *comma = strchr(at, ',');
		if (comma)
			*comma++ = 0;
		if (count < room)
			ret_words[count] = at;
		at = comma;
	}
	return count;
}

static int create(const struct smq_group_create_options *o)
{
	const char *path = "", *why = "";
	smq_err err = smq_group_create(o, &path, &why);
	if (err != SMQ_OK) {
		fprintf(stderr, "sealmq group: %s%s\n", why,
			err == SMQ_ERR_EXISTS ? "; `sealmq group next` makes the next epoch's" : "");
		return smq_err_exit(err);
	}
	printf("%s\n", path);
	return 0;
}

int cmd_group_file(int argc, char **argv)
{
	static const struct option options[] = {
		{ "realm", required_argument, NULL, 'r' },
		{ "members", required_argument, NULL, 'm' },
		{ "filter", required_argument, NULL, 'f' },
		{ "algorithm", required_argument, NULL, 'a' },
		{ NULL, 0, NULL, 0 },
	};
	const char *members[SMQ_GROUP_MEMBERS_LIMIT + 1], *filters[SMQ_GROUP_FILTERS_LIMIT + 1];
	struct smq_group_create_options o = { .realm_dir = getenv("SEALMQ_REALM"),
					      .members = members,
					      .filters = filters };
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			o.realm_dir = optarg;
			break;
		case 'm':
			o.member_count = split(optarg, members, SMQ_GROUP_MEMBERS_LIMIT);
			break;
		case 'a':
			o.algorithm = optarg;
			break;
		case 'f':
			if (o.filter_count <= SMQ_GROUP_FILTERS_LIMIT)
				filters[o.filter_count++] = optarg;
			break;
		default:
			return wrong_use("that option is not one of its own");
		}
	}
	if (optind + 2 != argc)
		return wrong_use("`create` or `next`, and a name are needed");
	o.next_epoch = strcmp(argv[optind], "next") == 0;
	if (!o.next_epoch && strcmp(argv[optind], "create") != 0)
		return wrong_use("it is `create` or `next`");
	o.name = argv[optind + 1];
	if (!o.realm_dir)
		return wrong_use("--realm is needed");
	if (o.member_count == 0)
		return wrong_use("--members is needed");
	return create(&o);
}
