/*
 * The YAML files: sealmq.yaml, realm.yaml, a record schema, watch.yaml. Taken, or refused with one printable line that
 * names the file. The input's first byte says which.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapters/config_yaml/realm_yaml.h"
#include "adapters/config_yaml/record_yaml.h"
#include "adapters/config_yaml/settings_yaml.h"
#include "adapters/config_yaml/watch_yaml.h"

enum { WHY_MAX = 1024 };

static void settings(const char *path, char *why)
{
	smq_config *config = NULL;
	FUZZ_CHECK(smq_config_new(&config, NULL) == SMQ_OK);
	smq_err err = smq_settings_yaml_load(path, config, why, WHY_MAX);
	FUZZ_CHECK((err == SMQ_OK) == (why[0] == '\0'));
	smq_config_free(config);
}

static void realm(const char *path, char *why)
{
	struct smq_realm_settings s;
	memset(&s, 0, sizeof(s));
	if (smq_realm_yaml_load(path, &s, why, WHY_MAX) == SMQ_OK)
		FUZZ_CHECK(s.realm[0] && s.control_prefix[0] && s.keyex_topic[0]);
	else
		FUZZ_CHECK(why[0]);
}

static void schema(const char *path, char *why)
{
	static struct smq_record_schema s;
	smq_record_schema_init(&s);
	if (smq_record_yaml_load(path, &s, why, WHY_MAX) == SMQ_OK)
		FUZZ_CHECK(s.field_count <= SMQ_RECORD_FIELDS_MAX && s.type_count <= SMQ_RECORD_TYPES_MAX);
	else
		FUZZ_CHECK(why[0]);
	smq_record_schema_done(&s);
}

static void watch(const char *path, char *why)
{
	struct smq_watch_settings s;
	memset(&s, 0, sizeof(s));
	FUZZ_CHECK((smq_watch_yaml_load(path, &s, why, WHY_MAX) == SMQ_OK) == (why[0] == '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(const char *, char *) = { settings, realm, schema, watch };
	char path[64], why[WHY_MAX] = "";
	if (size == 0 || data[0] >= sizeof(readers) / sizeof(readers[0]))
		return 0;
	int fd = memfd_create("yaml", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readers[data[0]](path, why);
	FUZZ_CHECK(memchr(why, 0, sizeof(why)) != NULL);
	for (const char *c = why; *c; c++)
		FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
	close(fd);
	return 0;
}
