/*
 * Somebody else's broker configuration: whatever it says, the judges come back, and each finding has its reason. The
 * input's first byte says which file it is: mosquitto.conf, an ACL, nginx.conf, or a package's version.
 */
#include "fuzz.h"

#include <string.h>

#include "app/broker_check.h"

static void found(void *self, const struct smq_finding *finding)
{
	(void)self;
	FUZZ_CHECK(finding->rule && finding->rule[0] && finding->reason && finding->reason[0]);
}

static void judge(int which, const char *text)
{
	const struct smq_judge j = { NULL, found };
	struct smq_conf_lines lines;
	memset(&lines, 0, sizeof(lines));
	if (which == 3) {
		smq_judge_version(&j, "mosquitto", text);
		return;
	}
	smq_err err =
	    which == 2 ? smq_conf_add_nginx(&lines, "nginx.conf", text) : smq_conf_add(&lines, "a.conf", text);
	FUZZ_CHECK(err == SMQ_OK || err == SMQ_ERR_NO_MEMORY);
	if (which == 0)
		smq_judge_mosquitto(&j, &lines);
	if (which == 1)
		smq_judge_acl(&j, &lines, "sealmq/plant", "broker-link");
	if (which == 2)
		smq_judge_nginx(&j, &lines, 120);
	smq_conf_free(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || data[0] > 3 || memchr(data + 1, 0, size - 1))
		return 0;
	char *text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	judge(data[0], text);
	free(text);
	return 0;
}
