/* Telemetry sources and previews on real files: opens what the spec names and hands it to the use case. */
#include <sealmq/telemetry.h>

#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "adapters/file_in/file_in.h"
#include "app/telemetry_generate.h"
#include "app/telemetry_preview.h"
#include "app/telemetry_source.h"
#include "base/text.h"

enum { WHY_MAX = 512 };
static _Thread_local char why[WHY_MAX];

static smq_err done(smq_err err, const char **ret_why)
{
	if (err != SMQ_OK && !*why)
		(void)snprintf(why, sizeof(why), "%s", smq_err_text(err));
	if (err != SMQ_OK && ret_why)
		*ret_why = why;
	return err;
}

/* Puts "FILE: " before what was said. */
static void prefix_why(const char *path)
{
	char shown[160], said[WHY_MAX];
	if (!*why)
		return;
	(void)snprintf(said, sizeof(said), "%s", why);
	(void)smq_escape(smq_span_str(path), shown, sizeof(shown));
	(void)snprintf(why, sizeof(why), "%s: %.340s", shown, said);
}

static uint64_t fresh_seed(void)
{
	uint64_t seed;
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uint64_t)time(NULL); /* sample data only */
	return seed ? seed : 1;
}

static int64_t wall_clock_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static smq_err open_csv(const char *path, const struct smq_source_options *o, uint64_t seed, smq_source **ret_source)
{
	struct smq_bytes_in in;
	if (!*path) {
		(void)snprintf(why, sizeof(why), "'csv:' needs a file, e.g. csv:readings.csv");
		return SMQ_ERR_USAGE;
	}
	smq_err err = smq_file_in_open(path, &in, why, sizeof(why));
	if (err != SMQ_OK)
		return err;
	err = smq_source_new("csv", &in, o, seed, 0, ret_source, why, sizeof(why));
	if (err != SMQ_OK) {
		in.close(in.self);
		prefix_why(path);
	}
	return err;
}

static smq_err open_generator(const char *name, const struct smq_source_options *o, uint64_t seed,
			      smq_source **ret_source)
{
	char shown[80];
	if (smq_generator_find(name))
		return smq_source_new(name, NULL, o, seed, o->seed ? SMQ_SOURCE_EPOCH_MS : wall_clock_ms(), ret_source,
				      why, sizeof(why));
	(void)smq_escape(smq_span_str(name), shown, sizeof(shown));
	(void)snprintf(why, sizeof(why), "unknown source '%s'; there are csv:FILE, fridge, vitals and energy", shown);
	return SMQ_ERR_USAGE;
}

smq_err smq_source_open(const char *spec, const struct smq_source_options *options, smq_source **ret_source,
			const char **ret_why)
{
	struct smq_source_options defaults;
	smq_source_options_init(&defaults);
	const struct smq_source_options *o = options ? options : &defaults;
	uint64_t seed = o->seed ? o->seed : fresh_seed();
	bool csv = strncmp(spec, "csv:", 4) == 0;
	why[0] = 0;
	return done(csv ? open_csv(spec + 4, o, seed, ret_source) : open_generator(spec, o, seed, ret_source), ret_why);
}

smq_err smq_data_preview(const char *file, const struct smq_preview_options *options, struct smq_preview **ret_preview,
			 const char **ret_why)
{
	static const struct smq_preview_options defaults;
	struct smq_bytes_in in;
	why[0] = 0;
	smq_err err = smq_file_in_open(file, &in, why, sizeof(why));
	if (err != SMQ_OK)
		return done(err, ret_why);
	err = smq_preview_make(&in, options ? options : &defaults, ret_preview, why, sizeof(why));
	in.close(in.self);
	if (err != SMQ_OK)
		prefix_why(file);
	return done(err, ret_why);
}
